"""What the templates show, in the order in which they show it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from trackbridge_comparison.report import words
from trackbridge_comparison.schema import (
    Cell,
    Change,
    Claim,
    Data,
    ExperimentRun,
    Item,
    Kind,
    LectureCell,
    Reading,
    Score,
    Spec,
    Status,
    Tool,
    Way,
)

MISSING = "missing (the comparison ended before)"
NOT_PLANNED = "not planned"


@dataclass(frozen=True)
class Column:
    """One quantity in one way."""

    quantity: str
    title: str
    unit: str


@dataclass(frozen=True)
class Entry:
    """What a table shows of one cell.

    Args:
        id: of the cell.
        text: its figure or its status in words.
        range: of the repeats.
        note: what the figure is, where it was not measured here and now.
        slug: of its look.
        value: to sort by; None sorts last.
    """

    id: str
    text: str
    range: str = ""
    note: str = ""
    slug: str = "missing"
    value: float | None = None


@dataclass(frozen=True)
class Table:
    """The cells of an axis in one way: a row for each tool, a column for each quantity."""

    way: Way
    columns: list[Column]
    rows: list[tuple[Tool, list[Entry]]]


@dataclass
class Axis:
    """One axis: `method` in words, its tables, its cells, and what the bridge costs: through TrackBridge less the tuned client."""

    name: str
    title: str
    method: str
    tables: list[Table] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)
    bridge: Table | None = None


@dataclass(frozen=True)
class Trait:
    """One row of the heat map; `items` by backend."""

    name: str
    ordinary: bool
    written: str
    items: dict[str, Item]


@dataclass(frozen=True)
class Result:
    """One row of a run's result table; `readings` by backend."""

    metric: str
    logged: str
    readings: dict[str, Reading]


def tools(data: Data) -> list[Tool]:
    """The tools, kind by kind; a backend that no :class:`Tool` describes is shown by its name."""
    known = {tool.backend: tool for tool in data.tools}
    kinds = list(Kind)
    backs = (back.backend for experiment in data.experiments for run in experiment.runs for back in run.readbacks)
    others = (one.backend for one in (*data.lecture, *data.scores, *data.planned))
    names = dict.fromkeys((*data.backends, *others, *(cell.spec.backend for cell in data.cells), *backs))
    found = [known.get(name) or Tool(backend=name, title=name, lecture="", kind=Kind.STORE, mode="") for name in names]
    return sorted(found, key=lambda tool: kinds.index(tool.kind))


def ended(data: Data) -> set[str]:
    """The backends whose service has ended."""
    return {
        one.spec.backend if isinstance(one, Cell) else one.backend for one in (*data.cells, *data.lecture) if one.status is Status.ENDED
    }


def axes(data: Data) -> list[Axis]:
    """The axes in the order of ``data.axes``; each has a table for every way in which something was planned, of the tools for which it was."""
    specs = {spec.id: spec for spec in (*data.planned, *(cell.spec for cell in data.cells))}
    entries = dict(_entries(data, specs.values()))
    measured = [tool for tool in tools(data) if tool.backend in data.backends]
    found = []
    for name, text in data.axes.items():
        title, _, method = text.partition("\n")
        mine = [spec for spec in specs.values() if spec.axis == name]
        if not mine:
            continue
        axis = Axis(name, title, " ".join(method.split()), cells=[cell for cell in data.cells if cell.spec.axis == name])
        for way in Way:
            columns = {spec.quantity: Column(spec.quantity, spec.title, spec.unit) for spec in mine if spec.way is way}
            if columns:
                asked = {spec.backend for spec in mine if spec.way is way}
                rows = [
                    (tool, [_entry(entries, f"{tool.backend}/{name}/{quantity}") for quantity in columns])
                    for tool in measured
                    if tool.backend in asked
                ]
                axis.tables.append(Table(way, list(columns.values()), rows))
        axis.bridge = _bridge(axis, measured)
        found.append(axis)
    return found


def _entry(entries: dict[str, Entry], id: str) -> Entry:
    return entries.get(id) or Entry(id, NOT_PLANNED)


def _entries(data: Data, specs: Iterable[Spec]) -> Iterator[tuple[str, Entry]]:
    there = {cell.spec.id: cell for cell in data.cells}
    earlier = {cell.spec.id: cell for cell in data.earlier}
    for spec in specs:
        cell, before = there.get(spec.id), earlier.get(spec.id)
        if cell is None:
            yield spec.id, Entry(spec.id, MISSING)
        elif cell.status.left_out and before is not None and before.value is not None:
            note = f"{cell.status}; full run of {words.day(before.time)}, {before.status}"
            yield spec.id, Entry(spec.id, words.figure(before), words.spread(before), note, "earlier", before.value)
        elif cell.status.has_value and cell.value is not None:
            note = "" if cell.status is Status.MEASURED else words.LOOKS[cell.status].word
            yield spec.id, Entry(spec.id, words.figure(cell), words.spread(cell), note, slug(cell.status), cell.value)
        else:
            yield spec.id, Entry(spec.id, str(cell.status), slug=slug(cell.status))


