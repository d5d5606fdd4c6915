"""Runs the jobs: first those that may share the machine, two at a time, then those that measure times, one by one; all within the budget."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from os import getloadavg
from typing import Protocol

from trackbridge_comparison import children
from trackbridge_comparison.bench import Bench, Finding, Job, versions
from trackbridge_comparison.budget import Memory, choose
from trackbridge_comparison.children import OutOfTime
from trackbridge_comparison.portable import excerpt
from trackbridge_comparison.schema import TIME, Cell, Spec, Status, Task

SIDE_BY_SIDE = 2


class Listener(Protocol):
    """What is told of the jobs, from any thread."""

    def begin(self, job: Job, estimate: float) -> None: ...

    def end(self, job: Job, task: Task) -> None: ...


class Schedule:
    """All jobs of one comparison.

    Args:
        jobs: in order of importance within each of the two groups.
        wanted: the ids of the cells to keep.
        budget: seconds for all of it; None is no limit.
        record: is given each cell as soon as it is there, from any thread.
    """

    def __init__(
        self,
        bench: Bench,
        jobs: Sequence[Job],
        wanted: frozenset[str],
        budget: float | None,
        memory: Memory,
        record: Callable[[Cell], None],
        listener: Listener,
    ) -> None:
        self._bench, self._jobs, self._wanted, self._memory = bench, list(jobs), wanted, memory
        self._record, self._listener = record, listener
        self._began = time.monotonic()
        self._deadline = float("inf") if budget is None else self._began + budget
        self.tasks: list[Task] = []
        self._lock = threading.Lock()

    @property
    def left_out(self) -> Status:
        return Status.NOT_RUN_FULL if self._bench.sizes.name == "full" else Status.NOT_RUN_QUICK

    def run(self) -> None:
        """Run what fits; the cells of what does not get the status ``not run in ...``."""
        try:
            self._side_by_side([job for job in self._jobs if not job.alone])
            todo = [job for job in self._jobs if job.alone]
            while job := self._next(todo, ()):
                todo.remove(job)
                self._do(job)
            for job in todo:
                self._leave_out(job)
        finally:
            self._memory.learn({task.name: task.seconds for task in self.tasks if task.outcome == "done"})

    def _side_by_side(self, todo: list[Job]) -> None:
        running: dict[Future[None], Job] = {}
        with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            try:
                while True:
                    while len(running) < SIDE_BY_SIDE and (job := self._next(todo, list(running.values()))):
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
        chosen = choose([(job.name, self._estimate(job) / share) for job in todo], left)
        return next((job for job in todo if chosen and job.name == chosen[0]), None)

    def _estimate(self, job: Job) -> float:
        return self._memory.estimate(job.name, job.estimate)

    def _leave_out(self, job: Job) -> None:
        estimate = self._estimate(job)
        detail = f"its estimated {estimate:.0f} s did not fit into the time budget"
        for spec in job.specs:
            if spec.id in self._wanted:
                self._cell(spec, Finding(spec.id, status=self.left_out, detail=detail), job, "", 0.0, 0.0)
        self._note(Task(job.name, "not run", 0.0, estimate))

    def _do(self, job: Job) -> None:
        """Run one job; whatever goes wrong becomes the status of the cells that it owes."""
        estimate = self._estimate(job)
        self._listener.begin(job, estimate)
        began, started, load = datetime.now(UTC).strftime(TIME), time.monotonic(), getloadavg()[0]
        specs = {spec.id: spec for spec in job.specs if spec.id in self._wanted}
        outcome, status, detail = "done", Status.FAILED, "the probe gave no value"
        try:
            for finding in job.run(self._bench.until(self._deadline), frozenset(specs)):
                spec = specs.pop(finding.id, None)
                if spec is not None:
                    self._cell(spec, finding, job, began, time.monotonic() - started, load)
        except OutOfTime as error:
            outcome, detail = "failed", str(error)
            if time.monotonic() >= self._deadline - 1:
                outcome, status, detail = "not run", self.left_out, "the time budget was used up while it ran"
        except Exception as error:
            outcome, detail = "failed", f"{type(error).__name__}: {excerpt(self._bench.portable(str(error)))}"
        if children.stopping():
            return
        for spec in specs.values():
            self._cell(spec, Finding(spec.id, status=status, detail=detail), job, began, time.monotonic() - started, load)
        task = Task(job.name, outcome, round(time.monotonic() - started, 2), round(estimate, 2))
        self._note(task)
        self._listener.end(job, task)

    def _note(self, task: Task) -> None:
        with self._lock:
            self.tasks.append(task)

    def _cell(self, spec: Spec, finding: Finding, job: Job, began: str, seconds: float, load: float) -> None:
        concerned = versions(job.backends if spec.axis != "experiments" else [spec.backend])
        self._record(
            Cell(
                spec=spec,
                status=finding.status,
                value=finding.value,
                samples=[float(sample) for sample in finding.samples],
                detail=self._bench.portable(finding.detail),
                command=" ".join([*self._bench.command, "--only", spec.id]),
                versions={name: version for found in concerned.values() for name, version in found.items()},
                time=began,
                seconds=round(seconds, 2),
                load=round(load, 2),
            )
        )
