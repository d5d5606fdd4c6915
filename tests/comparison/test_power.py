"""What is made of the sessions: false alarms and what is found of a planted change; and one session of real processes."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from trackbridge_comparison import power
from trackbridge_comparison.schema import Way

from tests.comparison.test_changes import QUANTITIES, report


def test_noise_is_no_change_and_a_planted_one_is_found() -> None:
    chance = np.random.default_rng(4)
    found = power.judge([report(chance) for _ in range(23)])
    assert found["pairs"] == 20
    assert found["false"] <= 1
    assert found["found"] >= 0.9
    assert found["found_alone"] >= 0.9
    assert set(found["found_by_quantity"]) == set(QUANTITIES)


def test_without_a_change_nothing_is_found_and_a_drift_is_a_false_alarm() -> None:
    chance = np.random.default_rng(4)
    assert power.judge([report(chance) for _ in range(6)], factor=1.0)["found"] == 0
    everything = tuple(f"{backend}/overhead/{quantity}" for backend in ("alpha", "beta", "gamma") for quantity in QUANTITIES)
    steps = [report(chance, factor=3.0**number, slow=everything) for number in range(6)]
    assert power.judge(steps)["false"] == 3


def test_a_session_is_measured_in_fresh_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"BACKENDS": ("jsonl",), "CALLS": 5, "BURST": 5}.items():
        monkeypatch.setattr(power, name, value)
    assert power.main(["--pairs", "1", "--repeats", "1", "--out", str(tmp_path / "power.json")]) == 0
    written = json.loads((tmp_path / "power.json").read_text())
    assert written["pairs"] == 1
    assert written["false"] == 0, "one repeat decides nothing"
    cells = power.session(1, random.Random(1), tmp_path).cells
    quantities = [cell.spec.quantity for cell in cells if cell.spec.quantity != "cpu_per_call"]  # where the driver measures it
    assert quantities == [
        *(f"log_{p}_{c}" for c in ("burst", "2ms") for p in ("p50", "p99")),
        "finish",
        "control_aa",
    ]
    assert cells[-1].spec.way is Way.CONTROL
    assert all(cell.samples and cell.samples[0] > 0 for cell in cells)
    assert list(tmp_path.iterdir()) == [tmp_path / "power.json"], "nothing is left behind"
