"""Exit: what can be had without the vendor's package, and how long it takes to take everything away."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace

from trackbridge_comparison import natives
from trackbridge_comparison.bench import NO_CLIENT, Bench, Finding, Job, spec, unsupported
from trackbridge_comparison.probes.storage import written
from trackbridge_comparison.schema import Spec, Way
from trackbridge_comparison.statistics import median

AXIS = "exit"
TITLE = "Exit"
METHOD = """Recoverable is the share of the values of a run, which the tracker's own client wrote, that a script of the standard library reads back from
what lies on the disk (natives/foreign/), in an interpreter without any package. Where there is no such script, we know of no way. Export is the time of a
fresh process that reads a run from the tracker through TrackBridge, without its sidecar, and writes its points as a file of CSV."""


def jobs(bench: Bench) -> Iterator[Job]:
    for backend in bench.backends:

        def run(bench: Bench, wanted: frozenset[str], backend: str = backend) -> Iterator[Finding]:
            return measure(bench, backend, wanted)

        yield Job(f"{AXIS}/{backend}", _specs(backend), run, 10.0, backends=(backend,))


def _specs(backend: str) -> tuple[Spec, Spec]:
    return (
        spec(backend, AXIS, "recoverable", "values recovered without the vendor's package", "%"),
        Spec(f"{backend}/{AXIS}/export", "export of a run", "s", Way.THROUGH),
    )


def measure(bench: Bench, backend: str, wanted: frozenset[str]) -> Iterator[Finding]:
    recoverable, export = _specs(backend)
    points, keys = bench.sizes.points[0], bench.sizes.keys
    if recoverable.id in wanted:
        if not natives.script(backend):
            yield from unsupported([recoverable], NO_CLIENT)
        elif natives.foreign(backend) is None:
            yield from unsupported([recoverable], "we know of no reader of its files that needs no package of its vendor")
        else:
            run = written(bench, backend, Way.NATIVE, points)
            place = replace(run.place, script=f"{natives.FOREIGN}/{backend}", python=sys.executable)
            back = bench.drive(place, "read", run.name, points // keys, keys)
            share = 100 * back["good"] / points
            yield Finding(recoverable.id, share, [share], f"{back['good']} of {points} values, by natives/{natives.FOREIGN}/{backend}.py")
    if export.id in wanted:
        run = written(bench, backend, Way.THROUGH, points)
        took = [bench.drive(run.place, "export", run.name)["seconds"] for _ in range(bench.sizes.scale_repeats)]
        yield Finding(export.id, median(took), took, f"a run of {points} points")
