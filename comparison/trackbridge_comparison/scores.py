"""The logging-path score: what it costs to write into a tracker, and what of it comes back.

Every quantity becomes a number from 0 to 1, *good*: 1 is the best seen within the kind of tool, 0.5 twice as bad. Ratios are shifted by the smallest
difference that is worth caring about, so that 2 us against 4 us is no factor of two; shares are taken as they are; a growth exponent loses by its
distance from the best. None is below the floor, which is what ran and failed has,
or did not end within its time limit: failing is never better than being slow. An axis is the geometric mean of its quantities, the total
that of the axes. What was not measured leaves its axis and lowers the coverage; below a coverage of 80 % there is no total. A tool that changes a
value in a way that its adapter does not declare has failed the gate: its fidelity counts as failed.

The best of each kind, and the ranks, come from the tools' own clients with their default settings. Tuned clients and TrackBridge are held against
the same best and stay unranked, as do the references, which are held against the stores; none of these is better than 1. Emulated services have no
score. Release dates, known vulnerabilities, lines of code and what comes back with a sidecar enter no score.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from trackbridge_comparison.schema import SUFFIX, Cell, Data, Kind, Part, Score, Status, Tool, Way

FLOOR = 0.05
LEAST_COVERAGE = 0.8
RESAMPLES = 1_000
WEIGHTINGS = 2_000
TAIL = 0.005
"""Of the resamples, outside each end of an interval: that of one quantity with seven repeats is their range, which covers the median with 98.4 %."""

ROBUST = 0.9
"""The share of random weightings that a tool must win to be called the best of its kind."""


class Better(StrEnum):
    """What makes a value of a quantity good."""

    LOW = "low"
    SHARE = "share"  # a percentage
    GROWTH = "growth"  # an exponent


class Estimate(StrEnum):
    """How a cell's value is made of its repeats."""

    MEDIAN = "median"
    MEAN = "mean"
    WORST = "worst"
    ONCE = "once"  # its samples are no repeats of one thing


@dataclass(frozen=True)
class Quantity:
    """What enters the score. `name` may hold ``N``: the largest size of the report. `shift`: in the cell's unit."""

    axis: str
    name: str
    better: Better
    shift: float = 0.0
    estimate: Estimate = Estimate.MEDIAN


QUANTITIES = (
    Quantity("fidelity", "ordinary", Better.SHARE),
    Quantity("fidelity", "hostile", Better.SHARE),
    Quantity("durability", "kept_after_kill", Better.SHARE, estimate=Estimate.MEAN),
    Quantity("durability", "lost_seconds", Better.LOW, 1.0, Estimate.WORST),
    Quantity("outage", "kept_after_outage", Better.SHARE, estimate=Estimate.ONCE),
    Quantity("outage", "longest_call", Better.LOW, 50.0, Estimate.ONCE),
    Quantity("overhead", "log_p50_burst", Better.LOW, 5.0),
    Quantity("overhead", "log_p99_burst", Better.LOW, 20.0),
    Quantity("overhead", "log_p50_2ms", Better.LOW, 5.0),
    Quantity("overhead", "log_p99_2ms", Better.LOW, 20.0),
    Quantity("overhead", "cpu_per_call", Better.LOW, 5.0),
    Quantity("overhead", "memory", Better.LOW, 10.0),
    Quantity("overhead", "finish", Better.LOW, 100.0),
    Quantity("overhead", "step_slowdown", Better.LOW, 0.05),
    Quantity("storage", "bytes_per_point", Better.LOW, 8.0),
    Quantity("storage", "one_call_bytes", Better.LOW, 4096.0),
    Quantity("storage", "files_per_run", Better.LOW, 1.0, Estimate.ONCE),
    Quantity("scalability", "write_N", Better.LOW, 50.0),
    Quantity("scalability", "read_N", Better.LOW, 50.0),
    Quantity("scalability", "write_exponent", Better.GROWTH),
    Quantity("scalability", "read_exponent", Better.GROWTH),
    Quantity("scalability", "runs_exponent", Better.GROWTH),
    Quantity("scalability", "keys_exponent", Better.GROWTH),
    Quantity("scalability", "list_N_runs", Better.LOW, 50.0),
    Quantity("scalability", "filter_N_runs", Better.LOW, 50.0),
    Quantity("scalability", "visible", Better.LOW, 0.5),
    Quantity("scalability", "writers", Better.SHARE, estimate=Estimate.MEAN),
    Quantity("setup", "packages", Better.LOW, 5.0),
    Quantity("setup", "megabytes", Better.LOW, 10.0),
    Quantity("setup", "first_metric", Better.LOW, 0.5),
    Quantity("setup", "facts", Better.LOW, 1.0),
    Quantity("exit", "recoverable", Better.SHARE),
    Quantity("exit", "export", Better.LOW, 0.1),
)
AXES = tuple(dict.fromkeys(quantity.axis for quantity in QUANTITIES))

