"""What the study came to, as tables: the study logs them, and the report of the experiments has them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from trackbridge_examples.intervals import COVERAGE, interval
from trackbridge_examples.madgrad.protocol import Chosen, Found, Grid, Setting, edges
from trackbridge_examples.sweep.results import mean_and_spread

Cells = list[list[object]]

COMPARISON = (
    "optimizer",
    "settings tried",
    "lr",
    "weight decay",
    "at the grid's edge",
    "test accuracy",
    "min",
    "max",
    "less the best",
    f"{COVERAGE:.0%} interval",
)
DECAY = (
    "optimizer",
    "test accuracy without",
    "best weight decay",
    "test accuracy with",
    "gain by weight decay",
    f"{COVERAGE:.0%} interval",
)
SEARCH = ("optimizer", "lr", "weight decay", "validation/accuracy")


@dataclass(frozen=True)
class Row:
    """What came out for an optimizer: the grid that was searched, what was selected, and its accuracies."""

    optimizer: str
    grid: Grid
    chosen: Chosen
    tests: Mapping[Setting, tuple[float, ...]]  # test accuracy for each seed, in percent

    @property
    def best(self) -> tuple[float, ...]:
        return self.tests[self.chosen.best]


def comparison_cells(rows: Sequence[Row]) -> Cells:
    """A row for each optimizer: what was selected of how many settings, and how it does on the test over seeds."""
    leader = max(rows, key=lambda row: fmean(row.best))
    return [
        [
            row.optimizer,
            len(row.grid.settings),
            row.chosen.best.lr,
            row.chosen.best.decay,
            edges(row.grid, row.chosen.best) or "none",
            mean_and_spread(row.best),
            min(row.best),
            max(row.best),
            *(("", "") if row is leader else difference(row.best, leader.best)),
        ]
        for row in rows
    ]


def decay_cells(rows: Sequence[Row]) -> Cells:
    """A row for each optimizer: the best without weight decay, the best with, and the gain, seed by seed.

    The authors of MADGRAD advise less weight decay than with other optimizers, often none.
    """
    cells: Cells = []
    for row in rows:
        decayed, plain = row.tests[row.chosen.with_decay], row.tests[row.chosen.without]
        gain = difference(decayed, plain)
        cells.append([row.optimizer, mean_and_spread(plain), row.chosen.with_decay.decay, mean_and_spread(decayed), *gain])
    return cells


def search_cells(found: Found) -> Cells:
    """A row for each setting that was tried."""
    return [[name, setting.lr, setting.decay, accuracy] for name, accuracies in found.items() for setting, accuracy in accuracies.items()]


def difference(values: Sequence[float], others: Sequence[float]) -> tuple[str, str]:
    """Of two settings, seed by seed: mean and deviation, and the interval."""
    differences = [value - other for value, other in zip(values, others, strict=True)]
    limits = interval(differences)
    return mean_and_spread(differences), f"{limits[0]:+.2f} to {limits[1]:+.2f}" if limits else f"too few seeds ({len(values)})"
