"""Whether a process lives, on a machine whose clock is set while it runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

import trackbridge
from trackbridge import host
from trackbridge.journal.reader import info
from trackbridge.records import Status


def test_a_clock_that_is_set_forward_kills_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the clock the kernel sets its boot time, so a process seems to have been started an hour later than it was."""
    run = trackbridge.init()
    trackbridge.log({"a": 1.0})
    boot = host._boot_time()
    monkeypatch.setattr(host, "_boot_time", lambda: boot + 3600)
    assert info(run.directory).status == Status.RUNNING
    trackbridge.finish()
    assert info(run.directory).status == Status.FINISHED


@pytest.mark.skipif(host.started(1) is None, reason="the system does not tell when a process was started")
def test_another_process_of_the_same_id_is_another_one() -> None:
    now, me = time.time_ns(), host.identity()
    ticks = host.own_ticks()
    assert not host.is_dead(me, os.getpid(), now, ticks)
    assert host.is_dead(me, os.getpid(), now, ticks - 1)
    assert not host.is_dead(me, os.getpid(), now)
    assert host.is_dead(me, os.getpid(), now - 10**18), "what was written before ticks were kept is told by the time"
    assert not host.is_dead("elsewhere", os.getpid(), now, ticks - 1)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    since = host.started(child.pid)
    assert since
    child.communicate(b"\n")
    assert host.is_dead(me, child.pid, now, since)
