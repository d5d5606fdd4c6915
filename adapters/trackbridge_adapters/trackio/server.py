"""A server of trackio, through the client's own requests."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from trackbridge.adapters import Place, Target
from trackbridge.errors import Unavailable
from trackbridge.projection import Projection
from trackbridge.records import FileRef
from trackbridge_adapters.trackio.folder import Row
from trackbridge_adapters.trackio.layout import SERVER

PAGE = 5000
"""Rows of an answer: a server refuses to give 10,000."""

REMEDY = "set TRACKIO_SERVER_URL to the URL with a write_token that trackio show prints, or TRACKIO_WRITE_TOKEN to the token"


def configured() -> Target:
    """The server that ``TRACKIO_SERVER_URL`` names; its location is "" if it names none."""
    return with_token(Target.parse(f"trackio:{os.environ.get('TRACKIO_SERVER_URL', '').strip()}"))


def with_token(target: Target) -> Target:
    """`target`, a URL as ``trackio show`` prints it, with its token among the credentials: it must not be seen, and nothing else behind the ``?``
    tells where the server is."""
    token = target.options.get("write_token", "")
    return Target(target.name, target.location.rstrip("/"), target.project, {}, f":{token}" if token else target.credentials)


class Refused(Unavailable):
    """The server takes the request for a wrong one."""


class TooLarge(Unavailable):
    """A proxy before the server takes no request of this size."""


class Server:
    projection: ClassVar[Projection] = SERVER
    timed: ClassVar[bool] = False

    def __init__(self, target: Target) -> None:
        self._url = target.location
        own = configured()
        credentials = target.credentials or (own.credentials if own.location == self._url else "")
        self._token = credentials.removeprefix(":") or os.environ.get("TRACKIO_WRITE_TOKEN", "")

    def __str__(self) -> str:
        return self._url

    def place(self, project: str, run_id: str) -> Place:
        return Place(run_id, self._url, url=f"{self._url}/?project={quote(project)}", mode="online")

    def projects(self) -> list[str]:
        return list(self._ask("get_all_projects"))

    def records(self, project: str) -> list[dict[str, Any]]:
        return list(self._ask("get_runs_for_project", project=project))

    def configs(self, project: str) -> dict[str, dict[str, Any]]:
        return {row["run_id"]: _told(row["config"]) for row in self._select(project, "run_id, config", "configs", "1")}

    def rows(self, project: str, run_id: str) -> Iterable[dict[str, Any]]:
        """By its queries: the answers of its other ways have 3,000 points, and null for NaN."""
        for row in self._select(project, "timestamp, step, metrics", "metrics", f"run_id = {_text(run_id)}"):
            yield _told(row["metrics"]) | {"timestamp": row["timestamp"], "step": row["step"]}

    def artifacts(self, project: str, run_id: str) -> list[dict[str, Any]]:
        return list(self._ask("get_run_artifacts", project=project, run_id=run_id)["output"])

    def artifact(self, project: str, name: str, version: str = "latest") -> dict[str, Any] | None:
        found: dict[str, Any] | None = self._ask("get_artifact_manifest", project=project, name=name, spec=version)
        return found

    def blob(self, project: str, digest: str) -> bytes | None:
        return self._download(f"artifact_blob/{quote(project)}/{digest}")

    def media(self, path: str) -> FileRef | None:
        place = f"{self._folder}/{path}"
        data = self._download("file", path=quote(place))  # which the server decodes twice
        return None if data is None else FileRef(Path(path).name, hashlib.sha256(data).hexdigest(), len(data))

    def log(self, project: str, name: str, run_id: str, rows: Sequence[Row], config: dict[str, Any] | None) -> None:
        try:
            self._log(project, name, run_id, rows, config)
        except TooLarge:
            if len(rows) == 1:
                raise
            middle = len(rows) // 2
            self.log(project, name, run_id, rows[:middle], config)
            self.log(project, name, run_id, rows[middle:], None)

    def _log(self, project: str, name: str, run_id: str, rows: Sequence[Row], config: dict[str, Any] | None) -> None:
        from trackio.utils import serialize_values

        config = serialize_values(config)
        run = {"project": project, "run": name, "run_id": run_id, "config": config}
        logs = [run | {"metrics": serialize_values(row.values), "step": row.step, "log_id": row.id} for row in rows]
        for log in logs[1:]:
            del log["config"]
        self._ask("bulk_log", logs=logs, hf_token=None)
        last = f"SELECT 1 FROM metrics WHERE log_id = {_text(rows[-1].id)}"
        query = f"SELECT EXISTS ({last}) AS there, (SELECT config FROM configs WHERE run_id = {_text(run_id)}) AS config"
        (held,) = self._ask("query_project", project=project, query=query)["rows"]
        if not held["there"] or (config is not None and json.loads(held["config"] or "{}") != config):
            raise Unavailable(f"{self}: the server said yes, and did not write it: see its disk, and its log")

    def put(self, project: str, place: Path, source: Path) -> None:
        file = {"project": project, "run": str(place.parent), "step": None, "relative_path": None}
        self._ask("bulk_upload_media", uploads=[file | {"uploaded_file": self._sent(source, place.name)}], hf_token=None)

    def stage(self, project: str, source: Path) -> tuple[str, int]:
        from trackio import cas

        digest, size = cas.hash_file(source)
        if not self._ask("check_artifact_blobs", project=project, digests=[digest])["present"]:
            uploads = [{"digest": digest, "uploaded_file": self._sent(source, digest)}]
            self._ask("bulk_upload_artifact_blob", project=project, uploads=uploads, hf_token=None)
        return digest, size

    def commit(self, project: str, run_name: str, run_id: str, **artifact: Any) -> None:
        try:
            self._ask("artifact_log", project=project, run_name=run_name, run_id=run_id, aliases=None, hf_token=None, **artifact)
        except Refused as error:
            raise ValueError(str(error)) from error  # it is none that a server takes, such as one without a type

    # -- requests --------------------------------------------------------------------------------------------------------------------

    @functools.cached_property
    def _client(self) -> Any:
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        from trackio.remote_client import _TrackioHTTPClient

        client = _TrackioHTTPClient(self._url, write_token=self._token)
        client._prepare_value = lambda value: value  # it takes a mapping with `path` and `meta` among the values for a file
        return client

    @functools.cached_property
    def _folder(self) -> str:
        """Where the server has its media, which is part of their addresses."""
        return str(self._ask("get_settings")["media_dir"])

    def _ask(self, what: str, **arguments: Any) -> Any:
        with self._outage():
            return self._client.predict(api_name=what, **arguments)

    def _sent(self, source: Path, name: str) -> Any:
        with self._outage():
            return self._client._upload_file({"path": str(source), "orig_name": name, "meta": {"_type": "gradio.FileData"}})

    def _download(self, what: str, **parameters: str) -> bytes | None:
        with self._outage():
            import httpx

            answer = httpx.get(self._client.src + what, params=parameters, headers=self._client.headers, timeout=60)
            return None if answer.status_code == 404 else answer.raise_for_status().content

    def _select(self, project: str, columns: str, table: str, condition: str) -> Iterator[dict[str, Any]]:
        last = 0
        while True:
            query = f"SELECT id, {columns} FROM {table} WHERE id > {last} AND {condition} ORDER BY id LIMIT {PAGE}"
            rows = self._ask("query_project", project=project, query=query)["rows"]
            yield from rows
            if len(rows) < PAGE:
                return
            last = rows[-1]["id"]

    @contextlib.contextmanager
    def _outage(self) -> Iterator[None]:
        """What the network or the server refuses now may be taken later."""
        import httpx

        try:
            yield
        except httpx.HTTPStatusError as error:
            said = f"{self}: {error.response.text[:300] or error}"
            if "write_token" in said:
                raise Unavailable(f"{said}; {REMEDY}") from error
            raise {400: Refused, 413: TooLarge}.get(error.response.status_code, Unavailable)(said) from error
        except (httpx.HTTPError, httpx.InvalidURL, RuntimeError, json.JSONDecodeError, UnicodeDecodeError) as error:
            raise Unavailable(f"{self}: {error}") from error


def _told(text: str) -> dict[str, Any]:
    """A row's values, or a configuration, from the text that the table holds."""
    from trackio.utils import deserialize_values

    values: dict[str, Any] = deserialize_values(json.loads(text))
    return values


def _text(value: str) -> str:
    """`value` as a text of SQL."""
    return "'" + value.replace("'", "''") + "'"
