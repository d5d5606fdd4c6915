"""The suite as a third party uses it: a module with one fixture."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

MODULE = """
import pytest
from trackbridge.testing import Subject
from trackbridge.testing.suite import *

@pytest.fixture(scope="session")
def subject():
    return Subject({name!r}, light=True)
"""


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))

    def run(name: str, *arguments: str) -> pytest.RunResult:
        pytester.makepyfile(test_third_party=MODULE.format(name=name))
        return pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider", *arguments, timeout=200)

    return run


def test_the_reference_adapter_passes(run) -> None:
    counts = run("memory").parseoutcomes()
    assert counts.keys() == {"passed"}
    assert counts["passed"] > 40


def test_without_an_entry_point_only_the_forwarder_is_left_out(run) -> None:
    counts = run("trackbridge_adapters.memory:adapter", "-k", "TestDelivery or TestContract").parseoutcomes()
    assert counts == {"passed": 5, "skipped": 1, "deselected": counts["deselected"]}


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        ("RoundsToSinglePrecision", "TestProperties::test_any_run_comes_back"),
        ("NamesKeysAlike", "TestProperties::test_any_keys_get_names_of_their_own"),
        ("DropsAPoint", "TestCircle::test_native_values_are_what_is_declared"),
        ("DeclaresWhatNeverFires", "TestCircle::test_every_declared_deviation_happens"),
        ("WritesArtifactsWhereTheirNamesSay", "TestCircle::test_hostile_names_stay_inside"),
        ("MovesThePositionOnWrite", "TestKilled::test_nothing_is_missing_and_nothing_is_twice"),
    ],
)
def test_a_bad_adapter_fails(run, fault: str, test: str) -> None:
    result = run(f"bad_adapters:{fault}", "-k", test.rpartition("::")[2])
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines([f"FAILED *{test}*"])


def test_the_command_line_tells_what_is_wrong(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from trackbridge.testing.check import main

    monkeypatch.setattr(sys, "path", [str(Path(__file__).parent), *sys.path])
    assert main(["memory", "--only", "contract,native"]) == 0
    assert capsys.readouterr().out.count("ok  ") == 2
    assert main(["bad_adapters:RetypesBool", "--only", "native", "--limit", "1"]) == 1
    out = capsys.readouterr().out
    assert "FAIL native" in out
    assert "expected Point(key='scalar/14', value=True" in out
    assert "and 3 more" in out
