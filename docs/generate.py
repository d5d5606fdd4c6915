"""``python docs/generate.py [--check]``: fill the generated parts of the documents: settings, the benchmarks, the comparison.

Nothing in those parts is written by hand; ``--check`` ends with 1 when a document is not what would be generated.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def settings() -> str:
    """A table of the environment variables, from the docstring of Settings."""
    from trackbridge.settings import Settings

    text = re.sub(r"\s+", " ", (Settings.__doc__ or "").partition("Args:")[2])
    defaults = vars(Settings())
    told = re.split(r"(?:^|(?<=[.;]) )((?:\w+, )*\w+): ", text.strip())
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for names, meaning in zip(told[1::2], told[2::2], strict=True):
        for name in names.split(", "):
            shown = str(defaults[name])
            rows.append(
                f"| `TRACKBRIDGE_{name.upper()}` | {f'`{shown}`' if shown else ''} | {meaning.strip().replace('``', '`').replace('|', '/')} |"
            )
    missing = defaults.keys() - {name for names in told[1::2] for name in names.split(", ")}
    assert not missing, f"undocumented: {missing}"
    return "\n".join(rows)


def result(name: str) -> dict[str, Any]:
    """The last results of this benchmark; without rows when it was never run."""
    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else {"rows": []}


def benchmarks() -> str:
    """A table of the last results in benchmarks/results."""
    lines = ["| benchmark | ratio or median | interval | limit | verdict | measured (UTC) |", "|---|---|---|---|---|---|"]
    for name in ("log", "imports", "examples", "together"):
        found = result(name)
        for row in found["rows"]:
            middle = row.get("ratio", row.get("median"))
            limit = f"{row['limit']:,.4g}" if "limit" in row else ""
            what = row["what"].replace("|", "/")
            lines.append(f"| {what} | {middle} | {row['low']} to {row['high']} | {limit} | {row.get('verdict', '')} | {row['begun']} |")
    return "\n".join([*lines, "", "`make bench` makes these anew; `benchmarks/` says how, and what each does not show."])


def speed() -> str:
    """What writing 20 keys x 5,000 steps costs, for each tracker."""
    found = result("delivery")
    head = "| tracker | plain calls | the client's best path | TrackBridge | our seconds / best | interval | n | verdict | memory over the client | measured (UTC) | load |"
    lines = [head, "|---|---|---|---|---|---|---|---|---|---|---|"]
    for row in found["rows"]:
        speeds = " | ".join(f"{row['points_per_s'][who]:,}" for who in ("plain", "best", "ours"))
        lines.append(
            f"| {row['backend']} | {speeds} | {row['ratio']} | {row['low']} to {row['high']} | {row['n']} | {row['verdict']} "
            f"| {row['memory_over_client_mib']} MiB | {row['begun']} | {row['load']} |"
        )
    machine = found.get("machine", {})
    told = f"Points per second on {machine.get('cpus', '?')} cores, Python {machine.get('python', '?')}"
    return "\n".join([f"{told}. It does not show {found.get('shows_not', '')}.", "", *lines])


def growth() -> str:
    """The measured constants of benchmarks/scale.py, and what they come to for many runs and many processes."""
    rows = {row["what"]: row for row in result("scale")["rows"]}
    lines = ["| constant | median | interval | n | measured (UTC) |", "|---|---|---|---|---|"]
    for what, row in rows.items():
        lines.append(f"| {what} | {row['median']:,g} | {row['low']:,g} to {row['high']:,g} | {row['n']} | {row['begun']} |")
    of = {what: row["median"] for what, row in rows.items()}
    calls, keys, runs, processes = 1000, 20, 10**6, 8000
    size = of["of a run without a call: bytes"] + calls * (
        of["of a call with one value: bytes"] + (keys - 1) * of["of each further value of a call: bytes"]
    )
    listing = (
        of["to list a run without a call, ms"] / 1e3
        + calls * keys / 1e6 * of["to list a run, for each million values in it, ms more"] / 1e3
    )
    reading = calls * keys / 1e6 * of["to read back, a million values, s"]
    requests = {
        state: sum(of[f"{who} {state}: {what} a second"] for who in ("the training process", "a forwarder") for what in ("reads", "writes"))
        for state in ("without a call", "at 10 calls a second")
    }
    lines += ["", f"So {runs:,} runs of {calls:,} calls of {keys} values, {runs * calls * keys:,} values in all:", "", "| | |", "|---|---|"]
    lines += [
        f"| bytes of their journals | {runs * size / 1e9:,.0f} GB |",
        f"| files and folders, without those of targets | {runs * of['of a run: files and folders'] / 1e6:,.0f} million |",
        f"| to list them all, in one process | {runs * listing / 3600:,.1f} h |",
        f"| to read every value back, in one process | {runs * reading / 3600:,.1f} h |",
    ]
    memory, cores = of["a forwarder to JSON lines: peak memory, MiB"], of["a forwarder at 10 calls a second: cores"]
    lines += [
        "",
        f"And {processes:,} training processes at a time, such as 1,000 nodes of eight, each with one forwarder:",
        "",
        "| | |",
        "|---|---|",
    ]
    lines += [
        f"| reads and writes a second in all, while nothing is logged | {processes * requests['without a call']:,.0f} |",
        f"| the same at ten calls a second each | {processes * requests['at 10 calls a second']:,.0f} |",
        f"| memory of the forwarders of a node of eight, without their clients | {8 * memory:,.0f} MiB |",
        f"| cores of the forwarders of a node of eight, at ten calls a second each | {8 * cores:.2f} |",
    ]
    return "\n".join([*lines, "", f"`python -m benchmarks scale` measures the constants. They do not show {result('scale')['shows_not']}."])


def experiment_tables() -> list[tuple[dict[int, str], list[list[str]]]]:
    """The tables in the report of the experiments: the headings above each, by level, and its rows, the first of which is its head."""
    headings, tables, inside = dict[int, str](), list[tuple[dict[int, str], list[list[str]]]](), False
    for line in (ROOT / "examples" / "results" / "report.md").read_text().splitlines():
        if match := re.match(r"(#+) (.*)", line):
            level = len(match[1])
            headings = {known: text for known, text in headings.items() if known < level} | {level: match[2]}
        elif line.startswith("|"):
            if not inside:
                tables.append((headings, []))
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if set(cells) != {"---"}:
                tables[-1][1].append(cells)
        inside = line.startswith("|")
    return tables


def columns_of(rows: list[list[str]], wanted: Sequence[str]) -> list[str]:
    """Some columns of a table, as lines; without rows of what was not run."""
    places = [rows[0].index(name) for name in wanted]
    body = [row for row in rows[1:] if row[1] != "not run"]
    return [
        f"| {' | '.join(wanted)} |",
        "|---" * len(wanted) + "|",
        *(f"| {' | '.join(row[place] for place in places)} |" for row in body),
    ]


def bias() -> str:
    """The first table of each condition in the report of the bias study, without its wider columns."""
    wanted = ("method", "unbiased accuracy", "explicit MMD", "explicit IOSM, minority", "over StdM", "90% interval")
    lines = list[str]()
    for headings, rows in experiment_tables():
        if headings.get(4, "").startswith("Selected on validation") and rows[0][:2] == ["method", "trial"]:
            lines += ["", f"**{headings[3]}**", "", *columns_of(rows, wanted)]
    return "\n".join(lines[1:])


def experiment(heading: str, first: str, *wanted: str) -> Callable[[], str]:
    """Makes the columns of the table that stands under a heading that begins so, and whose first column is called so."""

    def make() -> str:
        for headings, rows in experiment_tables():
            if headings[max(headings)].startswith(heading) and rows[0][0] == first and set(wanted) <= set(rows[0]):
                return "\n".join(columns_of(rows, wanted))
        return "not run"

    return make


def comparison() -> str:
    """The last comparison in comparison/results as one table, and where the rest of it is."""
    from trackbridge_comparison import schema
    from trackbridge_comparison.report import brief

    folder = schema.latest(ROOT / "comparison" / "results")
    report = f"{folder.relative_to(ROOT).as_posix()}/report.md"
    told = (
        f"[`{report}`]({report}) has the interval of each figure, the method of each axis and its limits, the script of each client and the"
    )
    return f"{brief.table(schema.load(folder))}\n\n{told}\ncommand that reproduces each cell; `report.html` beside it has sliders for the weights."


ACCURACY, STEP = ("test accuracy", "less the best", "90% interval"), "CPU ms a step"
STAGES = ("pixels", "multiply-adds in training (M)")
VERSIONS = ("v1 step (ms)", "v2 step (ms)", "v1 / v2", "accuracy of V2 less V1", "90% interval")
OPTIMIZERS = ("settings tried", "lr", "weight decay", "at the grid's edge", "test accuracy", "less the best", "90% interval")
DECAY = ("test accuracy without", "best weight decay", "test accuracy with", "gain by weight decay", "90% interval")
PARTS: list[tuple[str, str, Callable[[], str]]] = [
    ("docs/settings.md", "settings", settings),
    ("README.md", "comparison", comparison),
    ("README.md", "benchmarks", benchmarks),
    ("benchmarks/results/README.md", "speed", speed),
    ("docs/scale.md", "growth", growth),
    ("examples/README.md", "bias", bias),
    (
        "examples/README.md",
        "scaling",
        experiment("scaling", "training", "training", "parameters (M)", "multiply-adds (M)", *ACCURACY, STEP),
    ),
    ("examples/README.md", "versions", experiment("V1", "size", "size", "layout", *VERSIONS)),
    (
        "examples/README.md",
        "progressive",
        experiment("progressive", "training", "training", *STAGES, *ACCURACY, "CPU s, steps", "augmentation"),
    ),
    ("examples/README.md", "madgrad", experiment("Fashion", "optimizer", "optimizer", *OPTIMIZERS)),
    ("examples/README.md", "decay", experiment("Fashion", "optimizer", "optimizer", *DECAY)),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = 0
    for name, mark, make in PARTS:
        path = ROOT / name
        text = path.read_text()
        begin, end = f"<!-- {mark}:begin -->", f"<!-- {mark}:end -->"
        head, _, rest = text.partition(begin)
        fresh = f"{head}{begin}\n{make()}\n{end}{rest.partition(end)[2]}"
        if fresh != text:
            stale += 1
            if check:
                print(f"{name}: the part {mark} is stale; run python docs/generate.py")
            else:
                path.write_text(fresh)
    return int(check and stale > 0)


if __name__ == "__main__":
    sys.exit(main())
