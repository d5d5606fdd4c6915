"""Servers on loopback that the comparison starts and ends: trackers' own, and emulators of services."""

from __future__ import annotations

import contextlib
import importlib
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from os import killpg
from pathlib import Path
from subprocess import Popen

from trackbridge.errors import BackendError
from trackbridge_comparison import children
from trackbridge_comparison.emulators import FOLDER
from trackbridge_comparison.portable import excerpt

START_SECONDS = 120.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """A server that can be hung, killed and started again on its port."""

    def __init__(self, command: Sequence[str], folder: Path, port: int, variables: Mapping[str, str]) -> None:
        self._command, self._folder, self.port, self._variables = list(command), folder, port, variables
        self._log = folder / f".log-server-{port}"
        self.start()

    def start(self) -> None:
        """Start it, and wait until it takes connections.

        Raises:
            BackendError: it does not; with the end of what it printed.
        """
        self._process: Popen[bytes] = children.start(self._command, self._folder, self._variables, self._log)
        end = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > end:
                children.end(self._process)
                raise BackendError(f"no server on its port: {excerpt(self._log.read_text('utf-8', 'replace'))}")
            time.sleep(0.1)

    def hang(self) -> None:
        killpg(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        killpg(self._process.pid, signal.SIGCONT)

    def kill(self) -> None:
        children.end(self._process)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextlib.contextmanager
def server(command: Sequence[str], folder: Path, port: int, variables: Mapping[str, str]) -> Iterator[Server]:
    """A server of its own process group, once it takes connections; it is ended afterwards."""
    running = Server(command, folder, port, variables)
    try:
        yield running
    finally:
        running.kill()


@contextlib.contextmanager
def emulator(name: str, folder: Path) -> Iterator[dict[str, str]]:
    """The emulator of ``emulators/NAME.py``, in an environment that uv makes for it; the variable that leads a client there.

    Raises:
        BackendError: it cannot be started.
    """
    module = importlib.import_module(f"trackbridge_comparison.emulators.{name}")
    port = free_port()
    with_uv = [sys.executable, "-m", "uv", "run", "--quiet", "--no-project", "--isolated", "--python", sys.executable]
    command = [*with_uv, "--with", module.REQUIREMENT, "python", "-I", str(FOLDER / f"{name}.py"), str(port)]
    with server(command, folder, port, module.VARIABLES):
        yield {module.ADDRESS: f"http://127.0.0.1:{port}"}
