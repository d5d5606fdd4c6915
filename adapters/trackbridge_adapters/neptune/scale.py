"""neptune-scale: a SQLite file of protobuf messages for each run, and its files beside it."""

from __future__ import annotations

import functools
import hashlib
import json
import mimetypes
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from trackbridge.adapters import Position
from trackbridge.files import put, replace
from trackbridge.projection import Projection
from trackbridge.records import Metrics, RunInfo
from trackbridge_adapters.neptune import layout
from trackbridge_adapters.neptune.layout import JOURNAL, JOURNAL_FILE, POSITION, Gone, Held, Sets, Stored

DATABASE = "run_operations.sqlite3"
UPDATE, CREATE = 0, 1  # types of operations
WIDTH = 1500  # keys in one message: it has at most 2 MiB
CHUNK = 4 << 20  # bytes that are kept before they are handed over
NAME_BYTES = 730
FLOAT = frozenset({float})


@functools.cache
def library() -> SimpleNamespace:
    """What we use of the client, imported when it is first needed."""
    os.environ.setdefault("NEPTUNE_LOG_FAILURE_ACTION", "raise")
    from google.protobuf.timestamp_pb2 import Timestamp
    from neptune_api.proto.neptune_pb.ingest.v1 import common_pb2
    from neptune_scale.exceptions import NeptuneScaleError
    from neptune_scale.sync import files, operations_repository

    return SimpleNamespace(
        Timestamp=Timestamp,
        Repository=operations_repository.OperationsRepository,
        generate_destination=files.generate_destination,
        Error=NeptuneScaleError,
        ADD=common_pb2.SET_OPERATION.ADD,
        REMOVE=common_pb2.SET_OPERATION.REMOVE,
        **{name: getattr(common_pb2, name) for name in ("FileRef", "Histogram", "Run", "Step", "UpdateRunSnapshot", "Value")},
    )


def outages() -> tuple[type[Exception], ...]:
    """What is raised where the file cannot be written."""
    return OSError, sqlite3.Error, library().Error


def qualified(project: str) -> str:
    """`project` as Neptune wants it, ``WORKSPACE/NAME``."""
    return project if re.fullmatch("[^/]+/[^/]+", project) else f"trackbridge/{project.replace('/', '-') or 'default'}"


def _part(text: str) -> str:
    return re.sub(r"[^\w.-]+", "_", text)[:64]


