"""Reads a run's journal, live or at rest, without ever changing it."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from trackbridge import host
from trackbridge.errors import JournalError, RunNotFound
from trackbridge.journal import blocks
from trackbridge.journal.writer import refused
from trackbridge.records import End, Record, RunInfo, Start, Status, Tags

SEGMENT_NAME = re.compile(r"(?P<shard>.+)-(?P<segment>\d{6,})\.tbj")
CHUNK = 4 * 1024 * 1024
_TAIL = 64 * 1024
SILENT_SECONDS = 60.0
"""A shard of another machine whose file was not touched for this long is over: a live writer writes a heartbeat every 10 s."""


class Damage(msgspec.Struct, frozen=True):
    """Bytes of a segment that no reader can use. `torn`: they are the begin of a block at the end of the file, which a process that was killed
    was writing: the call had not returned, so nothing that was accepted is lost."""

    path: str
    offset: int
    length: int
    torn: bool = False


@dataclass
class ShardReader:
    """The records of one shard, in order. `sequence`: the first that is wanted; it moves on as records are read."""

    directory: Path
    shard: str
    sequence: int = 0
    damage: list[Damage] = field(default_factory=list)
    missing: int = 0  # records that were accepted and are in no readable block
    start: Start | None = None
    end: End | None = None
    _segment: int | None = None
    _offset: int = 0
    _next: int = 0  # sequence of the block that comes next in the file, unless some are missing

    def read(self, *, over: bool, limit: int = CHUNK) -> list[Record]:
        """The next records, from at most about `limit` bytes; [] when there are none now.

        Args:
            over: nothing more will be appended: an incomplete or damaged place is damage, not a reason to wait.
        """
        while True:
            path = self._path()
            if path is None:
                return []
            following = self._following()
            settled = over or following is not None
            found = self._read_segment(path, settled, limit)
            if not found and not settled and self._offset < path.stat().st_size and self._has_ended():
                found = self._read_segment(path, True, limit)  # a damaged place before the end record: nothing more will come
            if found or following is None or self._offset < path.stat().st_size:
                return found
            self._segment, self._offset = following, 0

    def _segments(self) -> list[int]:
        numbers = []
        for name in os.listdir(self.directory):
            match = SEGMENT_NAME.fullmatch(name)
            if match and match["shard"] == self.shard:
                numbers.append(int(match["segment"]))
        return sorted(numbers)

    def _path(self) -> Path | None:
        if self._segment is None:
            segments = self._segments()
            if not segments:
                return None
            self._segment = segments[0]
        return self._path_of(self._segment)

    def _path_of(self, segment: int) -> Path:
        return self.directory / f"{self.shard}-{segment:06d}.tbj"

    def _later(self) -> Iterator[int]:
        """The segments after this one, without those that hold no record: they may never be used."""
        assert self._segment is not None
        current = self._segment
        return (number for number in self._segments() if number > current and self._has_records(number))

    def _following(self) -> int | None:
        """The first of the later segments."""
        return next(self._later(), None)

    def _has_records(self, segment: int) -> bool:
        path = self._path_of(segment)
        with path.open("rb") as file:
            return path.stat().st_size > blocks.needed(file.read(blocks.HEADER.size), 0)

    def _has_ended(self) -> bool:
        """Whether the last whole block of the shard holds its end record, although the reader has not come to it."""
        assert self._segment is not None
        path = self._path_of(max(self._later(), default=self._segment))
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL))
            found = list(blocks.scan(file.read()))
        records = (blocks.read_records(found[-1], self.shard, 0) if found else None) or []
        return any(isinstance(record.event, End) for record in records)

    def _read_segment(self, path: Path, over: bool, limit: int) -> list[Record]:
        with path.open("rb") as file:
            while True:
                file.seek(self._offset)
                data = file.read(limit)
                whole = len(data) < limit
                if not whole and (size := blocks.needed(data, 0)) > len(data):
                    data += file.read(size - len(data))
                found, used = self._parse(path, data, over, whole)
                self._offset += used
                if found or not used:
                    return found

    def _parse(self, path: Path, data: bytes, over: bool, whole: bool) -> tuple[list[Record], int]:
        """The records in `data`, and how many of its bytes are done with."""
        found: list[Record] = []
        offset = 0
        while offset < len(data):
            block = blocks.at(data, offset)
            if block is None:
                if not whole and (blocks.needed(data, offset) > len(data) - offset or len(data) - offset < blocks.HEADER.size):
                    break  # the rest of this block is in the next chunk
                if not over:
                    break
                block = blocks.following(data, offset + 1)
                stop = block.offset if block else len(data)
                if block is None and not whole:  # the next block, or its first bytes, may be cut in two by the end of the chunk
                    cut = blocks.unfinished(data, offset + 1)
                    stop = cut if cut >= 0 else max(offset + 1, len(data) - len(blocks.MAGIC) + 1)
                torn = block is None and whole and blocks.needed(data, offset) > len(data) - offset and self._following() is None
                self.damage.append(Damage(path.name, self._offset + offset, stop - offset, torn))
                if block is None:
                    offset = stop
                    continue
            offset = block.end
            found.extend(self._accept(block, path))
        return found, offset

    def _accept(self, block: blocks.Block, path: Path) -> list[Record]:
        segment = blocks.segment(block)
        if segment is not None:
            self._next = segment.sequence
            return []
        first = blocks.full_sequence(block.low, self._next)
        records = blocks.read_records(block, self.shard, first)
        if records is None:
            self.damage.append(Damage(path.name, self._offset + block.offset, block.end - block.offset))
            return []
        for record in records:
            if isinstance(record.event, Start):
                self.start = record.event
            elif isinstance(record.event, End):
                self.end = record.event
        self._next = first + len(records)
        if first > self.sequence:
            self.missing += first - self.sequence
        fresh = [record for record in records if record.sequence >= self.sequence]
        self.sequence = max(self.sequence, self._next)
        return fresh


def shards(directory: Path) -> list[str]:
    """The shards in ``RUN/journal``, in the order in which they were begun."""
    first: dict[str, tuple[int, str]] = {}
    try:
        listing = os.listdir(directory)
    except FileNotFoundError:
        return []
    for name in listing:
        match = SEGMENT_NAME.fullmatch(name)
        if match and match["shard"] not in first:
            first[match["shard"]] = (_begun(directory, match["shard"]), match["shard"])
    return [shard for _, shard in sorted(first.values())]


def _begun(directory: Path, shard: str) -> int:
    """When the shard was begun, in nanoseconds: the time in its first block."""
    for path in sorted(directory.glob(f"{_glob_escape(shard)}-*.tbj"))[:1]:
        with path.open("rb") as file:
            block = blocks.at(file.read(4096), 0)
        segment = blocks.segment(block) if block is not None else None
        if segment is not None:
            return segment.time
    return 2**63


def _glob_escape(text: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", text)


class JournalReader:
    """All shards of a run.

    Args:
        run: the run's folder.
        sequences: for each shard how many records to pass over.

    Raises:
        RunNotFound: the folder holds no journal.
    """

    def __init__(self, run: Path, sequences: dict[str, int] | None = None) -> None:
        self.run, self.directory = run, run / "journal"
        if not self.directory.is_dir():
            raise RunNotFound(f"{run} is not a run: it has no folder `journal`")
        self._sequences = dict(sequences or {})
        self.readers: dict[str, ShardReader] = {}

    def poll(self, *, over: bool = False, limit: int = CHUNK) -> list[Record]:
        """The next records of all shards, each shard's in order; [] when there are none now.

        Args:
            over: the caller knows that every writer is dead.
        """
        for shard in shards(self.directory):
            if shard not in self.readers:
                self.readers[shard] = ShardReader(self.directory, shard, self._sequences.get(shard, 0))
        found: list[Record] = []
        for shard, reader in self.readers.items():
            found.extend(reader.read(over=over or reader.end is not None or self.over(shard), limit=limit))
        return found

    def __iter__(self) -> Iterator[Record]:
        """All records that are there now; a live shard's unfinished tail is left."""
        while batch := self.poll():
            yield from batch

    def over(self, shard: str) -> bool:
        """Whether nothing more will be appended to `shard`: it has ended, or its process is dead; where that cannot be told from here, it has
        been silent for 60 s."""
        reader = self.readers.get(shard)
        if reader is None:
            return False
        if reader.end is not None:
            return True
        if reader.start is not None and reader.start.host == host.identity():
            return host.is_dead(reader.start.host, reader.start.pid, reader.start.time, reader.start.ticks)
        return self._age(shard) > SILENT_SECONDS

    def _age(self, shard: str) -> float:
        """Seconds since the shard's files were last written."""
        latest = 0.0
        for path in self.directory.glob(f"{_glob_escape(shard)}-*.tbj"):
            latest = max(latest, path.stat().st_mtime)
        return time.time() - latest

    @property
    def damage(self) -> list[Damage]:
        return [damage for reader in self.readers.values() for damage in reader.damage]

    @property
    def damaged(self) -> int:
        """Bytes of damaged places, without torn tails."""
        return sum(damage.length for damage in self.damage if not damage.torn)

    @property
    def torn(self) -> int:
        """Bytes of torn tails."""
        return sum(damage.length for damage in self.damage if damage.torn)

    @property
    def missing(self) -> int:
        return sum(reader.missing for reader in self.readers.values())

    @property
    def refused(self) -> tuple[int, int]:
        """Calls and values that the bound or a full disk refused."""
        pages = [refused(self.directory, shard) for shard in self.readers]
        return sum(calls for calls, _ in pages), sum(values for _, values in pages)


