"""A user of a vendor's cloud: trains by a script, and gives commands."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trackbridge import environments

RUN, STEPS = "r1", 20
TRAIN = f"""
import trackbridge
with trackbridge.init("vision", id="{RUN}", config={{"lr": 0.1}}) as run:
    for step in range({STEPS}):
        trackbridge.log({{"loss": step / 2}}, step=step)
"""
RECORDS = STEPS + 3  # the beginning, the configuration and the end


class User:
    """Works in `folder`, without any settings but those that are given."""

    def __init__(self, folder: Path, backend: str) -> None:
        environments.create(backend)
        self.run, self._folder = folder / "journals" / RUN, folder
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("COMET_", "CLEARML_", "TRAINS_", "TRACKBRIDGE_"))}
        own = {"HOME": str(folder), "XDG_CACHE_HOME": str(environments.root().parent), "TRACKBRIDGE_DIR": str(folder / "journals")}
        self._environment = kept | own | {"TRACKBRIDGE_BACKEND": backend, "TRACKBRIDGE_FINISH_TIMEOUT": "3"}

    def python(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command, environment = [sys.executable, *arguments], self._environment | variables
        return subprocess.run(command, cwd=self._folder, env=environment, capture_output=True, text=True, timeout=120, check=False)

    def begin(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """The same as :meth:`python`, while it runs; what it tells is left out."""
        command, environment = [sys.executable, *arguments], self._environment | variables
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(command, cwd=self._folder, env=environment, text=True, **pipes)

    def train(self, **variables: str) -> str:
        """Run the script, which has to end well; what it tells."""
        done = self.python("-c", TRAIN, **variables)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def command(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.python("-m", "trackbridge", *arguments, **variables)

    def status(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What ``trackbridge status --json`` tells of the run, and of its only target."""
        (run,) = json.loads(self.command("status", str(self.run), "--json").stdout)
        (target,) = run["targets"]
        return run, target

    def trouble(self, seconds: float = 45) -> dict[str, Any]:
        """What ``trackbridge status`` tells of the target as soon as it says what is wrong; the time bounds a hanging test."""
        until = time.monotonic() + seconds
        while not (target := self.status()[1])["message"]:
            assert time.monotonic() < until, f"nothing is said to be wrong: {target}"
            time.sleep(0.5)
        return target

    def end(self) -> None:
        """End the forwarders that would ask a dead endpoint for ever."""
        for lease in self._folder.glob("journals/*/forward/*/lease.json"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(json.loads(lease.read_bytes())["pid"], signal.SIGTERM)


@contextlib.contextmanager
def user(folder: Path, backend: str) -> Iterator[User]:
    one = User(folder, backend)
    try:
        yield one
    finally:
        one.end()
