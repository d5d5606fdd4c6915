"""Overhead: what a call of ``log`` costs the training process."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

from trackbridge_comparison.bench import NO_CLIENT, Bench, Finding, Job, Place, spec, unsupported
from trackbridge_comparison.schema import Spec, Way
from trackbridge_comparison.statistics import median, quantile

AXIS = "overhead"
TITLE = "Overhead in the training process"
METHOD = """Time of each log() call of three scalars, in the calling thread: some calls 2 ms apart, then, after half a second, calls in a row
(burst). Each figure is the median over fresh processes of a process's own median (p50) or 99th percentile (p99). Processor time is that of the process and
of all that descends from it, over all calls and the end of the run, divided by the calls; memory is the highest resident memory of the same processes,
added up, less that of the reference (a line of JSON by hand) in the same round; finish is the time of the call that ends the run. In each round the order
of native client, tuned client, TrackBridge and the two controls is shuffled. A run whose values do not all come back has no timing. The control is the
reference under two names: where two rows differ by less than its ratio does from 1, they do not differ. TrackBridge's forwarder delivers to the tracker
at the same time and competes for the cores. Tuned is the client with the settings of TrackBridge's adapter. The slow-down is the median time of a step of
computation (hashing, some 10 ms) and one call, over that of the step alone: the trackers' environments hold no torch, so it is no training step."""

KEYS = 3
PAUSE = 0.002
CADENCES = {"burst": "calls in a row", "2ms": "calls 2 ms apart"}
QUANTILES = {"p50": 0.5, "p99": 0.99}
CONTROL = ("control-a", "control-b")
STEPS = 100


def jobs(bench: Bench) -> Iterator[Job]:
    for backend in bench.backends:
        ways = bench.ways(backend)
        together = (Way.NATIVE, Way.THROUGH, *([Way.TUNED] if bench.sizes.everything and Way.TUNED in ways else []))
        yield _job(bench, backend, together, (_control(backend),))
        if Way.TUNED in ways and Way.TUNED not in together:
            yield _job(bench, backend, (Way.TUNED,), (), long=True)

        def run_steps(bench: Bench, wanted: frozenset[str], backend: str = backend) -> Iterator[Finding]:
            return measure_steps(bench, backend)

        estimate = 5.0 * len(ways) * bench.sizes.repeats
        yield Job(f"{AXIS}/{backend}/steps", _step_specs(backend), run_steps, estimate, long=True, backends=(backend,))


def _job(bench: Bench, backend: str, ways: Sequence[Way], control: tuple[Spec, ...], long: bool = False) -> Job:
    def run(bench: Bench, wanted: frozenset[str]) -> Iterator[Finding]:
        return measure(bench, backend, [way for way in ways if wanted & {one.id for one in _specs(backend, way)}])

    specs = (*(one for way in ways for one in _specs(backend, way)), *control)
    name = f"{AXIS}/{backend}" + ("/tuned" if long else "")
    return Job(name, specs, run, 4.0 * len(ways) * bench.sizes.repeats, long=long, backends=(backend,))


def _specs(backend: str, way: Way) -> list[Spec]:
    times = [
        spec(backend, AXIS, f"log_{name}_{cadence}", f"log() of 3 scalars, {words}, {name}", "us", way)
        for cadence, words in CADENCES.items()
        for name in QUANTILES
    ]
    return [
        *times,
        spec(backend, AXIS, "cpu_per_call", "processor time of a call", "us", way),
        spec(backend, AXIS, "memory", "memory added", "MB", way),
        spec(backend, AXIS, "finish", "end of the run", "ms", way),
    ]


def _step_specs(backend: str) -> tuple[Spec, ...]:
    return tuple(
        spec(backend, AXIS, "step_slowdown", "a step of computation with a call, over one without", "ratio", way)
        for way in (Way.NATIVE, Way.THROUGH)
    )


def _control(backend: str) -> Spec:
    return Spec(f"{backend}/{AXIS}/control_aa", "the reference over itself, calls in a row, p50", "ratio", Way.CONTROL)


def measure(bench: Bench, backend: str, ways: Sequence[Way]) -> Iterator[Finding]:
    """Interleaved fresh processes of these ways and the control."""
    there = [way for way in ways if way in bench.ways(backend)]
    for way in set(ways) - set(there):
        yield from unsupported(_specs(backend, way), NO_CLIENT)
    order = random.Random(bench.seed)
    samples: dict[Way | str, list[dict[str, Any]]] = {way: [] for way in (*there, *CONTROL)}
    for _ in range(bench.sizes.repeats):
        turn = list(samples)
        order.shuffle(turn)
        for who in turn:
            place = bench.place(backend, who, AXIS) if isinstance(who, Way) else bench.place("jsonl", Way.NATIVE, who)
            samples[who].append(_one(bench, place))
    reference = samples[CONTROL[0]]
    for way in there:
        for one, (each, detail) in zip(_specs(backend, way), _figures(samples[way], reference), strict=True):
            yield Finding(one.id, median(each), each, f"{detail} in each of {len(each)} fresh processes")
    first, second = ([median(run["burst"]) for run in samples[name]] for name in CONTROL)
    ratios = [a / b for a, b in zip(first, second, strict=True)]
    yield Finding(_control(backend).id, median(ratios), ratios, f"{len(ratios)} pairs of fresh processes")


def _figures(runs: list[dict[str, Any]], reference: list[dict[str, Any]]) -> Iterator[tuple[list[float], str]]:
    """Of each quantity its samples and what they are, in the order of :func:`_specs`."""
    for cadence in CADENCES:
        phase = "paced" if cadence == "2ms" else "burst"
        for name, share in QUANTILES.items():
            yield [quantile(run[phase], share) / 1000 for run in runs], f"{name} of {len(runs[0][phase])} calls"
    calls = len(runs[0]["paced"]) + len(runs[0]["burst"])
    yield [1e6 * run["cpu"] / calls for run in runs], f"processor time of {calls} calls and the end of the run"
    yield (
        [(run["memory"] - plain["memory"]) / 1e6 for run, plain in zip(runs, reference, strict=True)],
        "highest resident memory over the reference",
    )
    yield [run["finish"] / 1e6 for run in runs], "one end of a run"


def _one(bench: Bench, place: Place) -> dict[str, Any]:
    """The calls' times of one fresh process, after its values were read back.

    Raises:
        AssertionError: not every value came back.
    """
    sizes = bench.sizes
    result = bench.drive(place, "time", "timed", sizes.calls, PAUSE, sizes.burst, KEYS)
    back = bench.drive(place, "read", "timed", sizes.calls + sizes.burst, KEYS)
    assert back["complete"], f"{place.script}: of {(sizes.calls + sizes.burst) * KEYS} points {back['points']} came back, or others"
    return result


def measure_steps(bench: Bench, backend: str) -> Iterator[Finding]:
    for one in _step_specs(backend):
        if one.way not in bench.ways(backend):
            yield from unsupported([one], NO_CLIENT)
            continue
        ratios = []
        for _ in range(bench.sizes.repeats):
            without, with_calls = (
                median(bench.drive(bench.place(backend, one.way, "steps"), "steps", "steps", STEPS, KEYS, log)["steps"]) for log in (0, 1)
            )
            ratios.append(with_calls / without)
        yield Finding(one.id, median(ratios), ratios, f"medians of {STEPS} steps, {len(ratios)} pairs of fresh processes")
