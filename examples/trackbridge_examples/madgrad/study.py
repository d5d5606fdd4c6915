"""The study: a search for each optimizer, then the selected settings with other seeds, as a table and curves.

Its runs are tasks of a sweep, so that a study that was stopped goes on where it was, and ``--engine ray`` makes them on
a cluster.  What it knows of them it reads back.
"""

import argparse
import statistics
from collections.abc import Iterable, Mapping

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

import trackbridge
from trackbridge_examples.madgrad.options import DATASETS
from trackbridge_examples.madgrad.protocol import GRIDS, SEARCH_SEED, SEEDS, Chosen, Found, Grid, Setting, wide_search
from trackbridge_examples.madgrad.results import COMPARISON, DECAY, SEARCH, Row, comparison_cells, decay_cells, search_cells
from trackbridge_examples.madgrad.train import SELECTED_BY
from trackbridge_examples.readback import values_of
from trackbridge_examples.sweep.conduct import Plan, conduct
from trackbridge_examples.sweep.grid import Task
from trackbridge_examples.sweep.results import finished_runs, summaries

TEST = "test/accuracy"
PASSED_ON = ("dataset", "epochs", "images", "test_size", "batch_size", "width", "log_level", "project")  # options of the study to its runs


class Study:
    """Makes the runs that are asked for, and reads them back."""

    def __init__(self, args: argparse.Namespace, console: Console) -> None:
        self.fixed = tuple(word for name in PASSED_ON for word in (f"--{name.replace('_', '-')}", str(getattr(args, name))))
        self.plan = Plan(args.group or "madgrad-study", args.engine, args.jobs, args.source)
        self.console = console

    def task(self, optimizer: str, setting: Setting, seed: int) -> Task:
        options = {"optimizer": optimizer, "lr": f"{setting.lr:g}", "weight-decay": f"{setting.decay:g}", "seed": str(seed)}
        return Task("madgrad", tuple(options.items()), self.fixed)

    def results(self, tasks: Iterable[Task], metric: str) -> dict[Task, float]:
        """A metric of each task, whose runs are made where they are missing.

        Raises:
            SystemExit: a run failed; the same command goes on with the study.
        """
        tasks = list(tasks)
        if not conduct(tasks, self.plan, self.console):
            raise SystemExit("the study cannot go on without these runs")
        found = summaries(tasks, self.plan.source, self.plan.group)
        return {task: float(found[task][metric]) for task in tasks}

    def search(self, grids: Mapping[str, Grid]) -> Found:
        """Tries every setting of every optimizer's grid."""
        if grids != GRIDS:
            self.console.print("a best setting lies at the edge of its grid, so every grid is widened")
        tasks = {(name, setting): self.task(name, setting, SEARCH_SEED) for name, grid in grids.items() for setting in grid.settings}
        accuracies = self.results(tasks.values(), SELECTED_BY)
        return {name: {setting: accuracies[tasks[name, setting]] for setting in grid.settings} for name, grid in grids.items()}

    def compare(self, grids: Mapping[str, Grid], found: Found) -> list[Row]:
        """Runs what was selected with every seed."""
        chosen = {name: Chosen.of(accuracies) for name, accuracies in found.items()}
        tasks = {
            (name, setting, seed): self.task(name, setting, seed)
            for name, selected in chosen.items()
            for setting in selected.settings
            for seed in SEEDS
        }
        tests = self.results(tasks.values(), TEST)
        return [
            Row(name, grids[name], selected, {one: tuple(tests[tasks[name, one, seed]] for seed in SEEDS) for one in selected.settings})
            for name, selected in chosen.items()
        ]

    def curves(self, rows: Iterable[Row]) -> Figure:
        """Validation accuracy by epoch of each optimizer's best setting: the mean over seeds, and the range."""
        figure = Figure(figsize=(7, 4.5), layout="constrained")
        axes = figure.add_subplot(xlabel="epoch", ylabel="validation accuracy, %", title=f"mean and range of {len(SEEDS)} seeds")
        ids = finished_runs(self.plan.source, self.plan.group)
        for row in rows:
            found = [ids[self.task(row.optimizer, row.chosen.best, seed).key] for seed in SEEDS]
            series = [values_of(run, SELECTED_BY, self.plan.source) for run in found]
            by_epoch = list(zip(*series, strict=True))
            epochs = range(1, len(by_epoch) + 1)
            axes.plot(epochs, [statistics.fmean(values) for values in by_epoch], marker="o", label=row.optimizer)
            axes.set_xticks(epochs)
            axes.fill_between(epochs, [min(values) for values in by_epoch], [max(values) for values in by_epoch], alpha=0.2)
        axes.legend()
        return figure


def show(table: trackbridge.Table, title: str) -> Table:
    """A table for people."""
    content = table.content().inline
    shown = Table(*content["columns"], title=title)
    for row in content["rows"]:
        shown.add_row(*(f"{cell:g}" if isinstance(cell, float) else str(cell) for cell in row))
    return shown


def run_study(args: argparse.Namespace, console: Console) -> list[Row]:
    """Makes what is missing of the study, then logs its tables and curves as a run of their own.

    Raises:
        DatasetUnavailable: before any run.
    """
    dataset = DATASETS[args.dataset](SEARCH_SEED)
    study = Study(args, console)
    grids, found = wide_search(study.search)
    rows = study.compare(grids, found)
    tables = {
        "results": trackbridge.Table(columns=COMPARISON, rows=comparison_cells(rows)),
        "weight_decay": trackbridge.Table(columns=DECAY, rows=decay_cells(rows)),
    }
    search = trackbridge.Table(columns=SEARCH, rows=search_cells(found))
    with trackbridge.init(
        project=args.project,
        name="madgrad-study",
        group=study.plan.group,
        job_type="study",
        tags=["madgrad", "study"],
        config={"dataset": dataset.name, "dataset_note": dataset.note},
    ) as run:
        trackbridge.log({**tables, "search": search, "curves": trackbridge.Figure(study.curves(rows))}, step=0)
        for row in rows:
            run.summary[f"{TEST}/{row.optimizer}"] = statistics.fmean(row.best)
    for name, table in tables.items():
        title = f"{name.replace('_', ' ')} on {dataset.name}: mean ± standard deviation of {len(SEEDS)} seeds, in percent"
        console.print(show(table, title))
    return rows
