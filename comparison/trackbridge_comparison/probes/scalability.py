"""Scalability: how the times grow with the size of a run and the number of runs, with the tracker's own client."""

from __future__ import annotations

from collections.abc import Iterator

from trackbridge_comparison import natives
from trackbridge_comparison.bench import NO_CLIENT, Bench, Finding, Job, unsupported
from trackbridge_comparison.children import OutOfTime
from trackbridge_comparison.probes.storage import Written, written
from trackbridge_comparison.schema import Spec, Status
from trackbridge_comparison.statistics import exponent

AXIS = "scalability"
TITLE = "Scalability"
METHOD = """Runs of growing size are written with the tracker's own client (ten metrics a call; the time is from the first call until the run is
closed, without imports) and read whole, in fresh processes. The exponent is the slope of log time over log size: 1 is linear. A read-back whose values are
not all there has no time. A size that takes longer than the time box is given as not reached. Listing is the tracker's own, over runs of one call
each."""


def jobs(bench: Bench) -> Iterator[Job]:
    for backend in bench.backends:

        def run(bench: Bench, wanted: frozenset[str], backend: str = backend) -> Iterator[Finding]:
            return measure(bench, backend)

        def run_list(bench: Bench, wanted: frozenset[str], backend: str = backend) -> Iterator[Finding]:
            return measure_list(bench, backend)

        yield Job(f"{AXIS}/{backend}/points", _point_specs(backend, bench), run, 15.0, backends=(backend,))
        yield Job(f"{AXIS}/{backend}/runs", (_list_spec(backend, bench),), run_list, 10.0, backends=(backend,))


def _point_specs(backend: str, bench: Bench) -> tuple[Spec, ...]:
    sizes = bench.sizes.points
    return (
        *(Spec(f"{backend}/{AXIS}/write_{points}", f"write {points:,} points", "ms") for points in sizes),
        Spec(f"{backend}/{AXIS}/write_exponent", "growth of the write time with points", "exponent"),
        *(Spec(f"{backend}/{AXIS}/read_{points}", f"read {points:,} points", "ms") for points in sizes),
    )


def _list_spec(backend: str, bench: Bench) -> Spec:
    return Spec(f"{backend}/{AXIS}/list_{bench.sizes.runs}_runs", f"list {bench.sizes.runs:,} runs", "ms")


def measure(bench: Bench, backend: str) -> Iterator[Finding]:
    if not natives.script(backend):
        yield from unsupported(_point_specs(backend, bench), NO_CLIENT)
        return
    reached: list[Written] = []
    for points in bench.sizes.points:
        id = f"{backend}/{AXIS}/write_{points}"
        try:
            run = written(bench, backend, "native", points)
        except OutOfTime as error:
            yield Finding(id, status=Status.FAILED, detail=f"not reached: {error}")
            yield Finding(f"{backend}/{AXIS}/read_{points}", status=Status.FAILED, detail="it was not written in time")
            continue
        reached.append(run)
        yield Finding(id, 1000 * run.seconds, [1000 * run.seconds], f"{points / run.seconds:,.0f} points a second")
    if len(reached) > 1:
        sizes, seconds = [run.points for run in reached], [round(run.seconds, 5) for run in reached]
        value = exponent(sizes, [run.seconds for run in reached])
        yield Finding(f"{backend}/{AXIS}/write_exponent", value, [value], f"seconds {seconds} at {sizes} points")
    else:
        yield Finding(f"{backend}/{AXIS}/write_exponent", status=Status.FAILED, detail="fewer than two sizes were written in time")
    for run in reached:
        keys = bench.sizes.keys
        back = bench.drive(run.script, "read", run.folder, run.name, run.points // keys, keys, at_most=bench.sizes.box)
        assert back["complete"], f"{backend}: of {run.points} points {back['points']} came back, or others"
        took = 1000 * back["seconds"]
        yield Finding(f"{backend}/{AXIS}/read_{run.points}", took, [took], f"all {back['points']} points are there")


def measure_list(bench: Bench, backend: str) -> Iterator[Finding]:
    spec, path = _list_spec(backend, bench), natives.script(backend)
    if path is None:
        yield from unsupported([spec], NO_CLIENT)
    elif "def count_runs(" not in path.read_text("utf-8"):
        yield from unsupported([spec], "its client has no listing of local runs")
    else:
        folder = bench.native(backend, "list")
        bench.drive(backend, "runs", folder, bench.sizes.runs)
        result = bench.drive(backend, "list", folder)
        assert result["runs"] == bench.sizes.runs, f"{backend} lists {result['runs']} of {bench.sizes.runs} runs"
        took = 1000 * result["seconds"]
        yield Finding(spec.id, took, [took], f"it lists all {result['runs']}")
