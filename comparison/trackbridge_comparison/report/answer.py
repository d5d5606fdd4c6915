"""The answer in three sentences, made from the cells; where there are none, it says so."""

from __future__ import annotations

from collections.abc import Iterator

from trackbridge_comparison.report.words import number, percent, spread
from trackbridge_comparison.schema import Cell, Data, Status


def answer(data: Data) -> list[str]:
    """Three sentences: are the experiments' data there, do they survive, what does it cost."""
    return [_experiments(data), _durability(data), _overhead(data)]


def _experiments(data: Data) -> str:
    backs = [back for experiment in data.experiments for run in experiment.runs for back in run.readbacks]
    if not backs:
        return "No experiment was trained and read back."
    runs = sum(len(experiment.runs) for experiment in data.experiments)
    names = _names([back.backend for back in backs])
    readings = [reading for back in backs for reading in back.readings]
    same = sum(reading.identical for reading in readings)
    broken = _names([back.backend for back in backs if back.error])
    points = sum(back.points for back in backs if back.verified)
    text = (
        f"{runs} training {_plural(runs, 'run')} logged to {names} at the same time; of the {len(readings):,} values of their result tables that "
        f"were read back with the trackers' own readers, {'all' if same == len(readings) else f'{same:,}'} are identical to what was logged"
    )
    if broken:
        text += f" ({broken} could not be read)"
    return text + f", and {points:,} points were verified one by one."


def _durability(data: Data) -> str:
    native, through = list(_cells(data, "durability", "kept_after_kill")), list(_cells(data, "durability", "kept_after_kill_through"))
    if not native and not through:
        return "What survives SIGKILL was not measured."
    parts = []
    if native:
        parts.append("of the calls that had returned before a SIGKILL, " + _list(native) + " were readable with the tracker's own client")
    if through:
        low = min(cell.value or 0.0 for cell in through)
        share = f"{percent(low)} %" if all(cell.value == low for cell in through) else f"at least {percent(low)} %"
        parts.append(f"through TrackBridge {share} (after sync)")
    text = "; ".join(parts) + "."
    return text[0].upper() + text[1:]


def _overhead(data: Data) -> str:
    native, through = list(_cells(data, "overhead", "log_p50_burst")), list(_cells(data, "overhead", "log_p50_burst_through"))
    if not native and not through:
        return "The cost of a call of log() was not measured."
    parts = []
    if native:
        parts.append(
            "the median call of log() with three scalars, calls in a row, took "
            + ", ".join(f"{number(cell.value or 0)} µs ({_noted(cell)})" for cell in native)
            + " with the tracker's own client"
        )
    if through:
        values = sorted(cell.value or 0.0 for cell in through)
        extent = number(values[0]) if len(values) == 1 else f"{number(values[0])} to {number(values[-1])}"
        parts.append(f"{extent} µs through TrackBridge, whose forwarder delivers beside")
    text = " and ".join(parts) + "."
    return text[0].upper() + text[1:]


def _cells(data: Data, axis: str, quantity: str) -> Iterator[Cell]:
    for cell in data.cells:
        if cell.spec.axis == axis and cell.spec.quantity == quantity and cell.status is Status.MEASURED and cell.value is not None:
            yield cell


def _noted(cell: Cell) -> str:
    """The backend, and the range of the repeats."""
    return cell.spec.backend + (f", range {spread(cell)}" if spread(cell) else "")


def _list(cells: list[Cell]) -> str:
    return ", ".join(f"{percent(cell.value or 0)} % ({cell.spec.backend})" for cell in cells)


def _names(backends: list[str]) -> str:
    return ", ".join(dict.fromkeys(backends))


def _plural(count: int, word: str) -> str:
    return word if count == 1 else word + "s"
