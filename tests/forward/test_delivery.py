"""Delivery where trackers fail: outages, bugs, poison, half-applied batches. In this process, with a backend that fails as it is told."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from trackbridge_adapters.memory import MemoryAdapter, MemoryReader, MemoryWriter

import trackbridge
from tests.forward import scripted
from tests.forward.scripted import ScriptedAdapter, ScriptedWriter, steps
from trackbridge import registry
from trackbridge.adapters import Position, Target
from trackbridge.deviations import Deviation
from trackbridge.errors import Rejected, Unavailable
from trackbridge.forward import delivery as module
from trackbridge.forward import worker
from trackbridge.forward.delivery import Delivery
from trackbridge.forward.state import LeaseFile, State, TargetState
from trackbridge.journal import reader as reader_module
from trackbridge.records import Deviations, Metrics, Record, RunInfo, Summary


class Clock:
    """A clock that a test moves: an outage of ten minutes takes no time."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module.time, "monotonic", clock)
    return clock


def run_of(calls: int) -> trackbridge.Run:
    run = trackbridge.init("delivery", mode="offline", config={"lr": 0.1})
    for step in range(calls):
        trackbridge.log({"a": step, "b": 0.5}, step=step)
    trackbridge.finish()
    return run


def deliver(run: trackbridge.Run, adapter: MemoryAdapter, clock: Clock, folder: Path, limit: int = 10_000) -> Delivery:
    delivery = Delivery(run.directory, Target("memory", str(folder)), adapter)
    for _ in range(limit):
        if delivery.done:
            return delivery
        if not delivery.step():
            clock.now += 0.5
    raise AssertionError(f"not done: {delivery.health}")


def unavailable(writer: ScriptedWriter, batch: Sequence[Record]) -> None:
    raise Unavailable("connection refused")


def unavailable_for_a_moment(writer: ScriptedWriter, batch: Sequence[Record]) -> None:
    raise Unavailable("connection refused", retry_after=0)


def bug(writer: ScriptedWriter, batch: Sequence[Record]) -> None:
    raise ZeroDivisionError("a bug of the client")


