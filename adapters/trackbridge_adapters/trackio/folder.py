"""Where runs lie: what Writer and Reader ask of it, and a folder, through trackio's own storage."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

from trackbridge.adapters import Place
from trackbridge.errors import Unavailable
from trackbridge.files import reference
from trackbridge.projection import Projection
from trackbridge.records import FileRef
from trackbridge_adapters.trackio.layout import PROJECTION


class Row(NamedTuple):
    """One call of ``log``. `id`: what the table holds only once."""

    values: dict[str, Any]
    step: int
    time: str
    id: str


class Store(Protocol):
    """A folder or a server. `project` is a name of :func:`~trackbridge_adapters.trackio.layout.project_name`. `timed`: rows keep their time."""

    projection: ClassVar[Projection]
    timed: ClassVar[bool]

    def place(self, project: str, run_id: str) -> Place: ...

    def projects(self) -> list[str]: ...

    def records(self, project: str) -> list[dict[str, Any]]: ...

    def configs(self, project: str) -> dict[str, dict[str, Any]]:
        """The configurations by the ids of the runs of a project that is there."""

    def rows(self, project: str, run_id: str) -> Iterable[dict[str, Any]]: ...

    def artifacts(self, project: str, run_id: str) -> list[dict[str, Any]]:
        """Names, types and versions of what the run logged."""

    def artifact(self, project: str, name: str, version: str = "latest") -> dict[str, Any] | None: ...

    def blob(self, project: str, digest: str) -> bytes | None: ...

    def media(self, path: str) -> FileRef | None: ...

    def log(self, project: str, name: str, run_id: str, rows: Sequence[Row], config: dict[str, Any] | None) -> None:
        """Commit `rows`, of which there is one, and `config`. Rows that are there by their id stay as they are."""

    def put(self, project: str, place: Path, source: Path) -> None:
        """Copy a file to `place` among the project's media."""

    def stage(self, project: str, source: Path) -> tuple[str, int]:
        """Digest and size of a file, whose bytes artifacts can name from now on."""

    def commit(self, project: str, run_name: str, run_id: str, **artifact: Any) -> None:
        """Log a version of an artifact: name, type, description, manifest, metadata, overwrite."""


class Folder:
    projection: ClassVar[Projection] = PROJECTION
    timed: ClassVar[bool] = True

    def __init__(self, root: Path) -> None:
        self._root = root

    def __str__(self) -> str:
        return str(self._root)

    def place(self, project: str, run_id: str) -> Place:
        sync = f"TRACKIO_DIR={shlex.quote(str(self))} trackio sync --project {shlex.quote(project)} --space-id USER/SPACE"
        return Place(run_id, str(self), hint=sync)

    def projects(self) -> list[str]:
        with self._storage() as storage:
            return list(storage.get_projects())

    def records(self, project: str) -> list[dict[str, Any]]:
        with self._storage() as storage:
            return list(storage.get_run_records(project))

    def configs(self, project: str) -> dict[str, dict[str, Any]]:
        with self._storage() as storage:
            return dict(storage.get_all_run_configs(project))

    def rows(self, project: str, run_id: str) -> Iterable[dict[str, Any]]:
        with self._storage() as storage:
            return list(storage.get_logs(project, run_id=run_id))

    def artifacts(self, project: str, run_id: str) -> list[dict[str, Any]]:
        with self._storage() as storage:
            return list(storage.get_run_artifacts(project, None, run_id)["output"])

    def artifact(self, project: str, name: str, version: str = "latest") -> dict[str, Any] | None:
        with self._storage() as storage:
            found: dict[str, Any] | None = storage.get_artifact_manifest(project, name, version)
            return found

    def blob(self, project: str, digest: str) -> bytes | None:
        with self._storage():
            from trackio import cas

            path: Path = cas.blob_path(project, digest)
            return path.read_bytes() if path.is_file() else None

    def media(self, path: str) -> FileRef | None:
        place = self._root / "media" / path
        return reference(place, place.name) if place.is_file() else None

    def log(self, project: str, name: str, run_id: str, rows: Sequence[Row], config: dict[str, Any] | None) -> None:
        values, steps, times, ids = map(list, zip(*rows, strict=True))
        with self._storage() as storage:
            self._root.mkdir(parents=True, exist_ok=True)
            storage.bulk_log(project, name, values, steps, times, config=config, log_ids=ids, run_id=run_id)

    def put(self, project: str, place: Path, source: Path) -> None:
        path = self._root / "media" / project / place
        partial = path.with_name(f".{path.name}.part")
        with self._storage():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, partial)
            os.replace(partial, path)

    def stage(self, project: str, source: Path) -> tuple[str, int]:
        with self._storage():
            from trackio import cas

            digest, size = cas.stage_blob_into_project(source, project)
            return digest, size

    def commit(self, project: str, run_name: str, run_id: str, **artifact: Any) -> None:
        with self._storage() as storage:
            storage.commit_artifact_version(project=project, aliases=None, run_name=run_name, run_id=run_id, **artifact)

    @contextlib.contextmanager
    def _storage(self) -> Iterator[Any]:
        """trackio's storage of the folder, without the bucket or dataset that it would fetch first. trackio knows one folder for a process, which
        may be the user's own: it is set back afterwards."""
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        from trackio import sqlite_storage, utils

        storage = sqlite_storage.SQLiteStorage

        def bind(root: Path, fetched: bool) -> None:
            utils.TRACKIO_DIR = sqlite_storage.TRACKIO_DIR = root
            utils.MEDIA_DIR, utils.ARTIFACTS_DIR = root / "media", root / "artifacts"
            storage._dataset_import_attempted = fetched

        before = utils.TRACKIO_DIR, storage._dataset_import_attempted
        bind(self._root, True)
        try:
            yield storage
        except (sqlite3.Error, OSError) as error:
            raise Unavailable(f"{self}: {error}") from error
        finally:
            bind(*before)
