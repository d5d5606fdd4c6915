"""The score by its properties: what it ranks, what it leaves out, and what it must not depend on."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trackbridge_comparison import scores as module
from trackbridge_comparison.schema import Cell, Data, Item, Kind, Score, Spec, Status, Tool, Way
from trackbridge_comparison.scores import AXES, FLOOR, PRESETS, QUANTITIES, Better, best, scores, weighted

KINDS = {"alpha": Kind.STORE, "beta": Kind.STORE, "gamma": Kind.STORE, "delta": Kind.SPOOL, "cloud": Kind.EMULATED, "jsonl": Kind.REFERENCE}
N = {"write_N": "write_1000", "read_N": "read_1000", "list_N_runs": "list_20_runs", "filter_N_runs": "filter_20_runs"}


def report(kinds: dict[str, Kind] = KINDS, seed: int = 0, spread: float = 0.03, **factors: float) -> Data:
    """Every quantity of every tool in every way with seven repeats; those of a tool are better by its factor."""
    chance = np.random.default_rng(seed)
    cells = []
    for backend in kinds:
        for quantity in QUANTITIES:
            for way, suffix in module.SUFFIX.items():
                factor = factors.get(backend, 1.0)
                middle = {Better.LOW: 100 / factor, Better.SHARE: min(100, 60 * factor), Better.GROWTH: 1.2 / factor}[quantity.better]
                samples = np.clip(middle * np.exp(spread * chance.standard_normal(7)), 0, 100 if quantity.better is Better.SHARE else None)
                value = {"median": np.median, "mean": np.mean, "worst": np.max, "once": np.median}[quantity.estimate](samples)
                name = N.get(quantity.name, quantity.name) + suffix
                status = Status.EMULATED if kinds[backend] is Kind.EMULATED else Status.MEASURED
                spec = Spec(f"{backend}/{quantity.axis}/{name}", name, "us", way)
                cells.append(Cell(spec=spec, status=status, value=float(value), samples=samples.tolist()))
    tools = [Tool(backend=backend, title=backend, lecture="", kind=kind, mode="here") for backend, kind in kinds.items()]
    return Data(tools=tools, cells=cells)


def only(found: list[Score], backend: str, way: Way = Way.NATIVE) -> Score:
    (score,) = [score for score in found if score.backend == backend and score.way is way]
    return score


def without(data: Data, **changed: object) -> Data:
    """`data` with the cell of alpha ``changed["name"]`` changed, in a copy; a status without value removes it."""
    name = changed.pop("name")
    cells = [msgspec.structs.replace(cell, **changed) if cell.spec.id == f"alpha/{name}" else cell for cell in data.cells]
    return msgspec.structs.replace(data, cells=cells)


def test_the_presets_weigh_every_axis() -> None:
    for weights in PRESETS.values():
        assert weights.keys() == set(AXES)
        assert sum(weights.values()) == pytest.approx(1)


def test_ranks_are_of_native_rows_within_a_kind() -> None:
    found = scores(report(alpha=1.5), 1)
    assert {(score.backend, score.way) for score in found if score.rank is not None} == {
        (name, Way.NATIVE) for name in ("alpha", "beta", "gamma", "delta")
    }
    assert only(found, "alpha").rank == 1
    assert {only(found, name).rank for name in ("beta", "gamma")} == {2}, "they are alike"
    assert only(found, "delta").rank == 1, "it is alone among the spools"
    assert not [score for score in found if score.backend == "cloud"], "an emulated service has no score"
    for score in found:
        assert (score.rank is None) == (score.first is None) == (score.wins is None)
    assert sum(score.first or 0 for score in found if score.kind is Kind.STORE) == pytest.approx(1)
    assert sum(score.wins or 0 for score in found if score.kind is Kind.STORE) == pytest.approx(1)
    assert best(found) == {Kind.STORE: "alpha"}, "alone, nobody is best"


def test_a_close_race_has_no_best_and_ties() -> None:
    found = scores(report(spread=0.1), 1)
    assert [only(found, name).rank for name in ("alpha", "beta", "gamma")] == [1, 1, 1]
    assert best(found) == {}


@pytest.mark.parametrize("better", ["jsonl", "cloud", "delta"])
def test_no_other_kind_moves_the_stores(better: str) -> None:
    """Neither the reference nor an emulated service nor a spool defines the best of the stores."""
    before, after = scores(report(), 1), scores(report(**{better: 10.0}), 1)
    for name in ("alpha", "beta", "gamma"):
        assert only(before, name).axes == only(after, name).axes
    assert all(part.good is None or part.good <= 1 for score in after for part in score.parts)


def test_neither_tuning_nor_trackbridge_defines_the_best() -> None:
    data = report()
    cells = [msgspec.structs.replace(cell, value=0.001) if cell.spec.way is not Way.NATIVE else cell for cell in data.cells]
    before, after = scores(data, 1), scores(msgspec.structs.replace(data, cells=cells), 1)
    assert only(before, "alpha").axes == only(after, "alpha").axes
    overhead = only(after, "alpha", Way.THROUGH).axes["overhead"]
    assert overhead == 1, "held against the best native client, and no better than it"


def test_the_arithmetic_by_hand() -> None:
    kinds = {"alpha": Kind.STORE, "beta": Kind.STORE}

    def cell(id: str, value: float | None, status: Status = Status.MEASURED) -> Cell:
        return Cell(spec=Spec(id, "", "us"), status=status, value=value, samples=[] if value is None else [value])

    cells = [
        cell("alpha/overhead/log_p50_burst", 5.0),
        cell("beta/overhead/log_p50_burst", 15.0),
        cell("beta/overhead/log_p99_burst", None, Status.FAILED),
        cell("alpha/fidelity/ordinary", 80.0),
        cell("beta/fidelity/ordinary", 1.0),
        cell("alpha/scalability/read_exponent", 0.9),
        cell("beta/scalability/read_exponent", 1.9),
    ]
    data = Data(tools=report(kinds).tools, cells=cells)
    alpha, beta = scores(data, 0)
    assert alpha.axes["overhead"] == 1
    assert beta.axes["overhead"] == pytest.approx(math.sqrt(10 / 20 * FLOOR)), "shifted by 5 us; failed is the floor"
    assert alpha.axes["fidelity"] == pytest.approx(0.8)
    assert beta.axes["fidelity"] == pytest.approx(0.05), "the floor"
    assert beta.axes["scalability"] == pytest.approx(0.5)
    assert alpha.axes["setup"] is None
    of = {axis: sum(quantity.axis == axis for quantity in QUANTITIES) for axis in AXES}
    assert beta.coverage == pytest.approx((2 / of["overhead"] + 1 / of["fidelity"] + 1 / of["scalability"]) / len(AXES))
    assert alpha.total is None
    assert alpha.rank is None


def test_failed_is_worse_than_not_measured_and_neither_is_the_other() -> None:
    data = report()
    left_out = only(scores(without(data, name="setup/facts", status=Status.NOT_RUN_QUICK, value=None), 1), "alpha")
    failed = only(scores(without(data, name="setup/facts", status=Status.FAILED, value=None), 1), "alpha")
    assert left_out.coverage < 1
    assert failed.coverage == pytest.approx(1)
    assert failed.total is not None
    assert left_out.total is not None
    assert failed.total < left_out.total


def test_who_fails_is_never_better_than_who_is_slow() -> None:
    """A thousand times the packages of the best, an unusable value, and no value at all."""
    slow = only(scores(without(report(), name="setup/packages", value=1e6), 1), "alpha")
    failed = only(scores(without(report(), name="setup/packages", status=Status.FAILED, value=None), 1), "alpha")
    assert failed.axes["setup"] == pytest.approx(slow.axes["setup"])


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 0.5), st.floats(0, 0.5)), min_size=3, max_size=3))
def test_nobody_ranks_before_a_higher_total(intervals: list[tuple[float, float, float]]) -> None:
    """Of three stores the last may have an interval that reaches the first's while that of the second does not."""
    rows = [row for row in module._rows(report()) if row.ranked and row.tool.kind is Kind.STORE]
    total, low, high = (np.array(values) for values in zip(*((t, t - below, t + above) for t, below, above in intervals), strict=True))
    ranks = module._ranks(rows, total, low, high)
    order = sorted(range(3), key=lambda index: -total[index])
    assert [ranks[index] for index in order] == sorted(ranks)
    assert ranks[order[0]] == 1
    for index in order:
        surely = sum(low[other] > high[index] for other in order)
        assert 1 + surely <= ranks[index] <= 1 + order.index(index)


