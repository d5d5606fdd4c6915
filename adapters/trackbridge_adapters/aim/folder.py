"""Where runs lie: what Writer and Reader ask of it, and a repository in a folder."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol
from urllib.parse import urlsplit

from trackbridge.adapters import SIDECAR_FILE, Place
from trackbridge.errors import TrackBridgeError, Unavailable
from trackbridge.projection import Projection, seconds
from trackbridge.records import RunInfo
from trackbridge_adapters.aim.layout import ARTIFACTS, PROJECTION

QUIET: dict[str, Any] = {"system_tracking_interval": None, "capture_terminal_logs": False, "log_system_params": False}


class Batch(Protocol):
    """Values on their way to the run's sequences."""

    def put(self, place: int, held: Iterable[tuple[Any, Any]]) -> None:
        """A value for each of some views, all at `place`."""

    def commit(self) -> None: ...


class Store(Protocol):
    """A folder or a server. `local`: it takes files, and single values are read in a moment."""

    projection: ClassVar[Projection]
    local: ClassVar[bool]

    def place(self, hash: str) -> Place: ...

    def outage(self) -> contextlib.AbstractContextManager[None]:
        """What may be taken later becomes Unavailable."""

    def opened(self, hash: str, run: RunInfo) -> Any:
        """Aim's run of this hash, which is made if there is none."""

    def batch(self, aim: Any) -> Batch: ...

    def index(self, aim: Any) -> bool:
        """Copy the run's description to the repository's index; False where another process holds it."""

    def release(self, aim: Any) -> None:
        """Close a run, whose end was told."""

    def put(self, aim: Any, name: str, source: Path) -> None:
        """Keep a file among the run's artifacts."""

    def attach(self, aim: Any, sidecar: Path) -> None: ...

    def repository(self) -> contextlib.AbstractContextManager[Any]:
        """Aim's repository for reading, None where there is none."""

    def file(self, aim: Any, name: str) -> Path | None:
        """Where the artifact `name` of a run lies, if it can be read from here."""

    def sidecar(self, aim: Any) -> bytes | None: ...


@contextlib.contextmanager
def refused(where: str, *errors: type[Exception], modules: Iterable[str] = ()) -> Iterator[None]:
    """What one of `errors`, or an error of one of Aim's own libraries or of `modules`, stops may be taken later."""
    try:
        yield
    except TrackBridgeError:
        raise
    except errors as error:
        raise Unavailable(f"{where}: {error}") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] in ("aimrocks", "sqlalchemy", "filelock", "aim", *modules):
            raise Unavailable(f"{where}: {type(error).__name__}: {str(error)[:300]}") from error
        raise


class RocksBatch:
    """As Aim's tracker does it, but in batches of its database."""

    def __init__(self, aim: Any) -> None:
        self._series = aim.repo.request_container("seqs", aim.hash, read_only=False)
        self._batch = self._series.batch()

    def put(self, place: int, held: Iterable[tuple[Any, Any]]) -> None:
        from aim.storage.encoding import encode, encode_path

        key = encode_path((place,))
        for view, value in held:
            view.tree.container.set(key, encode(value), store_batch=self._batch)

    def commit(self) -> None:
        self._series.commit(self._batch)
        self._batch.clear()


class Folder:
    projection: ClassVar[Projection] = PROJECTION
    local: ClassVar[bool] = True
    _live: ClassVar[dict[tuple[str, str], Any]] = {}  # the runs that this process holds open: Aim opens each only once

    def __init__(self, root: Path) -> None:
        self._root = root

    def __str__(self) -> str:
        return str(self._root)

    def place(self, hash: str) -> Place:
        return Place(hash, str(self), hint=f"aim up --repo {shlex.quote(str(self))}")

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """What the disk, a lock or one of Aim's databases refuses now may be taken later."""
        with refused(str(self), OSError):
            yield

    def opened(self, hash: str, run: RunInfo) -> Any:
        self._root.mkdir(parents=True, exist_ok=True)
        repo = self._repository(make=True)
        from aim import Run

        self._release(hash)
        Path(repo.path, "meta", "chunks", hash).mkdir(parents=True, exist_ok=True)  # then Aim takes it for a run that exists
        type(repo)._all_run_hashes.cache_clear()
        repo.request_props(hash, read_only=False, created_at=datetime.fromtimestamp(seconds(run.start), UTC).replace(tzinfo=None))
        found = self._live[str(self), hash] = Run(hash, repo=repo, **QUIET)
        found.set_artifacts_uri(f"file://{self._root / ARTIFACTS}")
        return found

    def batch(self, aim: Any) -> Batch:
        return RocksBatch(aim)

    def index(self, aim: Any) -> bool:
        from aim.sdk.index_manager import RepoIndexManager

        manager = RepoIndexManager.get_index_manager(aim.repo)  # each one takes an inotify instance, of which a user has 128
        manager.repo = aim.repo
        manager._corrupted_runs.clear()
        manager.index(aim.hash)
        return not manager._corrupted_runs  # it tells nobody else

    def release(self, aim: Any) -> None:
        self._release(aim.hash)

    def _release(self, hash: str) -> None:
        left = self._live.pop((str(self), hash), None)
        if left is not None:
            repo, containers = left.repo, [left.repo.request_container(name, hash, read_only=False) for name in ("meta", "seqs")]
            with contextlib.suppress(Exception):
                left.close()
            for container in containers:
                with contextlib.suppress(Exception):
                    container.close()
            repo.container_pool.clear()

    def put(self, aim: Any, name: str, source: Path) -> None:
        """What Aim's own `log_artifact` does, but that a file is never there in part."""
        from aim.sdk.objects.artifact import Artifact

        path = self._root / ARTIFACTS / aim.hash / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{aim.hash}.part")
        shutil.copyfile(source, partial)
        os.replace(partial, path)
        aim.meta_run_tree.subtree("artifacts")[name] = Artifact(name, uri=aim.artifacts_uri, name=name)

    def attach(self, aim: Any, sidecar: Path) -> None:
        self.put(aim, SIDECAR_FILE, sidecar)

    @contextlib.contextmanager
    def repository(self) -> Iterator[Any]:
        yield self._repository() if (self._root / ".aim").is_dir() else None

    def file(self, aim: Any, name: str) -> Path | None:
        """In the repository, which may have been moved, or where Aim recorded it."""
        found = aim.artifacts[name]
        places = self._root / ARTIFACTS / aim.hash / found.name, Path(urlsplit(found.uri).path)
        return next((path for path in places if path.is_file()), None)

    def sidecar(self, aim: Any) -> bytes | None:
        path = self.file(aim, SIDECAR_FILE) if SIDECAR_FILE in aim.artifacts else None
        return None if path is None else path.read_bytes()

    def _repository(self, make: bool = False) -> Any:
        """Opened anew: one that was opened before does not see what was written since."""
        os.environ.setdefault("AIM_UI_TELEMETRY_ENABLED", "0")
        from aim import Repo

        return Repo(str(self._root), init=make and not (self._root / ".aim" / "VERSION").exists())
