"""``data.json``: every number of a report, with what is needed to judge and to repeat it.

The file is one JSON object, a :class:`Data`. It is replaced atomically after every cell, so a comparison that was killed leaves a valid file
that the report can be rendered from. Times of day are ISO 8601 in UTC, durations are seconds. Nothing in it names a folder of the machine.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path

import msgspec

FORMAT = 1
FILE = "data.json"
TIME = "%Y-%m-%dT%H:%M:%SZ"


class Status(StrEnum):
    """What became of a cell. Not run and failed are never the same."""

    MEASURED = "measured"
    FAILED = "failed"  # it ran and failed; `detail` holds the end of its log
    NOT_RUN_QUICK = "not run in quick"  # left out for time
    NOT_RUN_FULL = "not run in full"  # left out for time, by --budget
    UNSUPPORTED = "unsupported"  # the tool has no such thing; `detail` says what


class Way(StrEnum):
    """How the values went into the tracker."""

    NATIVE = "native"  # by the tracker's own client
    THROUGH = "through TrackBridge"
    CONTROL = "control"  # of the measurement itself


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
        value: the figure, in `spec.unit`; None unless `status` is ``measured``.
        samples: what `value` was computed from, in the same unit, in the order of measurement.
        detail: in words: what the samples are, the end of a log, why there is no value.
        command: measures exactly this cell again.
        versions: of the distributions concerned.
        time: when the measurement began.
        seconds: how long its task took until this cell was done.
        load: the load average of one minute when it began (runnable processes; on N cores, N is busy).
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
        planned: the cells that it set out to measure; one that is in neither `cells` nor given a status was never reached.
        natives: the script by which each backend's own client was measured.
        axes: axis -> its method in words.
    """

    format: int = FORMAT
    mode: str = "quick"
    state: str = "running"
    command: str = ""
    backends: list[str] = []
    started: str = ""
    updated: str = ""
    budget: float | None = None
    spent: float = 0.0
    machine: Machine = Machine()
    versions: dict[str, dict[str, str]] = {}
    axes: dict[str, str] = {}
    planned: list[Spec] = []
    cells: list[Cell] = []
    experiments: list[Experiment] = []
    tasks: list[Task] = []
    natives: dict[str, str] = {}

    def cell(self, id: str) -> Cell | None:
        return next((cell for cell in self.cells if cell.spec.id == id), None)

    def missing(self) -> list[Spec]:
        """The planned cells that were never reached."""
        there = {cell.spec.id for cell in self.cells}
        return [spec for spec in self.planned if spec.id not in there]

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
    scratch.write_bytes(encode(data) + b"\n")
    scratch.replace(folder / FILE)


def load(folder: Path) -> Data:
    """The comparison in `folder`.

    Raises:
        FileNotFoundError: there is none.
        msgspec.DecodeError: it is not of this format.
    """
    return msgspec.json.decode((folder / FILE).read_bytes(), type=Data)
