"""What the conformance suite runs on: each flavour of each adapter that is here."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.servers import mlflow_server
from trackbridge.testing import Subject

Opened = contextlib.AbstractContextManager[Subject]


@contextlib.contextmanager
def mlflow_over_http(folder: Path) -> Iterator[Subject]:
    with mlflow_server(folder) as url:
        yield Subject("mlflow", url)


def fixed(subject: Subject) -> Callable[[Path], Opened]:
    return lambda folder: contextlib.nullcontext(subject)


SUBJECTS: dict[str, tuple[Callable[[Path], Opened], list[Any]]] = {
    "memory": (fixed(Subject("memory", light=True)), []),
    "jsonl": (fixed(Subject("jsonl", light=True)), []),
    "tensorboard": (fixed(Subject("tensorboard", light=True)), []),
    "wandb": (fixed(Subject("wandb")), []),
    "mlflow": (fixed(Subject("mlflow", "sqlite:///{}/mlflow.db")), []),
    "mlflow-http": (mlflow_over_http, [pytest.mark.server]),
}


@pytest.fixture(
    scope="session",
    params=[pytest.param(opener, id=name, marks=marks) for name, (opener, marks) in SUBJECTS.items()],
)
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    with request.param(tmp_path_factory.mktemp("subject")) as found:
        yield found
