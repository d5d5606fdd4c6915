"""What a forwarder keeps on disk for one (run, target): its cursor, its health, its lease, its dead letters.

Everything lies in ``RUN/forward/<target>/``. The training process reads the health, and asks nothing of the forwarder.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import msgspec

from trackbridge import files, host
from trackbridge.adapters import Position, Target
from trackbridge.deviations import Deviation
from trackbridge.records import Record, encode

LEASE_SECONDS = 60.0


class State(StrEnum):
    STARTING = "starting"  # its client is being imported, the run opened
    HEALTHY = "healthy"
    WAITING = "waiting"  # the tracker cannot be reached; it is asked again and again
    DEGRADED = "degraded"  # stopped after a bug or a removed run; the journal keeps everything
    UNAVAILABLE = "unavailable"  # its client is not installed; `trackbridge sync` delivers later
    DELIVERED = "delivered"  # the run has ended and everything is in the tracker


FINAL = (State.DEGRADED, State.UNAVAILABLE, State.DELIVERED)


class Health(msgspec.Struct, kw_only=True):
    """What a target's forwarder last said of itself."""

    target: str
    state: str = State.STARTING
    message: str = ""  # what is wrong, and the remedy
    delivered: int = 0  # values that the tracker holds for certain: points, media, artifacts
    pending: int = 0  # records of the journal that are not yet confirmed
    dead: int = 0  # records in the dead-letter file
    damaged: int = 0  # journal bytes that could not be read
    deviations: list[Deviation] = []
    id: str = ""
    where: str = ""
    url: str = ""
    hint: str = ""
    mode: str = ""
    opens: int = 0  # how often a Writer has opened the run
    pid: int = 0
    released: bool = False  # its forwarder has let go of the run: it is delivered, cannot be, or all that was there is
    time: float = 0.0


class Cursor(msgspec.Struct):
    """How far delivery is: what the last `flush` confirmed."""

    position: Position = Position()
    delivered: int = 0
    deviations: list[Deviation] = []
    opened: bool = False
    closed: bool = False  # the run was closed in the tracker, and nothing was logged since


class DeadLetter(msgspec.Struct):
    """A record that the tracker can never take, in hexadecimal, and why."""

    shard: str
    sequence: int
    reason: str
    record: str


class TargetState:
    """The folder of one target."""

    def __init__(self, run: Path, target: Target) -> None:
        self.run, self.target = run, target
        self.directory = run / "forward" / target.slug

    def prepare(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    @property
    def log(self) -> Path:
        return self.directory / "log.txt"

    @property
    def dead_letters(self) -> Path:
        return self.directory / "dead-letters.jsonl"

    @property
    def begun(self) -> bool:
        """Whether a forwarder has ever said anything of it."""
        return (self.directory / "health.json").exists()

    def health(self) -> Health:
        try:
            return msgspec.json.decode((self.directory / "health.json").read_bytes(), type=Health)
        except (OSError, msgspec.DecodeError):
            return Health(target=str(self.target))

    def save_health(self, health: Health) -> None:
        health.time = time.time()
        files.replace(self.directory / "health.json", msgspec.json.encode(health), sync=False, mode=0o600)

    def cursor(self) -> Cursor:
        """The saved cursor; a fresh one when there is none. A damaged file counts as none: delivery then starts again, by recovery."""
        try:
            return msgspec.json.decode((self.directory / "cursor.json").read_bytes(), type=Cursor)
        except (OSError, msgspec.DecodeError):
            return Cursor()

    def save_cursor(self, cursor: Cursor) -> None:
        """Replace the cursor; it survives a power cut, since records before it are not sent again."""
        files.replace(self.directory / "cursor.json", msgspec.json.encode(cursor), mode=0o600)

    def bury(self, record: Record, reason: str) -> None:
        """Append `record` to the dead letters with its reason."""
        line = msgspec.json.encode(DeadLetter(record.shard, record.sequence, reason, encode([record.event]).hex()))
        with self.dead_letters.open("ab") as file:
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def buried(self) -> list[tuple[str, int]]:
        """Shard and sequence of the dead letters."""
        try:
            lines = self.dead_letters.read_bytes().splitlines()
        except OSError:
            return []
        found = []
        for line in lines:
            try:
                letter = msgspec.json.decode(line, type=DeadLetter)
            except msgspec.DecodeError:  # a process was killed while it wrote the line
                continue
            found.append((letter.shard, letter.sequence))
        return found


class Lease(msgspec.Struct):
    host: str
    pid: int
    since: int
    token: str
    ticks: int = 0


class LeaseFile:
    """At most one forwarder per (run, target). Held by a live process of this host, or for 60 s after another host's last heartbeat."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "lease.json"
        self._lease = Lease(host.identity(), os.getpid(), time.time_ns(), secrets.token_hex(8), host.own_ticks())

    def acquire(self) -> Lease | None:
        """Take the lease; None when it is ours now, else who holds it."""
        while True:
            temporary = self._path.with_name(f".lease-{self._lease.token}")
            temporary.write_bytes(msgspec.json.encode(self._lease))
            try:
                os.link(temporary, self._path)  # atomic, and fails when there is one
                return None
            except FileExistsError:
                holder = _lease(self._path)
                if holder is not None and self._holds(holder):
                    return holder
                stale = self._path.with_name(f".stale-{self._lease.token}")
                try:
                    os.rename(self._path, stale)
                except FileNotFoundError:
                    continue
                taken = _lease(stale)
                if holder is not None and taken is not None and taken.token != holder.token:
                    os.rename(stale, self._path)  # another process was quicker, and this is its lease
                stale.unlink(missing_ok=True)
            finally:
                temporary.unlink(missing_ok=True)

    def beat(self) -> bool:
        """Say that the holder lives; False when the lease was lost to another."""
        holder = _lease(self._path)
        if holder is None or holder.token != self._lease.token:
            return False
        os.utime(self._path)
        return True

    def release(self) -> None:
        if self.beat():
            self._path.unlink(missing_ok=True)

    def holder(self) -> Lease | None:
        """Who holds it now; None when it is free."""
        lease = _lease(self._path)
        return lease if lease is not None and self._holds(lease) else None

    def _holds(self, lease: Lease) -> bool:
        if lease.host == host.identity():
            return not host.is_dead(lease.host, lease.pid, lease.since, lease.ticks)
        try:
            return time.time() - self._path.stat().st_mtime < LEASE_SECONDS
        except OSError:
            return False


def _lease(path: Path) -> Lease | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Lease)
    except (OSError, msgspec.DecodeError):
        return None


def states(run: Path) -> Iterator[Health]:
    """The health of every target that the run in folder `run` has had."""
    directory = run / "forward"
    for path in sorted(directory.glob("*/health.json")) if directory.is_dir() else []:
        try:
            yield msgspec.json.decode(path.read_bytes(), type=Health)
        except (OSError, msgspec.DecodeError):
            continue
