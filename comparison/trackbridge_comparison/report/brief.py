"""The comparison in one table, for the README: a line for each quantity, its value for each backend; the report has ranges and commands."""

from __future__ import annotations

from trackbridge_comparison.report import view, words
from trackbridge_comparison.schema import Data, Way


def table(data: Data) -> str:
    """The table as Markdown. Controls are left to the report."""
    lines = [f"| | way | {' | '.join(map(words.markdown, data.backends))} |", f"|---|---|{'---|' * len(data.backends)}"]
    for axis in view.axes(data):
        lines.append(f"| **{words.markdown(axis.title)}** | |{' |' * len(data.backends)}")
        for row in axis.rows:
            if row.way is not Way.CONTROL:
                cells = (words.markdown(words.shown(cell) if cell else view.MISSING) for cell in row.cells.values())
                lines.append(f"| {words.markdown(row.title)} | {words.markdown(row.way)} | {' | '.join(cells)} |")
    versions = ", ".join(f"{name} {version}" for found in data.versions.values() for name, version in found.items())
    where = f"{data.machine.cpu}, {data.machine.cores} cores, {data.machine.python}"
    return "\n".join([*lines, "", str(words.markdown(f"Measured {data.started}, mode {data.mode}, on one machine: {where}; {versions}."))])