PRESETS: dict[str, dict[str, float]] = {
    "equal": {axis: 1 / len(AXES) for axis in AXES},
    "authors": {
        "fidelity": 0.25,
        "durability": 0.15,
        "outage": 0.05,
        "overhead": 0.15,
        "storage": 0.10,
        "scalability": 0.15,
        "setup": 0.10,
        "exit": 0.05,
    },
}
"""Axis -> weight. ``equal`` is the default; ``authors`` is the opinion of this project's authors, who wrote one of the ways."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class _Row:
    """One tool in one way; a cell for each quantity, where there is one."""

    tool: Tool
    way: Way
    names: tuple[str, ...]
    cells: tuple[Cell | None, ...]
    gated: bool

    @property
    def ranked(self) -> bool:
        return self.way is Way.NATIVE and self.tool.kind is not Kind.REFERENCE

    @property
    def against(self) -> Kind:
        """The kind whose best it is held against."""
        return Kind.STORE if self.tool.kind is Kind.REFERENCE else self.tool.kind

    def failed(self) -> list[bool]:
        return [
            cell is not None and (cell.status in (Status.FAILED, Status.NOT_REACHED) or (self.gated and quantity.axis == "fidelity"))
            for quantity, cell in zip(QUANTITIES, self.cells, strict=True)
        ]

    def values(self) -> list[float]:
        """As measured here, on no emulator; NaN elsewhere."""
        return [
            cell.value if cell is not None and cell.value is not None and cell.status in (Status.MEASURED, Status.OFFLINE) else np.nan
            for cell in self.cells
        ]


def scores(data: Data, seed: int) -> list[Score]:
    """The scores of all tools in all ways that have a cell, in the order of ``data.tools``; the same for the same `data` and `seed`."""
    rows = _rows(data)
    if not rows:
        return []
    chance = np.random.default_rng(seed)
    failed = np.array([row.failed() for row in rows])
    values = np.array([[row.values() for row in rows]])
    good = _good(rows, values, failed)
    axes, shares = _axes(good)
    resampled, _ = _axes(_good(rows, _resample(rows, values, chance), failed))
    equal = np.array([[PRESETS["equal"][axis] for axis in AXES]])
    covered, total = totals(axes, shares, equal)
    _, redrawn = totals(resampled, shares, equal)
    _, reweighted = totals(axes, shares, chance.dirichlet(np.ones(len(AXES)), WEIGHTINGS))
    first, wins = (_winners(rows, each + 0 * total) for each in (redrawn, reweighted))  # without a total of its own, a tool wins nothing
    low, high = np.quantile(redrawn, [TAIL, 1 - TAIL], axis=0, method="inverted_cdf")
    low, high = np.fmin(low, total[0]), np.fmax(high, total[0])
    ranks = _ranks(rows, total[0], low, high)
    return [
        Score(
            backend=row.tool.backend,
            kind=row.tool.kind,
            way=row.way,
            parts=[
                Part(axis=quantity.axis, quantity=name, value=_known(value), good=_known(each))
                for quantity, name, value, each in zip(QUANTITIES, row.names, values[0, index], good[0, index], strict=True)
            ],
            axes={axis: _known(value) for axis, value in zip(AXES, axes[0, index], strict=True)},
            coverage=float(covered[0, index]),
            total=_known(total[0, index]),
            low=_known(low[index]),
            high=_known(high[index]),
            first=_known(first[index]),
            wins=_known(wins[index]),
            rank=ranks[index],
        )
        for index, row in enumerate(rows)
    ]


def weighted(score: Score, weights: Mapping[str, float]) -> tuple[float, float | None]:
    """Coverage and total of a score at other weights, which need not sum to 1; no total below 80 % coverage."""
    axes = np.array([[[np.nan if (value := score.axes[axis]) is None else value for axis in AXES]]])
    parts = [[part.good is not None for part in score.parts if part.axis == axis] for axis in AXES]
    shares = np.array([[sum(measured) / len(measured) for measured in parts]])
    sum_ = sum(weights.values())
    covered, total = totals(axes, shares, np.array([[weights[axis] / sum_ for axis in AXES]]))
    return float(covered[0, 0]), _known(total[0, 0])


def best(found: Sequence[Score]) -> dict[Kind, str]:
    """The backend of each kind that may be called the best: it wins nine in ten random weightings, against at least one other."""
    rated = [score for score in found if score.wins is not None]
    contested = {kind for kind, count in Counter(score.kind for score in rated).items() if count > 1}
    return {score.kind: score.backend for score in rated if score.kind in contested and score.wins is not None and score.wins >= ROBUST}


def totals(axes: Array, shares: Array, weights: Array) -> tuple[Array, Array]:
    """Coverage and total for each weighting or resample.

    Args:
        axes: of shape (resamples or 1, rows, axes); NaN where nothing was measured.
        shares: of shape (rows, axes): which share of the axis was measured.
        weights: of shape (weightings or 1, axes), with sum 1.

    Returns:
        Two arrays of shape (resamples or weightings, rows); a total without enough coverage is NaN.
    """
    covered = weights @ shares.T
    there = weights[:, None, :] * ~np.isnan(axes)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = np.exp((there * np.nan_to_num(np.log(axes))).sum(-1) / there.sum(-1))
    return covered, np.where(covered >= LEAST_COVERAGE - 1e-9, total, np.nan)


def _rows(data: Data) -> list[_Row]:
    cells = {cell.spec.id: cell for cell in data.cells}
    sizes = _largest(data)
    gated = {item.backend for item in data.items if not item.exact and not item.reason}
    rows = []
    for tool in data.tools:
        for way, suffix in SUFFIX.items():
            names = tuple(sizes.get(quantity.name, quantity.name) for quantity in QUANTITIES)
            chosen = tuple(
                cells.get(f"{tool.backend}/{quantity.axis}/{name}{suffix}") for quantity, name in zip(QUANTITIES, names, strict=True)
            )
            row = _Row(tool, way, names, chosen, tool.backend in gated)
            if tool.kind is not Kind.EMULATED and (any(row.failed()) or not np.isnan(row.values()).all()):
                rows.append(row)
    return rows


def _largest(data: Data) -> dict[str, str]:
    """Name of a quantity with ``N`` -> the name that it has at the largest size of this report."""
    found: dict[str, tuple[int, str]] = {}
    for quantity in QUANTITIES:
        pattern = re.compile(quantity.name.replace("N", r"(\d+)"))
        for spec in (*data.planned, *(cell.spec for cell in data.cells)):
            match = pattern.fullmatch(spec.quantity)
            if spec.axis == quantity.axis and match and pattern.groups:
                found[quantity.name] = max(found.get(quantity.name, (0, "")), (int(match[1]), spec.quantity))
    return {name: largest for name, (_, largest) in found.items()}


def _good(rows: Sequence[_Row], values: Array, failed: NDArray[np.bool_]) -> Array:
    """Values of shape (resamples, rows, quantities) -> how good they are, with NaN where nothing was measured."""
    good = np.full_like(values, np.nan)
    shift = np.array([quantity.shift for quantity in QUANTITIES])
    kinds = np.array([row.against for row in rows])
    ranked = np.array([row.ranked for row in rows])
    low, share, growth = (np.array([quantity.better is better for quantity in QUANTITIES]) for better in Better)
    for kind in set(kinds.tolist()):
        mine = kinds == kind
        rated = np.where((mine & ranked)[None, :, None] & ~failed, np.maximum(values, 0), np.nan)
        top = np.fmin.reduce(rated, axis=1, keepdims=True)
        held = np.maximum(values[:, mine], 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            each = np.select([low, share, growth], [(top + shift) / (held + shift), held / 100, 1 / (1 + np.maximum(0, held - top))])
        good[:, mine] = np.clip(each, FLOOR, 1)
    return np.where(failed, FLOOR, good)


def _axes(good: Array) -> tuple[Array, Array]:
    """The geometric mean of each axis, of shape (resamples, rows, axes), and which share of it was measured, of shape (rows, axes)."""
    mine = np.array([[quantity.axis == axis for quantity in QUANTITIES] for axis in AXES], float)
    there = ~np.isnan(good)
    with np.errstate(invalid="ignore", divide="ignore"):
        axes = np.exp((np.nan_to_num(np.log(good)) @ mine.T) / (there @ mine.T))
    return axes, (there[0] @ mine.T) / mine.sum(1)


def _resample(rows: Sequence[_Row], values: Array, chance: np.random.Generator) -> Array:
    """The values of :data:`RESAMPLES` reports whose repeats were drawn again with replacement.

    The quantities of one axis come from the same processes, so a drawn repeat is drawn for all of them.
    """
    drawn = np.repeat(values, RESAMPLES, axis=0)
    for number, row in enumerate(rows):
        draws: dict[tuple[str, int], NDArray[np.int64]] = {}
        for column, (quantity, cell) in enumerate(zip(QUANTITIES, row.cells, strict=True)):
            if cell is None or len(cell.samples) < 2 or quantity.estimate is Estimate.ONCE or np.isnan(values[0, number, column]):
                continue
            n = len(cell.samples)
            if (quantity.axis, n) not in draws:
                draws[quantity.axis, n] = chance.integers(n, size=(RESAMPLES, n))
            samples = np.array(cell.samples)
            moved = _estimate(samples[draws[quantity.axis, n]], quantity.estimate) - _estimate(samples, quantity.estimate)
            drawn[:, number, column] += moved
    return drawn


def _estimate(samples: Array, how: Estimate) -> Array:
    """Over the last axis."""
    functions = {Estimate.MEDIAN: np.median, Estimate.MEAN: np.mean, Estimate.WORST: np.max}
    return np.asarray(functions[how](samples, axis=-1))


def _winners(rows: Sequence[_Row], total: Array) -> Array:
    """For each row the share of `total`'s lines, of shape (lines, rows), in which it is first of its kind; NaN for rows that are not ranked."""
    shares = np.full(len(rows), np.nan)
    for kind in Kind:
        mine = [index for index, row in enumerate(rows) if row.ranked and row.tool.kind is kind]
        some = total[:, mine]
        some = some[~np.isnan(some).all(1)] if mine else some
        if some.size:
            first = some == np.nanmax(some, axis=1, keepdims=True)
            won = (first / first.sum(1, keepdims=True)).mean(0)
            shares[mine] = np.where(np.isnan(some).all(0), np.nan, won)
    return shares


def _ranks(rows: Sequence[_Row], total: Array, low: Array, high: Array) -> list[int | None]:
    """One more than the tools of the kind whose interval lies above a tool's own; none before one that has a higher total."""
    ranks: list[int | None] = [None] * len(rows)
    for kind in Kind:
        mine = [index for index, row in enumerate(rows) if row.ranked and row.tool.kind is kind and not np.isnan(total[index])]
        last = 1
        for index in sorted(mine, key=lambda index: -total[index]):
            last = max(last, 1 + int(np.count_nonzero(low[mine] > high[index])))
            ranks[index] = last
    return ranks


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
