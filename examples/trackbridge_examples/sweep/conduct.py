"""Runs what is missing of a list of tasks, shows how it goes, and says what failed."""

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from trackbridge import settings
from trackbridge_examples.sweep.engines import ENGINES, Job
from trackbridge_examples.sweep.grid import Task
from trackbridge_examples.sweep.results import finished_runs, running_keys

WIDTH = 160  # of what is written to a file or a pipe


@dataclass(frozen=True)
class Plan:
    """How tasks are run; ``source`` is where their runs are read back from, the journals by default."""

    group: str
    engine: str = "joblib"
    jobs: int | None = None
    source: str | None = None


def make_console() -> Console:
    """Standard output, where a table in a file or pipe is not cut at 80 columns."""
    return Console(width=None if sys.stdout.isatty() else WIDTH)


def conduct(tasks: Sequence[Task], plan: Plan, console: Console) -> bool:
    """Runs the tasks that have no finished run; whether all of them have one now."""
    done, going_on = finished_runs(plan.source, plan.group), running_keys(plan.group)
    left = [task for task in tasks if task.key not in done and task.key not in going_on]
    others = sum(task.key in going_on and task.key not in done for task in tasks)
    elsewhere = f", {others} in work elsewhere" if others else ""
    console.print(
        f"{len(tasks)} runs in the group {escape(plan.group)}: {len(tasks) - len(left) - others} finished{elsewhere}, {len(left)} to do"
    )

    failed: dict[Task, str] = {}
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("runs", total=len(left))
        for outcome in ENGINES[plan.engine]([job(task, plan.group) for task in left], plan.jobs):
            progress.advance(bar)
            verdict = "[red]failed  [/red]" if outcome.complaint else "[green]finished[/green]"
            place = f" on node {outcome.node}" if outcome.node else ""
            progress.console.print(f"{verdict} {escape(str(outcome.task))} ({outcome.seconds:.1f} s{place})", highlight=False)
            if outcome.complaint:
                failed[outcome.task] = outcome.complaint

    done = finished_runs(plan.source, plan.group)
    failed |= {task: "it ended, but no finished run could be read back" for task in left if task.key not in done and task not in failed}
    if failed:
        console.print(f"[red]{len(failed)} of {len(left)} runs failed[/red]; the same command tries them again:")
    for task, complaint in failed.items():
        console.print(f"  {task}: {complaint}", markup=False, highlight=False)
        console.print(f"    python -m {module(task)} {shlex.join(task.options)}", markup=False, highlight=False, soft_wrap=True)
    return all(task.key in done for task in tasks)


def module(task: Task) -> str:
    return f"trackbridge_examples.{task.example}"


def job(task: Task, group: str) -> Job:
    """A new attempt at a task: a run of the group, in the folder of journals of this process."""
    own = {name: value for name, value in os.environ.items() if name.startswith("TRACKBRIDGE_")}
    journals = str(Path(settings.read().dir).expanduser().absolute())
    variables = own | {"TRACKBRIDGE_DIR": journals, "TRACKBRIDGE_RUN_ID": task.new_run_id(), "TRACKBRIDGE_RESUME": "never"}
    return Job(task, module(task), (*task.options, "--group", group), variables, str(Path.cwd()))
