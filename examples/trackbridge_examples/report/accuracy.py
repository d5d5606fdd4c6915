"""The part of the report about trainings that differ in their settings and have one accuracy: EfficientNet and its optimizers."""

import json
from collections.abc import Iterator, Sequence
from statistics import fmean

from trackbridge_examples.intervals import COVERAGE, interval
from trackbridge_examples.readback import RunFacts
from trackbridge_examples.report.document import Block, Heading, Table
from trackbridge_examples.report.statistics import LEAST_PAIRS, MARGIN, verdict
from trackbridge_examples.report.words import mean, shown, signed, spread

TAG = "efficientnet"
ACCURACY = "test/accuracy"
NOT_SETTINGS = ("seed", "preset", "log_level", "dataset_note")  # what may differ between runs of the same settings
READING = (
    f"Runs that differ in their seed only are one row: the mean test accuracy in percent, with the smallest and the largest run. The "
    f"difference is to the row of the highest mean, which was found on the same test images. It is equal where the {COVERAGE:.0%} interval "
    f"of the paired difference, over at least {LEAST_PAIRS} seeds, lies within {MARGIN:g} points of 0; else that is undecided."
)


def accuracy_blocks(project: str, runs: Sequence[RunFacts]) -> Iterator[Block]:
    """A table for each data set, with a column for each setting in which its runs differ."""
    yield Heading(f"Accuracy: project {project}", 2)
    yield READING
    tested = [run for run in runs if run.finished and ACCURACY in run.summary]
    for dataset in sorted({str(run.config.get("dataset")) for run in tested}):
        yield Heading(dataset, 3)
        yield _table([run for run in tested if str(run.config.get("dataset")) == dataset])


def _table(runs: Sequence[RunFacts]) -> Table:
    rows: dict[str, dict[int, RunFacts]] = {}
    for run in runs:
        settings = {name: value for name, value in run.config.items() if name not in NOT_SETTINGS}
        rows.setdefault(json.dumps(settings, sort_keys=True), {})[run.config.get("seed", 0)] = run
    settings_of = {key: json.loads(key) for key in rows}
    names = sorted({name for settings in settings_of.values() for name in settings})
    varying = [name for name in names if len({json.dumps(settings.get(name)) for settings in settings_of.values()}) > 1]
    best = max(rows, key=lambda key: fmean(_accuracies(rows[key])))
    columns = [*varying, "seeds", "test accuracy", "less the best", f"{COVERAGE:.0%} interval", "equal to the best?", "CPU s a run"]
    cells = []
    for key, by_seed in sorted(rows.items()):
        seconds = mean([run.number("time/cpu_s") for run in by_seed.values()])
        row = [*(str(settings_of[key].get(name, "")) for name in varying), str(len(by_seed)), spread(_accuracies(by_seed))]
        cells.append([*row, *(("", "", "") if key == best else _against(by_seed, rows[best])), shown(seconds)])
    return Table(columns, cells)


def _against(runs: dict[int, RunFacts], best: dict[int, RunFacts]) -> tuple[str, str, str]:
    differences = [run.number(ACCURACY) - best[seed].number(ACCURACY) for seed, run in runs.items() if seed in best]
    limits = interval(differences)
    bounds = f"{signed(limits[0])} to {signed(limits[1])}" if limits else f"too few pairs ({len(differences)})"
    return signed(mean(differences)), bounds, verdict(differences)


def _accuracies(by_seed: dict[int, RunFacts]) -> list[float]:
    return [run.number(ACCURACY) for run in by_seed.values()]
