"""``python -m trackbridge.testing.drive [--together] NAME TARGET JOB ...``: what a forwarder does, step by step, until it dies where told.

The jobs are done one after the other, or together, one step of each in turn.

A job is a folder with ``run.msgpack`` (:mod:`~trackbridge.stream`, described as at its beginning) and ``script.json``, a list of steps:

    open            reopen with the saved position, if there is one
    write N [SIZE]  hand the next N records that the backend does not hold to the Writer, in batches of SIZE (400)
    write rest      all that are left
    flush           confirm what was written
    save            save the confirmed position, as the forwarder's cursor does
    attach NAME     place the bytes of ``NAME.bin`` with the run as its sidecar
    close [STATUS]  close the run with the end and, unless it is given, the status of ``closed.msgpack``
    kill            SIGKILL this process and every process that it started
    die             SIGKILL this process alone

It leaves there ``cursor.json`` (what was saved), ``flushed.json`` (what the last `flush` confirmed), ``opened.json`` (what `open` claimed),
``deviations.msgpack`` and, for records that were rejected, ``dead.json``.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest
from pathlib import Path

import msgspec

from trackbridge import stream
from trackbridge.adapters import Place, Position, Target, Writer
from trackbridge.deviations import Deviation, Ledger
from trackbridge.errors import Rejected
from trackbridge.records import Record, RunInfo
from trackbridge.testing.subject import load


class Job:
    """One run on its way into a Writer."""

    def __init__(self, folder: Path, writer: Writer) -> None:
        self.folder = folder
        self.writer = writer
        self.info, self.records = stream.load((folder / "run.msgpack").read_bytes())
        self.ledger = Ledger(self._rows("deviations.msgpack"))
        self.dead: list[list[object]] = []
        self.position: Position | None = None
        self.todo: list[Record] = []

    def steps(self) -> Iterator[None]:
        """Do one step each time it is asked."""
        for step in json.loads((self.folder / "script.json").read_text("utf-8")):
            verb, *rest = step.split()
            getattr(self, verb)(*rest)
            yield
        self._finish()

    def open(self) -> None:
        cursor = self.folder / "cursor.json"
        saved = msgspec.json.decode(cursor.read_bytes(), type=Position) if cursor.exists() else None
        opened = self.writer.open(self.info, saved)
        self._save("opened.json", opened)
        place = self.writer.place()
        assert isinstance(place, Place), f"place() returned {place!r}"
        assert place.id, "place() tells no id"
        assert place.where, "place() does not tell where"
        self.position = opened
        self.todo = [record for record in self.records if not opened.holds(record)]

    def write(self, count: str, size: str = "400") -> None:
        number = len(self.todo) if count == "rest" else int(count)
        now, self.todo = self.todo[:number], self.todo[number:]
        for first in range(0, len(now), int(size)):
            self._deliver(now[first : first + int(size)])

    def flush(self) -> None:
        self.position = self.writer.flush()
        self._save("flushed.json", self.position)

    def save(self) -> None:
        assert self.position is not None
        self._save("cursor.json", self.position)

    def attach(self, name: str) -> None:
        sidecar = (self.folder / f"{name}.bin").read_bytes()
        self.writer.attach(sidecar, hashlib.sha256(sidecar).hexdigest())

    def close(self, status: str = "") -> None:
        closed = msgspec.msgpack.decode((self.folder / "closed.msgpack").read_bytes(), type=RunInfo)
        self.writer.close(status or closed.status, closed.end or 0)

    def kill(self) -> None:
        self._finish()
        for process in reversed(descendants(os.getpid())):
            os.kill(process, signal.SIGKILL)
        self.die()

    def die(self) -> None:
        self._finish()
        os.kill(os.getpid(), signal.SIGKILL)

    def _deliver(self, batch: Sequence[Record]) -> None:
        """As the forwarder does: what is rejected goes aside, found by its index or by halving."""
        while batch:
            try:
                self.ledger.extend(self.writer.write(batch))
                return
            except Rejected as rejected:
                index = 0 if len(batch) == 1 else rejected.index
                if index is None:
                    half = len(batch) // 2
                    self._deliver(batch[:half])
                    batch = batch[half:]
                else:
                    self._deliver(batch[:index])
                    self.dead.append([batch[index].shard, batch[index].sequence, rejected.reason])
                    batch = batch[index + 1 :]

    def _finish(self) -> None:
        (self.folder / "deviations.msgpack").write_bytes(msgspec.msgpack.encode(self.ledger.rows()))
        (self.folder / "dead.json").write_text(json.dumps(self.dead), "utf-8")

    def _rows(self, name: str) -> list[Deviation]:
        path = self.folder / name
        return msgspec.msgpack.decode(path.read_bytes(), type=list[Deviation]) if path.exists() else []

    def _save(self, name: str, position: Position) -> None:
        scratch = self.folder / (name + ".tmp")
        scratch.write_bytes(msgspec.json.encode(position))
        scratch.replace(self.folder / name)


def descendants(process: int) -> list[int]:
    """The processes that `process` started, and theirs (Linux: /proc tells; elsewhere none)."""
    found: list[int] = []
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        for child in children.read_text("ascii").split():
            found += [int(child), *descendants(int(child))]
    return found


def main(arguments: Sequence[str]) -> None:
    together = arguments[0] == "--together"
    name, target, *folders = arguments[together:]
    adapter = load(name)
    runs = [Job(Path(folder), adapter.writer(Target.parse(target))).steps() for folder in folders]
    for _ in zip_longest(*runs) if together else chain(*runs):
        pass


if __name__ == "__main__":
    main(sys.argv[1:])
