"""``data.json``: every number of a report, with what is needed to judge and to repeat it.

The file is one JSON object, a :class:`Data`. It is replaced atomically after every cell, so a comparison that was killed leaves a valid file
that the report can be rendered from. Times of day are ISO 8601 in UTC, durations are seconds. Nothing in it names a folder of the machine.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path

import msgspec

FORMAT = 2
FILE = "data.json"
TIME = "%Y-%m-%dT%H:%M:%SZ"


class Status(StrEnum):
    """What became of a cell. Not run and failed are never the same."""

    MEASURED = "measured"
    OFFLINE = "measured offline"  # the client alone; its service was not reached
    EMULATED = "measured on an emulator"  # of the vendor's service; says nothing about times, sizes and scale of the service
    FAILED = "failed"  # it ran and failed; `detail` holds the end of its log
    NOT_REACHED = "not reached in the time limit"  # it ran until then; `detail` says how far it came
    NOT_RUN_QUICK = "not run in quick"  # left out for time
    NOT_RUN_FULL = "not run in full"  # left out for time, by --budget
    NEEDS_ACCOUNT = "not measured here: needs account"  # `detail` has the steps, `command` what measures it then
    ENDED = "service ended"
    UNSUPPORTED = "unsupported"  # the tool has no such thing; `detail` says what
    CITED = "cited"  # a claim with source, quote and date

    @property
    def has_value(self) -> bool:
        """Whether a cell of this status was measured, in whatever way."""
        return self in (Status.MEASURED, Status.OFFLINE, Status.EMULATED)

    @property
    def left_out(self) -> bool:
        """Whether a cell of this status was not run for want of time."""
        return self in (Status.NOT_RUN_QUICK, Status.NOT_RUN_FULL)


class Way(StrEnum):
    """How the values went into the tracker."""

    NATIVE = "native"  # by the tracker's own client, as its documentation shows it
    TUNED = "native, tuned"  # by the tracker's own client, with the settings that our adapter uses
    THROUGH = "through TrackBridge"
    CONTROL = "control"  # of the measurement itself


SUFFIX = {Way.NATIVE: "", Way.TUNED: "_tuned", Way.THROUGH: "_through"}
"""What the id of a cell ends with, by the way in which the values went in."""


class Spec(msgspec.Struct, frozen=True):
    """What a cell is, before it is measured.

    Args:
        id: ``backend/axis/quantity``; ``--only`` takes it.
        title: the quantity in words.
        unit: of `value` and `samples`.
    """

    id: str
    title: str
    unit: str
    way: Way = Way.NATIVE

    @property
    def backend(self) -> str:
        return self.id.split("/")[0]

    @property
    def axis(self) -> str:
        return self.id.split("/")[1]

    @property
    def quantity(self) -> str:
        return self.id.split("/", 2)[2]


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One measured number.

    Args:
        value: the figure, in `spec.unit`; None unless `status.has_value`.
        samples: what `value` was computed from, in the same unit, in the order of measurement.
        detail: in words: what the samples are, the end of a log, why there is no value.
        command: measures exactly this cell again.
        versions: of the distributions concerned.
        time: when the measurement began.
        seconds: how long its task took until this cell was done.
        load: the load average of one minute when it began (runnable processes; on N cores, N is busy).
        log: the file of what its task printed, below the folder of the report; "" where it printed nothing.
        lock: the file of the pinned environment that it ran in, likewise.
    """

    spec: Spec
    status: Status
    value: float | None = None
    samples: list[float] = []
    detail: str = ""
    command: str = ""
    versions: dict[str, str] = {}
    time: str = ""
    seconds: float = 0.0
    load: float = 0.0
    log: str = ""
    lock: str = ""


