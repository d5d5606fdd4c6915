"""The live display on a terminal; plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from trackbridge_comparison.bench import Job
from trackbridge_comparison.schema import Task


class Display:
    """Shows what runs, how long it should take, and how much is done. A bar is the share of the estimated time, not of the work.

    Args:
        estimates: (name, seconds of the machine) of every job that will run.
        budget: seconds, or None.
    """

    def __init__(self, console: Console, estimates: Sequence[tuple[str, float]], budget: float | None) -> None:
        self._console, self._live = console, console.is_terminal
        self._lock = threading.Lock()
        self._rows: dict[str, tuple[TaskID, float]] = {}
        self._began = time.monotonic()
        total = sum(seconds for _, seconds in estimates)
        of = "no limit" if budget is None else f"at most {budget:.0f} s"
        self._headline = f"{len(estimates)} tasks, estimated {total:.0f} s, {of}"
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(30),
            TextColumn("{task.fields[left]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not self._live,
        )
        self._all = self._progress.add_task("comparison", total=max(1, len(estimates)), left=f"0 of {len(estimates)}")
        self._count, self._done = len(estimates), 0
        self._left = dict(estimates)
        self._stop = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Display:
        self._console.print(self._headline, highlight=False)
        self._progress.start()
        if self._live:
            self._ticker.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._progress.stop()

    def begin(self, job: Job, estimate: float) -> None:
        with self._lock:
            row = self._progress.add_task(escape(job.name), total=max(0.1, estimate), left=f"about {estimate:.0f} s")
            self._rows[job.name] = row, time.monotonic()

    def end(self, job: Job, task: Task) -> None:
        with self._lock:
            row, _ = self._rows.pop(job.name)
            self._progress.remove_task(row)
            self._done += 1
            self._left.pop(job.name, None)
            left = f"about {sum(self._left.values()) / 60:.0f} min left"
            self._progress.update(self._all, completed=self._done, left=f"{self._done} of {self._count}, {left}")
        colour = {"done": "green", "failed": "red"}.get(task.outcome, "yellow")
        elapsed = time.monotonic() - self._began
        line = f"[dim]{elapsed:5.0f} s[/dim]  [{colour}]{task.outcome:7}[/{colour}] {escape(task.name)} ({task.seconds:.1f} s; {left})"
        self._progress.console.print(line, highlight=False)

    def _tick(self) -> None:
        while not self._stop.wait(0.2):
            with self._lock:
                for row, began in self._rows.values():
                    self._progress.update(row, completed=time.monotonic() - began)