def test_no_total_below_80_percent_coverage() -> None:
    data = report()
    data.cells = [cell for cell in data.cells if not (cell.spec.backend == "alpha" and cell.spec.axis in ("exit", "outage"))]
    score = only(scores(data, 1), "alpha")
    assert score.coverage == pytest.approx(6 / 8)
    assert (score.total, score.low, score.high, score.rank, score.wins) == (None, None, None, None, None)
    assert only(scores(data, 1), "beta").total is not None


def test_what_was_measured_on_an_emulator_does_not_count() -> None:
    score = only(scores(without(report(), name="setup/facts", status=Status.EMULATED), 1), "alpha")
    assert next(part for part in score.parts if part.quantity == "facts").good is None


def test_an_undeclared_deviation_fails_the_gate() -> None:
    data = report()
    item = Item(backend="alpha", trait="x", ordinary=True, written="1", native="2", restored="1", exact=False, exact_restored=True)
    data.items = [item]
    assert only(scores(data, 1), "alpha").axes["fidelity"] == pytest.approx(FLOOR)
    data.items = [msgspec.structs.replace(item, reason="rounded")]
    assert only(scores(data, 1), "alpha").axes["fidelity"] != pytest.approx(FLOOR)


def test_what_is_shown_alone_enters_no_score() -> None:
    data = report()
    before = scores(data, 1)
    for name in ("fidelity/ordinary_sidecar", "fidelity/hostile_sidecar", "setup/statements", "exit/release_age", "exit/cves"):
        data.cells.append(Cell(spec=Spec(f"alpha/{name}", "", "us"), status=Status.MEASURED, value=0.0, samples=[0.0]))
    assert scores(data, 1) == before


