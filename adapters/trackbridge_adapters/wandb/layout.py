"""The form of a run on disk: its folders, and the vendor's log.

The log: a header of 7 bytes, then blocks of 32 KiB with chunks of ``crc32, length, type``; a record is one chunk or several, and a protobuf
message. The vendor ships no reader for it.
"""

from __future__ import annotations

import contextlib
import json
import struct
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trackbridge.records import RunInfo, Status
from trackbridge_adapters.wandb.projection import KEYS, PROJECTS

MARK = "_trackbridge"
"""Hidden column: JSON ``[shard, sequence]`` of the record that a row stands for, or that all up to it are held. A row without one stands for
the record after that of the row before."""

OWN = "trackbridge/"
"""Begin of the names under which configuration, summary and rows hold what is not the user's."""

SIDECAR = OWN + "sidecar"
EXIT_CODES = {0: Status.FINISHED, 1: Status.FAILED, 255: Status.CRASHED}

UPLOADED = "trackbridge.uploaded"
"""File beside the log of a run that was online, which tells that the client has uploaded all."""

GIVEN_UP = ("filestream: fatal error", "runfiles: CreateRunFiles returned error")

FULL, FIRST, MIDDLE, LAST = range(1, 5)
START, BLOCK = 7, 1 << 15
HEAD = struct.Struct("<IHB")


class Log:
    """Reads a log that is being written; each call goes on where the last one ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = START
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
        start = max(START, (self.size() - tail) // BLOCK * BLOCK)
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
    """One row of the history. `mark` is [] where it follows from the row before, and in a run that others wrote."""

    mark: list[Any]
    values: dict[str, Any]


def entries(path: Path, rows: bool = True) -> Iterator[Row | Any]:
    """The rows of a log, and its other records as protobuf messages. `rows`: also what each call of ``log`` wrote, nearly all of a log."""
    from wandb.proto.wandb_internal_pb2 import Record

    for payload in Log(path).new():
        if not rows and _is_row(payload):
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
        yield Row(json.loads(values.pop(MARK, "[]")), values)


def _is_row(payload: bytes) -> bool:
    """Whether the field after the record's number, a varint, is history (2) or the summary that follows from it (3)."""
    place = 1
    while payload[place : place + 1] >= b"\x80":
        place += 1
    return payload[:1] == b"\x08" and payload[place + 1 : place + 2] in (b"\x12", b"\x1a")


def rows_until(logs: Sequence[Path], last: dict[str, Any] | None) -> list[int]:
    """How many rows of each of these logs of one run come before the end of `last`, a line of the server; none where it is not among them."""
    counts, until = [0] * len(logs), [0] * len(logs)
    if last is None:
        return until
    for place, log in enumerate(logs):
        for row in (entry for entry in entries(log) if isinstance(entry, Row)):
            counts[place] += 1
            if all(row.values.get(name) == last.get(name) for name in ("_step", "_timestamp")):
                until = list(counts)
    return until


@contextlib.contextmanager
def rest(log: Path, count: int) -> Iterator[Path]:
    """`log` without its first `count` rows: a log in a folder of its own, where ``wandb sync`` of the run does not find it, with the run's files. When
    the block ends, it is noted whether the client has uploaded that one."""
    if not count:
        yield log
        return
    with tempfile.TemporaryDirectory(prefix="rest-", dir=log.parent) as folder:
        part = Path(folder, log.name)
        Path(folder, "files").symlink_to(log.parent / "files")
        _copy(log, part, count)
        try:
            yield part
        finally:
            if is_uploaded(part):
                (log.parent / UPLOADED).touch()


def _copy(log: Path, to: Path, count: int) -> None:
    """Write the records of `log` to another log, without the first `count` rows."""
    from wandb.proto.wandb_internal_pb2 import Record

    with log.open("rb") as file:
        made = bytearray(file.read(START))
    for payload in Log(log).new():
        if count and _is_row(payload) and Record.FromString(payload).WhichOneof("record_type") == "history":
            count -= 1
            continue
        left, first = memoryview(payload), True
        while first or left:
            space = BLOCK - len(made) % BLOCK - HEAD.size
            if space < 0:
                made += bytes(space + HEAD.size)
                continue
            part, left = left[:space], left[space:]
            kind = (FIRST if first else MIDDLE) if left else (FULL if first else LAST)
            made += HEAD.pack(zlib.crc32(part, zlib.crc32(bytes([kind]))), len(part), kind) + part
            first = False
    to.write_bytes(made)


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
    def run_id(self) -> str:
        return self.log.stem.removeprefix("run-")

    @property
    def files(self) -> Path:
        return self.log.parent / "files"

    @property
    def artifacts(self) -> Path:
        """The contents of artifacts by digest. The client would leave them outside of the run's folder."""
        return self.log.parent / "artifacts"

    def has_rows(self) -> bool:
        return any(isinstance(entry, Row) for entry in entries(self.log))

    def given_up(self) -> str:
        """What the client could not upload and does not try again, or "": it tells this in its own log alone, and goes on as if all were well."""
        try:
            lines = (self.log.parent / "logs" / "debug-internal.log").read_bytes().splitlines()
        except OSError:
            return ""
        said = [str(json.loads(line)["msg"]) for line in lines if b'"level":"ERROR' in line]
        return next((message for message in said if message.startswith(GIVEN_UP)), "")