class Kind(StrEnum):
    """What a tool is, in the mode that is measured. Tools are ranked within a kind."""

    STORE = "store"  # it can be queried where it lies
    SPOOL = "spool"  # written to be uploaded later
    EMULATED = "emulated or replayed service"  # compatibility alone: no time, size, scale or score
    REFERENCE = "reference"  # of this project; never ranked


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """One tool of the comparison.

    Args:
        backend: its name here.
        title: its own name.
        lecture: its name on the slide of 2021; "" where it is not on it.
        mode: how it is measured, in words (``offline archive``, ``local SQLite store``, ``moto on loopback``).
        facts: what a user must supply before the first run: kind (account, key, server, port, daemon, repository ...) -> names.
        account: the steps to measure it with an account; [] where none is needed.
    """

    backend: str
    title: str
    lecture: str
    kind: Kind
    mode: str
    distributions: list[str] = []
    facts: dict[str, list[str]] = {}
    account: list[str] = []


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """One trait of the canonical run in one backend, for the heat map: what was written, what came back.

    Args:
        ordinary: whether most training scripts log such a thing; else it is hostile.
        written, native, restored: excerpts in words.
        exact: natively; `exact_restored`: with the sidecar.
        reason: the adapter's declared reason where it is not exact natively; "" is undeclared.
    """

    backend: str
    trait: str
    ordinary: bool
    written: str
    native: str
    restored: str
    exact: bool
    exact_restored: bool
    reason: str = ""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What cannot be measured, with its evidence.

    Args:
        id: ``backend/topic``, such as ``mlflow/server_licence``.
        value: in a few words, as a table shows it.
        source: address of the evidence.
        quote: its words, short.
        found: date on which it was read.
        expires: date from which it shows as expired.
    """

    id: str
    value: str
    source: str
    quote: str
    found: str
    expires: str


class LectureCell(msgspec.Struct, frozen=True, kw_only=True):
    """One cell of the regenerated slide.

    Args:
        then: the entry of 2021; ``not legible``, ``??``, or ``not on the slide``.
        value: the entry of today, in words, made of `evidence` alone.
        evidence: the ids of the cells and claims that it rests on.
    """

    backend: str
    criterion: str
    then: str
    value: str
    status: Status
    evidence: list[str]


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One quantity of a score. `value` as measured; `good`: 1 is the best seen within the kind, 0.5 twice as bad; None: not measured."""

    axis: str
    quantity: str
    value: float | None
    good: float | None


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """The logging-path score of one tool in one way.

    Args:
        axes: geometric mean of the axis's parts; None where none was measured.
        coverage: share of the axes' weights that were measured.
        total: weighted geometric mean of the axes at equal weights, with `low` and `high` of resampled repeats; None below 80 % coverage.
        first: share of the resamples in which it is first of its kind.
        wins: share of random weightings in which it is first of its kind.
        rank: within its kind, 1 is best; tools whose intervals reach the leader's have rank 1; None: not ranked.
    """

    backend: str
    kind: Kind
    way: Way
    parts: list[Part]
    axes: dict[str, float | None]
    coverage: float
    total: float | None
    low: float | None = None
    high: float | None = None
    first: float | None = None
    wins: float | None = None
    rank: int | None = None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One cell against the same cell of an earlier report.

    Args:
        ratio: new over old, of the medians, with the interval `low` to `high`; None where either has no samples.
        p: of the permutation test; None with fewer than seven samples.
        verdict: ``changed``, ``not changed``, ``undecided``, ``new``, ``gone``, ``status changed``.
    """

    id: str
    old: float | None
    new: float | None
    ratio: float | None
    low: float | None
    high: float | None
    p: float | None
    verdict: str


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One number of an experiment's result table as one backend holds it.

    Args:
        logged: what the journal has, written so that no bit is lost.
        native: what the tracker's own reader returns, likewise; "" where it holds nothing.
        restored: the same with the sidecar.
        sources: where the tracker holds it natively: ``series``, ``summary``, ``results table``.
        differing: those of the sources that hold something else than `native`, with their value.
    """

    metric: str
    logged: str
    native: str
    restored: str
    sources: list[str] = []
    differing: dict[str, str] = {}

    @property
    def identical(self) -> bool:
        return self.native == self.logged == self.restored and not self.differing


class Readback(msgspec.Struct, frozen=True, kw_only=True):
    """One run, as read back from one backend in a fresh process.

    Args:
        points: how many points of metrics the journal holds.
        verified: point by point, natively as its adapter declares, and with the sidecar exactly.
        differences: where it is not.
        deviations: what the backend does not hold exactly: reason -> number of values.
        error: why it could not be read; "" if it could.
    """

    backend: str
    readings: list[Reading] = []
    points: int = 0
    verified: bool = False
    differences: list[str] = []
    deviations: dict[str, int] = {}
    error: str = ""

    @property
    def identical(self) -> bool:
        return not self.error and bool(self.readings) and all(reading.identical for reading in self.readings)


class ExperimentRun(msgspec.Struct, frozen=True, kw_only=True):
    """One training run with all backends attached."""

    id: str
    name: str
    dataset: str
    status: str
    readbacks: list[Readback] = []


