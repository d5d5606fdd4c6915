"""``trackbridge sync``: one tracker that cannot be reached keeps nothing from the others, and what is not delivered is never called so."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import trackbridge
from tests.adapters.servers import free_port
from tests.shared import command, until
from trackbridge.adapters import Target
from trackbridge.forward.state import TargetState
from trackbridge.transfer.verify import verify


def offline(id: str) -> trackbridge.Run:
    run = trackbridge.init("p", id=id, mode="offline")
    for step in range(50):
        trackbridge.log({"loss": step / 2}, step=step)
    trackbridge.finish()
    return run


def delivered(run: trackbridge.Run, target: str) -> bool:
    return TargetState(run.directory, Target.parse(target)).health().state == "delivered"


COMMAND = """
import signal
from trackbridge.cli import app
signal.signal(signal.SIGINT, signal.default_int_handler)  # what is started in the background may have it ignored
app()
"""


def started(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", COMMAND, "sync", *arguments], stderr=subprocess.PIPE, text=True)


def test_what_cannot_be_reached_keeps_nothing_from_the_others(tmp_path: Path) -> None:
    """Two runs to a server that is not there, named first, and to a folder; Ctrl-C ends it, and says what is pending."""
    runs = [offline("a"), offline("b")]
    folder = runs[0].directory.parent
    good = f"jsonl:{tmp_path}/out"
    child = started(str(folder), "--to", f"mlflow:http://127.0.0.1:{free_port()}", "--to", good)
    try:
        until(lambda: child.poll() is not None or all(delivered(run, good) for run in runs))
    finally:
        child.send_signal(signal.SIGINT)
        told = child.communicate(timeout=60)[1]
    assert all(verify(run.directory, Target.parse(good)).verified for run in runs)
    assert "stopped; what is pending stays in the journal" in told
    assert "1 more are not begun" in told
    assert child.returncode == 1


def test_who_watches_waits_for_the_first_run(tmp_path: Path) -> None:
    journals = tmp_path / "elsewhere"
    good = f"jsonl:{tmp_path}/out"
    child = started(str(journals), "--watch", "--to", good)
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(3)
        os.environ["TRACKBRIDGE_DIR"] = str(journals)  # the fixture that isolates each test takes it back
        run = offline("late")
        until(lambda: child.poll() is not None or delivered(run, good))
    finally:
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=60)
    assert verify(run.directory, Target.parse(good)).verified
    assert child.returncode == 0


def test_runs_without_a_target_are_not_called_delivered() -> None:
    run = offline("a")
    done = command("sync", str(run.directory))
    assert "everything is delivered" not in done.stderr
    assert "no run has a target: name one with --to" in done.stderr


def test_damage_of_the_journal_is_told_by_whatever_reads_it(tmp_path: Path) -> None:
    run = offline("a")
    good = f"jsonl:{tmp_path}/out"
    (segment,) = (run.directory / "journal").glob("*.tbj")
    content = bytearray(segment.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4] = b"\xff\xff\xff\xff"
    segment.write_bytes(content)
    synced = command("sync", str(run.directory), "--to", good)
    assert "bytes of its journal are damaged" in synced.stderr
    assert synced.returncode == 3
    verified = command("verify", str(run.directory), good)
    assert "NOT VERIFIED" in verified.stdout
    assert "the journal itself: " in verified.stdout
    assert verified.returncode == 3
    told = {deviation.subject: deviation.count for deviation in trackbridge.read(run.id).deviations if deviation.reason == "damaged"}
    assert told["journal"] > 4
    assert told["records"] >= 1
