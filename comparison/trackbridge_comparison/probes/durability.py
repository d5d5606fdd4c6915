"""Durability: what is readable after SIGKILL of the training process and of all that it started."""

from __future__ import annotations

import os
import random
import select
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from trackbridge_comparison import children, natives, tools
from trackbridge_comparison.bench import NO_CLIENT, Bench, Finding, Job, spec, unsupported
from trackbridge_comparison.children import ChildFailed, OutOfTime
from trackbridge_comparison.portable import excerpt
from trackbridge_comparison.schema import Spec, Way

AXIS = "durability"
TITLE = "Durability"
METHOD = """A process logs three scalars every 20 ms with the client's default settings and, when log() has returned, says so over a pipe. At a
random moment it and every process that it started get SIGKILL. A fresh process then counts which of the acknowledged calls the tracker's reader
returns whole: what it does not is not readable after SIGKILL in this mode. Records and seconds at risk are the worst case over the kills. In a full
comparison the kill times are uniform over at least three of the flush intervals that the tool documents, which stand beside; those of a quick one
are short of W&B's 15 s and TensorBoard's 120 s. Tuned is the client with the settings of TrackBridge's adapter. Through TrackBridge the same is done,
then trackbridge sync, as the next start would do by itself, and the tracker is read. This is the death of a process, not a power cut. What a queue in
memory loses grows with load: see the load average of each cell."""

KEYS = 3
PAUSE = 0.02


@dataclass(frozen=True)
class Trial:
    """One killed process: seconds until the kill, calls acknowledged, and which of them were readable."""

    seconds: float
    acknowledged: int
    kept: list[int]
    error: str

    @property
    def lost(self) -> int:
        return self.acknowledged - len(self.kept)

    @property
    def lost_seconds(self) -> float:
        """Age at the kill of the oldest acknowledged call that was lost."""
        there = set(self.kept)
        first = next((step for step in range(self.acknowledged) if step not in there), self.acknowledged)
        return self.seconds * (self.acknowledged - first) / max(1, self.acknowledged)


def jobs(bench: Bench) -> Iterator[Job]:
    for backend in bench.backends:
        estimate = 10.0 + bench.sizes.kill_range(tools.entry(backend).flush)[1] * bench.sizes.kills / 3
        for way in (Way.NATIVE, Way.THROUGH, Way.TUNED):
            if way is Way.TUNED and way not in bench.ways(backend):
                continue

            def run(bench: Bench, wanted: frozenset[str], backend: str = backend, way: Way = way) -> Iterator[Finding]:
                return measure(bench, backend, way)

            name = f"{AXIS}/{backend}/{way.name.lower()}"
            yield Job(name, _specs(backend, way), run, estimate, alone=False, long=way is Way.TUNED, backends=(backend,))


def _specs(backend: str, way: Way) -> tuple[Spec, ...]:
    after = "SIGKILL and sync" if way is Way.THROUGH else "SIGKILL"
    return (
        spec(backend, AXIS, "kept_after_kill", f"acknowledged calls readable after {after}", "%", way),
        spec(backend, AXIS, "lost_records", f"acknowledged calls not readable after {after}, worst case", "records", way),
        spec(backend, AXIS, "lost_seconds", "oldest acknowledged call that was lost, worst case", "s", way),
    )


def measure(bench: Bench, backend: str, way: Way) -> Iterator[Finding]:
    kept, lost, age = _specs(backend, way)
    if way not in bench.ways(backend):
        yield from unsupported((kept, lost, age), NO_CLIENT)
        return
    about = tools.entry(backend)
    chance = random.Random(f"{bench.seed} {backend} {way}")
    times = [chance.uniform(*bench.sizes.kill_range(about.flush)) for _ in range(bench.sizes.kills)]
    bench.prepared(backend)
    with ThreadPoolExecutor(2 if bench.sizes.kills < 4 else 4) as pool:
        trials = list(pool.map(lambda seconds: kill(bench, backend, way, seconds), times))
    detail = "; ".join(
        f"after {trial.seconds:.1f} s: {len(trial.kept)} of {trial.acknowledged}" + (f" ({trial.error})" if trial.error else "")
        for trial in trials
    )
    promise = f"; its documentation: {about.promise}" if about.promise else "; its documentation names no interval"
    acknowledged = sum(trial.acknowledged for trial in trials)
    shares = [100 * len(trial.kept) / trial.acknowledged for trial in trials]
    yield Finding(kept.id, 100 * sum(len(trial.kept) for trial in trials) / acknowledged, shares, detail + promise)
    records = [float(trial.lost) for trial in trials]
    yield Finding(lost.id, max(records), records, "one sample for each kill; one record each 20 ms")
    ages = [trial.lost_seconds for trial in trials]
    yield Finding(age.id, max(ages), ages, "one sample for each kill; 0 where nothing was lost")


def kill(bench: Bench, backend: str, way: Way, seconds: float) -> Trial:
    """Start a logging process, kill it and its children `seconds` after its first call returned, and count.

    Raises:
        ChildFailed: it ended by itself.
        OutOfTime: it did not begin to log in time.
    """
    place = bench.place(backend, way, AXIS)
    run = place.folder.name  # of this trial alone: others write to the same service meanwhile
    reading, writing = os.pipe()
    try:
        child, log = bench.begin(place, "forever", run, writing, PAUSE, KEYS, pass_fds=[writing])
        os.close(writing)
        try:
            first = await_first(reading, bench.left(120.0), log)
            with Acknowledged(reading) as acknowledged:
                time.sleep(min(seconds, bench.left()))
                alive = child.poll() is None
                lived = time.monotonic() - first
        finally:
            children.end(child)
        if not alive:
            raise ChildFailed(f"it ended by itself\n{excerpt(log.read_text('utf-8', 'replace'))}")
        calls = 1 + acknowledged.count()
    finally:
        os.close(reading)
    if place.script == natives.THROUGH:
        bench.python("-m", "trackbridge", "sync", str(place.folder / "journals" / run), work=place.folder, backends=[backend])
    found = bench.drive(place, "kept", run, calls, KEYS)
    return Trial(lived, calls, found["kept"], bench.portable(found.get("error", "")).replace("\n", " ")[:200])


def await_first(reading: int, seconds: float, log: Path) -> float:
    """Wait for the first acknowledgement; the moment when it came.

    Raises:
        OutOfTime: none came.
        ChildFailed: its process is over.
    """
    ready, _, _ = select.select([reading], [], [], seconds)
    if not ready:
        raise OutOfTime("no call returned in time")
    if not os.read(reading, 8):
        raise ChildFailed(f"it ended before its first call returned\n{excerpt(log.read_text('utf-8', 'replace'))}")
    return time.monotonic()


class Acknowledged:
    """Counts the acknowledgements while they come: a pipe that nobody reads is full after 8,192, and who writes to it then waits."""

    def __init__(self, reading: int) -> None:
        os.set_blocking(reading, False)
        self._reading, self._bytes, self._over = reading, 0, threading.Event()
        self._thread = threading.Thread(target=self._drain, daemon=True)

    def __enter__(self) -> Acknowledged:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def count(self) -> int:
        """With those that lie in the pipe still; a surviving process may hold its other end."""
        self._read()
        return self._bytes // 8

    def _drain(self) -> None:
        while not self._over.wait(0.1):
            self._read()

    def _read(self) -> None:
        try:
            while data := os.read(self._reading, 1 << 16):
                self._bytes += len(data)
        except BlockingIOError:
            pass
