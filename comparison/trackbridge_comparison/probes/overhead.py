"""Overhead: what a call of ``log`` costs the training process."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from trackbridge_comparison import natives
from trackbridge_comparison.bench import NO_CLIENT, Bench, Finding, Job, unsupported
from trackbridge_comparison.schema import Spec, Way
from trackbridge_comparison.statistics import median, quantile

AXIS = "overhead"
TITLE = "Overhead in the training process"
METHOD = """Time of each log() call of three scalars, in the calling thread: some calls 2 ms apart, then, after half a second, calls in a row
(burst). Each figure is the median over fresh processes of a process's own median (p50) or 99th percentile (p99); the range over the processes
is given. In each round the order of native client, TrackBridge and the two controls is shuffled. A run whose values do not all come back has no
timing. The control is the same reference (a line of JSON by hand) under two names: where two rows differ by less than its ratio does from 1,
they do not differ. TrackBridge's forwarder delivers to the tracker at the same time and competes for the cores."""

KEYS = 3
PAUSE = 0.002
CADENCES = {"burst": "calls in a row", "2ms": "calls 2 ms apart"}
QUANTILES = {"p50": 0.5, "p99": 0.99}
CONTROL = ("control-a", "control-b")


def jobs(bench: Bench) -> Iterator[Job]:
    for backend in bench.backends:
        specs = (*_specs(backend, "native"), *_specs(backend, "through"), _control(backend))

        def run(bench: Bench, wanted: frozenset[str], backend: str = backend) -> Iterator[Finding]:
            return measure(bench, backend, wanted)

        yield Job(f"{AXIS}/{backend}", specs, run, 9.0 * bench.sizes.repeats, backends=(backend,))


def _specs(backend: str, way: str) -> tuple[Spec, ...]:
    suffix = "_through" if way == "through" else ""
    return tuple(
        Spec(
            f"{backend}/{AXIS}/log_{name}_{cadence}{suffix}",
            f"log() of 3 scalars, {words}, {name}",
            "us",
            Way.THROUGH if way == "through" else Way.NATIVE,
        )
        for cadence, words in CADENCES.items()
        for name in QUANTILES
    )


def _control(backend: str) -> Spec:
    return Spec(f"{backend}/{AXIS}/control_aa", "the reference over itself, calls in a row, p50", "ratio", Way.CONTROL)


def measure(bench: Bench, backend: str, wanted: frozenset[str]) -> Iterator[Finding]:
    """Interleaved fresh processes of the native client, TrackBridge and the control."""
    ways = [way for way in ("native", "through") if any(spec.id in wanted for spec in _specs(backend, way))]
    if "native" in ways and not natives.script(backend):
        ways.remove("native")
        yield from unsupported(_specs(backend, "native"), NO_CLIENT)
    order = random.Random(bench.seed)
    samples: dict[str, list[dict[str, Any]]] = {way: [] for way in (*ways, *CONTROL)}
    for _ in range(bench.sizes.repeats):
        turn = list(samples)
        order.shuffle(turn)
        for way in turn:
            samples[way].append(_one(bench, backend, way))
    for way in ways:
        for spec in _specs(backend, way):
            _, name, cadence, *_ = spec.quantity.split("_")
            phase = "paced" if cadence == "2ms" else "burst"
            each = [quantile(run[phase], QUANTILES[name]) / 1000 for run in samples[way]]
            count = len(samples[way][0][phase])
            yield Finding(spec.id, median(each), each, f"{name} of {count} calls in each of {len(each)} fresh processes")
    first, second = ([median(run["burst"]) for run in samples[name]] for name in CONTROL)
    ratios = [a / b for a, b in zip(first, second, strict=True)]
    yield Finding(_control(backend).id, median(ratios), ratios, f"{len(ratios)} pairs of fresh processes")


def _one(bench: Bench, backend: str, way: str) -> dict[str, Any]:
    """The calls' times of one fresh process, after its values were read back.

    Raises:
        AssertionError: not every value came back.
    """
    sizes = bench.sizes
    script, folder = bench.place("jsonl", "native", way) if way in CONTROL else bench.place(backend, way, AXIS)
    result = bench.drive(script, "time", folder, "timed", sizes.calls, PAUSE, sizes.burst, KEYS)
    back = bench.drive(script, "read", folder, "timed", sizes.calls + sizes.burst, KEYS)
    assert back["complete"], f"{backend}, {way}: of {(sizes.calls + sizes.burst) * KEYS} points {back['points']} came back, or others"
    return result
