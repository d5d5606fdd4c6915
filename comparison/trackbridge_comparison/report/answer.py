"""The answer in three sentences and what it depends on, made from the cells; where there are none, it says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from trackbridge_comparison.report import view
from trackbridge_comparison.report.words import figure, percent, score, share, spread
from trackbridge_comparison.schema import Cell, Data, Kind, Score, Way
from trackbridge_comparison.scores import best

PLURALS = {Kind.STORE: "stores", Kind.SPOOL: "spools", Kind.EMULATED: "emulated services", Kind.REFERENCE: "references"}


def answer(data: Data) -> list[str]:
    """Three sentences: which tools lead, are the values there, what does a call cost; and how far the first depends on the weights."""
    titles = {tool.backend: tool.title for tool in view.tools(data)}
    ranked = {
        kind: mine for kind, rows in view.scores(data) if (mine := [row for row in rows if row.rank is not None and row.total is not None])
    }
    return [
        _scores(ranked, _unranked(data), titles),
        _kept(data, titles),
        _overhead(data, titles),
        _depends(ranked, best(data.scores), titles),
    ]


def _unranked(data: Data) -> dict[Kind, int]:
    """How many tools of each kind have no total, since too little of them was measured."""
    there = [row for row in data.scores if row.way is Way.NATIVE and row.kind is not Kind.REFERENCE and row.total is None]
    return dict(Counter(row.kind for row in there))


def _scores(ranked: Mapping[Kind, Sequence[Score]], unranked: Mapping[Kind, int], titles: Mapping[str, str]) -> str:
    if not ranked:
        return "No tool has a score: nothing was scored, or too little was measured."
    parts = []
    for kind, rows in ranked.items():
        leaders = [row for row in rows if row.rank == 1]
        text = ", ".join(f"{titles[row.backend]} with {score(row.total)} ({_interval(row)})" for row in leaders)
        verb = "leads" if len(leaders) == 1 else "lead together"
        others = f" ({unranked[kind]} more have no score: too little was measured)" if kind in unranked else ""
        parts.append(f"of {_counted(len(rows), 'ranked ' + kind)}{others}, {text} {verb}")
    return _sentence("; ".join(parts))


def _interval(row: Score) -> str:
    return f"{score(row.low)} to {score(row.high)}" if row.low is not None and row.high is not None else "no interval"


def _depends(ranked: Mapping[Kind, Sequence[Score]], leaders: Mapping[Kind, str], titles: Mapping[str, str]) -> str:
    parts = []
    for kind, rows in ranked.items():
        wins = sorted((row for row in rows if row.wins), key=lambda row: -(row.wins or 0.0))
        if kind in leaders:
            parts.append(
                f"{titles[leaders[kind]]} is the best of the {PLURALS[kind]}, first under {share(wins[0].wins)} of random weightings"
            )
        elif len(rows) > 1 and wins:
            text = ", ".join(f"{titles[row.backend]} {share(row.wins)}" for row in wins[:3])
            parts.append(f"none of the {PLURALS[kind]} is best whatever the weights (first under random weightings: {text})")
    return (
        "It depends on what counts for you: " + "; ".join(parts) + "." if parts else "How far that depends on the weights was not computed."
    )


def _kept(data: Data, titles: Mapping[str, str]) -> str:
    parts = []
    backs = [back for experiment in data.experiments for run in experiment.runs for back in run.readbacks]
    readings = [reading for back in backs for reading in back.readings]
    if readings:
        same = sum(reading.identical for reading in readings)
        count = len({back.backend for back in backs})
        which = "all" if same == len(readings) else f"{same:,}"
        parts.append(
            f"of the {len(readings):,} results of training that were read back from {_counted(count, 'tracker')} with their own readers, {which} are identical to what was logged"
        )
    native, through = list(_cells(data, "durability", "kept_after_kill")), list(_cells(data, "durability", "kept_after_kill_through"))
    if native:
        whole = [cell for cell in native if cell.value == 100]
        lowest = min(cell.value or 0.0 for cell in native)
        least = [cell for cell in native if (cell.value or 0.0) == lowest]
        fewest = f", and the fewest in {' and '.join(titles[cell.spec.backend] for cell in least)}, {_noted(least[0])}"
        text = f"of the calls that had returned before a SIGKILL all were readable in {len(whole)} of {_counted(len(native), 'tracker')}"
        parts.append(text + ("" if lowest == 100 else fewest))
    if through:
        low = min(cell.value or 0.0 for cell in through)
        parts.append(f"through TrackBridge {'' if low == 100 else 'at least '}{percent(low)} % (after sync)")
    return _sentence("; ".join(parts)) if parts else "Neither was an experiment read back, nor was it measured what survives SIGKILL."


def _overhead(data: Data, titles: Mapping[str, str]) -> str:
    parts = []
    for quantity, way in (
        ("log_p50_burst", "with the trackers' own clients"),
        ("log_p50_burst_through", "through TrackBridge, which delivers beside"),
    ):
        cells = sorted(_cells(data, "overhead", quantity), key=lambda cell: cell.value or 0.0)
        if cells:
            extent = [f"{_noted(cell)} in {titles[cell.spec.backend]}" for cell in (cells if len(cells) == 1 else (cells[0], cells[-1]))]
            parts.append(f"{' to '.join(extent)} {way}")
    return (
        _sentence("the median call of log() with calls in a row took " + ", and ".join(parts))
        if parts
        else "The cost of a call of log() was not measured."
    )


def _cells(data: Data, axis: str, quantity: str) -> Iterator[Cell]:
    """The measured cells of third-party tools; through TrackBridge of all."""
    references = {tool.backend for tool in data.tools if tool.kind is Kind.REFERENCE}
    for cell in data.cells:
        measured = cell.status.has_value and cell.value is not None and (cell.spec.axis, cell.spec.quantity) == (axis, quantity)
        if measured and (cell.spec.way is Way.THROUGH or cell.spec.backend not in references):
            yield cell


def _noted(cell: Cell) -> str:
    """The figure, with the interval of the repeats."""
    return figure(cell) + (f" ({spread(cell)})" if spread(cell) else "")


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
