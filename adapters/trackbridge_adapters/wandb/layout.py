"""The form of a run on disk: its folders, the vendor's log, and the hidden columns in which a row says what it is.

The log: a header of 7 bytes, then blocks of 32 KiB with chunks of ``crc32, length, type``; a record is one chunk or several, and a protobuf
message. The vendor ships no reader for it.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from trackbridge import projection, records
from trackbridge.files import safe_name
from trackbridge.names import Names
from trackbridge.records import AnyEvent, Metrics, RunInfo, Status

MARK = "_trackbridge"
"""Column of every row: JSON ``[shard, sequence, ordinal, call, step, nanoseconds, {key: integer beyond 64 bits}]``."""

RECORD = "_trackbridge_record"
"""Column of the rows that are no call of ``log``: JSON with the record's msgpack form as base64, and notes."""

STEP = "trackbridge/step"
"""Column that the charts use as their axis."""

KEYS = Names(r"[\s\S]", mark="·", reserved="_|trackbridge/")  # the client drops an empty key and keeps `_...` for itself
MEDIA = Names(
    r"[\w ,=+@()/.-]", "·", 120, lambda name: len(name.encode()), plain_path=True, reserved="_|trackbridge/"
)  # part of a file name
IDS = Names(r"[A-Za-z0-9_.-]", mark="~", max_length=64)  # without :;,#?/' and what a folder's name must not hold
PROJECTS = Names(r"[^/\\#?%:\x00-\x1f]", mark="~", max_length=128)
FILES = Path("trackbridge", "files")  # in the run's folder: contents that the client has no place for, by digest

ARTIFACTS = Names(r"[\w ,=+@().-]", "·", 100, lambda name: len(name.encode()), plain_path=True)
NATIVE = ("image", "figure", "audio", "video")  # kinds of media whose bytes the client keeps as they are

FULL, FIRST, MIDDLE, LAST = range(1, 5)
BLOCK = 1 << 15
HEAD = struct.Struct("<IHB")


