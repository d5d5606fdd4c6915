"""Whether a folder of results is whole and agrees with itself: every number has its evidence, and the pages say what ``data.json`` says.

What follows from something else is made again from it: the pages, the scores and their ranks, the lecture's table, the shares of the fidelity
axis. :func:`seal` writes the SHA-256 of every file, in the form of ``sha256sum``, so that a changed lock file, log or script is found as well.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from statistics import fmean, median

import msgspec

from trackbridge_comparison import lecture, report, schema, scores
from trackbridge_comparison.schema import Cell, Change, Data, Status, Way

SUMS = "SHA256SUMS"
PAGES = ("report.md", "report.html")
MODES = ("quick", "full", "smoke")
STATES = ("running", "interrupted", "finished")
VERDICTS = ("changed", "not changed", "undecided", "new", "gone", "status changed")
EXPLAINED = (Status.FAILED, Status.NOT_REACHED, Status.UNSUPPORTED, Status.NEEDS_ACCOUNT, Status.ENDED)
"""Statuses that say in `detail` why there is no value."""


def folder(path: Path) -> list[str]:
    """The problems of the results in `path`; [] where it is valid. A comparison that was killed is valid as far as it came."""
    try:
        data = schema.load(path)
    except (OSError, msgspec.DecodeError) as error:
        return [f"{schema.FILE} cannot be read: {error}"]
    found = [*_whole(data, path), *_cells(data), *_evidence(data, path), *_fidelity(data), *_claims(data), *_changes(data)]
    if data.state == "running":
        return found
    if not found:  # nothing follows from what is wrong by itself
        found += [*_derived(data), *_pages(path)]
    return found + list(_sums(path))


def seal(path: Path) -> Path:
    """Write the sums of all files below `path`, after everything else; the file."""
    sums = path / SUMS
    files = sorted(file for file in path.rglob("*") if file.is_file() and file != sums)
    sums.write_text("".join(f"{_digest(file)}  {file.relative_to(path).as_posix()}\n" for file in files), "utf-8")
    return sums


def _whole(data: Data, path: Path) -> Iterator[str]:
    if data.mode not in MODES or data.state not in STATES:
        yield f"mode {data.mode!r} or state {data.state!r} does not exist"
    if not _moment(data.started):
        yield f"it began at {data.started!r}, which is no time"
    if (path / schema.FILE).read_bytes() != schema.encode(data) + b"\n":
        yield f"{schema.FILE} has fields or a form that its schema has not"
    for name, ids in (("planned", [spec.id for spec in data.planned]), ("measured", [cell.spec.id for cell in data.cells])):
        yield from (f"{id} is {name} {count} times" for id, count in Counter(ids).items() if count > 1)
    planned = {spec.id: spec for spec in data.planned}
    yield from (f"{cell.spec.id} was not planned so" for cell in data.cells if planned.get(cell.spec.id) != cell.spec)
    if data.state == "finished":
        yield from (f"{spec.id} has no cell, though the comparison is finished" for spec in data.missing())


def _cells(data: Data) -> Iterator[str]:
    for cell in (*data.cells, *data.earlier):
        id = cell.spec.id
        if id.count("/") < 2:
            yield f"{id} is no backend/axis/quantity"
            continue
        if cell.spec.backend not in data.backends or cell.spec.axis not in data.axes:
            yield f"{id}: there is no such backend or axis in this report"
        for way, suffix in schema.SUFFIX.items():
            if suffix and id.endswith(suffix) and cell.spec.way is not way:
                yield f"{id} is called {cell.spec.way}"
        yield from (f"{id}: {what}" for what in _cell(cell, data))


def _cell(cell: Cell, data: Data) -> Iterator[str]:
    if cell.status in EXPLAINED and not cell.detail:
        yield f"{cell.status}, without a word why"
    if not cell.status.has_value:
        if cell.value is not None or cell.samples:
            yield f"{cell.status}, but it has a value"
        return
    if cell.value is None or not cell.samples:
        yield f"{cell.status}, without a value or samples"
        return
    if not all(map(math.isfinite, (cell.value, *cell.samples))):
        yield "its value or a sample is not finite"
    elif not _follows(cell):
        yield f"its value {cell.value} does not follow from its samples"
    if not cell.command.endswith(f"--only {cell.spec.id}"):
        yield "its command does not measure it"
    if not cell.versions and data.versions.get(cell.spec.backend):
        yield "no version"
    if not _moment(cell.time):
        yield f"{cell.time!r} is no time"


def _follows(cell: Cell) -> bool:
    """Whether the value is the median, the mean, an end or the sum of the samples; a share of several trials is one of all their calls."""
    value, samples = cell.value or 0.0, cell.samples
    if cell.spec.unit == "%" and len(samples) > 1:
        return 0 <= value <= max(samples) + 1e-9
    candidates = (median(samples), fmean(samples), min(samples), max(samples), math.fsum(samples))
    return any(math.isclose(value, candidate, rel_tol=1e-9, abs_tol=1e-12) for candidate in candidates)


def _evidence(data: Data, path: Path) -> Iterator[str]:
    """The files that cells name, and the scripts that they were measured by."""
    named = {name for cell in data.cells for name in (cell.log, cell.lock) if name}
    for name in sorted(named):
        inside = not Path(name).is_absolute() and ".." not in Path(name).parts
        if not inside or not (path / name).is_file():
            yield f"{name}, which a cell names, is not in the folder"
    measured = {cell.spec.backend for cell in data.cells if cell.status.has_value and cell.spec.way in (Way.NATIVE, Way.TUNED)}
    yield from (
        f"{backend} was measured by its own client, but its script is not there" for backend in sorted(measured - data.natives.keys())
    )


def _fidelity(data: Data) -> Iterator[str]:
    """The shares of the fidelity axis are those of the traits."""
    for backend in sorted({item.backend for item in data.items}):
        for kind in ("ordinary", "hostile"):
            mine = [item for item in data.items if item.backend == backend and item.ordinary == (kind == "ordinary")]
            for suffix, good in (("", [item.exact for item in mine]), ("_sidecar", [item.exact_restored for item in mine])):
                cell = data.cell(f"{backend}/fidelity/{kind}{suffix}")
                if cell is not None and cell.value is not None and not math.isclose(cell.value, 100 * sum(good) / max(1, len(good))):
                    yield f"{cell.spec.id}: {cell.value} % is not the share of its traits"


def _claims(data: Data) -> Iterator[str]:
    yield from (f"{id} is claimed {count} times" for id, count in Counter(claim.id for claim in data.claims).items() if count > 1)
    for claim in data.claims:
        if not (claim.value and claim.source and claim.quote):
            yield f"{claim.id}: a claim without evidence"
        if not (_day(claim.found) and _day(claim.expires) and claim.found < claim.expires):
            yield f"{claim.id}: its dates are wrong"


def _changes(data: Data) -> Iterator[str]:
    if data.changes and not _moment(data.baseline):
        yield f"there are changes, but {data.baseline!r} is no time of a baseline"
    there = {cell.spec.id: cell for cell in data.cells}
    for change in data.changes:
        value = there[change.id].value if change.id in there else None
        if change.verdict not in VERDICTS or (change.verdict != "gone" and change.new != value):
            yield f"{change.id}: the change is not of this report"
        elif not _plausible(change):
            yield f"{change.id}: {change.verdict}, but its numbers do not say so"


def _plausible(change: Change) -> bool:
    if change.verdict == "changed" and change.p is None:
        return False
    if change.ratio is None or change.low is None or change.high is None:
        return change.ratio is change.low is change.high is None
    between = change.low <= change.ratio <= change.high
    return between and not (change.verdict == "changed" and change.low <= 1 <= change.high)


def _derived(data: Data) -> Iterator[str]:
    """The scores and the lecture's table, made again."""
    expected = {(score.backend, score.way): score for score in scores.scores(data, data.seed)}
    given = {(score.backend, score.way): score for score in data.scores}
    for who in expected.keys() | given.keys():
        if who not in given or who not in expected or not _close(given[who], expected[who]):
            yield f"the score of {who[0]}, {who[1]}, is not the one of its cells"
    if data.weights != scores.PRESETS:
        yield "the presets of the weights are others"
    for number, cell in enumerate(lecture.table(data)):
        if number >= len(data.lecture) or data.lecture[number] != cell:
            yield f"the lecture's table, {cell.backend}, {cell.criterion}: not what its evidence says"


