"""Storage: what a run costs on the disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trackbridge_comparison import natives
from trackbridge_comparison.bench import NO_CLIENT, Bench, Finding, Job, unsupported
from trackbridge_comparison.schema import Spec, Way
from trackbridge_comparison.statistics import line

AXIS = "storage"
TITLE = "Storage"
METHOD = """Runs of two sizes are written and closed. Bytes a point is the slope between them, a point being one value of one metric; a call logs ten.
Bytes after one call is what lies there after a run of a single call, with the database where there is one; files is what the smaller run adds to what was
there. Sizes are apparent, not allocated blocks. Through TrackBridge the tracker also holds the sidecar, a compressed copy of the run's journal; the
journal itself, which lies beside, is given apart."""


@dataclass(frozen=True)
class Written:
    """One run that was written: its size in points, seconds to write it, and what it left."""

    points: int
    seconds: float
    folder: Path
    script: str
    name: str
    bytes: int
    files: int
    journal: int


def jobs(bench: Bench) -> Iterator[Job]:
    for backend in bench.backends:
        for way in ("native", "through"):

            def run(bench: Bench, wanted: frozenset[str], backend: str = backend, way: str = way) -> Iterator[Finding]:
                return measure(bench, backend, way)

            yield Job(f"{AXIS}/{backend}/{way}", _specs(backend, way), run, 20.0, backends=(backend,))


def _specs(backend: str, way: str) -> tuple[Spec, ...]:
    if way == "native":
        return (
            Spec(f"{backend}/{AXIS}/bytes_per_point", "bytes a point", "B"),
            Spec(f"{backend}/{AXIS}/one_call_bytes", "bytes after one call", "B"),
            Spec(f"{backend}/{AXIS}/files_per_run", "files of a run", "files"),
        )
    return (
        Spec(f"{backend}/{AXIS}/bytes_per_point_through", "bytes a point, with sidecar", "B", Way.THROUGH),
        Spec(f"{backend}/{AXIS}/journal_bytes_per_point_through", "bytes a point of the journal beside", "B", Way.THROUGH),
        Spec(f"{backend}/{AXIS}/one_call_bytes_through", "bytes after one call, with sidecar", "B", Way.THROUGH),
        Spec(f"{backend}/{AXIS}/files_per_run_through", "files of a run", "files", Way.THROUGH),
    )


def measure(bench: Bench, backend: str, way: str) -> Iterator[Finding]:
    if way == "native" and not natives.script(backend):
        yield from unsupported(_specs(backend, way), NO_CLIENT)
        return
    small, large = (written(bench, backend, way, points) for points in bench.sizes.points[:2])
    sizes = [small.points, large.points]
    slope = line(sizes, [small.bytes, large.bytes])[0]
    detail = f"{small.bytes} B at {small.points} points, {large.bytes} B at {large.points}"
    suffix = "_through" if way == "through" else ""
    yield Finding(f"{backend}/{AXIS}/bytes_per_point{suffix}", slope, [slope], detail)
    if way == "through":
        journal = line(sizes, [small.journal, large.journal])[0]
        detail_journal = f"{small.journal} B at {small.points} points, {large.journal} B at {large.points}"
        yield Finding(f"{backend}/{AXIS}/journal_bytes_per_point{suffix}", journal, [journal], detail_journal)
    least = written(bench, backend, way, bench.sizes.keys)
    yield Finding(f"{backend}/{AXIS}/one_call_bytes{suffix}", float(least.bytes), [float(least.bytes)], f"a run of {least.points} points")
    yield Finding(
        f"{backend}/{AXIS}/files_per_run{suffix}",
        float(small.files),
        [float(small.files), float(large.files)],
        "of the smaller run and of the larger",
    )


def written(bench: Bench, backend: str, way: str, points: int) -> Written:
    """A run of this size, written once in a comparison, for this probe and for scalability."""

    def make() -> Written:
        keys = bench.sizes.keys
        script, folder = bench.place(backend, way, f"size{points}")
        store = folder / "store" if way == "through" else folder
        before = set(_sizes(store))
        name = f"size{points}"
        result: dict[str, Any] = bench.drive(script, "write", folder, name, points // keys, keys, at_most=bench.sizes.box)
        after = _sizes(store)
        return Written(
            points=points,
            seconds=result["seconds"],
            folder=folder,
            script=script,
            name=name,
            bytes=sum(after.values()),
            files=len(after.keys() - before),
            journal=sum(_sizes(folder / "journals" / name / "journal").values()),
        )

    run: Written = bench.once(("written", backend, way, points), make)
    return run


def _sizes(folder: Path) -> dict[Path, int]:
    """The files below `folder` and their bytes; links count as themselves, our own logs not at all."""
    return {
        path: path.lstat().st_size
        for path in folder.rglob("*")
        if (path.is_symlink() or path.is_file()) and not path.name.startswith(".log-") and path.name != "target.txt"
    }
