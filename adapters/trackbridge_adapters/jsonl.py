"""jsonl: plain files that any tool reads. Everything is kept exactly.

A run is the folder ``<location>/<project>/<run id>``:

    metrics.jsonl     one object for each call of ``log``: {"step": 3, "time_ns": 1763870000123456789, "metrics": {"train/loss": 0.31}}
    media.jsonl       one object for each image, table, text ...: its value, or the name of its file below media/
    artifacts.jsonl   one object for each artifact, and the names of its files below artifacts/
    run.json          name, configuration, summary, tags, status, times, and how much of the other files is confirmed; replaced atomically

Numbers that JSON lacks are ``{"$": "NaN"}``, ``{"$": "Infinity"}`` and ``{"$": "-Infinity"}``; a mapping of the user's that has only the key
``$`` is written ``{"$": {"$": value}}``. Integers have no fraction and floats have one, so 1 and 1.0 stay apart.

Recovery: `write` appends to the files, so a killed process loses nothing that it wrote; `open` cuts them back to the lengths of the position.
"""

from __future__ import annotations

import errno
import math
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from trackbridge.adapters import SIDECAR_FILE, Capabilities, Place, Position, Recovery, Requirements, Sidecar, Target
from trackbridge.deviations import Deviation
from trackbridge.errors import Rejected, RunNotFound, Unavailable
from trackbridge.files import reference, replace
from trackbridge.names import Names
from trackbridge.projection import Projection
from trackbridge.records import Artifact, Config, End, FileRef, Media, Metrics, Record, RunInfo, Start, Status, Summary, Tags

LOGS = ("metrics.jsonl", "media.jsonl", "artifacts.jsonl")
FILES = Names(r"[A-Za-z0-9_. -]", mark="%", max_length=120, plain_path=True)
FOLDED = Names(r"[A-Za-z0-9_. -]", mark="%", max_length=120, plain_path=True, fold_case=True)
INLINE = ("counts", "rows", "text")
"""Formats of values that lie in media.jsonl; one that is over 1 MiB is a file of msgpack."""

PERMANENT = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG)
"""Errors of one file that waiting does not mend: its content is gone, or its path cannot be made."""

NONFINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class MetricsLine(msgspec.Struct):
    step: int | None
    time_ns: int
    metrics: dict[str, Any]


class StoredFile(msgspec.Struct):
    """A file of the run: `path` below the run's folder, "" if only its name was logged; `name` as the user sees it."""

    path: str
    name: str
    digest: str
    size: int


class MediaLine(msgspec.Struct, omit_defaults=True):
    step: int | None
    time_ns: int
    key: str
    kind: str
    format: str
    value: Any = None
    file: StoredFile | None = None
    meta: dict[str, Any] = {}


class ArtifactLine(msgspec.Struct, omit_defaults=True):
    time_ns: int
    name: str
    type: str
    files: list[StoredFile]
    uri: str = ""
    metadata: dict[str, Any] = {}


class Held(msgspec.Struct):
    """What is confirmed: for each shard the number of its records, for each file its length in bytes."""

    sequences: dict[str, int] = {}
    bytes: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys(LOGS, 0))


class Description(msgspec.Struct):
    """run.json."""

    id: str
    name: str = ""
    project: str = ""
    group: str = ""
    job_type: str = ""
    notes: str = ""
    tags: list[str] = []
    status: str = Status.RUNNING
    start_ns: int = 0
    end_ns: int | None = None
    config: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    provenance: dict[str, Any] = {}
    sidecar_sha256: str = ""
    held: Held = msgspec.field(default_factory=Held)