def slug(status: Status) -> str:
    """A status as the name of a class of the page."""
    return status.name.lower().replace("_", "-")


def base(spec: Spec) -> str:
    """The quantity without its way."""
    return spec.quantity.removesuffix("_through").removesuffix("_tuned")


def _bridge(axis: Axis, measured: list[Tool]) -> Table | None:
    """What the bridge costs: through TrackBridge less the tuned client, in the quantities that were measured both ways."""
    values = {(cell.spec.backend, base(cell.spec), cell.spec.way): cell for cell in axis.cells if cell.value is not None}
    both = [cell for (backend, name, way), cell in values.items() if way is Way.THROUGH and (backend, name, Way.TUNED) in values]
    columns = {base(cell.spec): Column(cell.spec.quantity, cell.spec.title, cell.spec.unit) for cell in both}
    rows = []
    for tool in measured:
        entries = []
        for name, column in columns.items():
            ours, theirs = values.get((tool.backend, name, Way.THROUGH)), values.get((tool.backend, name, Way.TUNED))
            if ours is None or theirs is None or ours.value is None or theirs.value is None:
                entries.append(Entry("", "not measured both ways"))
            else:
                cost = ours.value - theirs.value
                entries.append(Entry(ours.spec.id, words.signed(cost, column.unit), slug="measured", value=cost))
        if any(entry.value is not None for entry in entries):
            rows.append((tool, entries))
    return Table(Way.THROUGH, list(columns.values()), rows) if rows else None


def criteria(data: Data) -> list[str]:
    return list(dict.fromkeys(cell.criterion for cell in data.lecture))


def lecture(data: Data) -> list[tuple[Tool, dict[str, LectureCell]]]:
    """The rows of the regenerated slide, kind by kind; each tool's cells by criterion."""
    rows: dict[str, dict[str, LectureCell]] = {}
    for cell in data.lecture:
        rows.setdefault(cell.backend, {})[cell.criterion] = cell
    return [(tool, rows[tool.backend]) for tool in tools(data) if tool.backend in rows]


def expired(data: Data) -> set[str]:
    """The ids of the claims that had expired when the report was made."""
    return {claim.id for claim in data.claims if claim.expires <= words.day(data.updated or data.started)}


def claims(data: Data) -> list[tuple[Tool, list[Claim]]]:
    """The claims of each tool."""
    by_backend = {
        backend: list(group)
        for backend, group in groupby(sorted(data.claims, key=lambda claim: claim.id), lambda claim: claim.id.split("/")[0])
    }
    known = {tool.backend: tool for tool in tools(data)}
    return [
        (known.get(name) or Tool(backend=name, title=name, lecture="", kind=Kind.STORE, mode=""), found)
        for name, found in by_backend.items()
    ]


def scores(data: Data) -> list[tuple[Kind, list[Score]]]:
    """The scores kind by kind: the ranked rows first, by rank and total, then the others."""
    ways = list(Way)

    def order(score: Score) -> tuple[bool, int, bool, float, str]:
        return score.rank is None, ways.index(score.way), score.total is None, -(score.total or 0.0), score.backend

    return [(kind, sorted(mine, key=order)) for kind in Kind if (mine := [score for score in data.scores if score.kind is kind])]


def weighed(data: Data) -> list[str]:
    """The axes that scores are made of, in the order of the report."""
    there = {axis for score in data.scores for axis in score.axes}
    return [*(axis for axis in data.axes if axis in there), *sorted(there - data.axes.keys())]


def traits(data: Data) -> list[Trait]:
    found: dict[str, Trait] = {}
    for item in data.items:
        found.setdefault(item.trait, Trait(item.trait, item.ordinary, item.written, {})).items[item.backend] = item
    return list(found.values())


def results(run: ExperimentRun) -> list[Result]:
    """The result table of a run."""
    rows: dict[str, Result] = {}
    for back in run.readbacks:
        for reading in back.readings:
            rows.setdefault(reading.metric, Result(reading.metric, reading.logged, {})).readings[back.backend] = reading
    return list(rows.values())


def changes(data: Data) -> list[tuple[str, list[Change]]]:
    """The changes by verdict, what did not change last."""
    order = ["changed", "status changed", "new", "gone", "undecided", "not changed"]
    there = dict.fromkeys((*order, *(change.verdict for change in data.changes)))
    return [(verdict, mine) for verdict in there if (mine := [change for change in data.changes if change.verdict == verdict])]