def _close(one: object, other: object) -> bool:
    """Equal but for the last digits, which may differ between machines."""
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    if isinstance(one, msgspec.Struct) and isinstance(other, msgspec.Struct):
        return type(one) is type(other) and all(_close(getattr(one, name), getattr(other, name)) for name in one.__struct_fields__)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_close, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_close(one[name], other[name]) for name in one)
    return one == other


def _pages(path: Path) -> Iterator[str]:
    """The pages, rendered again from nothing but ``data.json``."""
    with tempfile.TemporaryDirectory() as scratch:
        again = Path(scratch)
        shutil.copy(path / schema.FILE, again)
        report.render(again)
        for name in PAGES:
            if not (path / name).is_file() or (path / name).read_bytes() != (again / name).read_bytes():
                yield f"{name} is not what {schema.FILE} gives; --render writes it again"


def _sums(path: Path) -> Iterator[str]:
    sums = path / SUMS
    if not sums.is_file():
        yield f"there is no {SUMS}"
        return
    listed = {name: digest for digest, _, name in (line.partition("  ") for line in sums.read_text("utf-8").splitlines())}
    files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file() and file != sums}
    for name in sorted(listed.keys() | files.keys()):
        if name not in files:
            yield f"{name} is in {SUMS} and not in the folder"
        elif listed.get(name) != _digest(files[name]):
            yield f"{name} was changed, or is not in {SUMS}"


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _day(text: str) -> bool:
    try:
        return bool(date.fromisoformat(text))
    except ValueError:
        return False
