"""Commands for a folder of runs: what is wrong with one of them is told, and the others are done."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import trackbridge
from tests.adapters.servers import free_port
from tests.shared import command
from trackbridge.errors import RunNotFound

GOES_ON = """
import trackbridge
trackbridge.init("p", id="a-goes-on")
trackbridge.log({"loss": 1.0})
print("ready", flush=True)
input()
"""


@pytest.fixture
def journals(tmp_path: Path) -> Iterator[Path]:
    """A run that goes on, one whose process died before it could say what it is, and one that has ended, with a torn tail."""
    child = subprocess.Popen([sys.executable, "-c", GOES_ON], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    run = trackbridge.init("p", id="c-ended")
    trackbridge.log({"loss": 0.5})
    trackbridge.finish()
    (segment,) = (run.directory / "journal").glob("*.tbj")
    segment.write_bytes(segment.read_bytes() + segment.read_bytes()[:30])
    (run.directory.parent / "b-nothing" / "journal").mkdir(parents=True)
    yield run.directory.parent
    child.communicate(b"\n")
    assert child.returncode == 0


def test_one_run_does_not_keep_the_others_from_it(journals: Path, tmp_path: Path) -> None:
    status = command("status", str(journals), "--json")
    assert [run["info"]["id"] for run in json.loads(status.stdout)] == ["a-goes-on", "c-ended"]
    assert "b-nothing holds no record of a start" in status.stderr
    assert status.returncode == 2

    compact = command("compact", str(journals), "--out", str(tmp_path / "parquet"))
    assert (tmp_path / "parquet" / "project=p" / "run=c-ended.parquet").is_file()
    assert "a-goes-on: goes on" in compact.stdout
    assert "b-nothing holds no record of a start" in compact.stderr
    assert compact.returncode == 2

    repair = command("repair", str(journals))
    assert "30 torn bytes" in repair.stdout
    assert "run a-goes-on is being written" in repair.stderr
    assert repair.returncode == 3
    assert command("repair", str(journals)).returncode == 2


def test_a_setting_that_cannot_be_used_is_an_error_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKBRIDGE_FINISH_TIMEOUT", "soon")
    done = command("status")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "TRACKBRIDGE_FINISH_TIMEOUT" in done.stderr


def test_what_cannot_be_read_is_told_without_a_traceback(tmp_path: Path) -> None:
    run = trackbridge.init("p", mode="offline")
    trackbridge.finish()
    target = f"mlflow:http://127.0.0.1:{free_port()}"
    for arguments in (("runs", target), ("verify", str(run.directory), target)):
        done = command(*arguments)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
        assert f"{target} cannot be read: MlflowException: " in done.stderr


def test_who_reads_makes_no_database(tmp_path: Path) -> None:
    target = f"mlflow:sqlite:///{tmp_path}/typo/mlflow.db"
    done = command("runs", target)
    assert done.returncode == 0
    assert f"{target}: no run is there" in done.stderr
    assert not (tmp_path / "typo").exists()
    with pytest.raises(RunNotFound):
        trackbridge.read("absent", target)
    assert not (tmp_path / "typo").exists()