def half_then_unavailable(writer: ScriptedWriter, batch: Sequence[Record]) -> None:
    """The server took a part, and the answer was lost: the outcome is unknown."""
    writer.write_quietly(batch[: len(batch) // 2])
    writer.flush()
    raise Unavailable("connection reset")


def test_all_is_delivered_once_and_in_order(tmp_path: Path, clock: Clock) -> None:
    run = run_of(100)
    delivery = deliver(run, ScriptedAdapter(), clock, tmp_path / "m")
    assert delivery.health.state == State.DELIVERED
    assert delivery.health.delivered == 200
    assert steps(MemoryReader(tmp_path / "m").read(run.id)) == list(range(100))


def test_a_long_outage_loses_nothing_and_is_visible(tmp_path: Path, clock: Clock) -> None:
    run = run_of(50)
    adapter = ScriptedAdapter([unavailable] * 12)
    delivery = Delivery(run.directory, Target("memory", str(tmp_path / "m")), adapter)
    seen = set()
    begun = clock.now
    while not delivery.done:
        if not delivery.step():
            clock.now += 1.0
        seen.add(TargetState(run.directory, delivery.target).health().state)
    assert {State.WAITING, State.DELIVERED} <= seen
    assert clock.now - begun > 60, "it waits longer and longer"
    assert steps(MemoryReader(tmp_path / "m").read(run.id)) == list(range(50))


def test_retry_after_is_kept(tmp_path: Path, clock: Clock) -> None:
    def later(writer: ScriptedWriter, batch: Sequence[Record]) -> None:
        raise Unavailable("429", retry_after=300)

    run = run_of(3)
    begun = clock.now
    deliver(run, ScriptedAdapter([later]), clock, tmp_path / "m")
    assert 300 <= clock.now - begun < 310


def test_a_half_applied_batch_is_not_sent_twice(tmp_path: Path, clock: Clock) -> None:
    run = run_of(100)
    adapter = ScriptedAdapter([half_then_unavailable, None, half_then_unavailable])
    deliver(run, adapter, clock, tmp_path / "m")
    assert steps(MemoryReader(tmp_path / "m").read(run.id)) == list(range(100))
    assert adapter.opens >= 2, "the position is asked after an unknown outcome"


def test_a_bug_stops_the_target_after_five_tries_and_nothing_is_dead(tmp_path: Path, clock: Clock) -> None:
    run = run_of(10)
    delivery = deliver(run, ScriptedAdapter([bug] * 99), clock, tmp_path / "m")
    assert delivery.health.state == State.DEGRADED
    assert "ZeroDivisionError" in delivery.health.message
    assert "trackbridge sync" in delivery.health.message
    assert delivery.health.dead == 0
    again = deliver(run, ScriptedAdapter(), clock, tmp_path / "m")
    assert again.health.state == State.DELIVERED
    assert steps(MemoryReader(tmp_path / "m").read(run.id)) == list(range(10))


@pytest.mark.parametrize("calls", [10, 3000], ids=["few", "more than a look at the journal takes"])
def test_a_bug_at_the_end_stops_the_target_too(tmp_path: Path, clock: Clock, calls: int) -> None:
    class Unclosable(ScriptedAdapter):
        def writer(self, target: Target) -> ScriptedWriter:
            writer = super().writer(target)

            def close(status: str, end: int) -> None:
                raise ZeroDivisionError("no end")

            writer.close = close  # type: ignore[method-assign]
            return writer

    adapter = Unclosable()
    delivery = deliver(run_of(calls), adapter, clock, tmp_path / "m")
    assert delivery.health.state == State.DEGRADED
    assert "no end" in delivery.health.message
    assert adapter.opens == module.TRIES


def test_four_errors_are_no_reason_to_stop(tmp_path: Path, clock: Clock) -> None:
    run = run_of(10)
    assert deliver(run, ScriptedAdapter([bug] * 4), clock, tmp_path / "m").health.state == State.DELIVERED


@pytest.mark.parametrize("indexed", [True, False], ids=["by index", "by halving"])
def test_poison_goes_to_the_dead_letters_and_the_stream_goes_on(tmp_path: Path, clock: Clock, indexed: bool) -> None:
    bad = {3, 4, 50, 99}

    def poisoned(record: Record) -> bool:
        return isinstance(record.event, Metrics) and record.event.step in bad

    class Refusing(ScriptedAdapter):
        """Refuses a batch that holds a poisoned record as a whole, as MLflow does."""

        def writer(self, target: Target) -> ScriptedWriter:
            writer = super().writer(target)
            take: Callable[[Sequence[Record]], Any] = writer.write

            def write(batch: Sequence[Record]) -> Any:
                for index, record in enumerate(batch):
                    if poisoned(record):
                        raise Rejected("too odd", index if indexed else None)
                return take(batch)

            writer.write = write  # type: ignore[method-assign, assignment]
            return writer

    run = run_of(100)
    delivery = deliver(run, Refusing(), clock, tmp_path / "m")
    assert delivery.health.state == State.DELIVERED
    assert delivery.health.dead == 4
    assert steps(MemoryReader(tmp_path / "m").read(run.id)) == [step for step in range(100) if step not in bad]
    letters = [json.loads(line) for line in TargetState(run.directory, delivery.target).dead_letters.read_text().splitlines()]
    assert [letter["reason"] for letter in letters] == ["too odd"] * 4
    assert {row.reason: row.count for row in delivery.health.deviations} == {"rejected": 4}
    assert deliver(run, Refusing(), clock, tmp_path / "m").health.dead == 4, "a dead letter is buried once"


def test_a_dead_letter_is_buried_once_where_the_tracker_asks_for_all_again(tmp_path: Path, clock: Clock) -> None:
    """As one does of which somebody removed what it knew: of a dead letter none knows anything."""

    class Forgetful(ScriptedAdapter):
        def writer(self, target: Target) -> ScriptedWriter:
            writer = super().writer(target)
            take = writer.open

            def open(run: RunInfo, position: Position | None) -> Position:
                take(run, position)
                return Position()

            writer.open = open  # type: ignore[method-assign]
            return writer

    adapter = Forgetful(refuse=lambda record: Rejected("too odd") if isinstance(record.event, Metrics) and record.event.step == 4 else None)
    run = run_of(10)
    assert deliver(run, adapter, clock, tmp_path / "m").health.dead == 1
    trackbridge.init("delivery", id=run.id, resume="allow", mode="offline")
    trackbridge.log({"a": 10, "b": 0.5}, step=10)
    trackbridge.finish()
    delivery = deliver(run, adapter, clock, tmp_path / "m")
    assert (delivery.health.dead, adapter.opens) == (1, 2)
    assert {row.reason: row.count for row in delivery.health.deviations} == {"rejected": 1}
    assert set(steps(MemoryReader(tmp_path / "m").read(run.id))) == {*range(11)} - {4}


def test_a_summary_that_is_never_taken_does_not_keep_the_run_open(tmp_path: Path, clock: Clock) -> None:
    run = trackbridge.init("delivery", mode="offline")
    run.define_metric("a", summary="max")
    trackbridge.log({"a": 1}, step=0)
    trackbridge.finish()
    adapter = ScriptedAdapter(refuse=lambda record: Rejected("no such thing") if isinstance(record.event, Summary | Deviations) else None)
    delivery = deliver(run, adapter, clock, tmp_path / "m")
    assert delivery.health.state == State.DELIVERED
    assert delivery.health.dead == 1
    assert {row.reason: row.subject for row in delivery.health.deviations} == {"rejected": "summary"}
    (info,) = MemoryReader(tmp_path / "m").runs()
    assert info.status == "finished"


def test_what_a_tracker_refuses_in_the_last_flush_is_counted(tmp_path: Path, clock: Clock) -> None:
    class Late(MemoryWriter):
        """Knows what was refused when it is asked the next time."""

        waiting = refused = 0

        def write(self, batch: Sequence[Record]) -> Sequence[Deviation]:
            told = [Deviation("rejected", "a", self.refused)] if self.refused else []
            self.waiting, self.refused = self.waiting + sum(isinstance(record.event, Metrics) for record in batch), 0
            return [*told, *super().write(batch)]

        def flush(self) -> Position:
            self.refused, self.waiting = self.refused + self.waiting, 0
            return super().flush()

    class LateAdapter(MemoryAdapter):
        def writer(self, target: Target) -> MemoryWriter:
            return Late(Path(target.location))

    delivery = deliver(run_of(7), LateAdapter(), clock, tmp_path / "m")
    assert {row.reason: row.count for row in delivery.health.deviations} == {"rejected": 7}


def test_the_cursor_moves_only_with_flush(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(20)
    delivery = Delivery(run.directory, Target("memory", str(tmp_path / "m")), ScriptedAdapter())
    monkeypatch.setattr(delivery, "_flush", lambda writer: pytest.fail("flushed") if False else None)
    delivery.step()
    assert TargetState(run.directory, delivery.target).cursor().delivered == 0
    assert deliver(run, ScriptedAdapter(), clock, tmp_path / "m").health.delivered == 40


def test_a_damaged_cursor_starts_again_without_repeats(tmp_path: Path, clock: Clock) -> None:
    run = run_of(20)
    deliver(run, ScriptedAdapter(), clock, tmp_path / "m")
    (TargetState(run.directory, Target("memory", str(tmp_path / "m"))).directory / "cursor.json").write_bytes(b"{torn")
    deliver(run, ScriptedAdapter(), clock, tmp_path / "m")
    assert steps(MemoryReader(tmp_path / "m").read(run.id)) == list(range(20))


def test_one_failing_target_leaves_the_other_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted.install(monkeypatch, broken=ScriptedAdapter([bug] * 99), sound=ScriptedAdapter())
    monkeypatch.setenv("TRACKBRIDGE_FORWARD", "thread")
    monkeypatch.setattr(module, "TRIES", 2)
    run = trackbridge.init(backend=f"broken:{tmp_path}/broken,sound:{tmp_path}/sound")
    for step in range(20):
        trackbridge.log({"a": step}, step=step)
    report = trackbridge.finish()
    broken, sound = report.targets
    assert (broken.state, sound.state) == ("degraded", "delivered")
    assert not report.delivered
    assert "trackbridge sync" in str(report)
    assert steps(MemoryReader(tmp_path / "sound").read(run.id)) == list(range(20))


def test_a_hanging_backend_never_blocks_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    release, entered = threading.Event(), threading.Event()

    def hang(writer: ScriptedWriter, batch: Sequence[Record]) -> None:
        entered.set()
        release.wait(60)

    scripted.install(monkeypatch, hanging=ScriptedAdapter([hang]))
    monkeypatch.setenv("TRACKBRIDGE_FORWARD", "thread")
    monkeypatch.setenv("TRACKBRIDGE_FINISH_TIMEOUT", "0.2")
    run = trackbridge.init(backend=f"hanging:{tmp_path}/h")
    trackbridge.log({"a": 0}, step=0)
    assert entered.wait(30)
    for step in range(1, 1000):
        trackbridge.log({"a": step}, step=step)
    report = trackbridge.finish()
    assert not report.finished_in_time
    assert report.targets[0].pending > 0
    release.set()
    assert run._forwarding.wait(30)  # type: ignore[attr-defined]
    assert steps(MemoryReader(tmp_path / "h").read(run.id)) == list(range(1000))


@pytest.mark.parametrize("where", ["thread", "process"])
def test_who_waits_for_the_end_wakes_its_forwarder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    """Else a sparse run would wait for the pause between two looks: here five minutes."""
    monkeypatch.setattr(worker, "IDLE_SECONDS", (300.0, 300.0))
    monkeypatch.setenv("TRACKBRIDGE_FORWARD", where)
    monkeypatch.setenv("TRACKBRIDGE_FINISH_TIMEOUT", "60")
    monkeypatch.setattr(registry, "command", lambda name, module: [sys.executable, "-c", PAUSES.format(module=module)])
    run = trackbridge.init(backend=f"jsonl:{tmp_path}/out")
    while run.status()[f"jsonl:{tmp_path}/out"].state != "healthy":
        pass
    trackbridge.log({"a": 1}, step=0)
    assert trackbridge.finish().delivered


PAUSES = """
from {module} import main
from trackbridge.forward import worker
worker.IDLE_SECONDS = (300.0, 300.0)
main()
"""


def test_a_client_that_stays_in_trouble_makes_way_for_a_fresh_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong may lie in the process: there it would be asked for ever."""
    run, target, broken = run_of(20), Target("broken", str(tmp_path / "m")), ScriptedAdapter([unavailable_for_a_moment] * 1000)
    monkeypatch.setattr(worker, "IDLE_SECONDS", (0.001, 0.001))
    state = TargetState(run.directory, target)
    scripted.install(monkeypatch, broken=broken)
    assert not worker.serve(run.directory, worker.Inbox(), lambda folder: worker.Service(folder, target))
    assert broken.opens == worker.STUCK
    assert (state.health().state, state.health().released) == (State.WAITING, False), "its supervisor has to start another"
    assert LeaseFile(state.directory).holder() is None
    scripted.install(monkeypatch, broken=ScriptedAdapter())
    assert worker.serve(run.directory, worker.Inbox(), lambda folder: worker.Service(folder, target))
    assert steps(MemoryReader(tmp_path / "m").read(run.id)) == list(range(20))


def test_an_orphan_asks_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would start another."""
    run, target = run_of(20), Target("down", str(tmp_path / "m"))
    monkeypatch.setattr(worker, "IDLE_SECONDS", (0.001, 0.001))
    scripted.install(monkeypatch, down=ScriptedAdapter([unavailable_for_a_moment] * (worker.STUCK + 5)))
    assert worker.serve(run.directory, worker.Inbox(), lambda folder: worker.Service(folder, target), is_orphan=lambda: True)
    assert steps(MemoryReader(tmp_path / "m").read(run.id)) == list(range(20))


def test_a_lease_is_held_once(tmp_path: Path) -> None:
    first, second = LeaseFile(tmp_path), LeaseFile(tmp_path)
    assert first.acquire() is None
    holder = second.acquire()
    assert holder is not None
    first.release()
    assert second.acquire() is None
    assert not first.beat()


def test_a_lease_of_a_dead_process_is_taken(tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    code = f"from pathlib import Path; from trackbridge.forward.state import LeaseFile; LeaseFile(Path({str(tmp_path)!r})).acquire()"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "lease.json").exists()
    assert LeaseFile(tmp_path).acquire() is None
    assert json.loads((tmp_path / "lease.json").read_text())["pid"] == os.getpid()


def test_what_is_logged_between_the_last_look_and_the_death_is_delivered(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process logs once more and dies after the journal was read and before it is asked whether it lives."""
    run = trackbridge.init("delivery", mode="offline")
    trackbridge.log({"a": 0}, step=0)
    delivery = Delivery(run.directory, Target("memory", str(tmp_path / "m")), ScriptedAdapter())
    for _ in range(20):
        delivery.step()
        clock.now += 2.0
    assert delivery.cursor.delivered == 1
    assert delivery._reader is not None
    poll, died = delivery._reader.poll, []

    def last_words(**options: Any) -> Any:
        found = poll(**options)
        if not died:
            trackbridge.log({"a": 1}, step=1)
            died.append(True)
        return found

    monkeypatch.setattr(delivery._reader, "poll", last_words)
    monkeypatch.setattr(reader_module.host, "is_dead", lambda *who: bool(died))
    while not delivery.done:
        delivery.step()
        clock.now += 2.0
    assert steps(MemoryReader(tmp_path / "m").read(run.id)) == [0, 1]


def test_what_an_earlier_forwarder_said_is_not_taken_for_the_end_of_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trackbridge.forward import supervisor
    from trackbridge.forward.state import Health

    forwarder = supervisor._Forwarder(tmp_path, Target("memory", str(tmp_path / "m")), [], in_thread=False)
    forwarder.state.save_health(Health(target="memory", state=State.DELIVERED, released=True))
    seen: list[bool] = []
    save = forwarder.state.save_health
    monkeypatch.setattr(forwarder.state, "save_health", lambda health: (seen.append(forwarder.final), save(health)))
    monkeypatch.setattr(supervisor._Process, "given", lambda *arguments: seen.append(forwarder.final))
    forwarder.start()
    assert seen == [False, False]
