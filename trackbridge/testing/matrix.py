"""``python -m trackbridge.testing.matrix [--check | --write] [FILE]``: the support matrix, from what the adapters declare.

For each trait of the canon and each flavour of each adapter: ``exact``, or the words for what changes. The conformance suite proves these
declarations, both ways; so the table is as true as the suite. It stands in FILE (adapters/README.md) between two markers. ``--check`` exits
with 1 when it is not the one that would be written; without an option the table is printed.

An adapter lists an example location of each of its flavours in `flavours`; without it there is one flavour, that of the default location.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from trackbridge import registry
from trackbridge.adapters import Adapter, Capabilities, Target
from trackbridge.deviations import Reason
from trackbridge.normal import Normal, normal
from trackbridge.projection import Projection, matrix_words
from trackbridge.records import Record
from trackbridge.testing import canon
from trackbridge.testing.canon import Trait
from trackbridge.testing.checks import fires

BEGIN, END = "<!-- matrix:begin -->", "<!-- matrix:end -->"
FILE = Path("adapters/README.md")
SINCE = re.compile(r"^Unchanged since (\d{4}-\d{2}-\d{2})\.$", re.MULTILINE)
GROUPS = {
    "scalar": "Values of metrics",
    "key": "Keys of metrics",
    "step": "Steps",
    "time": "Times",
    "series": "Series",
    "config": "Configuration",
    "summary": "Summary",
    "tags": "Tags",
    "field": "Description",
    "status": "Status",
    "media": "Media",
    "artifact": "Artifacts",
    "flow": "Runs",
}


def columns() -> Iterator[tuple[str, Adapter, Capabilities]]:
    """Each flavour of each adapter as of the version that was tested, by name; without the reference adapter."""
    for name in registry.names():
        if name != "memory":
            adapter = registry.get(name)
            for location in getattr(adapter, "flavours", ("",)):
                target = adapter.resolve(Target.parse(f"{name}:{location}"), Path("/"))
                capabilities = adapter.capabilities(target, next(iter(adapter.requires.tested.values()), ""))
                yield f"{name} {capabilities.flavour}", adapter, capabilities


def rows() -> list[Trait]:
    """The traits in which there is something to hold, by group."""
    with tempfile.TemporaryDirectory() as folder:
        traits = [trait for run in canon.build(Path(folder)).values() for trait in run.traits]
    kept = [trait for trait in traits if trait.group == "status" or _holds(form(trait))]
    return sorted(kept, key=lambda trait: list(GROUPS).index(trait.group))


def form(trait: Trait) -> Normal:
    """The normal form of the trait alone."""
    found = normal(Record(trait.shard, number, event) for number, event in enumerate(trait.events))
    return msgspec.structs.replace(found, status=trait.what) if trait.group == "status" else found


def cell(trait: Trait, projection: Projection) -> str:
    """``exact``, or the words of the rules that change something of the trait. Each value has a time, of which the group of times tells, and
    each run a status."""
    told = {"status": "status", Reason.TIMESTAMP: "time"}
    rules = [rule for rule in fires(form(trait), projection) if told.get(rule.on, told.get(rule.reason, trait.group)) == trait.group]
    return matrix_words(sorted(rules, key=projection.rules.index))


def table() -> str:
    """The matrix, and below it what is declared of each flavour, as Markdown."""
    found = list(columns())
    projections = [capabilities.projection for _, _, capabilities in found]
    lines = [f"| | {' | '.join(name for name, _, _ in found)} |", f"|---|{'---|' * len(found)}"]
    group = ""
    for trait in rows():
        if trait.group != group:
            group = trait.group
            lines.append(f"| **{GROUPS[group]}** |{' |' * len(found)}")
        lines.append(f"| {_text(trait.what)} | {' | '.join(cell(trait, projection) for projection in projections)} |")
    for name, adapter, capabilities in found:
        versions = ", ".join(" ".join(one) for one in adapter.requires.tested.items())
        lines += [
            "",
            f"**{name}**{f' ({versions})' if versions else ''}: recovery `{capabilities.recovery}`, sidecar `{capabilities.sidecar}`.",
        ]
        lines += [f"- {rule.on}, *{rule.reason}*: {_text(rule.what)}. Why: {_text(rule.why)}." for rule in capabilities.projection.rules]
        if not capabilities.projection.rules:
            lines.append("Everything is kept exactly.")
    return "\n".join(lines)


def replaced(text: str, matrix: str, today: str) -> str:
    """`text` with `matrix` between the markers, and the day since which it stands there so.

    Raises:
        ValueError: there is not one pair of markers.
    """
    before, begin, rest = text.partition(BEGIN)
    former, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the markers {BEGIN} and {END} are missing")
    since = SINCE.search(former)
    day = since[1] if since and former.endswith(f"\n{matrix}\n") else today
    return f"{before}{BEGIN}\nUnchanged since {day}.\n\n{matrix}\n{END}{after}"


def _holds(found: Normal) -> bool:
    return any((found.series, found.config, found.summary, found.tags, found.fields, found.media, found.artifacts))


def _text(text: str) -> str:
    """`text` in a cell of a Markdown table: nothing in it is markup."""
    for character in "\\`*_|<>[]":
        text = text.replace(character, "\\" + character)
    return text.rstrip(".")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m trackbridge.testing.matrix", description=(__doc__ or "").split("\n")[0])
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--check", action="store_true", help="exit with 1 when FILE holds another matrix")
    choice.add_argument("--write", action="store_true", help="put the matrix into FILE")
    parser.add_argument("file", type=Path, nargs="?", default=FILE)
    options = parser.parse_args(arguments)
    matrix = table()
    if not options.check and not options.write:
        print(matrix)
        return 0
    text = options.file.read_text("utf-8")
    wanted = replaced(text, matrix, f"{datetime.now(UTC):%Y-%m-%d}")
    if options.write:
        options.file.write_text(wanted, "utf-8")
    elif text != wanted:
        print(
            f"{options.file}: the support matrix is not what the adapters declare; run  python -m trackbridge.testing.matrix --write",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