class JsonlWriter:
    def __init__(self, target: Target) -> None:
        self._target = target

    def open(self, run: RunInfo, position: Position | None) -> Position:
        self._run = run
        project = FILES.encode(self._target.project or run.project or "default")
        self._folder = Path(self._target.location) / project / FOLDED.encode(run.id)
        with reachable(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            about = description(self._folder)
            self._about = about or Description(run.id)
            self._held = self._confirmed(position) if about else Held()  # without its configuration everything is asked for again
            self._files = {name: open(self._folder / name, "ab", buffering=0) for name in LOGS}  # noqa: SIM115
            self._cut()
            self._artifacts = sum(1 for _ in lines(self._folder / "artifacts.jsonl"))
        about = self._about
        about.name, about.project, about.group, about.job_type, about.notes = run.name, run.project, run.group, run.job_type, run.notes
        about.tags, about.start_ns, about.provenance = list(run.tags) or about.tags, run.start, to_json(run.provenance)
        about.status, about.end_ns = Status.RUNNING, None
        return self.flush()

    def write(self, batch: Sequence[Record]) -> Sequence[Deviation]:
        out: dict[str, list[bytes]] = {name: [] for name in LOGS}
        artifacts = self._artifacts
        changes: list[tuple[str, dict[str, Any]]] = []
        for index, record in enumerate(batch):
            event = record.event
            try:
                if isinstance(event, Metrics):
                    values = {key: scalar(value) for key, value in event.values.items()}
                    out["metrics.jsonl"].append(encode(MetricsLine(event.step, event.time, values)))
                elif isinstance(event, Media):
                    out["media.jsonl"].append(encode(self._media(event)))
                elif isinstance(event, Artifact):
                    out["artifacts.jsonl"].append(encode(self._artifact(event, artifacts)))
                    artifacts += 1
                elif isinstance(event, Config | Summary):
                    changes.append(("config" if isinstance(event, Config) else "summary", to_json(event.values)))
                elif isinstance(event, Tags):
                    changes.append(("tags", {"tags": list(event.values)}))
            except (TypeError, ValueError, LookupError) as error:  # nothing of the batch is written yet
                raise Rejected(f"{type(error).__name__}: {error}", index) from error
            except OSError as error:
                if error.errno in PERMANENT:
                    raise Rejected(str(error), index) from error
                raise Unavailable(str(error)) from error
        self._append({name: b"".join(found) for name, found in out.items()})
        for part, values in changes:
            if part == "tags":
                self._about.tags = values["tags"]
            else:
                getattr(self._about, part).update(values)
        self._held.sequences = Position(self._held.sequences).advanced(batch).sequences
        self._artifacts = artifacts
        return []

    def flush(self) -> Position:
        self._about.held = self._held
        with reachable(self._folder):
            replace(self._folder / "run.json", msgspec.json.format(encode(self._about), indent=1), sync=False)
        return Position(dict(self._held.sequences), {"bytes": dict(self._held.bytes)})

    def attach(self, sidecar: bytes, digest: str) -> None:
        with reachable(self._folder):
            (self._folder / SIDECAR_FILE).parent.mkdir(exist_ok=True)
            replace(self._folder / SIDECAR_FILE, sidecar, sync=False)
        self._about.sidecar_sha256 = digest
        self.flush()

    def close(self, status: str, end: int) -> None:
        self._about.status, self._about.end_ns = status, end
        self.flush()
        for file in self._files.values():
            file.close()

    def place(self) -> Place:
        return Place(self._run.id, str(self._folder))

    def _confirmed(self, position: Position | None) -> Held:
        """What of the files is kept: up to `position`, or without one up to what run.json says; nothing if they are shorter."""
        if position is not None and "bytes" in position.token:
            held = Held(dict(position.sequences), dict(position.token["bytes"]))
            if self._long_enough(held):
                return held
        held = self._about.held
        return held if self._long_enough(held) else Held()

    def _long_enough(self, held: Held) -> bool:
        paths = {self._folder / name: length for name, length in held.bytes.items()}
        return all(length == 0 or (path.exists() and path.stat().st_size >= length) for path, length in paths.items())

    def _append(self, data: dict[str, bytes]) -> None:
        with reachable(self._folder):
            try:
                for name, content in data.items():
                    rest = memoryview(content)
                    while rest:
                        rest = rest[self._files[name].write(rest) :]
            except OSError:  # a full disk: as if nothing had been written
                self._cut()
                raise
        self._held.bytes = {name: length + len(data[name]) for name, length in self._held.bytes.items()}

    def _cut(self) -> None:
        for name, length in self._held.bytes.items():
            self._files[name].truncate(length)

    def _media(self, event: Media) -> MediaLine:
        stored = None
        if event.file is not None:
            step = "" if event.step is None else f"{event.step}-"
            suffix = "msgpack" if event.format in INLINE else event.format or "bin"
            stored = self._store(event.file, f"media/{FILES.encode(event.key)}/{FILES.encode(f'{step}{event.file.digest[:16]}.{suffix}')}")
        value, meta = to_json(event.inline), to_json(event.meta)
        return MediaLine(event.step, event.time, event.key, event.kind, event.format, value, stored, meta)

    def _artifact(self, event: Artifact, number: int) -> ArtifactLine:
        """Each logging of an artifact has a folder of its own, so that no later one changes what an earlier one holds."""
        files: list[StoredFile] = []
        taken: set[str] = set()
        for file in event.files:
            parts = file.path.split("/")
            path = "/".join(map(FILES.encode, parts))
            if path.casefold() in taken:
                path = "/".join(map(FOLDED.encode, parts))
            taken.add(path.casefold())
            files.append(self._store(file, f"artifacts/{FILES.encode(event.name)}/{number}/{path}"))
        return ArtifactLine(event.time, event.name, event.type, files, event.uri, to_json(event.metadata))

    def _store(self, file: FileRef, path: str) -> StoredFile:
        """Copy the content of `file` to `path` below the run's folder. A file by reference is only named."""
        if not file.digest:
            return StoredFile("", file.path, "", file.size)
        target = self._folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = target.parent / f".{file.digest[:16]}.part"
        shutil.copyfile(self._run.content(file), scratch)
        os.replace(scratch, target)
        return StoredFile(path, file.path, file.digest, file.size)


class JsonlReader:
    def __init__(self, target: Target) -> None:
        self._root = Path(target.location)
        self._project = FILES.encode(target.project) if target.project else "*"

    def runs(self) -> Iterator[RunInfo]:
        for path in sorted(self._root.glob(f"{self._project}/*/run.json")):
            about = description(path.parent)
            if about is not None:
                yield RunInfo(
                    id=about.id,
                    name=about.name,
                    project=about.project,
                    group=about.group,
                    job_type=about.job_type,
                    notes=about.notes,
                    tags=tuple(about.tags),
                    status=about.status,
                    start=about.start_ns,
                    end=about.end_ns,
                    provenance=from_json(about.provenance),
                )

    def read(self, run_id: str) -> Iterator[Record]:
        folder, about = self._find(run_id)
        return (Record("native", number, event) for number, event in enumerate(self._events(folder, about)))

    def sidecar(self, run_id: str) -> tuple[bytes, str] | None:
        folder, about = self._find(run_id)
        path = folder / SIDECAR_FILE
        return (path.read_bytes(), about.sidecar_sha256) if path.exists() else None

    def _find(self, run_id: str) -> tuple[Path, Description]:
        for path in self._root.glob(f"{self._project}/{FOLDED.encode(run_id)}/run.json"):
            about = description(path.parent)
            if about is not None:
                return path.parent, about
        raise RunNotFound(f"no run {run_id} in {self._root}")

    def _events(self, folder: Path, about: Description) -> Iterator[Any]:
        start = about.start_ns
        yield Start(start, about.id, about.project, about.name, about.group, about.job_type, about.notes)
        if about.config:
            yield Config(start, from_json(about.config))
        metrics = msgspec.json.Decoder(MetricsLine)
        for call, line in enumerate(lines(folder / "metrics.jsonl")):
            row = metrics.decode(line)
            yield Metrics(row.time_ns, call, row.step, {key: from_json(value) for key, value in row.metrics.items()})
        for call, line in enumerate(lines(folder / "media.jsonl")):
            item = msgspec.json.decode(line, type=MediaLine)
            file = None if item.file is None else digested(folder, item.file)
            value, meta = from_json(item.value), from_json(item.meta)
            yield Media(item.time_ns, call, item.step, item.key, item.kind, item.format, value, file, meta)
        for line in lines(folder / "artifacts.jsonl"):
            artifact = msgspec.json.decode(line, type=ArtifactLine)
            files = [digested(folder, file) for file in artifact.files]
            yield Artifact(artifact.time_ns, artifact.name, artifact.type, files, artifact.uri, from_json(artifact.metadata))
        yield Tags(start, about.tags)
        if about.summary:
            yield Summary(start, from_json(about.summary))
        if about.end_ns is not None:
            yield End(about.end_ns, about.status)


class JsonlAdapter:
    name: ClassVar[str] = "jsonl"
    requires: ClassVar[Requirements] = Requirements(extra="jsonl", distributions=("tenacity>=9",))

    def resolve(self, target: Target, base: Path) -> Target:
        return target.in_folder(base, "jsonl-runs")

    def capabilities(self, target: Target, client_version: str = "") -> Capabilities:
        return Capabilities("files", Projection(), Names(r"(?s:.)"), Recovery.TRUNCATE, Sidecar.BESIDE)

    def writer(self, target: Target) -> JsonlWriter:
        return JsonlWriter(target)

    def reader(self, target: Target) -> JsonlReader:
        return JsonlReader(target)

    def ui(self, target: Target) -> list[str]:
        return []


def scalar(value: Any) -> Any:
    """A metric's value as JSON holds it. Raises TypeError for what is no scalar."""
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else to_json(value)
    if kind is int or kind is str or kind is bool or value is None:
        return value
    raise TypeError(f"{kind.__name__} is no scalar")


def to_json(value: Any) -> Any:
    """`value` with nothing in it that JSON lacks."""
    if isinstance(value, dict):
        found = {key: to_json(item) for key, item in value.items()}
        return {"$": found} if found.keys() == {"$"} else found
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    if type(value) is float and not math.isfinite(value):
        return {"$": "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    return scalar(value)


def from_json(value: Any) -> Any:
    """The inverse of :func:`to_json`."""
    if isinstance(value, dict):
        if value.keys() == {"$"}:
            return NONFINITE[value["$"]] if isinstance(value["$"], str) else {"$": from_json(value["$"]["$"])}
        return {key: from_json(item) for key, item in value.items()}
    return [from_json(item) for item in value] if isinstance(value, list) else value


def encode(line: msgspec.Struct) -> bytes:
    return msgspec.json.encode(line) + b"\n"


def lines(path: Path) -> Iterator[bytes]:
    """The whole lines of a file; what follows the last line break is not yet written."""
    if path.exists():
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line


def description(folder: Path) -> Description | None:
    """What run.json says; None when there is none, or a power cut left it empty."""
    try:
        return msgspec.json.decode((folder / "run.json").read_bytes(), type=Description)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def digested(folder: Path, file: StoredFile) -> FileRef:
    """A reference with the digest of the bytes that are there ("" if there are none, or the path leaves the run's folder)."""
    path = (folder / file.path).resolve()
    if not file.path or not path.is_relative_to(folder.resolve()) or not path.is_file():
        return FileRef(file.name, "", file.size)
    return reference(path, file.name)


@contextmanager
def reachable(folder: Path) -> Iterator[None]:
    """What the file system refuses now (a full disk, a folder that is read-only) it may take later."""
    try:
        yield
    except OSError as error:
        raise Unavailable(f"cannot write to {folder}: {error.strerror or error}") from error


adapter = JsonlAdapter()
