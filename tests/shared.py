"""What tests of several folders share."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable


def until(true: Callable[[], object], seconds: float = 60) -> None:
    """Wait for what must come; the time is a bound for a hanging test, no expectation."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``trackbridge`` with `arguments`, as a user does."""
    return subprocess.run([sys.executable, "-m", "trackbridge", *arguments], capture_output=True, text=True, check=False)