def test_the_largest_size_counts() -> None:
    data = report()
    data.cells += [
        Cell(spec=Spec(f"{name}/scalability/write_{size}", "", "ms"), status=Status.MEASURED, value=value, samples=[value])
        for name, size, value in (("alpha", 10000, 50.0), ("beta", 10000, 150.0), ("alpha", 20, 1e9))
    ]
    part = next(part for part in only(scores(data, 1), "beta").parts if part.quantity.startswith("write_1"))
    assert part.quantity == "write_10000"
    assert part.good == pytest.approx(0.5)


@settings(max_examples=10, deadline=None)
@given(st.sampled_from([q for q in QUANTITIES if q.name not in N]), st.floats(1.05, 5))
def test_a_better_value_never_lowers_the_score(quantity: module.Quantity, factor: float) -> None:
    data = report()
    id = f"{quantity.axis}/{quantity.name}"
    cell = data.cell(f"alpha/{id}")
    assert cell is not None
    assert cell.value is not None
    improved = min(100.0, cell.value * factor) if quantity.better is Better.SHARE else cell.value / factor
    after = only(scores(without(data, name=id, value=improved), 1), "alpha").total
    before = only(scores(data, 1), "alpha").total
    assert after is not None
    assert before is not None
    assert after >= before - 1e-12


def test_the_same_seed_gives_the_same_scores_whatever_the_unit_of_a_share_of_the_noise() -> None:
    assert scores(report(), 5) == scores(report(), 5)
    wide, narrow = (only(scores(report(spread=spread), 5), "alpha") for spread in (0.2, 0.01))
    assert wide.high is not None
    assert wide.low is not None
    assert narrow.high is not None
    assert narrow.low is not None
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low) > 0


def test_the_interval_of_one_quantity_is_the_range_of_its_seven_repeats() -> None:
    """Of a score that hangs on one noisy quantity: its ends are those of the slowest and of the fastest repeat."""
    data = report({"alpha": Kind.STORE, "beta": Kind.STORE}, spread=0.0)
    samples = [80.0, 90.0, 95.0, 100.0, 105.0, 110.0, 120.0]
    noisy = without(data, name="setup/first_metric", samples=samples)
    score = only(scores(noisy, 2), "alpha")
    slowest = only(scores(without(data, name="setup/first_metric", value=120.0), 2), "alpha").total
    assert score.low == pytest.approx(slowest)


@given(st.lists(st.floats(0.01, 10), min_size=len(AXES), max_size=len(AXES)))
@settings(max_examples=20, deadline=None)
def test_other_weights_give_the_weighted_geometric_mean(weights: list[float]) -> None:
    score = only(FOUND, "beta")
    coverage, total = weighted(score, dict(zip(AXES, weights, strict=True)))
    logs = [weight * math.log(score.axes[axis] or math.nan) for axis, weight in zip(AXES, weights, strict=True)]
    assert coverage == pytest.approx(1)
    assert total == pytest.approx(math.exp(sum(logs) / sum(weights)))
    assert weighted(score, PRESETS["equal"])[1] == pytest.approx(score.total)


FOUND = scores(report(alpha=1.2), 3)


def test_no_tools_no_scores() -> None:
    assert scores(Data(), 1) == []