class Experiment(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment. `command` is what a user types; `reproduce` is the comparison's command for it; `seconds` of training and delivery."""

    name: str
    command: str
    reproduce: str
    seconds: float
    time: str
    runs: list[ExperimentRun] = []


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where it was measured. `memory` in bytes."""

    system: str = ""
    cpu: str = ""
    cores: int = 0
    memory: int = 0
    file_system: str = ""
    python: str = ""
    trackbridge: str = ""
    commit: str = ""


class Sitting(msgspec.Struct, frozen=True, kw_only=True):
    """A time at which a comparison was gone on with, and where."""

    time: str
    machine: Machine


class Task(msgspec.Struct, frozen=True):
    """How a task went, for the report's account of time. `outcome`: ``done``, ``failed``, ``not run``."""

    name: str
    outcome: str
    seconds: float
    estimate: float


class Data(msgspec.Struct, kw_only=True):
    """One comparison.

    Args:
        mode: ``quick``, ``full`` or ``smoke`` (tiny sizes, to test the comparison itself; its figures say nothing).
        state: ``running`` (or killed while it was), ``interrupted``, ``finished``.
        seed: of the kill times and the order of measurements.
        machine: on which it was begun.
        resumed: when and where it was gone on with: cells that were measured later are of that machine and commit.
        planned: the cells that it set out to measure; one that is in neither `cells` nor given a status was never reached.
        natives: the script by which each backend's own client was measured.
        axes: axis -> its method in words.
        items: of the fidelity axis, trait by trait.
        weights: presets of the score's sliders: name -> axis -> weight.
        earlier: of the cells that were not run now those of the last full run, as they were.
        baseline: when the report was started that `changes` are counted from.
    """

    format: int = FORMAT
    mode: str = "quick"
    state: str = "running"
    command: str = ""
    backends: list[str] = []
    started: str = ""
    updated: str = ""
    budget: float | None = None
    seed: int = 0
    spent: float = 0.0
    machine: Machine = Machine()
    resumed: list[Sitting] = []
    versions: dict[str, dict[str, str]] = {}
    axes: dict[str, str] = {}
    planned: list[Spec] = []
    cells: list[Cell] = []
    experiments: list[Experiment] = []
    tasks: list[Task] = []
    natives: dict[str, str] = {}
    tools: list[Tool] = []
    items: list[Item] = []
    claims: list[Claim] = []
    lecture: list[LectureCell] = []
    scores: list[Score] = []
    weights: dict[str, dict[str, float]] = {}
    earlier: list[Cell] = []
    baseline: str = ""
    changes: list[Change] = []

    def cell(self, id: str) -> Cell | None:
        return next((cell for cell in self.cells if cell.spec.id == id), None)

    def missing(self) -> list[Spec]:
        """The planned cells that were never reached."""
        there = {cell.spec.id for cell in self.cells}
        return [spec for spec in self.planned if spec.id not in there]

    def left_out(self) -> list[Cell]:
        """The cells that were not run for want of time."""
        return [cell for cell in self.cells if cell.status.left_out]

    def problems(self) -> list[str]:
        """Why the exit code is not 0: cells that failed, and read-backs that differ."""
        found = [f"{cell.spec.id} failed" for cell in self.cells if cell.status is Status.FAILED]
        for experiment in self.experiments:
            for run in experiment.runs:
                for back in run.readbacks:
                    if back.error:
                        found.append(f"{run.name} cannot be read from {back.backend}")
                    elif not back.identical:
                        found.append(f"{run.name}: the results read from {back.backend} differ")
                    elif not back.verified:
                        found.append(f"{run.name}: {back.backend} does not hold what its adapter declares")
        return found


def encode(data: Data) -> bytes:
    return msgspec.json.format(msgspec.json.encode(data), indent=1)


def save(data: Data, folder: Path) -> None:
    """Replace ``folder/data.json`` atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / f".{FILE}-{os.getpid()}"
    try:
        scratch.write_bytes(encode(data) + b"\n")
        scratch.replace(folder / FILE)
    finally:
        scratch.unlink(missing_ok=True)


def load(folder: Path) -> Data:
    """The comparison in `folder`; see :func:`read`."""
    return read(folder / FILE)


def read(file: Path) -> Data:
    """The comparison in `file`.

    Raises:
        OSError: there is none.
        msgspec.DecodeError: it is not of this format.
    """
    data = msgspec.json.decode(file.read_bytes(), type=Data)
    if data.format != FORMAT:
        raise msgspec.ValidationError(f"{file} has format {data.format}, not {FORMAT}: its cells mean something else; measure it again")
    return data


def latest(results: Path) -> Path:
    """The folder below `results` that holds the full comparison, or the quick one where no full one was finished."""
    full = results / "full"
    return full if (full / FILE).is_file() and load(full).state == "finished" else results / "quick"
