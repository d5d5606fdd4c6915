"""What changed since an earlier report, said only where noise cannot say it.

A cell changed when the permutation test of its repeats is among the discoveries at a rate of 1 % over the whole report, and when the interval of
the ratio lies beyond a quarter and beyond the spread of the controls, the same thing measured twice: two reports are further apart than chance
within a report explains, since a machine has better and worse hours. It did not change when the interval lies within that. All else is undecided,
and so is every cell with fewer than seven repeats in either report.

How many repeats it takes: with seven in each report the smallest p is 2 in 3,432, so that of 250 cells at least 15 must change together to be
found; with ten, one is enough, and on a machine that does other things it takes more. ``power.py`` measures it.
"""

from __future__ import annotations

from statistics import median

from trackbridge_comparison.schema import Cell, Change, Data, Way
from trackbridge_comparison.statistics import LEAST, MARGIN, discoveries, permutation, quantile, ratio

RATE = 0.01
"""Of all cells that are called changed, the share that may be expected to be false."""


def against(data: Data, old: Data) -> list[Change]:
    """Every cell that either report has a value or another status for, in the order of `data`, then what is gone; controls are the yardstick."""
    now, then = (_cells(report) for report in (data, old))
    tested = [id for id in now if id in then and _repeats(now[id], then[id]) >= LEAST and not _constant(now[id], then[id])]
    p = {id: permutation(now[id].samples, then[id].samples) for id in tested}
    found = {id for id, rejected in zip(tested, discoveries(list(p.values()), RATE), strict=True) if rejected}
    noise = spread(data, old)
    changes = [_compared(now[id], then[id], p.get(id), id in found, noise) if id in then else _alone(now[id], "new") for id in now]
    changes += [_alone(then[id], "gone") for id in then if id not in now]
    return [change for change in changes if change is not None]


def spread(*reports: Data) -> float | None:
    """The factor that 19 of 20 controls of these reports are within; None where there is no control."""
    values = [cell.value for report in reports for cell in report.cells if cell.spec.way is Way.CONTROL and cell.value is not None]
    factors = [max(value, 1 / value) for value in values if value > 0]
    return quantile(factors, 0.95) if factors else None


def _cells(data: Data) -> dict[str, Cell]:
    return {cell.spec.id: cell for cell in data.cells if cell.spec.way is not Way.CONTROL}


def _repeats(new: Cell, old: Cell) -> int:
    """Of the cell with fewer; 0 where the two cannot be compared."""
    comparable = new.status is old.status and new.status.has_value and new.spec.unit == old.spec.unit
    return min(len(new.samples), len(old.samples)) if comparable else 0


def _constant(new: Cell, old: Cell) -> bool:
    return len({*new.samples, *old.samples}) == 1


def _alone(cell: Cell, verdict: str) -> Change | None:
    if not cell.status.has_value:
        return None
    old, new = (None, cell.value) if verdict == "new" else (cell.value, None)
    return Change(id=cell.spec.id, old=old, new=new, ratio=None, low=None, high=None, p=None, verdict=verdict)


def _compared(new: Cell, old: Cell, p: float | None, found: bool, noise: float | None) -> Change | None:
    id = new.spec.id
    if new.status is not old.status:
        return Change(id=id, old=old.value, new=new.value, ratio=None, low=None, high=None, p=None, verdict="status changed")
    if not new.status.has_value:
        return None
    if not _repeats(new, old):
        return Change(id=id, old=old.value, new=new.value, ratio=None, low=None, high=None, p=None, verdict="undecided")
    middle, low, high = ratio(new.samples, old.samples) or (None, None, None)
    return Change(
        id=id,
        old=old.value,
        new=new.value,
        ratio=middle,
        low=low,
        high=high,
        p=p,
        verdict=_verdict(new, old, (middle, low, high), found, noise),
    )


def _verdict(new: Cell, old: Cell, found: tuple[float | None, float | None, float | None], significant: bool, noise: float | None) -> str:
    middle, low, high = found
    if _constant(new, old):
        return "not changed"
    if _repeats(new, old) < LEAST or noise is None:
        return "undecided"
    if middle is None or low is None or high is None:  # some samples are zero: there is no factor
        return "changed" if significant and median(new.samples) != median(old.samples) else "undecided"
    margin = max(noise, MARGIN)
    if significant and (low > margin or high < 1 / margin):
        return "changed"
    return "not changed" if 1 / margin <= low and high <= margin else "undecided"
