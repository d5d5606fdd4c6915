"""Delivers one run's journal to one tracker: tail, batch, write, flush, move the cursor.

The cursor moves only to what `flush` confirms. Whatever happens between, the records are sent again by the adapter's recovery.
"""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import msgspec
import tenacity

from trackbridge import sidecar
from trackbridge.adapters import Adapter, Capabilities, Position, Sidecar, Target, Writer
from trackbridge.deviations import Deviation, Ledger, Reason
from trackbridge.errors import Rejected, Unavailable
from trackbridge.forward.failpoint import hit
from trackbridge.forward.routing import Router, news
from trackbridge.forward.state import Cursor, Health, State, TargetState
from trackbridge.journal.reader import JournalReader, info
from trackbridge.records import Artifact, Deviations, Media, Metrics, Record, Status
from trackbridge.summary import Summarizer

BATCH_POINTS = 20_000
"""At most about so many points go to a Writer at once: it bounds the memory, and what is sent again after a kill."""

MANY = 1000
"""Records that a Writer is given before a flush is due; fewer wait for it: many trackers take as long for one record as for a hundred."""

FLUSH_SECONDS = 1.0
"""The pause between two flushes, and so about the age of what is confirmed, while a run goes on."""

FLUSH_SHARE = 0.05
"""At most about so much of the time is spent on flushes, until the pause is FLUSH_SECONDS_AT_MOST: some trackers take long for one."""

FLUSH_SECONDS_AT_MOST = 20.0
TRIES = 5
"""An exception that is neither Unavailable nor Rejected is a bug; after so many without a flush between them the target stops, and nothing is
lost."""

SIDECAR_SECONDS = 300.0