def info(run: Path) -> RunInfo:
    """What the journal of the run in folder `run` says of it.

    Raises:
        RunNotFound: there is no journal, or no process has begun one.
    """
    reader = JournalReader(run)
    starts: list[tuple[str, Start]] = []
    tags: list[str] = []
    last = 0
    for record in reader:
        event = record.event
        last = max(last, event.time)
        if isinstance(event, Start):
            starts.append((record.shard, event))
        elif isinstance(event, Tags) and any(shard == record.shard and start.rank == 0 and not start.forked for shard, start in starts):
            tags = event.values
    main = [(shard, start) for shard, start in starts if start.rank == 0 and not start.forked] or starts
    if not main:
        raise RunNotFound(f"{run} holds no record of a start")
    shard, first = main[-1][0], main[0][1]
    end = reader.readers[shard].end
    over = reader.over(shard)
    return RunInfo(
        id=first.run_id,
        name=first.name,
        project=first.project,
        group=first.group,
        job_type=first.job_type,
        notes=first.notes,
        tags=tuple(tags),
        status=end.status if end else Status.CRASHED if over else Status.RUNNING,
        start=first.time,
        end=end.time if end else last if over else None,
        provenance=first.provenance,
        directory=run,
    )


def runs(directory: Path) -> Iterator[RunInfo]:
    """The runs in a folder of journals, oldest first. Folders that hold no journal are passed over."""
    found = []
    for path in sorted(directory.iterdir()) if directory.is_dir() else []:
        if (path / "journal").is_dir():
            try:
                found.append(info(path))
            except (RunNotFound, JournalError):
                continue
    yield from sorted(found, key=lambda run: run.start)
