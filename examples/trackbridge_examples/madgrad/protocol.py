"""How the optimizers are compared; written before any run of the study.

Every optimizer has a grid of as many settings.  Each setting is run once; the best is the one of the highest accuracy
on validation images.  Where an optimizer's best lies at the edge of its grid, every grid is widened, so that all stay
of one size: by a learning rate on the side of the optimizer's own best, or by a larger weight decay.  What is selected
is run anew with other seeds, and only then looked at on the test.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

SEARCH_SEED = 1000
SEEDS = (1001, 1002, 1003, 1004, 1005)
WIDENINGS = 3  # at most


@dataclass(frozen=True, order=True)
class Setting:
    """A learning rate at the peak of the schedule, and a weight decay."""

    lr: float
    decay: float


@dataclass(frozen=True)
class Grid:
    """Learning rates 1, 3, 10, 30 ... and weight decays 0 and powers of ten, from the first to the last of each.

    ``rates`` counts in half powers of ten: -2 is 0.1, -1 is 0.3.  ``decays`` are exponents of ten.
    """

    rates: tuple[int, int]
    decays: tuple[int, int]

    @property
    def lrs(self) -> list[float]:
        return [float(f"{3 if half % 2 else 1}e{half // 2}") for half in range(self.rates[0], self.rates[1] + 1)]

    @property
    def weight_decays(self) -> list[float]:
        return [0.0, *(float(f"1e{exponent}") for exponent in range(self.decays[0], self.decays[1] + 1))]

    @property
    def settings(self) -> list[Setting]:
        return [Setting(lr, decay) for lr in self.lrs for decay in self.weight_decays]

    def lr_at_edge(self, best: Setting) -> bool:
        return best.lr in (self.lrs[0], self.lrs[-1])

    def decay_at_edge(self, best: Setting) -> bool:
        """Whether a larger decay may be better; a smaller than none there is not."""
        return best.decay == self.weight_decays[-1]

    def with_another_lr(self, best: Setting) -> "Grid":
        """With one more learning rate on the side on which ``best`` lies, the lower side where it lies in the middle."""
        low, high = self.rates
        upper = self.lrs.index(best.lr) > (len(self.lrs) - 1) / 2
        return replace(self, rates=(low, high + 1) if upper else (low - 1, high))

    def with_another_decay(self) -> "Grid":
        return replace(self, decays=(self.decays[0], self.decays[1] + 1))


Found = Mapping[str, Mapping[Setting, float]]
"""Validation accuracy, in percent, of each setting of each optimizer."""

GRIDS = {
    "sgd": Grid((-3, 0), (-5, -3)),
    "adam": Grid((-6, -3), (-5, -3)),
    "adamw": Grid((-6, -3), (-3, -1)),  # its decay is multiplied by the learning rate
    "madgrad": Grid((-6, -3), (-5, -3)),
}


def selected(accuracies: Mapping[Setting, float]) -> Setting:
    """The setting of the highest accuracy; of several the one of the lowest rate, then the lowest decay."""
    return min(accuracies, key=lambda setting: (-accuracies[setting], setting))


def widened(grids: Mapping[str, Grid], best: Mapping[str, Setting]) -> dict[str, Grid]:
    """The grids, all of them longer along each axis at whose edge one optimizer has its best; unchanged where none has."""
    wider = dict(grids)
    if any(grid.decay_at_edge(best[name]) for name, grid in grids.items()):
        wider = {name: grid.with_another_decay() for name, grid in wider.items()}
    if any(grid.lr_at_edge(best[name]) for name, grid in grids.items()):
        wider = {name: grid.with_another_lr(best[name]) for name, grid in wider.items()}
    return wider


def wide_search(search: Callable[[Mapping[str, Grid]], Found]) -> tuple[Mapping[str, Grid], Found]:
    """What ``search`` finds in all grids, and the grids to which it had to be widened."""
    grids: Mapping[str, Grid] = GRIDS
    for _ in range(WIDENINGS):
        found = search(grids)
        wider = widened(grids, {name: selected(accuracies) for name, accuracies in found.items()})
        if wider == grids:
            return grids, found
        grids = wider
    return grids, search(grids)


@dataclass(frozen=True)
class Chosen:
    """What is run with other seeds: an optimizer's best setting, and the best of those with and without weight decay."""

    best: Setting
    with_decay: Setting
    without: Setting

    @classmethod
    def of(cls, accuracies: Mapping[Setting, float]) -> "Chosen":
        def part(decayed: bool) -> Setting:
            return selected({setting: value for setting, value in accuracies.items() if (setting.decay > 0) == decayed})

        return cls(selected(accuracies), part(True), part(False))

    @property
    def settings(self) -> list[Setting]:
        """Each once."""
        return list(dict.fromkeys((self.best, self.with_decay, self.without)))


def edges(grid: Grid, best: Setting) -> str:
    """What a reader should know of a best setting: at which edges of its grid it lies still."""
    return ", ".join(
        name for name, at_edge in (("learning rate", grid.lr_at_edge(best)), ("weight decay", grid.decay_at_edge(best))) if at_edge
    )