class Delivery:
    """One (run, target). Call :meth:`step` until :attr:`done`. `outages`: how often in a row the tracker could not be reached.

    Args:
        run: the run's folder.
        target: where to; its path is absolute.
        adapter: of that backend; its client is installed here.
        writer_is_dead: whether the training process is known to be dead (its journal then has no live tail).
        attach_sidecar: whether the journal is attached to the run in the tracker.
    """

    def __init__(
        self,
        run: Path,
        target: Target,
        adapter: Adapter,
        writer_is_dead: Callable[[], bool] = lambda: False,
        attach_sidecar: bool = True,
    ) -> None:
        self.run, self.target, self.adapter = run, target, adapter
        self.state = TargetState(run, target)
        self.state.prepare()
        self.cursor: Cursor = self.state.cursor()
        letters = self.state.buried()
        self._dead = {(shard, sequence) for shard, sequence in letters if shard}  # what the forwarder adds at the end has no identity
        self.health: Health = Health(target=str(target), dead=len(letters), delivered=self.cursor.delivered)
        self.done = False
        self._writer_is_dead = writer_is_dead
        self._attach_sidecar = attach_sidecar
        self._capabilities: Capabilities = adapter.capabilities(target)
        self._writer: Writer | None = None
        self._reader: JournalReader | None = None
        self._pending: list[Record] = []  # read from the journal, not yet taken by the Writer
        self._unflushed: list[Record] = []
        self._pause = FLUSH_SECONDS
        self._buried: list[Record] = []
        self._held = Position()
        self._counted = Ledger(self.cursor.deviations)
        self._uncounted: list[Deviation] = []
        self._summary = Summarizer()
        self._router = Router()
        self._tries = self._latest = 0
        self._not_before = self._flushed_at = self._attached_at = time.monotonic()
        self._wait = tenacity.wait_random_exponential(multiplier=1, max=60)
        self.outages = 0

    def prepare(self) -> None:
        """Open the run in the tracker, if it is not open: the first step does so too."""
        if self._writer is None:
            self._open()

    def step(self) -> bool:
        """Do what can be done now; False when there was nothing to do."""
        if self.done or time.monotonic() < self._not_before:
            return False
        try:
            return self._step()
        except Unavailable as error:
            self._outage(error)
        except Exception as error:
            self._bug(error)
        return False

    # -- one step --------------------------------------------------------------------------------------------------------------------

    def _step(self) -> bool:
        writer = self._writer or self._open()
        if writer is None:
            return False
        assert self._reader is not None
        dead = self._writer_is_dead()
        complete = self._complete(dead)  # asked before the look: a process may log once more, and die, after it
        read = [] if len(self._pending) >= MANY else self._reader.poll(over=dead)
        self._pending += [routed for record in read if (routed := self._route(record)) is not None]
        self._latest = max((record.event.time for record in read), default=self._latest)
        if self._pending and (complete or len(self._pending) >= MANY or self._due()):
            self._write(writer)
            if not self._due():
                return True
        if self._unflushed and (complete or self._due()):
            self._flush(writer)
            self._checkpoint(writer)
            return True
        if complete and not read:
            self._close(writer)
            return True
        return len(read) >= MANY or (bool(read) and self._complete(dead))

    @property
    def settled(self) -> bool:
        """Whether the tracker has confirmed all that it was given."""
        return not self._pending and not self._unflushed

    def _due(self) -> bool:
        """Whether it is time for a flush; at once when so much waits that it takes memory."""
        return time.monotonic() - self._flushed_at >= self._pause or len(self._unflushed) >= BATCH_POINTS

    def _open(self) -> Writer | None:
        """Open the run in the tracker; None when everything is delivered there."""
        if self.cursor.closed and not news(self.run, self.cursor.position):
            self.done = True
            self._say(State.DELIVERED)
            return None
        if not self.outages:  # else what was wrong is shown until the run is open: each attempt may take long
            self._say(State.STARTING)
        run = info(self.run)
        writer = self.adapter.writer(self.target)
        position = writer.open(run, self.cursor.position if self.cursor.opened else None)
        hit("after_open")
        self._drop_writer()
        self._writer = writer
        self._reader = JournalReader(self.run)
        self._held = position
        place = writer.place()
        self.health.id, self.health.where, self.health.url = place.id, place.where, place.url
        self.health.hint, self.health.mode, self.health.opens = place.hint, place.mode, self.health.opens + 1
        self._summary, self._router, self._latest = Summarizer(), Router(), 0
        self.cursor = msgspec.structs.replace(self.cursor, position=position, opened=True, closed=False)
        self.state.save_cursor(self.cursor)
        self._say(State.HEALTHY)
        return writer

    def _route(self, record: Record) -> Record | None:
        """`record` as the Writer gets it; None for what is not for it, or held already."""
        ours = self._router.route(record)
        if ours is None:
            return None
        self._summary.see(ours.event)
        if self._held.holds(ours):
            return None
        if (ours.shard, ours.sequence) in self._dead:
            self._buried.append(ours)  # a tracker that was opened anew does not know of it
            return None
        return ours

    def _write(self, writer: Writer) -> None:
        batch: list[Record] = []
        points = 0
        for record in self._pending:
            points += len(record.event.values) if isinstance(record.event, Metrics) else 100
            if batch and points > BATCH_POINTS:
                break
            batch.append(record)
        self._send(writer, batch)
        hit("after_write")
        del self._pending[: len(batch)]
        self._unflushed.extend(batch)

    def _send(self, writer: Writer, batch: list[Record]) -> None:
        """Hand `batch` to the Writer; a record that it can never take goes to the dead letters, found by its index or by halving."""
        while batch:
            try:
                self._uncounted.extend(writer.write(batch))
                return
            except Rejected as error:
                if len(batch) == 1:
                    self._bury(batch[0], error.reason)
                    return
                index = error.index
                if index is None:
                    middle = len(batch) // 2
                    self._send(writer, batch[:middle])
                    batch = batch[middle:]
                    continue
                self._send(writer, batch[:index])
                self._bury(batch[index], error.reason)
                batch = batch[index + 1 :]

    def _bury(self, record: Record, reason: str) -> None:
        self.state.bury(record, reason)
        self._buried.append(record)
        if record.shard:
            self._dead.add((record.shard, record.sequence))
        self.health.dead += 1
        subject = next(iter(record.event.values), "") if isinstance(record.event, Metrics) else type(record.event).__name__.lower()
        self._uncounted.append(Deviation(Reason.REJECTED, subject, 1, reason[:200]))

    def _flush(self, writer: Writer) -> None:
        begun = time.monotonic()
        position = writer.flush().advanced(self._buried)
        hit("after_flush")
        confirmed = [record for record in self._unflushed if position.holds(record)]
        self._counted.extend(self._uncounted)
        delivered = self.cursor.delivered + sum(map(_values, confirmed))
        self.cursor = Cursor(position, delivered, self._counted.rows(), opened=True)
        hit("before_cursor")
        self.state.save_cursor(self.cursor)
        hit("after_cursor")
        self._uncounted, self._buried = [], []
        self._unflushed = [record for record in self._unflushed if not position.holds(record)]
        self._flushed_at = time.monotonic()
        self._pause = min(max(FLUSH_SECONDS, (self._flushed_at - begun) / FLUSH_SHARE), FLUSH_SECONDS_AT_MOST)
        self.outages = self._tries = 0
        self._say(State.HEALTHY)

    def _checkpoint(self, writer: Writer) -> None:
        if time.monotonic() - self._attached_at >= SIDECAR_SECONDS:
            self._attach(writer)

    def _attach(self, writer: Writer) -> None:
        self._attached_at = time.monotonic()
        if self._attach_sidecar and self._capabilities.sidecar is not Sidecar.NONE:
            writer.attach(*sidecar.build(self.run, self._router.unrouted()))

    def _complete(self, dead: bool) -> bool:
        """Whether nothing more will come: every shard that is for this tracker is over."""
        assert self._reader is not None
        routed = self._router.starts.keys() - self._router.unrouted()
        return bool(routed) and all(dead or self._reader.over(shard) for shard in routed)

    def _close(self, writer: Writer) -> None:
        assert self._reader is not None
        ends = [reader.end for shard, reader in self._reader.readers.items() if self._router.is_main(shard)]
        last = ends[-1] if ends else None
        status = Status(last.status) if last is not None and last.status in set(Status) else Status.CRASHED
        end = last.time if last is not None else self._latest
        extra = self._summary.record(end)
        if extra is not None:
            self._send(writer, [extra])
        self._counted.extend([*self._uncounted, *writer.write([])])  # also what a Writer met in its last flush
        self._uncounted = []
        notice = self._notice()
        if notice is not None:
            with contextlib.suppress(Rejected):  # it is no value of the user's
                self._counted.extend(writer.write([notice]))
        writer.flush()
        self._attach(writer)
        hit("before_close")
        writer.close(status, end)
        hit("after_close")
        self.cursor = Cursor(self.cursor.position, self.cursor.delivered, self._counted.rows(), opened=True, closed=True)
        self.state.save_cursor(self.cursor)
        self._writer, self.done = None, True
        self._say(State.DELIVERED)

    def _notice(self) -> Record | None:
        """What this tracker changed, for the tracker itself to show."""
        rows = self._counted.rows()
        return Record("", 0, Deviations(time.time_ns(), [msgspec.to_builtins(row) for row in rows])) if rows else None

    # -- trouble ---------------------------------------------------------------------------------------------------------------------

    def _outage(self, error: Unavailable) -> None:
        """Wait, and ask the Writer's position anew before anything is sent again: what the failed call did is unknown."""
        self.outages += 1
        state = tenacity.RetryCallState(tenacity.Retrying(), None, (), {})
        state.attempt_number = min(self.outages, 16)
        seconds = error.retry_after if error.retry_after is not None else self._wait(state)
        self._drop_writer()
        self._not_before = time.monotonic() + seconds
        self._say(State.WAITING, f"{error}; asking again. The journal keeps everything")

    def _bug(self, error: Exception) -> None:
        self._tries += 1
        self._drop_writer()
        text = f"{type(error).__name__}: {error}"
        if self._tries >= TRIES:
            self.done = True
            self._say(
                State.DEGRADED,
                f"stopped after {TRIES} errors, the last: {text}. Nothing is lost; deliver with: trackbridge sync {self.run}",
            )
        else:
            self._not_before = time.monotonic() + 0.2 * 2**self._tries
            self._say(State.WAITING, text)
        with self.state.log.open("a") as log:
            traceback.print_exception(error, file=log)

    def _drop_writer(self) -> None:
        self._writer = self._reader = None
        self._pending, self._unflushed, self._uncounted, self._buried = [], [], [], []

    def _say(self, state: State, message: str = "") -> None:
        health = self.health
        health.state, health.message = state, message
        health.delivered, health.deviations = self.cursor.delivered, self._counted.rows()
        health.pending = len(self._pending) + len(self._unflushed)
        if self._reader is not None:
            health.damaged = self._reader.damaged
        self.state.save_health(health)


def _values(record: Record) -> int:
    """How many values of the user `record` holds."""
    event = record.event
    return len(event.values) if isinstance(event, Metrics) else int(isinstance(event, (Media, Artifact)))
