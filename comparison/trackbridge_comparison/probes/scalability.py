"""Scalability: how the times grow with points, metrics and runs, with the tracker's own client."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from trackbridge_comparison import children, natives
from trackbridge_comparison.bench import NO_CLIENT, Bench, Finding, Job, spec, unsupported
from trackbridge_comparison.children import TooLong
from trackbridge_comparison.probes.durability import KEYS, await_first
from trackbridge_comparison.probes.storage import Written, written
from trackbridge_comparison.schema import Spec, Status, Way
from trackbridge_comparison.statistics import exponent, median

AXIS = "scalability"
TITLE = "Scalability"
METHOD = """Runs of growing size are written with the tracker's own client (ten metrics a call; the time is from the first call until the run is
closed, without imports) and read whole, in fresh processes. Exponents are slopes of log time over log size: 1 is linear; of points in a run, of metrics in
one of ten calls, and of runs of one call each. A read-back whose values are not all there has no time. What takes longer than the time box is given as not
reached, and larger sizes are not tried. Memory is the highest resident memory of the writing process and of all that descends from it. Listing and filtering
by name are the tracker's own, over runs of one call each. Visible is the time from the return of the first log() until a reader in another process, which asks
again and again (with 50 ms in between), has a value; the writer logs on, twice a second. Writers are processes that write a run each into one store at the same time; the share of their values that comes back."""

CALLS = 10
"""Calls of each run whose metrics grow in number, and of each of several writers."""

VISIBLE_SECONDS = 30.0


def jobs(bench: Bench) -> Iterator[Job]:
    for backend in bench.backends:
        for name, specs, work, estimate in (
            ("points", _point_specs(backend, bench), measure_points, 10.0),
            ("runs", _run_specs(backend, bench), measure_runs, 12.0),
            ("widths", (_width_spec(backend),), measure_widths, 12.0),
            ("visible", (_visible_spec(backend),), measure_visible, 15.0),
            ("writers", (_writers_spec(backend),), measure_writers, 10.0),
        ):
            yield _job(backend, name, specs, work, estimate * bench.sizes.scale_repeats)


def _job(backend: str, name: str, specs: Sequence[Spec], work: Callable[[Bench, str], Iterator[Finding]], estimate: float) -> Job:
    def run(bench: Bench, wanted: frozenset[str]) -> Iterator[Finding]:
        return work(bench, backend) if natives.script(backend) else unsupported(specs, NO_CLIENT)

    return Job(f"{AXIS}/{backend}/{name}", tuple(specs), run, estimate, backends=(backend,))


def _point_specs(backend: str, bench: Bench) -> list[Spec]:
    sizes = bench.sizes.points
    return [
        *(spec(backend, AXIS, f"write_{points}", f"write {points:,} points", "ms") for points in sizes),
        *(spec(backend, AXIS, f"memory_{points}", f"memory while {points:,} points are written", "MB") for points in sizes),
        *(spec(backend, AXIS, f"read_{points}", f"read {points:,} points", "ms") for points in sizes),
        spec(backend, AXIS, "write_exponent", "growth of the write time with points", "exponent"),
        spec(backend, AXIS, "read_exponent", "growth of the read time with points", "exponent"),
    ]


def _run_specs(backend: str, bench: Bench) -> list[Spec]:
    most = bench.sizes.runs[-1]
    return [
        spec(backend, AXIS, "runs_exponent", "growth of the write time with runs", "exponent"),
        spec(backend, AXIS, f"list_{most}_runs", f"list {most:,} runs", "ms"),
        spec(backend, AXIS, f"filter_{most}_runs", f"find one of {most:,} runs by its name", "ms"),
    ]


def _width_spec(backend: str) -> Spec:
    return spec(backend, AXIS, "keys_exponent", "growth of the write time with metrics in a call", "exponent")


def _visible_spec(backend: str) -> Spec:
    return spec(backend, AXIS, "visible", "from log() to readable by another process", "s")


def _writers_spec(backend: str) -> Spec:
    return spec(backend, AXIS, "writers", "values complete with several writers at once", "%")


def _growth(one: Spec, sizes: Sequence[int], seconds: Sequence[float], what: str, stopped: str) -> Finding:
    """The exponent over the sizes that were reached."""
    if len(seconds) < 2:
        return Finding(one.id, status=Status.NOT_REACHED, detail=f"fewer than two sizes were reached{stopped}")
    reached = list(sizes[: len(seconds)])
    value = exponent(reached, seconds)
    return Finding(one.id, value, [value], f"seconds {[round(second, 5) for second in seconds]} at {reached} {what}{stopped}")


def measure_points(bench: Bench, backend: str) -> Iterator[Finding]:
    sizes, keys = bench.sizes.points, bench.sizes.keys
    *single, write_growth, read_growth = _point_specs(backend, bench)
    ids = {one.quantity: one.id for one in single}
    reached: list[list[Written]] = []
    stopped = ""
    for points in sizes:
        try:
            if stopped:
                raise TooLong(f"not tried{stopped}")
            runs = [written(bench, backend, Way.NATIVE, points, repeat) for repeat in range(bench.sizes.scale_repeats)]
        except TooLong as error:
            stopped = stopped or f"; stopped at {points:,}: {error}"
            for quantity in ("write", "memory", "read"):
                yield Finding(ids[f"{quantity}_{points}"], status=Status.NOT_REACHED, detail=str(error))
            continue
        reached.append(runs)
        each = [1000 * run.seconds for run in runs]
        yield Finding(ids[f"write_{points}"], median(each), each, f"{1000 * points / median(each):,.0f} points a second")
        peaks = [run.memory / 1e6 for run in runs]
        yield Finding(ids[f"memory_{points}"], median(peaks), peaks, "highest resident memory")
    yield _growth(write_growth, sizes, [median([run.seconds for run in runs]) for runs in reached], "points", stopped)
    seconds: list[float] = []
    for number, runs in enumerate(reached):
        points = runs[0].points
        try:
            backs = [bench.drive(run.place, "read", run.name, points // keys, keys, at_most=bench.sizes.box) for run in runs]
        except TooLong as error:
            stopped = f"; reading stopped at {points:,}: {error}"
            for left in reached[number:]:
                yield Finding(ids[f"read_{left[0].points}"], status=Status.NOT_REACHED, detail=stopped.removeprefix("; "))
            break
        wrong = [back["points"] for back in backs if not back["complete"]]
        assert not wrong, f"{backend}: of {points} points {wrong[0]} came back, or others"
        took = [back["seconds"] for back in backs]
        seconds.append(median(took))
        yield Finding(ids[f"read_{points}"], 1000 * seconds[-1], [1000 * second for second in took], f"all {points} points are there")
    yield _growth(read_growth, sizes, seconds, "points", stopped)


def measure_runs(bench: Bench, backend: str) -> Iterator[Finding]:
    growth, listing, filtering = _run_specs(backend, bench)
    asked = [(listing, "count_runs", "list", bench.sizes.runs[-1]), (filtering, "filter_runs", "filter", 1)]
    for one, function, *_ in asked:
        if not natives.offers(backend, function):
            yield from unsupported([one], "its client has no such query of local runs")
    counts, seconds, stopped = bench.sizes.runs, [], ""
    place = None
    for count in counts:
        place = bench.place(backend, Way.NATIVE, f"runs{count}")
        try:
            seconds.append(bench.drive(place, "runs", count, at_most=bench.sizes.box)["seconds"])
        except TooLong as error:
            stopped = f"; stopped at {count:,} runs: {error}"
            break
    yield _growth(growth, counts, seconds, "runs", stopped)
    for one, function, verb, wanted in asked:
        if natives.offers(backend, function) and stopped:
            yield Finding(one.id, status=Status.NOT_REACHED, detail=stopped.removeprefix("; "))
        elif natives.offers(backend, function):
            assert place is not None
            rest = [f"run{counts[-1] - 1:05}"] if verb == "filter" else []
            results = [bench.drive(place, verb, *rest) for _ in range(bench.sizes.scale_repeats)]
            wrong = [result["runs"] for result in results if result["runs"] != wanted]
            assert not wrong, f"{backend} finds {wrong[0]} runs, not {wanted}"
            took = [1000 * result["seconds"] for result in results]
            yield Finding(one.id, median(took), took, f"it finds {wanted} of {counts[-1]}")


def measure_widths(bench: Bench, backend: str) -> Iterator[Finding]:
    seconds, stopped = [], ""
    for width in bench.sizes.widths:
        place = bench.place(backend, Way.NATIVE, f"width{width}")
        try:
            seconds.append(bench.drive(place, "write", "wide", CALLS, width, at_most=bench.sizes.box)["seconds"])
        except TooLong as error:
            stopped = f"; stopped at {width:,} metrics: {error}"
            break
    yield _growth(_width_spec(backend), bench.sizes.widths, seconds, f"metrics in each of {CALLS} calls", stopped)


def measure_visible(bench: Bench, backend: str) -> Iterator[Finding]:
    one, samples = _visible_spec(backend), []
    for _ in range(bench.sizes.scale_repeats):
        seconds, why = _until_visible(bench, backend)
        if seconds is None:
            told = f"not readable within {VISIBLE_SECONDS:.0f} s while the run goes on" + (f" ({bench.portable(why)})" if why else "")
            yield Finding(one.id, status=Status.NOT_REACHED, detail=told)
            return
        samples.append(seconds)
    yield Finding(one.id, median(samples), samples, "one pair of processes each")


def _until_visible(bench: Bench, backend: str) -> tuple[float | None, str]:
    """Seconds from the return of the first log() until a reader that was there before has its value; None, and why, where it never has."""
    place = bench.place(backend, Way.NATIVE, "visible")
    with ExitStack() as stack:

        def begin(verb: str, *rest: object) -> tuple[subprocess.Popen[bytes], Path, float]:
            """Start a process, and wait until it says something over its pipe; with the time of the day then."""
            reading, writing = os.pipe()
            stack.callback(os.close, reading)
            child, log = bench.begin(place, verb, "seen", writing, *rest, pass_fds=[writing])
            stack.callback(children.end, child)
            os.close(writing)
            await_first(reading, bench.left(120.0), log)
            return child, log, time.time()

        reader, log, _ = begin("await", VISIBLE_SECONDS)
        _, _, logged = begin("forever", 0.5, KEYS)
        found = bench.result(reader, log, 2 * VISIBLE_SECONDS)
    return (None if found["seen"] is None else max(0.0, found["seen"] - logged)), found.get("error", "")


def measure_writers(bench: Bench, backend: str) -> Iterator[Finding]:
    count, points = bench.sizes.writers, CALLS * KEYS
    place = bench.place(backend, Way.NATIVE, "writers")
    names = [f"writer{number}" for number in range(count)]

    def write(name: str) -> str:
        try:
            bench.drive(place, "write", name, CALLS, KEYS, at_most=bench.sizes.box)
        except (children.ChildFailed, TooLong) as error:
            return f"{name}: {bench.portable(str(error)).strip().splitlines()[-1][:200]}"
        return ""

    with ThreadPoolExecutor(count) as pool:
        errors = [error for error in pool.map(write, names) if error]
    kept = [len(bench.drive(place, "kept", name, CALLS, KEYS)["kept"]) for name in names]
    shares = [100 * calls / CALLS for calls in kept]
    told = f"; {'; '.join(errors)}" if errors else ""
    yield Finding(_writers_spec(backend).id, sum(shares) / count, shares, f"{count} processes of {points} values each{told}")
