"""SIGKILL of logging processes at random moments: nothing that `log` had returned for is lost, nothing is invented or out of order.

The kernel keeps what write(2) returned for, so this proves our buffers (that there are none), order, and recovery. It may cut a write that has
not returned where a page ends (seen once in some thousand kills); torn blocks of every length are made by hand in test_blocks.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import trackbridge
from trackbridge import session
from trackbridge.journal.reader import JournalReader
from trackbridge.records import Metrics

FORKS, INTERPRETERS = 1000, 100


def found(run: Path) -> list[Metrics]:
    reader = JournalReader(run)
    events = []
    while batch := reader.poll(over=True):
        events += [record.event for record in batch if isinstance(record.event, Metrics)]
    for damage in reader.damage:
        size = (reader.directory / damage.path).stat().st_size
        assert damage.offset + damage.length == size, "only the tail may be torn"
        assert size % mmap.PAGESIZE == 0, "and only where a page ended while the call had not returned"
    assert len(reader.damage) <= len(reader.readers)
    assert reader.missing == 0
    return events


def logging_child(folder: Path, run_id: str, told: memoryview) -> None:
    """Log until killed; `told[0]` is the number of calls that have returned, one 8-byte store."""
    session._current = None
    trackbridge.init("kill", id=run_id, dir=folder, backend="none")
    call = 0
    while True:
        trackbridge.log({"a": call, "b": 0.5 * call, "text": str(call) if call % 7 == 0 else call}, step=call)
        call += 1
        told[0] = call


def kill_forks(folder: Path) -> None:
    """Fork, log and kill many times."""
    shared = mmap.mmap(-1, 8)
    told = memoryview(shared).cast("Q")
    chance = random.Random(os.urandom(8))
    total = 0
    for trial in range(FORKS):
        told[0] = 0
        child = os.fork()
        if child == 0:
            try:
                logging_child(folder, f"run{trial}", told)
            finally:
                os._exit(1)
        while told[0] == 0:
            time.sleep(0.0002)
        time.sleep(chance.random() * 0.004)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        acknowledged = told[0]
        events = found(folder / f"run{trial}")
        assert [event.step for event in events] == list(range(len(events)))
        assert all(event.values == {"a": n, "b": 0.5 * n, "text": str(n) if n % 7 == 0 else n} for n, event in enumerate(events))
        assert acknowledged <= len(events) <= acknowledged + 1, "one call may have been on its way"
        total += acknowledged
    assert total > FORKS, "the children logged so little that nothing was tested"
    del told
    shared.close()


def test_a_thousand_killed_forks_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forked from a fresh process: to copy one that has run other tests takes longer than all the rest."""
    monkeypatch.setenv("TRACKBRIDGE_CAPTURE", "off")
    process = multiprocessing.get_context("spawn").Process(target=kill_forks, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == 0


FRESH = """
import sys, threading
import trackbridge
run = trackbridge.init("kill", id=sys.argv[1], dir=sys.argv[2], backend="none")
told = open(sys.argv[3], "r+b", buffering=0)
import mmap
page = memoryview(mmap.mmap(told.fileno(), 64)).cast("Q")
def work(thread):
    call = 0
    while True:
        trackbridge.log({f"t{thread}": call}, step=call)
        call += 1
        page[thread] = call
for thread in range(4):
    threading.Thread(target=work, args=(thread,), daemon=True).start()
threading.Event().wait()
"""


def test_a_hundred_killed_interpreters_with_threads_lose_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKBRIDGE_CAPTURE", "off")
    chance = random.Random(os.urandom(8))
    for trial in range(INTERPRETERS):
        acknowledgements = tmp_path / f"told{trial}"
        acknowledgements.write_bytes(bytes(64))
        child = subprocess.Popen([sys.executable, "-c", FRESH, f"run{trial}", str(tmp_path), str(acknowledgements)])
        with acknowledgements.open("r+b") as file, mmap.mmap(file.fileno(), 64) as page:
            told = memoryview(page).cast("Q")
            while not all(told[:4]):
                assert child.poll() is None
                time.sleep(0.002)
            time.sleep(chance.random() * 0.02)
            child.kill()
            child.wait()
            acknowledged = list(told[:4])
            told.release()
        events = found(tmp_path / f"run{trial}")
        for thread in range(4):
            own = [event.values[f"t{thread}"] for event in events if f"t{thread}" in event.values]
            assert own == list(range(len(own)))
            assert acknowledged[thread] <= len(own) <= acknowledged[thread] + 1


@pytest.mark.parametrize("how", ["exit", "_exit", "exception", "SIGTERM"])
def test_every_way_to_end_keeps_what_was_logged(tmp_path: Path, how: str) -> None:
    code = f"""
import os, signal, sys, trackbridge
trackbridge.init("end", id="run", dir={str(tmp_path)!r}, backend="none")
for call in range(100): trackbridge.log({{"a": call}}, step=call)
{ {"exit": "sys.exit(3)", "_exit": "os._exit(4)", "exception": "raise ValueError('mine')", "SIGTERM": "os.kill(os.getpid(), signal.SIGTERM)"}[how] }
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == {"exit": 3, "_exit": 4, "exception": 1, "SIGTERM": -15}[how], "the program's exit code is its own"
    assert len(found(tmp_path / "run")) == 100
    status = trackbridge.read("run", f"journal:{tmp_path}").info.status
    assert status == {"exit": "finished", "_exit": "crashed", "exception": "failed", "SIGTERM": "crashed"}[how]


def test_forks_and_threads_each_have_their_own_shard(tmp_path: Path) -> None:
    """8 threads in each of 4 forks of a process that logs too."""
    code = f"""
import os, threading, trackbridge
trackbridge.init("fork", id="run", dir={str(tmp_path)!r}, backend="none")
trackbridge.log({{"parent": 0}})
children = []
for fork in range(4):
    pid = os.fork()
    if pid == 0:
        def work(thread):
            for call in range(100): trackbridge.log({{f"f{{fork}}t{{thread}}": call}}, step=call)
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        [thread.start() for thread in threads]; [thread.join() for thread in threads]
        os._exit(0)
    children.append(pid)
    trackbridge.log({{"parent": fork + 1}})
for pid in children: assert os.waitpid(pid, 0)[1] == 0
trackbridge.finish()
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    events = found(tmp_path / "run")
    assert [event.values["parent"] for event in events if "parent" in event.values] == list(range(5))
    for fork in range(4):
        for thread in range(8):
            key = f"f{fork}t{thread}"
            assert [event.values[key] for event in events if key in event.values] == list(range(100))
    assert len({record.shard for record in JournalReader(tmp_path / "run")}) == 5
