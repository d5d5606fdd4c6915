"""Appends records to a shard. When :attr:`ShardWriter.metrics` or :meth:`ShardWriter.append` has returned True, the records survive the death
of the process: the kernel has them."""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import time_ns
from typing import Any
from zlib import crc32

import msgspec

from trackbridge.errors import JournalError
from trackbridge.journal.blocks import HEADER, MAGIC, MAX_PAYLOAD, frame, segment_header
from trackbridge.records import Event, Metrics, encode
from trackbridge.signals import raised_by_handler

SEGMENT_BYTES = 64 * 1024 * 1024
REFUSED = struct.Struct("<8sQQQ")
REFUSED_MAGIC = b"TBREFUSE"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PLAIN = frozenset((float, int, bool, type(None)))
_pack, _write = HEADER.pack, os.write


class ShardWriter:
    """The journal of one process.

    One lock covers encode order, sequence, write, and the undo of a short write. Python runs signal handlers between any two calls of this
    code, also under the lock: they may raise (Ctrl-C), and they may log. So the lock is re-entrant, and taken by ``with``, after which no handler
    runs before the block is entered; and the sequence moves on right before the write, without a call in between: whatever a handler
    then does, it finds the sequence and the file in agreement. After a fork the child must not use it: see :meth:`abandon`.

    Args:
        directory: ``RUN/journal``; made if absent.
        run_id, shard: see ``format.md``.
        max_bytes: bound of this shard; beyond it records are refused and counted.
        power: sync to the disk in each call, so that nothing is lost to a power cut.
        warn: called with a message for people, once per kind of problem.

    Attributes:
        metrics: the one hot path, ``metrics(values, step)``: append one call of plain numbers. False when nothing was appended: then
            :meth:`append` is to be used, which takes everything, and counts what is refused. Plain means that all keys are in
            :attr:`known`, and that the values are Python's own numbers, bool or None.

    Raises:
        JournalError: the directory cannot be written; the message names the remedy.
    """

    __slots__ = (  # quicker in the hot path than a dict
        "__weakref__",
        "_contents",
        "_disk_bytes",
        "_earlier",
        "_fd",
        "_limit",
        "_lock",
        "_max_bytes",
        "_others",
        "_power",
        "_refused_fd",
        "_room",
        "_segment",
        "_segment_bytes",
        "_sequence",
        "_synced",
        "_warn",
        "_warned",
        "directory",
        "known",
        "metrics",
        "on_network",
        "refused_calls",
        "refused_values",
        "run_id",
        "shard",
    )

    def __init__(
        self,
        directory: Path,
        run_id: str,
        shard: str,
        *,
        max_bytes: int,
        power: bool = False,
        warn: Callable[[str], None] = lambda message: None,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self.directory, self.run_id, self.shard = directory, run_id, shard
        self.on_network = False  # the sync thread then syncs rarely
        self.refused_calls = self.refused_values = 0
        self._sequence = self._others = self._segment = self._synced = self._earlier = self._limit = self._room = 0
        self.known: set[str] = set()  # keys that were looked at, and need not be again
        self._renew_lock()
        self._fd = self._refused_fd = -1
        self._max_bytes, self._segment_bytes, self._power, self._warn = max_bytes, segment_bytes, power, warn
        self._disk_bytes = sys.maxsize  # what the shard may hold for the sake of the disk
        self._warned: set[str] = set()
        self._contents: deque[Path] = deque()
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._refused_fd = _open(directory / f"{shard}.refused", os.O_CREAT | os.O_EXCL)  # pwrite would append in append mode
            os.write(self._refused_fd, bytes(4096))
            self._open_segment(0)
        except OSError as error:
            self._close_files()
            raise JournalError(
                f"cannot write the journal in {directory}: {error.strerror or error}; choose a writable folder with "
                f"TRACKBRIDGE_DIR or init(dir=...), or free some space"
            ) from error

    @property
    def sequence(self) -> int:
        """The number of records that were accepted."""
        return self._sequence

    @property
    def size(self) -> int:
        """Bytes written, all segments."""
        return self._earlier + self._size

    @property
    def _size(self) -> int:
        """Bytes in this segment: the limit that :attr:`_room` was counted down from, less what is left of it."""
        return self._limit - self._room

    def append(self, events: Sequence[Event] | Callable[[int], Sequence[Event]], *, is_call: bool = False, vital: bool = False) -> bool:
        """Append `events` as one block; False when they were refused and counted.

        Args:
            events: the events, or a function from the number of the call to them.
            is_call: they are one call of ``log``.
            vital: configuration, summary or the end of the run, which are kept beyond the bound (but not beyond the disk).

        Raises:
            ValueError: the block would be over 16 MiB; put large contents into files.
        """
        with self._lock:
            first = -1
            while first != self._sequence:  # else a signal handler has logged meanwhile
                first, others = self._sequence, self._others
                made = events(first - others) if callable(events) else events
                payload = encode(made)
                if len(payload) > MAX_PAYLOAD:
                    held = f"{len(payload) / 2**20:.0f} MiB"
                    raise ValueError(f"one call holds {held}; a journal block takes 16: log it in parts or as a file")
                block = frame(payload, first)
                if len(block) > self._room and not self._make_room(len(block)) and not vital:
                    return self._refuse(made)
                length, after, others = len(block), first + len(made), others + len(made) - is_call
            self._sequence, self._others, self._room = after, others, self._room - length
            try:
                written = os.write(self._fd, block)
            except OSError as error:
                self._settle(first, len(made), is_call, length)
                if raised_by_handler(error):
                    raise
                return self._failed(error, made)
            if written != length:
                self._settle(first, len(made), is_call, length)
                return self._refuse(made)
            if self._power:
                self._sync_now()
            return True

    def keep(self, content: Path) -> None:
        """Have `content`, a file that the next record names, survive what that record survives."""
        self._contents.append(content)

    def sync(self) -> None:
        """Make what was written survive a power cut. Called by the sync thread and at the end of the run."""
        self._sync_contents()
        with self._lock:
            if self._fd < 0 or self._synced == self._size:
                return
            target, segment = self._size, self._segment
            try:
                fd = os.dup(self._fd)
            except OSError as error:  # too many files are open; the sync thread asks again
                if raised_by_handler(error):
                    raise
                self._tell("dup", f"the journal cannot be synced now: {error.strerror}")
                return
        try:
            _datasync(fd)
        except OSError as error:
            self._sync_failed(error)
        else:
            with self._lock:
                if segment == self._segment:
                    self._synced = max(self._synced, target)
        finally:
            os.close(fd)

    def set_room(self, length: int) -> None:
        """From now on append at most `length` bytes, for the sake of the disk: the sync thread looks again and again how many it has left."""
        with self._lock:
            if self._fd >= 0:
                self._disk_bytes = self.size + length
                limit = self._limit_after(self._earlier)
                self._limit, self._room = limit, limit - self._size

    def close(self) -> None:
        """Sync and close. Later calls are refused and counted."""
        self.sync()
        with self._lock:
            self._close_files()

    def abandon(self) -> None:
        """Close the descriptors without a sync or a lock: in a forked child, where both belong to the parent."""
        self._renew_lock()
        self._close_files()

    def _renew_lock(self) -> None:
        self._lock = threading.RLock()
        self.metrics = _hot_path(self)

    # -- under the lock --------------------------------------------------------------------------------------------------------------

    def _open_segment(self, segment: int) -> None:
        """Go on in a new segment. It is made under another name, since a signal handler may want the same one meanwhile; the one that is in use
        first stays. One that has its name and is never used does not end the segment before it, and is replaced at the next attempt."""
        path = str(self.directory / f"{self.shard}-{segment:06d}.tbj")  # a Path would run code of its own in the calls below
        draft = f"{path}.{time_ns()}"
        header = segment_header(self.run_id, self.shard, segment, self._sequence, time_ns())
        try:
            _write_whole(draft, header)
            if segment and self._segment >= segment:
                return
            os.replace(draft, path)
        finally:
            Path(draft).unlink(missing_ok=True)
        fd = _open(path, os.O_APPEND)
        before, earlier = self._fd, self.size if self._fd >= 0 else 0
        limit, length = self._limit_after(earlier), len(header)
        if segment and self._segment >= segment:
            os.close(fd)
            return
        self._fd, self._segment, self._synced, self._earlier, self._limit, self._room = fd, segment, 0, earlier, limit, limit - length
        if before >= 0:
            os.close(before)
        _sync_file(self.directory)

    def _limit_after(self, earlier: int) -> int:
        """How many bytes a segment may hold when those before it hold so many."""
        return min(self._segment_bytes, self._max_bytes - earlier, self._disk_bytes - earlier)

    def _make_room(self, length: int) -> bool:
        """Roll to the next segment if that helps; whether `length` bytes may be written now."""
        if self._fd < 0 or self.size + length > min(self._max_bytes, self._disk_bytes):
            return False
        if self._size <= len(segment_header(self.run_id, self.shard, self._segment, 0, time_ns())) + 32:
            return True  # one block larger than a segment: it has a segment of its own
        segment = self._segment
        self._sync_now()
        if self._segment != segment:  # the sync failed, and the tail was written again into the next one
            return True
        try:
            self._open_segment(segment + 1)
        except OSError as error:
            if raised_by_handler(error):
                raise
            self._tell(f"roll {error.errno}", f"the journal cannot begin a new segment: {error.strerror}")
            return error.errno not in FULL
        return True

    def _refuse(self, events: Sequence[Event]) -> bool:
        self.refused_calls += 1
        self.refused_values += sum(len(event.values) if isinstance(event, Metrics) else 1 for event in events)
        page = REFUSED.pack(REFUSED_MAGIC, self.refused_calls, self.refused_values, time_ns())
        if self._refused_fd >= 0:
            try:
                os.pwrite(self._refused_fd, page + crc32(page).to_bytes(4, "little"), 0)
            except OSError as error:
                self._tell("refused page", f"the count of refused calls cannot be written: {error.strerror}")
        if self._fd >= 0:
            self._tell(
                "refused",
                "the journal is full (TRACKBRIDGE_MAX_BYTES, or the disk): new points are refused and counted; nothing that was accepted "
                "is lost. Raise TRACKBRIDGE_MAX_BYTES or free disk space; logging goes on by itself when there is room",
            )
        return False

    def _failed(self, error: OSError, events: Sequence[Event]) -> bool:
        if error.errno not in FULL:
            self._tell(f"write {error.errno}", f"the journal cannot be written: {error.strerror}; points are refused and counted")
        return self._refuse(events)

    def _settle(self, first: int, records: int, is_call: bool, length: int) -> None:
        """After a write that did not return as it should: cut off what there is of the block, and take its numbers back, unless it is whole,
        and a signal handler raised. Where one has logged meanwhile, the numbers stay missing."""
        try:
            there = os.fstat(self._fd).st_size
        except OSError:
            there = -1
        if there >= self._size:
            return
        if self._sequence == first + records:
            self._sequence, self._others, self._room = first, self._others - records + is_call, self._room + length
        try:
            os.ftruncate(self._fd, self._size)
        except OSError as error:
            self._tell("undo", f"a torn block stays in the journal ({error.strerror}); readers pass over it")
            self._room -= max(0, there - self._size)

    def _sync_contents(self) -> None:
        folders = set()
        while True:
            try:
                path = self._contents.popleft()
            except IndexError:
                break
            with contextlib.suppress(OSError):  # it is gone, or too many files are open: the journal itself goes first
                _sync_file(path)
                folders.add(path.parent)
        for folder in folders:
            with contextlib.suppress(OSError):
                _sync_file(folder)

    def _sync_now(self) -> None:
        self._sync_contents()
        size, segment = self._size, self._segment
        try:
            _datasync(self._fd)
        except OSError as error:
            if raised_by_handler(error):
                raise
            if self._segment == segment:  # else a signal handler has synced and closed it meanwhile
                self._rewrite(error)
        else:
            if self._segment == segment:
                self._synced = size

    def _sync_failed(self, error: OSError) -> None:
        with self._lock:
            self._rewrite(error)

    def _rewrite(self, error: OSError) -> None:
        """After a failed sync the kernel may have dropped the pages and marked them clean: never trust them, write the tail again."""
        self._tell("sync", f"the disk reported {error.strerror} while syncing; the unsynced part is written again into a new segment")
        start, end = self._synced, self._size
        try:
            path = self.directory / f"{self.shard}-{self._segment:06d}.tbj"
            tail = path.read_bytes()[start:end]
            self._open_segment(self._segment + 1)
            if os.write(self._fd, tail) != len(tail):
                os.ftruncate(self._fd, self._size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._room -= len(tail)
            _datasync(self._fd)
            self._synced = self._size
        except OSError as again:
            self._tell("rewrite", f"and that failed too: {again.strerror}; what follows survives the process, not a power cut")

    def _tell(self, kind: str, message: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            self._warn(message)

    def _close_files(self) -> None:
        files, size = (self._fd, self._refused_fd), self._size
        self._fd, self._refused_fd, self._limit, self._room = -1, -1, size - 1, -1
        for fd in files:
            if fd >= 0:
                os.close(fd)


def _hot_path(writer: ShardWriter) -> Callable[[Mapping[str, Any], int | None], bool]:
    """The function :attr:`ShardWriter.metrics`: a closure, since its variables are read quicker than attributes.

    The lock is taken by a loop, which runs no signal handler before ``try`` is entered, as a call would, and is quicker than ``with``.
    """
    known, encode, head = writer.known, msgspec.msgpack.Encoder().encode, HEADER.size
    locked, release = iter(writer._lock.acquire, None), writer._lock.release

    def metrics(values: Mapping[str, Any], step: int | None) -> bool:
        try:
            for key in values:
                if key not in known or type(values[key]) not in _PLAIN:
                    return False
            if type(step) is not int and step is not None:
                return False
            for _ in locked:
                try:
                    first = writer._sequence
                    payload = encode(("m", time_ns(), first - writer._others, step, values))
                    length = len(payload)
                    block = _pack(MAGIC, length, crc32(payload, first), first) + payload  # from 2**32 on: struct.error
                    length += head
                    room = writer._room - length
                    after = first + 1
                    if room < 0 or writer._sequence != first:  # unequal: a signal handler has logged meanwhile
                        return False
                    writer._sequence = after
                    writer._room = room
                    try:
                        if _write(writer._fd, block) == length:
                            return True
                    except OSError:
                        writer._settle(first, 1, True, length)
                        raise
                    writer._settle(first, 1, True, length)
                    return False
                finally:
                    release()
        except (TypeError, AttributeError, OverflowError, ValueError, OSError, struct.error) as error:
            if raised_by_handler(error):
                raise
        return False

    return metrics


def refused(directory: Path, shard: str) -> tuple[int, int]:
    """The calls and values that were refused in `shard`, as the preallocated page says; (0, 0) when none were."""
    try:
        page = (directory / f"{shard}.refused").read_bytes()[: REFUSED.size + 4]
    except OSError:
        return 0, 0
    if len(page) < REFUSED.size + 4 or crc32(page[: REFUSED.size]).to_bytes(4, "little") != page[REFUSED.size :]:
        return 0, 0
    magic, calls, values, _ = REFUSED.unpack(page[: REFUSED.size])
    return (calls, values) if magic == REFUSED_MAGIC else (0, 0)


def _open(path: str | Path, flags: int) -> int:
    return os.open(path, os.O_WRONLY | getattr(os, "O_CLOEXEC", 0) | flags, 0o600)


def _write_whole(path: str, data: bytes) -> None:
    """Write a new file.

    Raises:
        OSError: there is one, or no room.
    """
    fd = _open(path, os.O_CREAT | os.O_EXCL)
    try:
        if os.write(fd, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(fd)


def _datasync(fd: int) -> None:
    getattr(os, "fdatasync", os.fsync)(fd)


def _sync_file(path: Path) -> None:
    """Of a file or a folder."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