class Log:
    """Reads a log that is being written; each call goes on where the last one ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 7
        self._parts: list[bytes] = []

    def new(self) -> Iterator[bytes]:
        """The records that are whole by now. A torn or damaged chunk ends the log until it is whole."""
        data = self._read(self._offset)
        for after, kind, crc, begin, end in _chunks(data, self._offset):
            part = data[begin:end]
            if zlib.crc32(part, zlib.crc32(bytes([kind]))) != crc:
                return
            if kind in (FULL, FIRST):
                self._parts = []
            self._parts.append(part)
            self._offset = after
            if kind in (FULL, LAST):
                yield b"".join(self._parts)

    def holds(self, text: bytes, tail: int = 2 * BLOCK) -> bool:
        """Whether a whole record in the last `tail` bytes holds `text`. Reads no more than these, from the begin of a block."""
        start = max(7, (self.size() - tail) // BLOCK * BLOCK)
        data = self._read(start)
        parts: list[bytes] = []
        whole = 0
        for _, kind, _, begin, end in _chunks(data, start):
            parts.append(data[begin:end])
            if kind in (FULL, LAST):
                whole = len(parts)
        return text in b"".join(parts[:whole])

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def _read(self, start: int) -> bytes:
        try:
            with self.path.open("rb") as file:
                file.seek(start)
                return file.read()
        except FileNotFoundError:
            return b""


def _chunks(data: bytes, base: int) -> Iterator[tuple[int, int, int, int, int]]:
    """(offset after it, kind, checksum, begin, end) of the whole chunks of `data`, which begins at the offset `base`."""
    position, size = 0, len(data)
    while True:
        left = BLOCK - (base + position) % BLOCK
        if left < 7:
            position += left
        elif position + 7 > size:
            return
        else:
            crc, length, kind = HEAD.unpack_from(data, position)
            begin, position = position + 7, position + 7 + length
            if not FULL <= kind <= LAST or position > size:
                return
            yield base + position, kind, crc, begin, position


@dataclass
class Row:
    """One row of the history. `mark` and `note` are [] and {} in a run that others wrote."""

    mark: list[Any]
    note: dict[str, Any]
    values: dict[str, Any]

    @property
    def event(self) -> AnyEvent:
        """The record that the row stands for, without looking at files."""
        if self.note:
            return records.decode(base64.b64decode(self.note["event"]))[0]
        exact = {key: int(digits) for key, digits in self.mark[6].items()} if len(self.mark) > 6 else {}
        values = {KEYS.decode(name): value for name, value in self.values.items() if name[:1] != "_" and name != STEP}
        return Metrics(self.mark[5], self.mark[3], self.mark[4], values | exact)


def rows(path: Path, only_notes: bool = False) -> Iterator[Row | Any]:
    """The rows of a log, and its other records as protobuf messages. `only_notes`: without the calls of ``log``."""
    from wandb.proto.wandb_internal_pb2 import Record

    for payload in Log(path).new():
        if only_notes and len(payload) > 200 and RECORD.encode() not in payload and MARK.encode() in payload:
            continue
        record = Record.FromString(payload)
        if record.WhichOneof("record_type") != "history":
            yield record
            continue
        values: dict[str, Any] = {}
        for item in record.history.item:
            name, *below = item.nested_key or [item.key]
            if below:  # a value of the client's own, such as an image
                values.setdefault(name, {})["/".join(below)] = _value(item)
            else:
                values[name] = _value(item)
        mark, note = values.pop(MARK, None), values.pop(RECORD, None)
        yield Row(json.loads(mark) if mark else [], json.loads(note) if note else {}, values)


def is_exit(payload: bytes) -> bool:
    """Whether a record says that the run ended."""
    from wandb.proto.wandb_internal_pb2 import Record

    return len(payload) < 200 and Record.FromString(payload).WhichOneof("record_type") == "exit"


def _value(item: Any) -> Any:
    kind = item.WhichOneof("value")
    if kind is None or kind == "json":
        return json.loads(item.json if kind else item.value_json)
    return None if kind == "none" else getattr(item, kind)


@dataclass
class Fragment:
    """What one process wrote of a run: a folder with a log."""

    log: Path

    @property
    def wandb_id(self) -> str:
        return self.log.stem.removeprefix("run-")

    @property
    def files(self) -> Path:
        return self.log.parent / "files"


def fragments(folder: Path, wandb_id: str = "") -> list[Fragment]:
    """The fragments below `folder` in the order in which they were begun; of one run, if its id is given."""
    found = [Fragment(log) for name in ("wandb", ".wandb") for log in folder.glob(f"{name}/*run-*/run-*.wandb")]
    found = [fragment for fragment in found if not wandb_id or fragment.wandb_id == wandb_id]
    return sorted(found, key=lambda fragment: fragment.log.parent.name.removeprefix("offline-"))


@dataclass
class Held:
    """What the fragments of a run hold: the next sequence of each shard, and the last description."""

    next: dict[str, int] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    tags: list[str] | None = None
    info: RunInfo | None = None
    digests: dict[str, str] = field(default_factory=dict)  # by folder

    def see(self, row: Row, fragment: Fragment) -> None:
        if row.mark and row.mark[0]:
            self.next[row.mark[0]] = max(self.next.get(row.mark[0], 0), row.mark[1] + 1)
        if not row.note:
            return
        if "sidecar" in row.note:
            self.digests[str(fragment.log.parent)] = row.note["sidecar"]
            return
        event = row.event
        if isinstance(event, records.Start):
            fields = {name: getattr(event, name) for name in ("name", "project", "group", "job_type", "notes", "provenance")}
            self.info = RunInfo(id=event.run_id, start=event.time, status=row.note["status"], end=row.note.get("end"), **fields)
            self.info = msgspec.structs.replace(self.info, tags=tuple(row.note["tags"]))
        elif isinstance(event, records.Config):
            self.config.update(event.values)
        elif isinstance(event, records.Tags):
            self.tags = event.values

    def described(self) -> RunInfo | None:
        return self.info if self.info is None or self.tags is None else msgspec.structs.replace(self.info, tags=tuple(self.tags))


def held(parts: Iterable[Fragment], only_notes: bool = False) -> Held:
    result = Held()
    for fragment in parts:
        for row in rows(fragment.log, only_notes):
            if isinstance(row, Row):
                result.see(row, fragment)
    return result


def foreign(fragment: Fragment) -> RunInfo | None:
    """The description of a run that others wrote."""
    info: RunInfo | None = None
    for record in rows(fragment.log):
        if isinstance(record, Row):
            continue
        kind = record.WhichOneof("record_type")
        if kind == "run" and info is None:
            run = record.run
            start = run.start_time.seconds * 10**9 + run.start_time.nanos
            text = {"name": run.display_name, "project": run.project, "group": run.run_group, "job_type": run.job_type, "notes": run.notes}
            info = RunInfo(id=run.run_id, tags=tuple(run.tags), start=start, status=Status.CRASHED, **text)
        elif kind == "exit" and info is not None:
            status = Status.FAILED if record.exit.exit_code else Status.FINISHED
            info = msgspec.structs.replace(info, status=status, end=info.start + record.exit.runtime * 10**9)
    return info


def foreign_events(parts: Iterable[Fragment]) -> Iterator[AnyEvent]:
    """Configuration and scalars of a run that others wrote."""
    number = 0
    for fragment in parts:
        for record in rows(fragment.log):
            if isinstance(record, Row):
                time = projection.nanoseconds(record.values.get("_timestamp", 0.0))
                values = {key: value for key, value in record.values.items() if key[:1] != "_" and not isinstance(value, dict | list)}
                yield Metrics(time, number, record.values.get("_step"), values)
                number += 1
            elif record.WhichOneof("record_type") in ("run", "config"):
                updates = record.run.config.update if record.HasField("run") else record.config.update
                values = {update.key: json.loads(update.value_json) for update in updates if update.key != "_wandb"}
                yield records.Config(0, values)


def artifact(name: str, path: str) -> Path:
    """Where a file of an artifact lies in the run's folder."""
    return Path("artifacts", ARTIFACTS.encode(name), safe_name(path))


def start(run: RunInfo) -> records.Start:
    return records.Start(run.start, run.id, run.project, run.name, run.group, run.job_type, run.notes, provenance=run.provenance)
