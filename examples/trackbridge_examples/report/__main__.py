"""Writes the report of the experiments from runs that are read back through trackbridge.

    python -m trackbridge_examples.report                                        # from the journals
    python -m trackbridge_examples.report --source mlflow:sqlite:///mlflow.db    # from a tracker that they were logged to

Each project has a part of its own.  What was not run is named, and nothing is said of it.
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from trackbridge_examples.bias import results
from trackbridge_examples.readback import RunFacts, read_back
from trackbridge_examples.report import efficientnet, madgrad
from trackbridge_examples.report.bias import bias_blocks
from trackbridge_examples.report.document import Block, Document, Heading
from trackbridge_examples.report.efficientnet import efficientnet_blocks
from trackbridge_examples.report.madgrad import madgrad_blocks

# By the tag of the runs, the first of which counts: an EfficientNet's optimizer is a tag of it too.
PARTS: dict[str, Callable[[str, Sequence[RunFacts]], Iterator[Block]]] = {
    results.TAG: lambda project, runs: bias_blocks(project, results.Results(runs)),
    efficientnet.TAG: efficientnet_blocks,
    madgrad.TAG: madgrad_blocks,
}


def make_report(runs: Iterable[RunFacts]) -> Document:
    """The same for the same runs, wherever they were read back from.

    Of a project whose runs do not compare, or lack what they should have logged, it says so and no more.
    """
    parts: defaultdict[tuple[str, str], list[RunFacts]] = defaultdict(list)
    for run in runs:
        tag = next((tag for tag in PARTS if tag in run.tags), None)
        if tag:
            parts[tag, run.project].append(run)
    document = Document([Heading("Report of the experiments", 1)])
    if not parts:
        document.add("There is no run of these experiments.")
    for (tag, project), mine in sorted(parts.items()):
        try:
            document.add(*list(PARTS[tag](project, mine)))
        except ValueError as error:
            document.add(Heading(f"Project {project}", 2), f"There is no report of it: {error}.")
        statuses = Counter(run.status for run in mine)
        counts = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
        document.add(f"Runs of this project: {counts}. Only those that finished count.")
    return document


def main(argv: Sequence[str] | None = None) -> Path:
    """The path of the Markdown file."""
    parser = argparse.ArgumentParser(
        prog="python -m trackbridge_examples.report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", help="a target such as jsonl:DIR or mlflow:sqlite:///mlflow.db (the journals in TRACKBRIDGE_DIR)")
    parser.add_argument("--project", help="(all)")
    parser.add_argument("--out", type=Path, default=Path("report"), metavar="DIR", help="(%(default)s)")
    args = parser.parse_args(argv)
    document = make_report(read_back(args.source, args.project))
    backend = (args.source or "journal").partition(":")[0].partition("#")[0]
    document.blocks.insert(
        1, f"Every figure below was read back from the {backend} by trackbridge, with the sidecar where a tracker has one."
    )
    path = document.write(args.out)
    print(path)
    return path


if __name__ == "__main__":
    main()
