"""A repository that DAGsHub hosts: the MLflow adapter on its server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from urllib.parse import urlsplit

from trackbridge.adapters import Position, Target
from trackbridge.errors import Unavailable
from trackbridge.records import Record, RunInfo
from trackbridge_adapters import mlflow

VARIABLES = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")

_ours: set[str] = set()
"""Credentials that MLflow's client has of us. It keeps them in this process's environment, from which none goes to another host."""


class HostedWriter(mlflow.MlflowWriter):
    """The MLflow adapter's, on the server of a repository."""

    def open(self, run: RunInfo, position: Position | None) -> Position:
        self._target = hosted(self._target)
        return super().open(run, position)


class HostedReader:
    """The MLflow adapter's, on the server of a repository."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def runs(self) -> Iterator[RunInfo]:
        yield from self._reader().runs()

    def read(self, run_id: str) -> Iterator[Record]:
        yield from self._reader().read(run_id)

    def sidecar(self, run_id: str) -> tuple[bytes, str] | None:
        return self._reader().sidecar(run_id)

    def _reader(self) -> mlflow.MlflowReader:
        return mlflow.MlflowReader(hosted(self._target))


def hosted(target: Target) -> Target:
    """The MLflow server of a repository, with the credentials that ``dagshub.init`` gives to MLflow.

    Raises:
        Unavailable: there is no token, or DAGsHub does not say whose it is.
    """
    parts = urlsplit(target.location)
    host = f"{parts.scheme}://{parts.netloc}"
    credentials = target.credentials
    if not credentials and ":".join(os.environ.get(name, "") for name in VARIABLES) in {":"} | _ours:
        credentials = _asked(host)
    _ours.update({credentials} - {""})
    return Target("mlflow", target.location + ".mlflow", target.project, credentials=credentials)


def _asked(host: str) -> str:
    """The credentials that the token of `host` stands for."""
    for name in ("DAGSHUB_DISABLE_ANALYTICS", "DAGSHUB_DISABLE_TRACEPARENT", "DAGSHUB_QUIET"):
        os.environ.setdefault(name, "1")
    from dagshub.auth import get_token
    from dagshub.common.api import UserAPI

    try:
        token = get_token(host=host, fail_if_no_token=True)
        return f"{UserAPI.get_user_from_token(token, host=host).username}:{token}"
    except Exception as error:  # the client raises errors of many kinds, of its own and of its HTTP library
        raise Unavailable(f"{host} takes no token: {error}; set DAGSHUB_USER_TOKEN, or run  dagshub login"[:500]) from error
