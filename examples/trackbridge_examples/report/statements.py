"""What was expected, by us or by the paper, and whether it came out; nothing is said of what was not run."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import fmean

from trackbridge_examples.bias.factors import FACTORS
from trackbridge_examples.bias.methods import METHODS, PAPER
from trackbridge_examples.bias.protocol import FIGURE_3, FIGURE_3_STANDARD, PAPER_ACCURACIES
from trackbridge_examples.bias.results import Results
from trackbridge_examples.intervals import interval
from trackbridge_examples.report.measured import STANDARD, Measured, measure, seeds
from trackbridge_examples.report.statistics import MARGIN
from trackbridge_examples.report.words import NOT_RUN, shown, signed

HOLDS, FAILS, UNDECIDED, COLLAPSED = "holds", "does not hold", "undecided", "collapsed"
LEAST_SEEDS = 3
LEAST_STANDARD_MMD = 60.0
LEAST_MINORITY_GAIN = 30.0
THIRD = 1 / 3


@dataclass(frozen=True)
class Statement:
    """An expectation, whose it is, and what the runs say to it."""

    text: str
    source: str
    verdict: str
    evidence: str = ""


def statements(results: Results, rule: str) -> Iterator[Statement]:
    """All of them, on the settings that ``rule`` selects."""

    def find(condition: str, method: str) -> Measured | None:
        return measure(results, condition, method, rule) if condition in results.common else None

    yield _judged(
        f"one factor: StdM's MMD is above {LEAST_STANDARD_MMD:.0f}",
        "ours",
        find("one", STANDARD),
        lambda runs: (fmean(runs.mmd(runs.explicit)), lambda mmd: mmd > LEAST_STANDARD_MMD, "MMD"),
    )
    yield _judged(
        f"one factor: GDRO's IOSM of the minority is above +{LEAST_MINORITY_GAIN:.0f}",
        "ours",
        find("one", "gdro"),
        lambda runs: (fmean(_minority(runs)), lambda gain: gain > LEAST_MINORITY_GAIN, "IOSM"),
    )
    for method in PAPER:
        if METHODS[method].told:
            runs = find("seven", method)
            yield _judged(
                f"seven factors: {method}'s explicit MMD is below a third of StdM's",
                f"ours; the paper has {FIGURE_3[method][0] / FIGURE_3_STANDARD:.2f}",
                runs,
                lambda runs: (_ratio(runs, runs.explicit), lambda ratio: ratio < THIRD, "of StdM's, as a ratio"),
            )
            yield _judged(
                f"seven factors: {method}'s implicit MMD changes by less than a third",
                f"ours; the paper has {FIGURE_3[method][1] / FIGURE_3_STANDARD:.2f}",
                runs,
                lambda runs: (_ratio(runs, runs.leant_on), lambda ratio: abs(ratio - 1) < THIRD, "of StdM's, as a ratio"),
            )
    for method, accuracy in zip(PAPER, PAPER_ACCURACIES["Biased MNIST"], strict=True):
        if method != STANDARD:
            yield _accuracy(find("seven", method), method, accuracy - PAPER_ACCURACIES["Biased MNIST"][PAPER.index(STANDARD)])
    yield _judged(
        "seven factors: StdM leans on the position least",
        "paper, figure 3",
        find("seven", STANDARD),
        lambda runs: (_rank(runs, "digit_cell_number"), lambda rank: rank == 1, "from the smallest MMD, the position's rank"),
    )
    yield Statement("methods that are told of all seven factors lose most of their accuracy", "paper, figure 5", NOT_RUN)


Judge = Callable[[Measured], tuple[float, Callable[[float], bool], str]]


def _judged(text: str, source: str, runs: Measured | None, judge: Judge) -> Statement:
    """Where there are three seeds of the method and of StdM: whether the figure that ``judge`` makes passes."""
    common = runs.runs.keys() & runs.standard.keys() if runs else set()
    if runs is None or seeds(common) < LEAST_SEEDS:
        return Statement(text, source, NOT_RUN, f"{seeds(common)} of {LEAST_SEEDS} seeds")
    if runs.collapsed:
        return Statement(text, source, COLLAPSED, f"unbiased accuracy {shown(fmean(runs.accuracies))}")
    figure, passes, unit = judge(runs)
    if figure != figure:
        return Statement(text, source, UNDECIDED, "NaN")
    return Statement(text, source, HOLDS if passes(figure) else FAILS, f"{figure:.2f} {unit}, {len(common)} pairs")


def _accuracy(runs: Measured | None, method: str, paper: float) -> Statement:
    """The sign of a difference that is larger than the margin within which accuracies are equal, and whose interval has one sign; of a collapsed
    method too."""
    text = f"seven factors: {method} is {'more' if paper > 0 else 'less'} accurate than StdM"
    source = f"paper, table 1: {signed(paper)}"
    gains = runs.gains if runs else []
    if runs is None or seeds(runs.runs.keys() & runs.standard.keys()) < LEAST_SEEDS:
        return Statement(text, source, NOT_RUN)
    gain, limits = fmean(gains), interval(gains)
    either_way = limits is not None and limits[0] <= 0.0 <= limits[1]
    verdict = UNDECIDED if either_way or not abs(gain) > MARGIN else HOLDS if (gain > 0) == (paper > 0) else FAILS
    between = f" ({signed(limits[0])} to {signed(limits[1])})" if limits is not None else ""
    return Statement(text, source, verdict, f"{signed(gain)} points{between}, {len(gains)} pairs")


def _minority(runs: Measured) -> list[float]:
    return [fmean(gains) for gains in zip(*(runs.iosm(factor, "minority") for factor in runs.explicit), strict=True)]


def _ratio(runs: Measured, factors: tuple[str, ...]) -> float:
    """The MMD of the factors by the standard model's; NaN where the standard model leans on none of them."""
    return fmean(runs.mmd(factors)) / fmean(runs.standard_mmd(factors)) if factors else float("nan")


def _rank(runs: Measured, factor: str) -> float:
    mmds = {name: fmean(runs.mmd([name])) for name in FACTORS}
    return 1.0 + sum(mmd < mmds[factor] for mmd in mmds.values())
