"""What the conformance suite runs on: each flavour of each adapter that is here."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trackbridge.testing import Subject

Opened = contextlib.AbstractContextManager[Subject]


@contextlib.contextmanager
def mlflow_server(folder: Path) -> Iterator[Subject]:
    """A tracking server on loopback that keeps its artifacts."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store, url = f"sqlite:///{folder / 'server.db'}", f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--backend-store-uri", store, "--artifacts-destination", str(folder / "artifacts")],
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        for _ in range(300):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=5):
                break
            assert server.poll() is None, (folder / "log").read_text()
            time.sleep(0.2)
        yield Subject("mlflow", url)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def fixed(subject: Subject) -> Callable[[Path], Opened]:
    return lambda folder: contextlib.nullcontext(subject)


SUBJECTS: dict[str, tuple[Callable[[Path], Opened], list[Any]]] = {
    "memory": (fixed(Subject("memory", light=True)), []),
    "jsonl": (fixed(Subject("jsonl", light=True)), []),
    "tensorboard": (fixed(Subject("tensorboard", light=True)), []),
    "wandb": (fixed(Subject("wandb")), []),
    "mlflow": (fixed(Subject("mlflow", "sqlite:///{}/mlflow.db")), []),
    "mlflow-http": (mlflow_server, [pytest.mark.server]),
}


def written(name: str) -> bool:
    """Whether the adapter's module is there (some are still being written)."""
    return importlib.util.find_spec(f"trackbridge_adapters.{name.partition('-')[0]}") is not None


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(opener, id=name, marks=[*marks, pytest.mark.xdist_group(name)])  # one worker delivers the canonical runs once
        for name, (opener, marks) in SUBJECTS.items()
        if written(name)
    ],
)
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    with request.param(tmp_path_factory.mktemp("subject")) as found:
        yield found
