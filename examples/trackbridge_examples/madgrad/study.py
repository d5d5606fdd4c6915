"""The study: a search for each optimizer, then the selected settings with other seeds, as a table and curves.

Its runs are tasks of a sweep, so that a study that was stopped goes on where it was, and ``--engine ray`` makes them on
a cluster.  What it knows of them it reads back.
"""

import argparse
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

import trackbridge
from trackbridge_examples.madgrad.protocol import GRIDS, SEARCH_SEED, SEEDS, WIDENINGS, Grid, Setting, edges, selected, widened
from trackbridge_examples.madgrad.train import SELECTED_BY
from trackbridge_examples.sweep.conduct import Plan, conduct
from trackbridge_examples.sweep.grid import Task
from trackbridge_examples.sweep.results import finished_runs, mean_and_spread, summaries

TEST = "test/accuracy"
PASSED_ON = ("dataset", "epochs", "images", "test_size", "batch_size", "width", "log_level", "project")  # options of the study to its runs


@dataclass(frozen=True)
class Row:
    """What came out for an optimizer: its best setting, and the best of those with and without weight decay."""

    optimizer: str
    grid: Grid
    best: Setting
    with_decay: Setting
    without: Setting
    tests: Mapping[Setting, tuple[float, ...]]  # test accuracy for each seed, in percent


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

    def search(self, grids: Mapping[str, Grid]) -> dict[str, dict[Setting, float]]:
        """Validation accuracy, in percent, of every setting of every optimizer's grid."""
        tasks = {(name, setting): self.task(name, setting, SEARCH_SEED) for name, grid in grids.items() for setting in grid.settings}
        accuracies = self.results(tasks.values(), SELECTED_BY)
        return {name: {setting: accuracies[tasks[name, setting]] for setting in grid.settings} for name, grid in grids.items()}

    def wide_search(self, grids: Mapping[str, Grid]) -> tuple[Mapping[str, Grid], dict[str, dict[Setting, float]]]:
        """The search, and the grids to which it was widened."""
        for _ in range(WIDENINGS):
            found = self.search(grids)
            wider = widened(grids, {name: selected(accuracies) for name, accuracies in found.items()})
            if wider == grids:
                return grids, found
            self.console.print("a best setting lies at the edge of its grid, so every grid is widened")
            grids = wider
        return grids, self.search(grids)

    def compare(self, grids: Mapping[str, Grid], found: Mapping[str, Mapping[Setting, float]]) -> list[Row]:
        """Runs what was selected with every seed."""
        chosen: dict[str, tuple[Setting, Setting, Setting]] = {}
        for name, accuracies in found.items():
            parts = [{setting: value for setting, value in accuracies.items() if (setting.decay > 0) == decay} for decay in (True, False)]
            chosen[name] = (selected(accuracies), selected(parts[0]), selected(parts[1]))
        tasks = {
            (name, setting, seed): self.task(name, setting, seed)
            for name, settings in chosen.items()
            for setting in dict.fromkeys(settings)
            for seed in SEEDS
        }
        tests = self.results(tasks.values(), TEST)
        return [
            Row(name, grids[name], *settings, {one: tuple(tests[tasks[name, one, seed]] for seed in SEEDS) for one in settings})
            for name, settings in chosen.items()
        ]

    def curves(self, rows: Iterable[Row]) -> Figure:
        """Validation accuracy by epoch of each optimizer's best setting: the mean over seeds, and the range."""
        figure = Figure(figsize=(7, 4.5), layout="constrained")
        axes = figure.add_subplot(xlabel="epoch", ylabel="validation accuracy, %", title=f"mean and range of {len(SEEDS)} seeds")
        ids = finished_runs(self.plan.source, self.plan.group)
        for row in rows:
            runs = [trackbridge.read(ids[self.task(row.optimizer, row.best, seed).key], self.plan.source) for seed in SEEDS]
            series = [[float(point["value_any"]) for point in run.rows() if point["key"] == SELECTED_BY] for run in runs]
            by_epoch = list(zip(*series, strict=True))
            epochs = range(1, len(by_epoch) + 1)
            axes.plot(epochs, [statistics.fmean(values) for values in by_epoch], marker="o", label=row.optimizer)
            axes.set_xticks(epochs)
            axes.fill_between(epochs, [min(values) for values in by_epoch], [max(values) for values in by_epoch], alpha=0.2)
        axes.legend()
        return figure


def comparison_table(rows: Iterable[Row]) -> trackbridge.Table:
    """A row for each optimizer: what was selected of how many settings, and how it does on the test over seeds."""
    cells: list[list[object]] = [
        [
            row.optimizer,
            len(row.grid.settings),
            row.best.lr,
            row.best.decay,
            edges(row.grid, row.best) or "none",
            mean_and_spread(row.tests[row.best]),
            min(row.tests[row.best]),
            max(row.tests[row.best]),
        ]
        for row in rows
    ]
    return trackbridge.Table(
        columns=["optimizer", "settings tried", "lr", "weight decay", "at the grid's edge", "test accuracy", "min", "max"], rows=cells
    )


def decay_table(rows: Iterable[Row]) -> trackbridge.Table:
    """A row for each optimizer: the best without weight decay, the best with, and the gain, seed by seed.

    The authors of MADGRAD advise less weight decay than with other optimizers, often none.
    """
    cells: list[list[object]] = [
        [
            row.optimizer,
            mean_and_spread(row.tests[row.without]),
            row.with_decay.decay,
            mean_and_spread(row.tests[row.with_decay]),
            mean_and_spread([decayed - plain for decayed, plain in zip(row.tests[row.with_decay], row.tests[row.without], strict=True)]),
        ]
        for row in rows
    ]
    return trackbridge.Table(
        columns=["optimizer", "test accuracy without", "best weight decay", "test accuracy with", "gain by weight decay"], rows=cells
    )


def search_table(found: Mapping[str, Mapping[Setting, float]]) -> trackbridge.Table:
    """A row for each setting that was tried."""
    cells: list[list[object]] = [
        [name, setting.lr, setting.decay, accuracy] for name, accuracies in found.items() for setting, accuracy in accuracies.items()
    ]
    return trackbridge.Table(columns=["optimizer", "lr", "weight decay", SELECTED_BY], rows=cells)


def show(table: trackbridge.Table, title: str) -> Table:
    """A table for people."""
    content = table.content().inline
    shown = Table(*content["columns"], title=title)
    for row in content["rows"]:
        shown.add_row(*(f"{cell:g}" if isinstance(cell, float) else str(cell) for cell in row))
    return shown


def run_study(args: argparse.Namespace, console: Console) -> list[Row]:
    """Makes what is missing of the study, then logs its tables and curves as a run of their own."""
    study = Study(args, console)
    grids, found = study.wide_search(GRIDS)
    rows = study.compare(grids, found)
    tables = {"results": comparison_table(rows), "weight_decay": decay_table(rows)}
    with trackbridge.init(
        project=args.project, name="madgrad-study", group=study.plan.group, job_type="study", tags=["madgrad", "study"]
    ) as run:
        trackbridge.log({**tables, "search": search_table(found), "curves": trackbridge.Figure(study.curves(rows))}, step=0)
        for row in rows:
            run.summary[f"{TEST}/{row.optimizer}"] = statistics.fmean(row.tests[row.best])
    for name, table in tables.items():
        console.print(show(table, f"{name.replace('_', ' ')}: mean ± standard deviation of {len(SEEDS)} seeds, in percent"))
    return rows
