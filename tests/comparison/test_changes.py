"""What is called changed: a planted change is, noise and too few repeats are not."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from trackbridge_comparison.changes import against, spread
from trackbridge_comparison.schema import Cell, Change, Data, Spec, Status, Way
from trackbridge_comparison.statistics import median

BACKENDS, QUANTITIES = (
    ("alpha", "beta", "gamma"),
    ("log_p50_burst", "log_p99_burst", "log_p50_2ms", "log_p99_2ms", "cpu_per_call", "finish"),
)
SPREAD = {"log_p50_burst": 0.05, "log_p99_burst": 0.2, "log_p50_2ms": 0.08, "log_p99_2ms": 0.2, "cpu_per_call": 0.03, "finish": 0.15}
"""Of the logarithm of a repeat, as it is on a quiet machine of two cores."""


def report(chance: np.random.Generator, n: int = 10, factor: float = 1.0, slow: tuple[str, ...] = (), drift: float = 0.03) -> Data:
    """The overhead of three backends, with heavy-tailed noise and a drift of the whole report; cells of `slow` take `factor` as long."""
    cells = []
    for number, backend in enumerate(BACKENDS):
        shift = np.exp(drift * chance.standard_normal())
        for quantity in QUANTITIES:
            id = f"{backend}/overhead/{quantity}"
            middle = 10.0 ** (number + 1) * shift * (factor if id in slow else 1)
            samples = (middle * np.exp(SPREAD[quantity] * chance.standard_t(4, n))).tolist()
            cells.append(Cell(spec=Spec(id, quantity, "us"), status=Status.MEASURED, value=median(samples), samples=samples))
        control = np.exp(0.05 * chance.standard_t(4, n)).tolist()
        spec = Spec(f"{backend}/overhead/control_aa", "A/A", "ratio", Way.CONTROL)
        cells.append(Cell(spec=spec, status=Status.MEASURED, value=median(control), samples=control))
    return Data(cells=cells)


def changed(found: list[Change]) -> set[str]:
    return {change.id for change in found if change.verdict == "changed"}


def test_noise_is_not_called_a_change() -> None:
    """At most one of twenty pairs of reports of the same thing; here of two hundred, at most ten."""
    chance = np.random.default_rng(7)
    assert sum(bool(changed(against(report(chance), report(chance)))) for _ in range(200)) <= 10


def test_a_change_of_one_half_is_found() -> None:
    """Of a whole backend, in every cell that is not the tail of a distribution; and of one cell alone."""
    chance = np.random.default_rng(8)
    slow = tuple(f"beta/overhead/{quantity}" for quantity in QUANTITIES)
    found = [changed(against(report(chance, factor=1.5, slow=slow), report(chance))) for _ in range(60)]
    assert all(each & set(slow) for each in found)
    for id in slow:
        assert sum(id in each for each in found) >= (0.8 if SPREAD[id.split("/")[2]] < 0.1 else 0.1) * 60, id
    one = ("beta/overhead/log_p50_burst",)
    alone = [changed(against(report(chance, factor=1.5, slow=one), report(chance))) for _ in range(60)]
    assert sum(one[0] in each for each in alone) >= 0.9 * 60


def test_the_guard_against_noise_is_what_keeps_it_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the controls' spread the drift between two reports would be called a change."""
    monkeypatch.setattr("trackbridge_comparison.changes.MARGIN", 1.0)
    monkeypatch.setattr("trackbridge_comparison.changes.spread", lambda *reports: 1.0)
    chance = np.random.default_rng(7)
    assert sum(bool(changed(against(report(chance), report(chance)))) for _ in range(200)) > 10


def test_fewer_than_seven_repeats_are_never_called_changed() -> None:
    chance = np.random.default_rng(9)
    slow = tuple(f"beta/overhead/{quantity}" for quantity in QUANTITIES)
    found = against(report(chance, n=6, factor=100, slow=slow), report(chance, n=6))
    assert not changed(found)
    assert {change.verdict for change in found if change.id in slow} == {"undecided"}
    assert all(change.p is None for change in found)


def test_an_effect_within_the_spread_of_the_controls_is_no_change() -> None:
    old = report(np.random.default_rng(10), n=9, drift=0.0)
    cells = [msgspec.structs.replace(cell, samples=[100.0 + 0.1 * step for step in range(9)], value=100.4) for cell in old.cells]
    slower = [msgspec.structs.replace(cell, samples=[1.4 * value for value in cell.samples]) for cell in cells]
    control = Cell(spec=Spec("x/overhead/control_aa", "", "ratio", Way.CONTROL), status=Status.MEASURED, value=2 / 3, samples=[2 / 3])
    quiet = msgspec.structs.replace(control, value=1.01, samples=[1.01])
    plain = [cell for cell in cells if cell.spec.way is not Way.CONTROL]
    moved = [cell for cell in slower if cell.spec.way is not Way.CONTROL]
    assert spread(Data(cells=[control]), Data()) == pytest.approx(1.5)
    assert len(changed(against(Data(cells=[*moved, quiet]), Data(cells=[*plain, quiet])))) == len(plain)
    assert not changed(against(Data(cells=[*moved, control]), Data(cells=[*plain, quiet])))
    assert not changed(against(Data(cells=moved), Data(cells=plain))), "without a control nothing is known about noise"


def test_every_verdict() -> None:
    def cell(id: str, samples: list[float], status: Status = Status.MEASURED, unit: str = "us") -> Cell:
        return Cell(spec=Spec(id, "", unit), status=status, value=median(samples) if samples else None, samples=samples)

    control = Cell(spec=Spec("a/o/control", "", "ratio", Way.CONTROL), status=Status.MEASURED, value=1.02, samples=[1.02])
    steady, slow = [100.0 + step for step in range(10)], [200.0 + step for step in range(10)]
    old = [
        cell("a/o/same", steady), cell("a/o/slow", steady), cell("a/o/gone", steady), cell("a/o/failed", steady), cell("a/o/zero", [0.0] * 10),
        cell("a/o/constant", [5.0] * 10), cell("a/o/count", [87.0]), cell("a/o/equal", [3.0]), cell("a/o/never", [], Status.UNSUPPORTED),
        cell("a/o/unit", steady), cell("a/o/wide", [10.0, 40, 60, 90, 100, 110, 150, 200, 300]), control,
    ]  # fmt: skip
    new = [
        cell("a/o/same", steady), cell("a/o/slow", slow), cell("a/o/fresh", steady), cell("a/o/failed", [], Status.FAILED),
        cell("a/o/zero", steady), cell("a/o/constant", [5.0] * 10), cell("a/o/count", [88.0]), cell("a/o/equal", [3.0]),
        cell("a/o/never", [], Status.UNSUPPORTED), cell("a/o/unit", slow, unit="ms"),
        cell("a/o/wide", [12.0, 41, 66, 85, 99, 130, 160, 190, 290]), control,
    ]  # fmt: skip
    found = {change.id.removeprefix("a/o/"): change for change in against(Data(cells=new), Data(cells=old))}
    assert {name: change.verdict for name, change in found.items()} == {
        "same": "not changed",
        "slow": "changed",
        "fresh": "new",
        "failed": "status changed",
        "zero": "changed",
        "constant": "not changed",
        "count": "undecided",
        "equal": "not changed",
        "unit": "undecided",
        "wide": "undecided",
        "gone": "gone",
    }
    assert found["slow"].ratio is not None
    assert found["slow"].low is not None
    assert 1.8 < found["slow"].low < found["slow"].ratio < 2.1
    assert found["zero"].ratio is None
