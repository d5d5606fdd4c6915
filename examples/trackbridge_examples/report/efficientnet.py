"""The part of the report about EfficientNets: the trainings of each study over their seeds, and what its claims rest on."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import altair

from trackbridge_examples.efficientnet.augment import Stage
from trackbridge_examples.efficientnet.network import LAYOUTS
from trackbridge_examples.efficientnet.progressive import multiply_adds
from trackbridge_examples.efficientnet.scaling import WAYS
from trackbridge_examples.efficientnet.tasks import NOT_AVAILABLE
from trackbridge_examples.efficientnet.versions import FIGURES, SCALES, STEPS, metric_of
from trackbridge_examples.intervals import COVERAGE
from trackbridge_examples.readback import RunFacts
from trackbridge_examples.report.document import Block, Chart, Heading, Table
from trackbridge_examples.report.statistics import LEAST_PAIRS, MARGIN, against
from trackbridge_examples.report.words import mean, shown, spread

TAG = "efficientnet"
TITLES = {
    "scaling": "scaling depth, width, resolution, or all three",
    "versions": "V1 (MBConv) against V2 (Fused-MBConv)",
    "progressive": "progressive learning",
    "": "trainings outside the studies",
}
ACCURACY = "test/accuracy"
COUNTED = ("parameters", "multiply_adds")  # of a network, by which no training is chosen
BASELINE = "baseline/"
NOT_SETTINGS = ("seed", "preset", "log_level", "dataset_note", "project", "group")  # what may differ between runs of the same settings
COSTS = {"CPU ms a step": "time/step_cpu_ms", "CPU s, steps": "time/train_cpu_s", "augmentation": "time/augment_cpu_s", "all": "time/cpu_s"}
READING = (
    f"Runs that differ in their seed only are one row: the mean test accuracy in percent, with the smallest and the largest run. The "
    f"difference is to the row of the highest mean, which was found on the same test images. An interval covers the median of the paired "
    f"difference in at least {COVERAGE:.0%} of cases; of seven pairs it goes from the smallest to the largest, which cover it in 98%. Two rows "
    f"are equal where it, over at least {LEAST_PAIRS} seeds, lies within {MARGIN:g} points of 0, and different where it lies outside; else that "
    f"is undecided. A seed decides which images are taken, the initial weights and their order. Processor times compare within one table."
)


@dataclass(frozen=True)
class Row:
    """Trainings of the same settings, by seed."""

    settings: Mapping[str, Any]
    runs: Mapping[int, RunFacts]

    @property
    def label(self) -> str:
        return str(self.settings.get("training", ""))

    @property
    def accuracies(self) -> list[float]:
        return [run.number(ACCURACY) for run in self.runs.values()]

    @property
    def claimed(self) -> bool:
        """Whether its accuracy is on the data that were asked for."""
        return not any(run.config.get("dataset_note") for run in self.runs.values())

    def over(self, other: "Row") -> list[float]:
        """The difference in accuracy to another row, for each seed that both have."""
        return [run.number(ACCURACY) - other.runs[seed].number(ACCURACY) for seed, run in self.runs.items() if seed in other.runs]

    def cost(self, metric: str) -> str:
        known = [run.number(metric) for run in self.runs.values() if metric in run.summary]
        return shown(mean(known)) if known else NOT_AVAILABLE


def efficientnet_blocks(project: str, runs: Sequence[RunFacts]) -> Iterator[Block]:
    """A part for each data set and study."""
    yield Heading(f"EfficientNet: project {project}", 2)
    yield READING
    tested = [run for run in runs if run.finished and ACCURACY in run.summary]
    timed = [run for run in runs if run.finished and STEPS in run.tags]
    for dataset in sorted({str(run.config.get("dataset")) for run in tested}):
        yield Heading(dataset, 3)
        for study, title in TITLES.items():
            rows = _rows([run for run in tested if str(run.config.get("dataset")) == dataset and _study(run) == study])
            if not rows:
                continue
            yield Heading(title, 4)
            yield _table(rows, _in_stages if study == "progressive" else _counted)
            if study == "versions":
                yield _versions(rows, [run for run in timed if run.config.get("dataset") == dataset])
            if study == "scaling" and all(row.claimed for row in rows):
                yield scaling_chart(f"{project}-scaling", rows)


def _study(run: RunFacts) -> str:
    return next((study for study in TITLES if study in run.tags), "")


def _rows(runs: Sequence[RunFacts]) -> list[Row]:
    rows: dict[str, dict[int, RunFacts]] = {}
    for run in runs:
        settings = {name: value for name, value in run.config.items() if name not in NOT_SETTINGS}
        rows.setdefault(json.dumps(settings, sort_keys=True), {})[run.config.get("seed", 0)] = run
    made = [Row(json.loads(key), by_seed) for key, by_seed in rows.items()]
    return sorted(made, key=lambda row: (row.label, json.dumps(row.settings, sort_keys=True)))


def _counted(row: Row) -> dict[str, str]:
    """What its network is."""
    return {f"{name.replace('_', '-')} (M)": f"{row.settings[name] / 1e6:.2f}" for name in COUNTED if name in row.settings}


def _in_stages(row: Row) -> dict[str, str]:
    """What it trains with in each stage, and what that costs."""
    stages = tuple(Stage(**stage) for stage in row.settings["stages"])
    classes = sum(metric.startswith("class_accuracy/") for metric in next(iter(row.runs.values())).summary)
    told = {name: ", ".join(dict.fromkeys(f"{getattr(stage, name):.2g}" for stage in stages)) for name in ("dropout", "magnitude", "mixup")}
    pixels = ", ".join(dict.fromkeys(str(stage.size) for stage in stages))
    return {"pixels": pixels, **told, "multiply-adds in training (M)": f"{multiply_adds(stages, classes) / 1e6:.2f}"}


def _table(rows: Sequence[Row], describe: Callable[[Row], Mapping[str, str]]) -> Table:
    """A column for each setting in which trainings of one name differ, and what describes each."""
    values: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        for name in {name for other in rows for name in other.settings}:
            values.setdefault((row.label, name), set()).add(json.dumps(row.settings.get(name)))
    varying = sorted({name for (_, name), found in values.items() if len(found) > 1 and name not in COUNTED})
    descriptions = [describe(row) for row in rows]
    described = list(dict.fromkeys(name for description in descriptions for name in description))
    best = max(rows, key=lambda row: fmean(row.accuracies))
    columns = [*(["training"] if any(row.label for row in rows) else []), *varying]
    columns += described
    columns += ["seeds", "test accuracy", "less the best", f"{COVERAGE:.0%} interval", "equal to the best?", *COSTS]
    cells = []
    for row, description in zip(rows, descriptions, strict=True):
        cell = [row.label] if columns[0] == "training" else []
        cell += [str(row.settings.get(name, "")) for name in varying]
        cell += [description.get(name, "") for name in described]
        claim = [spread(row.accuracies), *(("", "", "") if row is best else against(row.over(best)))]
        cells.append([*cell, str(len(row.runs)), *(claim if row.claimed else [NOT_AVAILABLE] * 4), *map(row.cost, COSTS.values())])
    return Table(columns, [*cells, *_baselines(rows, columns)])


def _baselines(rows: Sequence[Row], columns: Sequence[str]) -> list[list[str]]:
    """What does without a network."""
    known: dict[str, dict[int, float]] = {}
    for row in rows:
        for seed, run in row.runs.items():
            for metric in run.summary:
                if metric.startswith(BASELINE):
                    known.setdefault(metric.removeprefix(BASELINE), {})[seed] = run.number(metric)
    empty = dict.fromkeys(columns, "")
    return [
        list((empty | {columns[0]: name, "seeds": str(len(by_seed)), "test accuracy": spread(list(by_seed.values()))}).values())
        for name, by_seed in known.items()
    ]


def _versions(rows: Sequence[Row], timed: Sequence[RunFacts]) -> Table:
    """V1 and V2 of each size and layout: the step's time, where the four networks took turns, and the accuracy."""
    by_label = {row.label: row for row in rows}
    cells = []
    for size in SCALES:
        for layout in LAYOUTS:
            times = [run for run in timed if run.config["steps"] == size]
            figures = {figure: [run.number(metric_of(layout, figure)) for run in times] for figure in FIGURES}
            first, second = (by_label.get(f"{size}-{version}-{layout}") for version in ("v1", "v2"))
            if first and second:
                gain, bounds, _ = against(second.over(first)) if first.claimed and second.claimed else [NOT_AVAILABLE] * 3
                ratio = f"{fmean(figures['v1 / v2']):.2f} ({min(figures['v1 / v2']):.2f} to {max(figures['v1 / v2']):.2f})" if times else ""
                cells.append([size, layout, *(shown(mean(figures[name])) for name in FIGURES[:2]), ratio, gain, bounds])
    return Table(["size", "layout", *FIGURES[:3], "accuracy of V2 less V1", f"{COVERAGE:.0%} interval"], cells)


def scaling_chart(name: str, rows: Sequence[Row]) -> Chart:
    """Accuracy over multiply-adds: a line of means for each way of scaling, from the base, and a point for each run."""
    points = []
    for row in rows:
        way = row.label.partition("-")[0]
        for drawn in WAYS if way == "base" else (way,):
            place = {"way": drawn, "multiply-adds": row.settings["multiply_adds"] / 1e6}
            points += [place | {"accuracy": accuracy} for accuracy in row.accuracies]
    base = altair.Chart(altair.Data(values=points)).encode(
        x=altair.X("multiply-adds:Q", title="multiply-adds for an image (M)", scale=altair.Scale(type="log", nice=False)),
        color=altair.Color("way:N", title=None, sort=list(WAYS)),
    )
    scale = altair.Scale(zero=False)
    runs = base.mark_point(opacity=0.4, size=18).encode(y=altair.Y("accuracy:Q", title="test accuracy (%)", scale=scale))
    means = base.mark_line().encode(y=altair.Y("mean(accuracy):Q", title="test accuracy (%)", scale=scale))
    chart = (runs + means).properties(width=420, height=280).configure(background="white")
    return Chart(name, "test accuracy over multiply-adds, by what is scaled: every run, and means", chart.to_dict())