def is_uploaded(log: Path) -> bool:
    """Whether the server has all of a log: by our note where the client ended well, or by the mark of ``wandb sync``."""
    return (log.parent / UPLOADED).exists() or log.with_name(log.name + ".synced").exists()


def fragments(folder: Path, run_id: str = "") -> list[Fragment]:
    """The fragments below `folder` in the order in which they were begun; of one run, if its id is given."""
    found = [Fragment(log) for name in ("wandb", ".wandb") for log in folder.glob(f"{name}/*run-*/run-*.wandb")]
    found = [fragment for fragment in found if not run_id or fragment.run_id == run_id]
    return sorted(found, key=lambda fragment: fragment.log.parent.name.removeprefix("offline-"))


@dataclass
class Held:
    """What the fragments of a run hold besides rows. The last record of a kind stands, and the last value of a key.

    Args:
        next: the next sequence of each shard.
        config, summary: by the names that W&B has. The summary is what is shown, with the last value of each metric.
        explicit: what was set in the summary, also where a metric of that key replaced it.
        first, run, exit: the records of these names; `exit` of the last fragment.
        last: shard and sequence of the row before, in the same fragment.
    """

    next: dict[str, int] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    explicit: dict[str, Any] = field(default_factory=dict)
    first: Any = None
    run: Any = None
    exit: Any = None
    last: tuple[str, int] | None = None

    def see(self, entry: Row | Any) -> bool:
        """False for a row that was seen before."""
        if isinstance(entry, Row):
            if entry.mark:
                shard, sequence = entry.mark
            elif self.last is not None:
                shard, sequence = self.last[0], self.last[1] + 1
            else:  # written by others
                return True
            self.last = shard, sequence
            following = self.next.get(shard, 0)
            self.next[shard] = max(following, sequence + 1)
            return bool(sequence >= following)
        kind = entry.WhichOneof("record_type")
        if kind == "header":
            self.exit = self.last = None
        elif kind == "run":
            self.first, self.run = self.first or entry.run, entry.run
            self._configured(entry.run.config)
        elif kind == "config":
            self._configured(entry.config)
        elif kind == "summary":
            self._summarized(entry.summary)
        elif kind == "exit":
            self.exit = entry.exit
        return True

    def _configured(self, config: Any) -> None:
        self.config |= {item.key: json.loads(item.value_json) for item in config.update if item.key != "_wandb"}

    def _summarized(self, summary: Any) -> None:
        """What is set has a plain key, what follows from a row a path of one key or more."""
        for item in summary.update:
            name, *below = item.nested_key or [item.key]
            self.summary[name] = None if below else json.loads(item.value_json)
            if not item.nested_key and name[:1] != "_":
                self.explicit[name] = self.summary[name]

    def values(self, name: str) -> dict[str, Any]:
        """Of ``config`` or ``summary`` what the user set."""
        held = self.config if name == "config" else {key: self.summary[key] for key in self.explicit}
        return {KEYS.decode(key): value for key, value in held.items() if not key.startswith(OWN)}

    def info(self) -> RunInfo | None:
        """The run's description."""
        run = self.run
        if run is None:
            return None
        text = {"name": run.display_name, "project": PROJECTS.decode(run.project), "group": run.run_group, "job_type": run.job_type}
        start = self.first.start_time.ToNanoseconds()
        status, end = Status.CRASHED, None
        if self.exit is not None:
            status = EXIT_CODES.get(self.exit.exit_code, Status.FAILED)
            end = run.start_time.ToNanoseconds() + self.exit.runtime * 10**9
        return RunInfo(
            id=run.run_id,
            notes=run.notes,
            tags=tuple(run.tags),
            status=status,
            start=start,
            end=end,
            **{key: self.config.get(OWN + key, value) for key, value in text.items()},
        )


def held(parts: Iterable[Fragment], rows: bool = True) -> Held:
    result = Held()
    for fragment in parts:
        for entry in entries(fragment.log, rows):
            result.see(entry)
    return result
