"""memory: holds Records as they are. The reference implementation, and the shortest correct adapter.

It keeps everything exactly. A run is an entry of :data:`RUNS`; so that another process can read it, `flush` also writes it to
``<location>/<run id>.msgpack``, and contents go to ``<location>/files/<sha256>``. For tests: each flush writes the whole run.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import msgspec

from trackbridge import records
from trackbridge.adapters import Capabilities, Place, Position, Recovery, Requirements, Sidecar, Target
from trackbridge.deviations import Deviation
from trackbridge.errors import Rejected, RunNotFound
from trackbridge.names import Names
from trackbridge.projection import Projection
from trackbridge.records import Artifact, FileRef, Media, Record, RunInfo, Tags


class Held(msgspec.Struct):
    """One run. `rows` are (shard, sequence, payload of one event)."""

    info: RunInfo
    rows: list[tuple[str, int, bytes]] = []
    sidecar: bytes | None = None
    digest: str = ""


RUNS: dict[Path, Held] = {}
FILES = Names(r"[\w.-]", mark="%", max_length=200, measure=lambda name: len(name.encode()), plain_path=True)


class MemoryWriter:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def open(self, run: RunInfo, position: Position | None) -> Position:
        (self._folder / "files").mkdir(parents=True, exist_ok=True)
        self._path = path(self._folder, run.id)
        self._source = run
        self._held = load(self._path) or Held(run)
        self._held.info = msgspec.structs.replace(run, directory=None, tags=self._held.info.tags)
        return self.flush()

    def write(self, batch: Sequence[Record]) -> Sequence[Deviation]:
        rows = []
        for index, record in enumerate(batch):
            event = record.event
            if isinstance(event, Media | Artifact):
                self._copy(event, index)
            if isinstance(event, Tags):
                self._held.info = msgspec.structs.replace(self._held.info, tags=tuple(event.values))
            try:
                rows.append((record.shard, record.sequence, records.encode([event])))
            except TypeError as error:
                raise Rejected(str(error), index) from error
        self._held.rows.extend(rows)
        return []

    def flush(self) -> Position:
        RUNS[self._path] = self._held
        scratch = self._path.with_suffix(".tmp")
        scratch.write_bytes(msgspec.msgpack.encode(self._held))
        scratch.replace(self._path)
        sequences: dict[str, int] = {}
        for shard, sequence, _ in self._held.rows:
            sequences[shard] = max(sequences.get(shard, 0), sequence + 1)
        return Position(sequences)

    def attach(self, sidecar: bytes, digest: str) -> None:
        self._held.sidecar, self._held.digest = sidecar, digest
        self.flush()

    def close(self, status: str, end: int) -> None:
        self._held.info = msgspec.structs.replace(self._held.info, status=status, end=end)
        self.flush()

    def place(self) -> Place:
        return Place(self._source.id, str(self._path))

    def _copy(self, event: Media | Artifact, index: int) -> None:
        for file in event.files if isinstance(event, Artifact) else [event.file]:
            if file is not None and file.digest:
                try:
                    shutil.copyfile(self._source.content(file), self._folder / "files" / file.digest)
                except (OSError, LookupError) as error:
                    raise Rejected(f"{file.path}: {error}", index) from error


class MemoryReader:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def runs(self) -> Iterator[RunInfo]:
        for file in sorted(self._folder.glob("*.msgpack")):
            yield self._get(file).info

    def read(self, run_id: str) -> Iterator[Record]:
        for shard, sequence, payload in self._get(path(self._folder, run_id)).rows:
            event = records.decode(payload)[0]
            if isinstance(event, Media) and event.file is not None:
                event = msgspec.structs.replace(event, file=self._digested(event.file))
            elif isinstance(event, Artifact):
                event = msgspec.structs.replace(event, files=[self._digested(file) for file in event.files])
            yield Record(shard, sequence, event)

    def sidecar(self, run_id: str) -> tuple[bytes, str] | None:
        held = self._get(path(self._folder, run_id))
        return None if held.sidecar is None else (held.sidecar, held.digest)

    def _get(self, file: Path) -> Held:
        held = RUNS.get(file) or load(file)
        if held is None:
            raise RunNotFound(f"no run {file.stem} in {file.parent}")
        return held

    def _digested(self, file: FileRef) -> FileRef:
        """`file` with the digest of what is held, not of what was promised."""
        if not file.digest:
            return file
        return msgspec.structs.replace(file, digest=hashlib.sha256((self._folder / "files" / file.digest).read_bytes()).hexdigest())


class MemoryAdapter:
    name: ClassVar[str] = "memory"
    requires: ClassVar[Requirements] = Requirements(extra="forward", distributions=())

    def resolve(self, target: Target, base: Path) -> Target:
        return target.in_folder(base, "memory-runs")

    def capabilities(self, target: Target, client_version: str = "") -> Capabilities:
        return Capabilities("memory", Projection(), Names(r"(?s:.)"), Recovery.APPEND, Sidecar.STORED)

    def writer(self, target: Target) -> MemoryWriter:
        return MemoryWriter(Path(target.location))

    def reader(self, target: Target) -> MemoryReader:
        return MemoryReader(Path(target.location))

    def ui(self, target: Target) -> list[str]:
        return []


def path(folder: Path, run_id: str) -> Path:
    return folder / f"{FILES.encode(run_id)}.msgpack"


def load(file: Path) -> Held | None:
    return msgspec.msgpack.decode(file.read_bytes(), type=Held) if file.exists() else None


adapter = MemoryAdapter()
