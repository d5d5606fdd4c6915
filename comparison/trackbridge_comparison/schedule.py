"""Runs the jobs: first those that may share the machine, some at a time, then those that measure times, one by one; all within the budget."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from os import getloadavg
from pathlib import Path
from typing import Protocol

from trackbridge import environments
from trackbridge_comparison import children, tools
from trackbridge_comparison.bench import Bench, Finding, Job, Log, versions
from trackbridge_comparison.budget import Memory, choose
from trackbridge_comparison.children import OutOfTime
from trackbridge_comparison.portable import excerpt
from trackbridge_comparison.schema import TIME, Cell, Spec, Status, Task

LOGS, LOCKS = "logs", "locks"
"""Folders of the report: what tasks printed, and the requirements that environments were made from."""


class Listener(Protocol):
    """What is told of the jobs, from any thread."""

    def begin(self, job: Job, estimate: float) -> None: ...

    def end(self, job: Job, task: Task) -> None: ...


@dataclass(frozen=True)
class Limits:
    """Seconds for all jobs together, and for those of each backend; those of several backends count only for all. Long jobs are left out unless
    `long`."""

    total: float = float("inf")
    backend: float = float("inf")
    long: bool = True


class Schedule:
    """All jobs of one comparison.

    Args:
        jobs: in order of importance within each of the two groups.
        wanted: the ids of the cells to keep.
        out: the folder of the report.
        record, note: are given each cell, and how each task went, as soon as it is there, from any thread.
    """

    def __init__(
        self,
        bench: Bench,
        jobs: Sequence[Job],
        wanted: frozenset[str],
        limits: Limits,
        memory: Memory,
        out: Path,
        record: Callable[[Cell], None],
        note: Callable[[Task], None],
        listener: Listener,
    ) -> None:
        self._bench, self._jobs, self._limits, self._memory = bench, list(jobs), limits, memory
        self._wanted, self._out, self._record, self._note, self._listener = set(wanted), out, record, note, listener
        self._deadline = time.monotonic() + limits.total
        self._spent: dict[str, float] = {}
        self._took: dict[str, float] = {}
        self._lock = threading.Lock()

    @property
    def left_out(self) -> Status:
        return Status.NOT_RUN_FULL if self._bench.sizes.everything else Status.NOT_RUN_QUICK

    def run(self) -> None:
        """Run what fits; the cells of what does not get the status ``not run in ...``."""
        try:
            todo = [job for job in self._jobs if self._owes(job)]
            self._side_by_side([job for job in todo if not job.alone])
            alone = [job for job in todo if job.alone]
            while job := self._next(alone, ()):
                alone.remove(job)
                self._do(job)
            for job in alone:
                self._leave_out(job)
        finally:
            self._memory.learn(self._took)

    def _owes(self, job: Job) -> bool:
        """Whether a cell of the job is left to measure, when those are told that its tool cannot have here."""
        specs = [spec for spec in job.specs if spec.id in self._wanted]
        for spec in specs:
            status, why = tools.entry(spec.backend).standing(spec)
            if not status.has_value:
                self._wanted.discard(spec.id)
                self._cell(spec, Finding(spec.id, status=status, detail=why), "", 0.0, 0.0, None)
        return any(spec.id in self._wanted for spec in specs)

    def _side_by_side(self, todo: list[Job]) -> None:
        running: dict[Future[None], Job] = {}
        with ThreadPoolExecutor(self._bench.engine.at_once) as pool:
            try:
                while True:
                    while len(running) < self._bench.engine.at_once and (job := self._next(todo, list(running.values()))):
                        todo.remove(job)
                        running[pool.submit(self._do, job)] = job
                    if not running:
                        break
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        del running[future]
                        future.result()
            except BaseException:
                children.end_all()
                raise
        for job in todo:
            self._leave_out(job)

    def _next(self, todo: Sequence[Job], running: Sequence[Job]) -> Job | None:
        """The most important job that fits; those that run beside it halve what it takes of the time that is left."""
        left = self._deadline - time.monotonic()
        share = 1 + len(running) if todo and not todo[0].alone else 1
        fitting = [job for job in todo if (self._limits.long or not job.long) and self._estimate(job) <= self._left(job)]
        chosen = choose([(job.name, self._estimate(job) / share) for job in fitting], left)
        return next((job for job in fitting if chosen and job.name == chosen[0]), None)

    def _estimate(self, job: Job) -> float:
        return self._memory.estimate(job.name, job.estimate)

    def _left(self, job: Job) -> float:
        """Seconds that the job may take, by what its backend has left; one that shares the machine takes its share of what it lasts."""
        if len(job.backends) != 1:
            return float("inf")
        left = self._limits.backend - self._spent.get(job.backends[0], 0.0)
        return left * self._shared_by(job)

    def _shared_by(self, job: Job) -> int:
        return 1 if job.alone else self._bench.engine.at_once

    def _leave_out(self, job: Job) -> None:
        estimate = self._estimate(job)
        detail = f"its estimated {estimate:.0f} s did not fit into the time budget"
        if job.long and not self._limits.long:
            detail = "only a full comparison, or --only, measures it"
        for spec in job.specs:
            if spec.id in self._wanted:
                self._cell(spec, Finding(spec.id, status=self.left_out, detail=detail), "", 0.0, 0.0, None)
        self._note(Task(job.name, "not run", 0.0, estimate))

    def _do(self, job: Job) -> None:
        """Run one job; whatever goes wrong becomes the status of the cells that it owes."""
        estimate = self._estimate(job)
        self._listener.begin(job, estimate)
        began, started, load = datetime.now(UTC).strftime(TIME), time.monotonic(), getloadavg()[0]
        specs = {spec.id: spec for spec in job.specs if spec.id in self._wanted}
        log = Log(self._out / LOGS / f"{re.sub(r'[^a-z0-9-]+', '-', job.name.lower())}.txt", self._bench.portable)
        deadline = min(self._deadline, started + self._left(job))
        outcome, status, detail = "done", Status.FAILED, "the probe gave no value"
        try:
            for finding in job.run(self._bench.of(deadline, log), frozenset(specs)):
                spec = specs.pop(finding.id, None)
                if spec is not None:
                    self._cell(spec, finding, began, time.monotonic() - started, load, log)
        except OutOfTime as error:
            outcome, detail = "failed", str(error)
            if time.monotonic() >= deadline - 1:
                outcome, status, detail = "not run", self.left_out, "the time budget was used up while it ran"
        except Exception as error:
            outcome, detail = "failed", f"{type(error).__name__}: {excerpt(self._bench.portable(str(error)))}"
        if children.stopping():
            return
        seconds = time.monotonic() - started
        for spec in specs.values():
            self._cell(spec, Finding(spec.id, status=status, detail=detail), began, seconds, load, log)
        with self._lock:
            if outcome == "done":
                self._took[job.name] = round(seconds, 2)
            if len(job.backends) == 1:
                spent = self._spent.get(job.backends[0], 0.0)
                self._spent[job.backends[0]] = spent + seconds / self._shared_by(job)
        task = Task(job.name, outcome, round(seconds, 2), round(estimate, 2))
        self._note(task)
        self._listener.end(job, task)

    def _cell(self, spec: Spec, finding: Finding, began: str, seconds: float, load: float, log: Log | None) -> None:
        status = finding.status
        if status is Status.MEASURED:
            status, _ = tools.entry(spec.backend).standing(spec)
        pinned = environments.requirements(spec.backend)
        self._record(
            Cell(
                spec=spec,
                status=status,
                value=finding.value,
                samples=[float(sample) for sample in finding.samples],
                detail=self._bench.portable(finding.detail),
                command=" ".join([*self._bench.command, "--only", spec.id]),
                versions=versions(spec.backend),
                time=began,
                seconds=round(seconds, 2),
                load=round(load, 2),
                log=f"{LOGS}/{log.path.name}" if log else "",
                lock=f"{LOCKS}/{spec.backend}.txt" if pinned else "",
            )
        )
