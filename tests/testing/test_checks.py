"""The suite bites: each bad adapter fails the checks that its fault concerns, and no other; the reference adapter passes all."""

from __future__ import annotations

import sys
from pathlib import Path

import bad_adapters
import pytest

from trackbridge.testing import Subject
from trackbridge.testing.checks import CHECKS, KILL_CHECKS
from trackbridge.testing.lab import KILLS, Lab

OF_THE_CANON = {"contract", "names", "native", "declared", "reported", "listed", "sidecar", "restored", "positions", "outside"}


def failing(lab: Lab, names: set[str]) -> dict[str, list[str]]:
    """The checks of these names that fail, and what they say."""
    found: dict[str, list[str]] = {}
    for name in names:
        asked = [(CHECKS[name], ())] if name in CHECKS else [(KILL_CHECKS[name], (point,)) for point in KILLS]
        for check, arguments in asked:
            try:
                problems = check(lab, *arguments)
            except AssertionError as error:
                problems = [str(error)]
            if problems:
                found.setdefault(name, []).extend(problems)
    return found


@pytest.mark.parametrize("fault", bad_adapters.FAULTS)
def test_a_bad_adapter_fails(fault: str, tmp_path: Path) -> None:
    wanted = bad_adapters.FAULTS[fault]
    asked = {*CHECKS, *KILL_CHECKS} if wanted - OF_THE_CANON else OF_THE_CANON
    with Lab(Subject(f"bad_adapters:{fault}"), tmp_path) as lab:
        problems = failing(lab, asked)
    assert problems.keys() == wanted, {name: found[:2] for name, found in problems.items()}


@pytest.mark.parametrize("name", ["memory", *(f"bad_adapters:{name}" for name in bad_adapters.CORRECT)])
def test_a_correct_adapter_passes(name: str, tmp_path: Path) -> None:
    """The reference adapter, and those that recover in another way, or do not say which record they reject."""
    with Lab(Subject(name), tmp_path) as lab:
        assert failing(lab, {*CHECKS, *KILL_CHECKS}) == {}


def test_the_real_forwarder_shows_the_fault_of_an_adapter_of_a_third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An adapter that repeats records after a kill is found through the forwarder, which knows it by its entry point."""
    from trackbridge import registry

    distribution = tmp_path / "site" / "bad_adapters-1.dist-info"
    distribution.mkdir(parents=True)
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-adapters\nVersion: 1\n")
    (distribution / "entry_points.txt").write_text(f"[{registry.GROUP}]\nrepeats = bad_adapters:repeats\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
    registry._entry_points.cache_clear()
    try:
        with Lab(Subject("repeats"), tmp_path / "lab") as lab:
            problems = CHECKS["forwarded"](lab)
    finally:
        registry._entry_points.cache_clear()
    assert any("points" in problem for problem in problems), problems
