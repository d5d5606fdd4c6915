"""Storage: what a run costs on the disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trackbridge_comparison import natives
from trackbridge_comparison.bench import NO_CLIENT, Bench, Finding, Job, Place, spec, unsupported
from trackbridge_comparison.children import TooLong
from trackbridge_comparison.schema import Spec, Status, Way
from trackbridge_comparison.statistics import line

AXIS = "storage"
TITLE = "Storage"
METHOD = """Runs of growing size are written and closed, to 100,000 points or as far as the time box lets the tool come. Bytes a point is the slope between
the largest two, a point being one value of one metric; a call logs ten. Bytes after one call is what lies there after a run of a single call, with the
database where there is one; files is what the smallest run adds to what was there. Sizes are apparent, not allocated blocks. Compacted is the slope
after the tool's own means for that, in its script (VACUUM of a SQLite file, git gc, aim storage prune). Through TrackBridge the tracker also holds the
sidecar, a compressed copy of the run's journal; the journal itself, which lies beside, is given apart."""

LARGEST = 100_000
"""Points of the largest run that is written for its size: in a small one the space that a store takes in advance hides what a point takes."""


@dataclass(frozen=True)
class Written:
    """One run that was written: its size in points, seconds to write it, highest memory in bytes, and what it left."""

    points: int
    seconds: float
    memory: int
    place: Place
    name: str
    bytes: int
    files: int
    journal: int


def jobs(bench: Bench) -> Iterator[Job]:
    for backend in bench.backends:
        for way in (Way.NATIVE, Way.THROUGH):

            def run(bench: Bench, wanted: frozenset[str], backend: str = backend, way: Way = way) -> Iterator[Finding]:
                return measure(bench, backend, way)

            yield Job(f"{AXIS}/{backend}/{way.name.lower()}", tuple(_specs(backend, way)), run, 12.0, backends=(backend,))


def _specs(backend: str, way: Way) -> list[Spec]:
    sidecar = ", with sidecar" if way is Way.THROUGH else ""
    specs = [
        spec(backend, AXIS, "bytes_per_point", f"bytes a point{sidecar}", "B", way),
        spec(backend, AXIS, "one_call_bytes", f"bytes after one call{sidecar}", "B", way),
        spec(backend, AXIS, "files_per_run", "files of a run", "files", way),
    ]
    if way is Way.THROUGH:
        return [*specs, spec(backend, AXIS, "journal_bytes_per_point", "bytes a point of the journal beside", "B", way)]
    return [*specs, spec(backend, AXIS, "compacted_bytes_per_point", "bytes a point, compacted by the tool", "B", way)]


def measure(bench: Bench, backend: str, way: Way) -> Iterator[Finding]:
    slope, one_call, files, last = _specs(backend, way)
    if way not in bench.ways(backend):
        yield from unsupported((slope, one_call, files, last), NO_CLIENT)
        return
    runs: list[Written] = []
    stopped = ""
    for points in bench.sizes.points:
        try:
            if points <= LARGEST:
                runs.append(written(bench, backend, way, points))
        except TooLong as error:
            stopped = f"stopped at {points:,} points: {error}"
            break
    if len(runs) < 2:
        yield from (Finding(one.id, status=Status.NOT_REACHED, detail=stopped) for one in (slope, one_call, files, last))
        return
    first, (small, large) = runs[0], runs[-2:]
    yield _slope(slope, small, large, small.bytes, large.bytes)
    least = written(bench, backend, way, bench.sizes.keys)
    yield Finding(one_call.id, float(least.bytes), [float(least.bytes)], f"a run of {least.points} points")
    yield Finding(files.id, float(first.files), [float(first.files), float(large.files)], "of the smallest run and of the largest")
    if way is Way.THROUGH:
        yield _slope(last, small, large, small.journal, large.journal)
    elif natives.offers(backend, "compact"):
        yield _slope(last, small, large, *(_compacted(bench, run) for run in (small, large)))
    else:
        yield from unsupported([last], "it has no means of its own to compact a store")


def _slope(one: Spec, small: Written, large: Written, less: int, more: int) -> Finding:
    """Bytes a point between the two runs, which take `less` and `more` bytes."""
    value = line([small.points, large.points], [less, more])[0]
    return Finding(one.id, value, [value], f"{less} B at {small.points} points, {more} B at {large.points}")


def _compacted(bench: Bench, run: Written) -> int:
    """Bytes of a copy of the run's store after the tool's own means were applied to it.

    Raises:
        AssertionError: then not every value comes back.
    """
    backend = run.place.backend
    copy = bench.folder(f"compact-{backend}")
    shutil.copytree(run.place.folder, copy, symlinks=True, dirs_exist_ok=True)
    place = bench.native(backend, copy)
    bench.drive(place, "compact")
    back = bench.drive(place, "read", run.name, run.points // bench.sizes.keys, bench.sizes.keys)
    assert back["complete"], f"{backend}: after its compaction not every value comes back"
    return sum(_sizes(copy).values())


def written(bench: Bench, backend: str, way: Way, points: int, repeat: int = 0) -> Written:
    """A run of this size, written once in a comparison, for this probe and for others."""

    def make() -> Written:
        keys, name = bench.sizes.keys, f"size{points}"
        place = bench.place(backend, way, name)
        before = set(_sizes(place.store))
        result: dict[str, Any] = bench.drive(place, "write", name, points // keys, keys, at_most=bench.sizes.box)
        after = _sizes(place.store)
        return Written(
            points=points,
            seconds=result["seconds"],
            memory=result["memory"],
            place=place,
            name=name,
            bytes=sum(after.values()),
            files=len(after.keys() - before),
            journal=sum(_sizes(place.folder / "journals" / name / "journal").values()),
        )

    run: Written = bench.once(("written", backend, way, points, repeat), make)
    return run


def _sizes(folder: Path) -> dict[Path, int]:
    """The files below `folder` and their bytes; links count as themselves, our own logs and a client's own settings not at all."""
    return {
        path: path.lstat().st_size
        for path in folder.rglob("*")
        if (path.is_symlink() or path.is_file()) and not path.relative_to(folder).parts[0].startswith((".log-", ".wandb-own", "target.txt"))
    }
