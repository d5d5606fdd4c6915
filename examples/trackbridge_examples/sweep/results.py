"""What the runs of a sweep have come to, as it is read back through trackbridge: no other record is kept of them."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table

import trackbridge
from trackbridge_examples.readback import FINISHED
from trackbridge_examples.sweep.grid import Task, key_of

RUNNING = "running"
SEED = "seed"
NOT_AVAILABLE = "not available"


def finished_runs(source: str | None, group: str) -> dict[str, str]:
    """The id of a finished run for the key of each task that has one."""
    return {key_of(info.id): info.id for info in trackbridge.runs(source) if info.group == group and info.status == FINISHED}


def running_keys(group: str) -> set[str]:
    """The keys of tasks that other processes work at, as the journals tell: a tracker does not know a dead run from a live one."""
    return {key_of(info.id) for info in trackbridge.runs() if info.group == group and info.status == RUNNING}


def summaries(tasks: Iterable[Task], source: str | None, group: str) -> dict[Task, Mapping[str, Any]]:
    """The summary of each task that has a finished run."""
    found = finished_runs(source, group)
    return {task: trackbridge.read(found[task.key], source).summary for task in tasks if task.key in found}


def mean_and_spread(values: Sequence[float]) -> str:
    """``84.5 ± 0.3``: the mean, and the standard deviation where there are several."""
    if not values:
        return NOT_AVAILABLE
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.2f}{spread}"


def summary_table(results: Mapping[Task, Mapping[str, Any]], metrics: Sequence[str]) -> Table:
    """A row for each combination of varied options but the seed, over whose values each metric's mean and deviation are taken."""
    rows: dict[tuple[tuple[str, str], ...], list[Mapping[str, Any]]] = {}
    for task, summary in results.items():
        rows.setdefault(tuple(option for option in task.varied if option[0] != SEED), []).append(summary)
    names = dict.fromkeys(name for options in rows for name, _ in options)
    table = Table(*names, "runs", *metrics)
    for options, summaries_ in rows.items():
        cells = [mean_and_spread([float(one[metric]) for one in summaries_ if metric in one]) for metric in metrics]
        table.add_row(*(value for _, value in options), str(len(summaries_)), *cells)
    return table