class Store:
    """Writes one run. Each transaction ends with what it holds (recovery ``append``)."""

    projection: Projection = layout.SCALE
    text_limit = 1 << 20

    def __init__(self, location: Path, run: RunInfo, project: str, position: Position | None) -> None:
        self._lib, self._run_id = library(), run.id
        project = qualified(project)
        begun = (path for path in sorted(location.glob(f"*_{_part(run.id)}_*/{DATABASE}")) if _described(path) == (project, run.id))
        self._path = next(begun, location / f"{_part(project)}_{_part(run.id)}_{run.start}" / DATABASE)
        self.folder = self._path.parent
        self._open(project, run)
        self._staged: list[bytes] = []
        self._taken: list[bytes] = []
        self._bytes = 0
        self._requests: list[tuple[Any, ...]] = []
        self._announced = {row[0] for row in self._database.execute("SELECT destination FROM file_upload_requests")}
        row = self._database.execute(
            "SELECT operation FROM run_operations WHERE operation_type = ? ORDER BY sequence_id DESC LIMIT 1", (UPDATE,)
        ).fetchone()
        last = self._lib.UpdateRunSnapshot.FromString(row[0]).assign if row else {}
        self.held: dict[str, int] = json.loads(last[POSITION].string) if POSITION in last else {}
        self.new = not row

    def _open(self, project: str, run: RunInfo) -> None:
        repository = self._lib.Repository(db_path=self._path)
        try:
            repository.init_db()
            if repository.get_metadata() is None:
                name = run.name.encode()[:NAME_BYTES].decode("utf-8", "ignore")
                created = self._lib.Run(
                    family=run.id, experiment_id=name or None, creation_time=self._time(run.start), inherit_configs=True
                )
                repository.save_create_run(created)
                repository.save_metadata(project, run.id)
        finally:
            repository.close(cleanup_files=False)
        self._database = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)

    def known(self) -> Iterator[Held]:
        return Run(self._path).held(series=False)

    def shown(self, value: Any) -> Any:
        return layout.shown(value, 64, finite=False)

    def free(self, event: Metrics) -> bool:
        """Whether no rule concerns `event`."""
        step = event.step
        return (step is None or layout.STEPS[0] <= step <= layout.STEPS[1]) and FLOAT.issuperset(map(type, event.values.values()))

    def rounds(self, time: int) -> bool:
        return False

    # -- messages --------------------------------------------------------------------------------------------------------------------

    def _time(self, time: int) -> Any:
        seconds, nanos = divmod(time, 10**9)
        return self._lib.Timestamp(seconds=seconds, nanos=nanos)

    def _message(self, time: int, step: int | None) -> Any:
        return self._lib.UpdateRunSnapshot(timestamp=self._time(time), step=None if step is None else self._lib.Step(whole=step))

    def _stage(self, message: Any) -> None:
        self._staged.append(message.SerializeToString())

    def assign(self, path: str, value: Any, time: int) -> None:
        message = self._message(time, None)
        held = message.assign[path]
        if isinstance(value, bool):
            held.bool = value
        elif isinstance(value, int):
            held.int64 = value
        elif isinstance(value, float):
            held.float64 = value
        elif isinstance(value, Gone):
            held.string_set.SetInParent()  # nothing is taken away: it becomes an empty set
        else:
            held.string = value
        self._stage(message)

    def change(self, path: str, sets: Sets, time: int) -> None:
        message = self._message(time, None)
        for texts, operation in ((sets.remove, self._lib.REMOVE), (sets.add, self._lib.ADD)):
            for text in texts:
                message.modify_sets[path].string.values[text] = operation
        self._stage(message)

    def points(self, values: dict[str, float], texts: dict[str, str], step: int | None, time: int) -> None:
        every = [*values.items(), *texts.items()]
        for first in range(0, len(every), WIDTH):
            message = self._message(time, step)
            append = message.append
            for name, value in every[first : first + WIDTH]:
                if type(value) is float:
                    append[name].float64 = value
                else:
                    self._text(append[name], str(value))
            self._stage(message)

    def fits(self, text: str) -> bool:
        """Whether a series takes `text` whole."""
        return layout.size(text) <= self.text_limit

    def _text(self, held: Any, text: str) -> None:
        if not self.fits(text):
            raise ValueError("a text of a series has at most 1 MiB")
        held.string = text

    def text(self, name: str, text: str, step: int | None, time: int) -> None:
        message = self._message(time, step)
        self._text(message.append[name], text)
        self._stage(message)

    def histogram(self, name: str, content: Any, step: int | None, time: int) -> bool:
        """Whether it is one that Neptune draws."""
        if (held := layout.bins(content)) is None:
            return False
        edges, counts = held
        message = self._message(time, step)
        histogram = message.append[name].histogram
        histogram.bin_edges.extend(edges)
        field = histogram.counts if all(type(count) is int for count in counts) else histogram.densities
        field.SetInParent()
        field.values.extend(counts)
        self._stage(message)
        return True

    def media(self, name: str, content: Path | bytes, file: str, step: int | None, time: int) -> None:
        message = self._message(time, step)
        message.append[name].file_ref.CopyFrom(self._file(name, content, file, step))
        self._stage(message)

    def file(self, path: str, content: Path | bytes, file: str, time: int) -> None:
        message = self._message(time, None)
        message.assign[path].file_ref.CopyFrom(self._file(path, content, file, None))
        self._stage(message)

    def _file(self, name: str, content: Path | bytes, file: str, step: int | None) -> Any:
        """The reference to a copy in the run's folder, which the client uploads from there."""
        if isinstance(content, Path):
            with content.open("rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
        else:
            digest = hashlib.sha256(content).hexdigest()
        stem, dot, extension = file.rpartition(".")
        file = f"{stem or extension}-{digest[:12]}" + (f".{extension}" if dot and stem else "")
        source = self.folder / "files" / digest[:32]
        if not source.exists():
            source.parent.mkdir(exist_ok=True)
            partial = source.with_suffix(".part")
            put(partial, content)
            os.replace(partial, source)
        return self._reference(source, self._lib.generate_destination(self._run_id, name, file, step), file)

    def _reference(self, source: Path, destination: str, file: str) -> Any:
        size, mime = source.stat().st_size, mimetypes.guess_type(file)[0] or "application/octet-stream"
        if destination not in self._announced:
            self._announced.add(destination)
            self._requests.append((str(source), destination, mime, size, 0))
        return self._lib.FileRef(path=destination, mime_type=mime, size_bytes=size)

    # -- what is held ----------------------------------------------------------------------------------------------------------------

    def take(self) -> None:
        """Keep what was staged: its record is whole."""
        self._taken += self._staged
        self._bytes += sum(map(len, self._staged))
        self._staged = []

    def drop(self) -> None:
        self._staged = []

    @property
    def full(self) -> bool:
        return self._bytes > CHUNK

    def flush(self, held: dict[str, int]) -> dict[str, Any]:
        if self._taken or held != self.held:
            self.assign(POSITION, json.dumps(held), 0)
            self.take()
            insert = "INSERT INTO run_operations (timestamp, operation_type, operation, operation_size_bytes) VALUES (?, ?, ?, ?)"
            now = time.time_ns() // 1_000_000
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany(insert, [(now, UPDATE, message, len(message)) for message in self._taken])
            self._database.executemany(
                "INSERT INTO file_upload_requests (source_path, destination, mime_type, size_bytes, is_temporary) VALUES (?, ?, ?, ?, ?)",
                self._requests,
            )
            self._database.execute("COMMIT")
            self._taken, self._requests, self._bytes, self.held = [], [], 0, dict(held)
        return {}

    def journal(self, sidecar: bytes) -> None:
        """One file, replaced in place."""
        source = self.folder / "files" / JOURNAL_FILE
        source.parent.mkdir(exist_ok=True)
        replace(source, sidecar)
        message = self._message(0, None)
        message.assign[JOURNAL].file_ref.CopyFrom(self._reference(source, f"{self._run_id}/{JOURNAL}/{JOURNAL_FILE}", JOURNAL_FILE))
        self._stage(message)

    def close(self) -> None:
        self._database.close()


class Run:
    """Reads one run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.project, self.run_id = _described(path) or ("", path.parent.name)
        created = next(self._operations(CREATE), None)
        told = library().Run.FromString(created) if created else library().Run()
        self.name = told.experiment_id
        self.start = _nanoseconds(told.creation_time)

    def _operations(self, kind: int) -> Iterator[bytes]:
        with closing(_connect(self._path)) as database:
            for (message,) in database.execute(
                "SELECT operation FROM run_operations WHERE operation_type = ? ORDER BY sequence_id", (kind,)
            ):
                yield message

    def held(self, series: bool = True) -> Iterator[Held]:
        with closing(_connect(self._path)) as database:
            files = dict(database.execute("SELECT destination, source_path FROM file_upload_requests"))
        parse = library().UpdateRunSnapshot.FromString
        for data in self._operations(UPDATE):
            message = parse(data)
            time = _nanoseconds(message.timestamp)
            for path, value in message.assign.items():
                yield Held(path, self._value(value, files), time=time)
            for path, sets in message.modify_sets.items():
                changes = sets.string.values
                chosen = ([text for text in changes if changes[text] == way] for way in (library().ADD, library().REMOVE))
                yield Held(path, Sets(*chosen), time=time)
            if series and message.append:
                step = message.step.whole if message.HasField("step") and not message.step.micro else None
                for path, value in message.append.items():
                    yield Held(path, self._value(value, files), True, step, time)

    def _value(self, value: Any, files: dict[str, str]) -> Any:
        kind = value.WhichOneof("value")
        held = getattr(value, kind)
        if kind == "string_set":
            return Sets(list(held.values)) if held.values else Gone()
        if kind == "file_ref":
            source = Path(files.get(held.path, ""))
            place = next(
                (path for path in (source, self._path.parent / "files" / source.name, self._path.parent / source.name) if path.is_file()),
                None,
            )
            return Stored(held.path.rpartition("/")[2], place)
        if kind == "histogram":
            counts = held.counts if held.HasField("counts") else held.densities
            return {"edges": list(held.bin_edges), "counts": list(counts.values)}
        return held.ToJsonString() if kind == "timestamp" else held


def runs(location: Path, run_id: str = "") -> Iterator[Run]:
    """The runs in `location`; if it is given, those of this id."""
    for path in sorted(location.glob(f"*/{DATABASE}")):
        described = _described(path)
        if described and run_id in ("", described[1]):
            yield Run(path)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def _described(path: Path) -> tuple[str, str] | None:
    """Project and id of the run in a file, None where there is none."""
    try:
        with closing(_connect(path)) as database:
            row = database.execute("SELECT project, run_id FROM metadata").fetchone()
            return (row[0], row[1]) if row else None
    except sqlite3.DatabaseError:
        return None


def _nanoseconds(time: Any) -> int:
    return int(time.seconds) * 10**9 + int(time.nanos)
