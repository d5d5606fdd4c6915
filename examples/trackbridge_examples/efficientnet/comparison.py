"""A study's last run: its trainings side by side."""

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import trackbridge
from trackbridge_examples.efficientnet.run import Result, group
from trackbridge_examples.efficientnet.tasks import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Row = dict[str, object]


def row(result: Result, task: Task, **more: object) -> Row:
    """What a training gives whenever it is repeated."""
    return {
        "training": result.name,
        **more,
        "parameters": result.parameters,
        "multiply-adds (M)": result.multiply_adds / 1e6,
        "test accuracy (%)": task.claim(result.accuracy),
    }


def cost(result: Result) -> Row:
    """What a training took this time, in processor time."""
    return {
        "training": result.name,
        "a step (ms, median)": result.step_cpu_ms,
        "steps (s)": result.train_cpu_seconds,
        "augmentation (s)": result.augment_cpu_seconds,
        "all (s)": result.cpu_seconds,
    }


def baseline_rows(task: Task, columns: Sequence[str]) -> list[Row]:
    """What does without a network, in a table of these columns."""
    return [
        {**dict.fromkeys(columns), "training": name, "test accuracy (%)": task.claim(accuracy)} for name, accuracy in task.baselines.items()
    ]


def as_table(rows: Sequence[Row]) -> trackbridge.Table:
    """Rows of the same keys."""
    return trackbridge.Table(columns=list(rows[0]), rows=[list(row.values()) for row in rows])


def log_comparison(
    args: argparse.Namespace, task: Task, rows: Sequence[Row], times: Mapping[str, Sequence[Row]], figures: Mapping[str, "Figure"]
) -> None:
    """One run with the study's tables and figures, of which those of ``times`` differ when it is repeated; prints the tables."""
    tables = {"comparison": [*rows, *baseline_rows(task, list(rows[0]))], **{f"time/{name}": part for name, part in times.items()}}
    for name, part in tables.items():
        print(f"{name} on {task.dataset.name}")
        for line in part:
            print("  " + "; ".join(f"{key} {_short(value)}" for key, value in line.items() if value is not None))
    with trackbridge.init(
        project=args.project,
        name=f"{args.study}-seed{args.seed}",
        group=group(args),
        tags=["efficientnet", args.study, "comparison"],
        config={"study": args.study, "seed": args.seed, "dataset": task.dataset.name, "dataset_note": task.dataset.note},
    ):
        values: dict[str, object] = {name: as_table(part) for name, part in tables.items()}
        values |= {name: trackbridge.Figure(figure) for name, figure in figures.items()}
        trackbridge.log(values)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
