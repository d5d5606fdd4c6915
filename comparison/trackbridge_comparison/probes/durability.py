"""Durability: what is readable after SIGKILL of the training process and of all that it started."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from trackbridge_comparison import children, natives
from trackbridge_comparison.bench import NO_CLIENT, Bench, Finding, Job, unsupported
from trackbridge_comparison.children import ChildFailed, OutOfTime
from trackbridge_comparison.portable import excerpt
from trackbridge_comparison.schema import Spec, Way

AXIS = "durability"
TITLE = "Durability"
METHOD = """A process logs three scalars every 20 ms with the client's default settings and, when log() has returned, says so over a pipe. At a
random moment it and every process that it started get SIGKILL. A fresh process then counts which of the acknowledged calls the tracker's reader
returns whole. Through TrackBridge the same is done, then trackbridge sync, as the next start would do by itself, and the tracker is read. This is
the death of a process, not a power cut. The kill times of a quick comparison are short of W&B's documented flush interval of 15 s and of
TensorBoard's of 120 s. What a queue in memory loses grows with load: see the load average of each cell."""

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
        for way in ("native", "through"):

            def run(bench: Bench, wanted: frozenset[str], backend: str = backend, way: str = way) -> Iterator[Finding]:
                return measure(bench, backend, way)

            yield Job(f"{AXIS}/{backend}/{way}", _specs(backend, way), run, 25.0, alone=False, backends=(backend,))


def _specs(backend: str, way: str) -> tuple[Spec, ...]:
    if way == "native":
        return (
            Spec(f"{backend}/{AXIS}/kept_after_kill", "acknowledged calls readable after SIGKILL", "%"),
            Spec(f"{backend}/{AXIS}/lost_seconds", "oldest acknowledged call that was lost, worst case", "s"),
        )
    return (Spec(f"{backend}/{AXIS}/kept_after_kill_through", "acknowledged calls readable after SIGKILL and sync", "%", Way.THROUGH),)


def measure(bench: Bench, backend: str, way: str) -> Iterator[Finding]:
    specs = _specs(backend, way)
    if way == "native" and not natives.script(backend):
        yield from unsupported(specs, NO_CLIENT)
        return
    chance = random.Random(f"{bench.seed} {backend} {way}")
    times = [chance.uniform(*bench.sizes.kill_after) for _ in range(bench.sizes.kills)]
    bench.prepared(backend)
    with ThreadPoolExecutor(2 if bench.sizes.kills < 4 else 4) as pool:
        trials = list(pool.map(lambda seconds: kill(bench, backend, way, seconds), times))
    detail = "; ".join(
        f"after {trial.seconds:.1f} s: {len(trial.kept)} of {trial.acknowledged}" + (f" ({trial.error})" if trial.error else "")
        for trial in trials
    )
    acknowledged = sum(trial.acknowledged for trial in trials)
    assert acknowledged, f"{backend}, {way}: no call was acknowledged"
    shares = [100 * len(trial.kept) / trial.acknowledged for trial in trials if trial.acknowledged]
    yield Finding(specs[0].id, 100 * sum(len(trial.kept) for trial in trials) / acknowledged, shares, detail)
    if way == "native":
        ages = [trial.lost_seconds for trial in trials]
        yield Finding(specs[1].id, max(ages), ages, "one sample for each kill; 0 where nothing was lost")


def kill(bench: Bench, backend: str, way: str, seconds: float) -> Trial:
    """Start a logging process, kill it and its children `seconds` after its first call returned, and count.

    Raises:
        ChildFailed: it ended by itself.
        OutOfTime: it did not begin to log in time.
    """
    script, folder = bench.place(backend, way, AXIS)
    log = folder / ".log-killed"
    reading, writing = os.pipe()
    try:
        command = [sys.executable, "-I", str(natives.DRIVER), script, "forever", str(folder), "killed", str(writing), str(PAUSE), str(KEYS)]
        child = children.start(command, folder, log=log, pass_fds=(writing,))
        os.close(writing)
        try:
            first = _first(child, reading, bench.left(120.0))
            time.sleep(min(seconds, bench.left()))
            alive = child.poll() is None
            lived = time.monotonic() - first
        finally:
            children.end(child)
        if not alive:
            raise ChildFailed(f"it ended by itself\n{excerpt(log.read_text('utf-8', 'replace'))}")
        acknowledged = 1 + _count(reading)
    finally:
        os.close(reading)
    if way == "through":
        bench.python("-m", "trackbridge", "sync", str(folder / "journals" / "killed"), work=folder)
    found = bench.drive(script, "kept", folder, "killed", acknowledged, KEYS)
    return Trial(lived, acknowledged, found["kept"], bench.portable(found.get("error", "")).replace("\n", " ")[:200])


def _first(child: object, reading: int, seconds: float) -> float:
    """Wait for the first acknowledgement; the moment when it came."""
    import select

    ready, _, _ = select.select([reading], [], [], seconds)
    if not ready:
        raise OutOfTime("no call returned in time")
    if not os.read(reading, 8):
        raise ChildFailed("it ended before its first call returned")
    return time.monotonic()


def _count(reading: int) -> int:
    """The acknowledgements that lie in the pipe; a surviving process may still hold its other end."""
    os.set_blocking(reading, False)
    data = b""
    try:
        while chunk := os.read(reading, 1 << 16):
            data += chunk
    except BlockingIOError:
        pass
    return len(data) // 8
