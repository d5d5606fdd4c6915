"""Sweeps of the tiny example, in this process or in another."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from trackbridge_examples.sweep import command, conduct, examples

import trackbridge

from . import tiny

ROOT = Path(__file__).resolve().parents[2]
WITH_TINY = """
import signal, pytest
from tests.examples import sweeps
from trackbridge_examples.sweep import command
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs, tests among them, begin with it ignored
sweeps.use_tiny(pytest.MonkeyPatch())
command.main()
"""


def use_tiny(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(examples.EXAMPLES, "tiny", tiny.parse)
    patch.setattr(conduct, "module", lambda task: f"tests.examples.{task.example}")


def sweep(*words: str) -> int:
    """A sweep in this process; its exit code."""
    try:
        command.main(["tiny", *words])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    return 0


def begin_sweep(*words: str) -> subprocess.Popen[str]:
    """A sweep in a process and session of its own, as in a terminal."""
    return subprocess.Popen(
        [sys.executable, "-c", WITH_TINY, "tiny", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )


def until(condition: Callable[[], bool], process: subprocess.Popen[str] | None = None) -> None:
    """Waits for something that comes, unless the process that should bring it has ended."""
    while not condition():
        assert process is None or process.poll() is None, process.communicate()[0]
        time.sleep(0.05)


def statuses() -> dict[tuple[str, int], list[str]]:
    """What became of the runs for each behaviour and seed."""
    found: dict[tuple[str, int], list[str]] = {}
    for info in trackbridge.runs():
        config = trackbridge.read(info.id).config
        if config:  # else the run has only just begun
            found.setdefault((config["behave"], config["seed"]), []).append(str(info.status))
    return {key: sorted(values) for key, values in found.items()}
