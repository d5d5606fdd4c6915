"""What the templates show, in the order in which they show it."""

from __future__ import annotations

from dataclasses import dataclass, field

from trackbridge_comparison.schema import Cell, Data, ExperimentRun, Spec, Status, Way

MISSING = "missing (the comparison ended before)"


@dataclass(frozen=True)
class Row:
    """One quantity in one way; `cells` by backend."""

    title: str
    way: Way
    cells: dict[str, Cell | None]


@dataclass
class Axis:
    """One axis: `method` in words, the table's rows, and all its cells."""

    name: str
    title: str
    method: str
    rows: list[Row] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)
    missing: list[Spec] = field(default_factory=list)


def axes(data: Data) -> list[Axis]:
    """The axes in the order of ``data.axes``, each with a row for every quantity that was planned."""
    there = {cell.spec.id: cell for cell in data.cells}
    specs = {spec.id: spec for spec in (*data.planned, *(cell.spec for cell in data.cells))}
    found = []
    for name, text in data.axes.items():
        title, _, method = text.partition("\n")
        mine = [spec for spec in specs.values() if spec.axis == name]
        axis = Axis(name, title, " ".join(method.split()))
        axis.cells = [there[spec.id] for spec in mine if spec.id in there]
        axis.missing = [spec for spec in mine if spec.id not in there]
        kinds = dict.fromkeys((spec.quantity, spec.title, spec.way) for spec in mine)
        for quantity, words, way in kinds:
            row = {backend: there.get(f"{backend}/{name}/{quantity}") for backend in data.backends}
            axis.rows.append(Row(words, way, row))
        if mine:
            found.append(axis)
    return found


def left_out(data: Data) -> list[Cell]:
    """The cells that were not run for want of time."""
    return [cell for cell in data.cells if cell.status in (Status.NOT_RUN_QUICK, Status.NOT_RUN_FULL)]


def results(run: ExperimentRun) -> list[tuple[str, str, dict[str, object]]]:
    """The result table of a run: (metric, logged, reading by backend)."""
    rows: dict[str, tuple[str, dict[str, object]]] = {}
    for back in run.readbacks:
        for reading in back.readings:
            rows.setdefault(reading.metric, (reading.logged, {}))[1][back.backend] = reading
    return [(metric, logged, by_backend) for metric, (logged, by_backend) in rows.items()]
