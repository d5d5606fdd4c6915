"""Signal handlers that raise, and that log, at random moments of `log`: nothing that it had returned for is lost, and it never blocks.

Python runs a handler in the main thread between two calls, so also while the journal's lock is held.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import trackbridge
from trackbridge.journal.blocks import segment_header
from trackbridge.journal.reader import JournalReader
from trackbridge.journal.writer import ShardWriter
from trackbridge.records import End, Metrics

SIGNALS = 500
PROGRAM = """
import builtins, faulthandler, json, random, signal, sys
import trackbridge
from trackbridge.journal.writer import ShardWriter

faulthandler.dump_traceback_later(60, exit=True)  # it blocks
folder, handling, signals, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
ShardWriter.__init__.__kwdefaults__["segment_bytes"] = 16_384


def handle(number, frame):
    global left
    left -= 1
    if handling != "log":
        raise getattr(builtins, handling)("by the handler")
    log()
    if left > 0:
        arm()


def arm():
    signal.setitimer(signal.ITIMER_REAL, 10 ** chance.uniform(-5, -2))  # within one call, or within the begin of a segment


def log():
    global calls
    calls += 1
    mine = calls
    trackbridge.log({"plain": mine, "other": str(mine) if mine % 5 == 0 else 0.5}, step=mine)
    returned.append(mine)


chance, left, calls, caught, returned = random.Random(seed), signals, 0, 0, []
run = trackbridge.init("signals", dir=folder, mode="offline")
signal.signal(signal.SIGALRM, handle)
log()
while left > 0:
    try:
        arm()
        while left > 0:
            log()
    except BaseException as error:
        assert "by the handler" in str(error), error
        caught += 1
log()
trackbridge.finish()
print(json.dumps({"returned": returned, "caught": caught, "run": str(run.directory)}))
"""


@pytest.mark.parametrize("handling", ["KeyboardInterrupt", "TimeoutError", "RuntimeError", "log"])
@pytest.mark.parametrize("seed", range(2))
def test_what_log_returned_for_is_there_once(tmp_path: Path, handling: str, seed: int) -> None:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), handling, str(SIGNALS), str(seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout)
    assert said["caught"] == (0 if handling == "log" else SIGNALS), "each exception reaches the caller"
    reader = JournalReader(Path(said["run"]))
    records = list(reader)
    assert (reader.missing, reader.damage) == (0, [])
    assert [record.sequence for record in records] == list(range(len(records)))
    calls = [record.event for record in records if isinstance(record.event, Metrics)]
    assert len(list((Path(said["run"]) / "journal").glob("*.tbj"))) > 10, "segments began meanwhile"
    steps = [event.step for event in calls]
    assert len(steps) == len(set(steps))
    assert set(said["returned"]) <= set(steps)
    assert [event.call for event in calls] == list(range(len(calls)))
    assert isinstance(records[-1].event, End)


FINISHING = """
import faulthandler, random, signal, sys
import trackbridge

faulthandler.dump_traceback_later(60, exit=True)  # it blocks
chance = random.Random(0)
signal.signal(signal.SIGALRM, lambda number, frame: trackbridge.finish())
for trial in range(100):
    run = trackbridge.init("signals", id=f"run-{trial}", dir=sys.argv[1], mode="offline")
    signal.setitimer(signal.ITIMER_REAL, 10 ** chance.uniform(-5, -3))
    step = 0
    while not run._finished:
        run.log({"plain": step, "other": str(step) if step % 5 == 0 else 0.5}, step=step)
        step += 1
"""


def test_a_handler_finishes_the_run(tmp_path: Path) -> None:
    """As when a cluster tells a job that its time is over."""
    done = subprocess.run([sys.executable, "-c", FINISHING, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    runs = sorted(tmp_path.iterdir())
    assert len(runs) == 100
    for run in runs:
        reader = JournalReader(run)
        records = list(reader)
        assert isinstance(records[-1].event, End)
        assert (reader.missing, reader.damage) == (0, [])
        steps = [record.event.step for record in records if isinstance(record.event, Metrics)]
        assert steps == list(range(len(steps)))


def test_an_interrupted_wait_at_the_end_is_told_and_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C while `finish` waits for a tracker; at the end of the process it is called again."""

    def interrupted(seconds: float) -> bool:
        raise KeyboardInterrupt

    run = trackbridge.init("signals", dir=tmp_path, mode="offline")
    monkeypatch.setattr(run._forwarding, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.finish()
    assert "finished" in capsys.readouterr().err
    assert not run.finish().finished_in_time
    assert capsys.readouterr().err == ""


def test_a_segment_that_was_never_used_ends_nothing(tmp_path: Path) -> None:
    """As a handler leaves it that raised in the moment before the writer went on in it."""
    writer = ShardWriter(tmp_path / "journal", "run", "r0-host-1-aa", max_bytes=1 << 20, segment_bytes=600)
    (tmp_path / "journal" / "r0-host-1-aa-000001.tbj").write_bytes(segment_header("run", "r0-host-1-aa", 1, 0, 0))
    reader = JournalReader(tmp_path)
    read = []
    for step in range(40):
        assert writer.append([Metrics(step, step, step, {"loss": 0.5})], is_call=True)
        read += [record.event.step for record in reader.poll() if isinstance(record.event, Metrics)]
        assert reader.poll() == []
    writer.close()
    assert len(list((tmp_path / "journal").glob("*.tbj"))) > 2
    assert read == list(range(40))
