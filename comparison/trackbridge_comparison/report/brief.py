"""The comparison in one table, for the README: a line for each tool; the report has intervals, commands and all other quantities."""

from __future__ import annotations

from trackbridge_comparison.report import view, words
from trackbridge_comparison.schema import Data, Kind, Score, Tool, Way

COLUMNS = {
    "fidelity/ordinary": "ordinary values exact",
    "fidelity/hostile": "hostile values exact",
    "durability/kept_after_kill": "readable after SIGKILL",
    "overhead/log_p50_burst": "a call of log()",
    "storage/bytes_per_point": "a point on disk",
    "setup/megabytes": "installed",
    "setup/first_metric": "start to first metric",
}
"""The quantities of the table: those that a reader asks for first, of each axis one or two."""


HEAD = ("tool", "score", *COLUMNS.values())


def rows(data: Data) -> dict[Kind, list[tuple[Tool, list[str]]]]:
    """The tools of each kind, with the words of each column after the first."""
    entries = {entry.id: entry for axis in view.axes(data) for one in axis.tables for _, row in one.rows for entry in row}
    scores = {score.backend: score for score in data.scores if score.way is Way.NATIVE}
    found: dict[Kind, list[tuple[Tool, list[str]]]] = {}
    for tool in sorted(view.tools(data), key=lambda tool: list(Kind).index(tool.kind)):
        if tool.backend in data.backends:
            cells = [_score(scores.get(tool.backend)), *(_cell(entries, tool, column) for column in COLUMNS)]
            found.setdefault(tool.kind, []).append((tool, cells))
    return found


def table(data: Data) -> str:
    """The table as Markdown, kind by kind: the trackers' own clients with default settings."""
    ended = view.ended(data)
    lines = [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
    for kind, tools in rows(data).items():
        if data.tools:
            lines.append(f"| **{words.markdown(kind)}** |{' |' * (len(HEAD) - 1)}")
        for tool, cells in tools:
            name = words.markdown(tool.title)
            lines.append(f"| {f'~~{name}~~' if tool.backend in ended else name} | {' | '.join(map(str, map(words.markdown, cells)))} |")
    through = [title for column, title in COLUMNS.items() if _through(data, column)]
    ways = "The trackers' own clients with default settings" + (
        f"; {' and '.join(through)}: through TrackBridge's adapters" if through else ""
    )
    return "\n".join([*lines, "", str(words.markdown(f"{ways}. {words.circumstances(data)}"))])


def _through(data: Data, column: str) -> bool:
    return any(spec.id.endswith(f"/{column}") and spec.way is Way.THROUGH for spec in data.planned)


def _score(score: Score | None) -> str:
    if score is None or score.total is None:
        return "–"
    extent = f" ({words.score(score.low)} to {words.score(score.high)})" if score.low is not None and score.high is not None else ""
    return words.score(score.total) + extent


def _cell(entries: dict[str, view.Entry], tool: Tool, column: str) -> str:
    entry = entries.get(f"{tool.backend}/{column}") or view.Entry("", view.NOT_PLANNED)
    return entry.text + (f", {entry.note}" if entry.note else "")
