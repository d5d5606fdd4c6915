"""The part of the report about optimizers: the search, and what was selected with other seeds (``madgrad.protocol``)."""

import json
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

import altair

from trackbridge_examples.intervals import COVERAGE
from trackbridge_examples.madgrad.protocol import SEARCH_SEED, SEEDS, Chosen, Found, Grid, Setting, wide_search
from trackbridge_examples.madgrad.results import COMPARISON, DECAY, Cells, Row, comparison_cells, decay_cells
from trackbridge_examples.readback import RunFacts
from trackbridge_examples.report.document import Block, Chart, Heading, Table

TAG = "madgrad"
VALIDATION, TEST = "validation/accuracy", "test/accuracy"
PLACE = ("optimizer", "lr", "weight_decay", "seed")
NOT_SETTINGS = (*PLACE, "preset", "log_level")  # what may differ between runs of one study
READING = (
    f"Each setting of each optimizer's grid is run once; the best by validation accuracy is run anew with {len(SEEDS)} other seeds, and only "
    f"then tested. Accuracies are percentages, mean and standard deviation over these seeds; differences are seed by seed, with the interval "
    f"that covers their median in at least {COVERAGE:.0%} of such studies (for five seeds from the smallest to the largest). Where a best "
    f"setting lies at the edge of a grid, all grids are widened alike; one that lies there still is named."
)


class Incomplete(Exception):
    """Runs of the study are missing."""


class Trainings:
    """The finished trainings of one study, found by optimizer, setting and seed."""

    def __init__(self, runs: Sequence[RunFacts]) -> None:
        self.runs = {
            (run.config["optimizer"], Setting(run.config["lr"], run.config["weight_decay"]), run.config["seed"]): run for run in runs
        }

    def search(self, grids: Mapping[str, Grid]) -> Found:
        return {
            name: {setting: fmean(self._numbers(name, setting, [SEARCH_SEED], VALIDATION)) for setting in grid.settings}
            for name, grid in grids.items()
        }

    def tests(self, optimizer: str, setting: Setting) -> tuple[float, ...]:
        return self._numbers(optimizer, setting, SEEDS, TEST)

    def _numbers(self, optimizer: str, setting: Setting, seeds: Sequence[int], metric: str) -> tuple[float, ...]:
        missing = [seed for seed in seeds if (optimizer, setting, seed) not in self.runs]
        if missing:
            raise Incomplete(f"{optimizer} at lr {setting.lr:g} with weight decay {setting.decay:g} and seed {missing[0]}")
        return tuple(self.runs[optimizer, setting, seed].number(metric) for seed in seeds)

    def curves(self, rows: Sequence[Row]) -> list[dict[str, object]]:
        """Validation accuracy after each epoch of each optimizer's best setting and each seed."""
        return [
            {"optimizer": row.optimizer, "epoch": epoch, "accuracy": accuracy}
            for row in rows
            for seed in SEEDS
            for epoch, accuracy in enumerate(self.runs[row.optimizer, row.chosen.best, seed].values(VALIDATION), 1)
        ]


def madgrad_blocks(project: str, runs: Sequence[RunFacts]) -> Iterator[Block]:
    """A part for each data set and size of training."""
    yield Heading(f"Optimizers: project {project}", 2)
    yield READING
    parts: dict[str, list[RunFacts]] = {}
    for run in runs:
        if run.finished and set(PLACE) <= run.config.keys():
            settings = {name: value for name, value in run.config.items() if name not in NOT_SETTINGS}
            parts.setdefault(json.dumps(settings, sort_keys=True), []).append(run)
    for number, mine in enumerate(parts.values()):
        yield from _study(f"{project}-{number}" if number else project, mine)


def _study(name: str, runs: Sequence[RunFacts]) -> Iterator[Block]:
    config, trainings = runs[0].config, Trainings(runs)
    yield Heading(
        f"{config['dataset']}: {config['train_images']} images train, {config['validation_images']} validate, "
        f"{config['test_images']} test; {config['epochs']} epochs",
        3,
    )
    if config.get("dataset_note"):
        yield f"Accuracies are not available: {config['dataset_note']}."
        return
    try:
        grids, found = wide_search(trainings.search)
        chosen = {optimizer: Chosen.of(accuracies) for optimizer, accuracies in found.items()}
        rows = [
            Row(optimizer, grids[optimizer], mine, {one: trainings.tests(optimizer, one) for one in mine.settings})
            for optimizer, mine in chosen.items()
        ]
    except Incomplete as missing:
        yield f"The study is not complete, so nothing is compared: there is no run of {missing}. {len(runs)} runs have finished."
        return
    yield _table(COMPARISON, comparison_cells(rows))
    yield "What weight decay gains: the best setting without it, and the best with it."
    yield _table(DECAY, decay_cells(rows))
    yield curves(f"{name}-curves", trainings.curves(rows))
    yield heat_maps(f"{name}-search", found)


def _table(columns: Sequence[str], cells: Cells) -> Table:
    return Table(columns, [[f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row] for row in cells])


def curves(name: str, points: Sequence[Mapping[str, object]]) -> Chart:
    """Mean and range over seeds, a line for each optimizer."""
    base = altair.Chart(altair.Data(values=points)).encode(
        x=altair.X("epoch:O", title="epoch", axis=altair.Axis(labelAngle=0)), color=altair.Color("optimizer:N", title=None)
    )
    scale = altair.Scale(zero=False)
    lines = base.mark_line(point=True).encode(y=altair.Y("mean(accuracy):Q", title="validation accuracy (%)", scale=scale))
    ranges = base.mark_area(opacity=0.15).encode(
        y=altair.Y("min(accuracy):Q", title="validation accuracy (%)", scale=scale), y2=altair.Y2("max(accuracy):Q")
    )
    chart = (ranges + lines).properties(width=420, height=260).configure(background="white")
    return Chart(name, f"validation accuracy by epoch, each optimizer at its best: mean and range of {len(SEEDS)} seeds", chart.to_dict())


def heat_maps(name: str, found: Found) -> Chart:
    """All that was searched, a panel for each optimizer."""
    settings = [setting for accuracies in found.values() for setting in accuracies]
    rates, decays = (sorted({getattr(setting, field) for setting in settings}) for field in ("lr", "decay"))
    rows = [
        {"optimizer": optimizer, "lr": f"{setting.lr:g}", "decay": f"{setting.decay:g}", "accuracy": accuracy}
        for optimizer, accuracies in found.items()
        for setting, accuracy in accuracies.items()
    ]
    chart = (
        altair.Chart(altair.Data(values=rows))
        .mark_rect()
        .encode(
            x=altair.X("lr:O", sort=[f"{rate:g}" for rate in rates], title="peak learning rate"),
            y=altair.Y("decay:O", sort=[f"{decay:g}" for decay in reversed(decays)], title="weight decay"),
            color=altair.Color("accuracy:Q", title="validation accuracy (%)", scale=altair.Scale(scheme="viridis")),
            facet=altair.Facet("optimizer:N", title=None, columns=2),
        )
        .properties(width=220, height=150)
        .resolve_scale(x="independent", y="independent")
        .configure(background="white")
    )
    return Chart(name, "validation accuracy of every setting that was tried, one run each", chart.to_dict())
