"""What the runs of a method come to: accuracies, MMD and IOSM over all pairs of seed and fold."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from trackbridge_examples.bias.factors import FACTORS
from trackbridge_examples.bias.metrics import FactorAccuracy
from trackbridge_examples.bias.protocol import collapsed, is_leant_on
from trackbridge_examples.bias.results import Pair, Results
from trackbridge_examples.readback import RunFacts
from trackbridge_examples.report.statistics import clustered_error
from trackbridge_examples.report.words import mean

STANDARD = "stdm"
SIDES = ("majority", "minority")


@dataclass(frozen=True)
class Measured:
    """A method's selected runs, and those of the standard model that the same rule selects."""

    method: str
    trial: int
    runs: dict[Pair, RunFacts]
    standard: dict[Pair, RunFacts]
    explicit: tuple[str, ...]

    @property
    def accuracies(self) -> list[float]:
        return numbers(self.runs.values(), "test/accuracy")

    @property
    def gains(self) -> list[float]:
        """Unbiased accuracy over the standard model's, for each pair that both were run with."""
        return [run.number("test/accuracy") - standard.number("test/accuracy") for run, standard in self._pairs()]

    @property
    def collapsed(self) -> bool:
        """Whether no pattern may be read from it; the standard model, which the others are compared with, never counts as collapsed."""
        if self.method == STANDARD or not self._pairs():
            return False
        return collapsed(fmean(self.accuracies), fmean(numbers(self.standard.values(), "test/accuracy")))

    def mmd(self, factors: Sequence[str]) -> list[float]:
        """For each run the mean MMD of the factors."""
        return [fmean(run.number(f"mmd/{factor}") for factor in factors) for run in self.runs.values()] if factors else []

    def standard_mmd(self, factors: Sequence[str]) -> list[float]:
        """The standard model's, over all its runs."""
        return Measured(STANDARD, 0, self.standard, self.standard, self.explicit).mmd(factors)

    def mmd_error(self) -> float | None:
        """The standard error of the explicit MMD, where a single factor is explicit."""
        if len(self.explicit) != 1 or not self.runs:
            return None
        return clustered_error({pair: run.number(f"mmd_error/{self.explicit[0]}") for pair, run in self.runs.items()})

    def iosm(self, factor: str, side: str) -> list[float]:
        """The gain over the standard model on one side of a factor, for each pair that both were run with."""
        return [getattr(sides(run, factor).iosm(sides(standard, factor)), side) for run, standard in self._pairs()]

    @property
    def leant_on(self) -> tuple[str, ...]:
        """The implicit factors that count: those which the standard model leans on."""
        implicit = [factor for factor in FACTORS if factor not in self.explicit]
        return tuple(factor for factor in implicit if self.standard and is_leant_on(fmean(self.standard_mmd([factor]))))

    def _pairs(self) -> list[tuple[RunFacts, RunFacts]]:
        return [(run, self.standard[pair]) for pair, run in self.runs.items() if pair in self.standard]


def measure(results: Results, condition: str, method: str, rule: str, times: int = 1) -> Measured:
    """The runs of what ``rule`` selects, trained ``times`` as long as usual."""
    trials = {name: results.selected(condition, name, rule) for name in (method, STANDARD)}
    runs, standard = (results.finals(condition, name, trials[name], times) for name in (method, STANDARD))
    return Measured(method, trials[method], runs, standard, tuple(results.common[condition]["explicit"]))


def sides(run: RunFacts, factor: str) -> FactorAccuracy:
    return FactorAccuracy(*(run.number(f"accuracy/{factor}/{side}") for side in SIDES))


def numbers(runs: Iterable[RunFacts], metric: str) -> list[float]:
    return [run.number(metric) for run in runs]


def seeds(pairs: Iterable[Pair]) -> int:
    """How many different ones there are."""
    return len({pair.seed for pair in pairs})


def cpu_seconds(measured: Measured) -> float | None:
    return mean(numbers(measured.runs.values(), "time/cpu_s"))
