"""A run that is killed goes on from its checkpoint, rewinds, and ends as if nothing had happened."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from trackbridge_examples.bias.options import parse
from trackbridge_examples.bias.train import main

import trackbridge
from trackbridge.reading import RunData

from .conftest import RecordedRun

KILLED_AT, SAVED_AT = 30, 20  # an epoch has 20 steps
TWO_EPOCHS = ["--smoke", "--epochs", "2", "--log-level", "heavy"]


class Killed(BaseException):
    """Stands for the signal."""


def train_until_killed(argv: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(pid: int, number: int) -> None:
        assert (pid, number) == (os.getpid(), signal.SIGKILL)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, "kill", kill)
        with pytest.raises(Killed):
            main([*argv, "--preempt-at", str(KILLED_AT)])


def points(run: RunData, attempts: str = "surviving") -> list[tuple[str, int, str]]:
    """Key, step and value of everything that does not depend on the clock; the value as text, so that NaN equals NaN."""
    rows = run.rows(attempts)
    return sorted((row["key"], row["step"], repr(row["value_any"])) for row in rows if not row["key"].startswith("time/"))


def untimed(run: RunData) -> dict[str, str]:
    return {key: repr(value) for key, value in run.summary.items() if not key.startswith("time/")}


@pytest.mark.parametrize("method", ["stdm", "gdro", "lff", "lnl"])
def test_a_killed_run_ends_like_one_that_was_not(
    runs: list[RecordedRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    argv = [*TWO_EPOCHS, "--method", method, "--checkpoints", str(tmp_path / "checkpoints")]

    train_until_killed(argv, monkeypatch)
    main([*argv, "--preempt-at", str(KILLED_AT)])
    main([*TWO_EPOCHS, "--method", method])
    killed, again, whole = (trackbridge.read(run.real.id) for run in runs)
    assert killed.info.id == again.info.id != whole.info.id
    assert again.info.status == "finished"
    assert points(again) == points(whole)
    assert untimed(again) == untimed(whole)
    lost = [step for key, step, _ in points(again, "all") if key == "train/loss" and SAVED_AT < step <= KILLED_AT]
    assert len(lost) == 2 * (KILLED_AT - SAVED_AT), "the journal keeps what was taken back"
    assert not list((tmp_path / "checkpoints").iterdir())


def test_a_real_kill_is_survived(tmp_path: Path) -> None:
    argv = [*TWO_EPOCHS, "--method", "gdro", "--checkpoints", "checkpoints"]
    command = [sys.executable, "-m", "trackbridge_examples.bias", *argv, "--preempt-at", str(KILLED_AT)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == -signal.SIGKILL
    (info,) = trackbridge.runs()
    assert info.status == "crashed"
    main(argv)
    (info,) = trackbridge.runs()
    run = trackbridge.read(info.id)
    assert info.status == "finished"
    assert [step for key, step, _ in points(run) if key == "train/loss"] == list(range(1, 41))
    assert len([step for key, step, _ in points(run, "all") if key == "train/loss"]) == 40 + KILLED_AT - SAVED_AT
    assert "group DRO" in info.notes
    assert "distractor_color at p = 0.9" in info.notes


def test_a_checkpoint_of_other_settings_is_refused(runs: list[RecordedRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    argv = ["--smoke", "--epochs", "2", "--log-level", "light", "--checkpoints", str(tmp_path)]

    train_until_killed(argv, monkeypatch)
    with pytest.raises(SystemExit, match="other settings"):
        main([*argv, "--lr", "1e-3"])


@pytest.mark.parametrize("argv", [["--preempt-at", "3"], ["--checkpoints", "x", "--method", "all"]])
def test_what_would_lose_a_run_is_refused(argv: list[str]) -> None:
    with pytest.raises(SystemExit):
        parse(argv, None)
