"""The part of the report that is about one study of the bias experiments."""

import re
from collections.abc import Iterator, Sequence
from statistics import fmean

from trackbridge_examples.bias.factors import FACTORS
from trackbridge_examples.bias.methods import METHODS, PAPER
from trackbridge_examples.bias.options import CONDITIONS
from trackbridge_examples.bias.protocol import (
    BELOW_STANDARD,
    LEAST_ACCURACY,
    LEAST_MMD,
    LONGER,
    LONGER_METHODS,
    PAIRS,
    PAPER_ACCURACIES,
    SEEDS,
    SELECTED_BY,
    is_speed_of_learning,
)
from trackbridge_examples.bias.results import Results
from trackbridge_examples.bias.spaces import TRIALS
from trackbridge_examples.intervals import COVERAGE
from trackbridge_examples.report.charts import iosm_chart, mmd_chart
from trackbridge_examples.report.document import Block, Heading, Stressed, Table
from trackbridge_examples.report.measured import SIDES, STANDARD, Measured, cpu_seconds, measure
from trackbridge_examples.report.statements import statements
from trackbridge_examples.report.statistics import LEAST_PAIRS, MARGIN, against
from trackbridge_examples.report.words import NOT_RUN, mean, shown, signed, spread

LABELS = {
    "one": "One biased factor at p = 0.9: this project's own condition, not one of the paper",
    "seven": "Seven biased factors at p = 0.7: the paper's condition",
}
RULES = {
    "validation/accuracy": "Selected on validation images that are biased like the training set",
    "oracle/accuracy": "Selected on unbiased validation images (oracle)",
}
READING = (
    f"Accuracies are percentages of unbiased test images, differences are points; a cell is the mean over seeds and folds, with the smallest "
    f"and the largest run. The standard error of an MMD is clustered by digit. A pattern is read only from a method whose unbiased accuracy is "
    f"at least {LEAST_ACCURACY:g} % and at least StdM's less {BELOW_STANDARD:g} points; another one is called collapsed. An implicit factor "
    f"counts only where StdM's own MMD exceeds {LEAST_MMD:g}. An interval covers the median of the paired difference in at least {COVERAGE:.0%} "
    f"of cases if pairs are independent; that of seven pairs goes from the smallest difference to the largest, which cover it in 98%. Two "
    f"methods are equal where it, over at least {LEAST_PAIRS} pairs, lies within {MARGIN:g} points of 0, and different where it lies outside; "
    f"else that is undecided. A pair is a seed and a fold; pairs share digits, so intervals are somewhat too narrow. The error of an "
    f"MMD is that of the test digits alone. Nothing was selected on a run's own test images; but digits of the search are tested again by other "
    f"pairs, and defaults and limits were chosen after earlier runs on the same digits. By the limit of collapse the paper's own UpWt, GDRO, RUBi "
    f"and IRMv1 would count as collapsed."
)
CITED = (
    "The paper's figures are cited from Table 1 of arXiv 2104.00170; its images, network and training are larger, so compare signs and not "
    "sizes. CelebA needs a download, and GQA-OOD is not here: both are cited, not run."
)


def bias_blocks(project: str, results: Results) -> Iterator[Block]:
    """Each condition by each rule of selection, what was expected, and the paper's table."""
    yield Heading(f"Bias: project {project}", 2)
    yield READING
    for condition in CONDITIONS:
        yield Heading(LABELS[condition], 3)
        if condition not in results.common:
            yield f"Condition {condition}: {NOT_RUN}."
            continue
        yield from _settings(results, condition)
        yield _what_was_run(results, condition)
        for rule, title in RULES.items():
            measured = [measure(results, condition, method, rule) for method in METHODS]
            yield Heading(title, 4)
            yield _results_table(measured)
            yield _mmd_table(measured)
            there = [runs for runs in measured if runs.runs]
            prefix = re.sub(r"[^a-z0-9]+", "-", f"{project} {condition} {rule.partition('/')[0]}".lower())
            if there:
                yield mmd_chart(f"{prefix}-mmd", f"MMD by factor and method, condition {condition}", there)
            if any(runs.gains for runs in there if runs.method != STANDARD):
                yield iosm_chart(f"{prefix}-iosm", f"IOSM by group and method, condition {condition}", there)
            yield from _longer(results, condition, rule)
    yield Heading("What was expected, and what came out", 3)
    for rule, title in RULES.items():
        yield f"{title}:"
        rows = [[found.text, found.source, found.verdict, found.evidence] for found in statements(results, rule)]
        yield Table(["expectation", "whose", "verdict", "evidence"], rows)
    yield Heading("Beside the paper's Table 1", 3)
    yield CITED
    yield _paper_table(results)


def _settings(results: Results, condition: str) -> Iterator[str]:
    common = results.common[condition]
    biased = ", ".join(f"{factor} {p:g}" for factor, p in common["p"].items())
    yield (
        f"p: {biased}. Explicit: {', '.join(common['explicit'])}. {common['train_size']} training, {common['val_size']} validation and "
        f"{common['test_size']} test digits, cells of {common['cell']} pixels, {results.epochs(condition)} epochs."
        + (" The training labels were shuffled: a control." if common["shuffle_labels"] else "")
    )


def _what_was_run(results: Results, condition: str) -> Table:
    """How much of the protocol there is."""
    rows = []
    for method in METHODS:
        row = [method, _part(len(results.search(condition, method)), TRIALS)]
        for times, whole in ((1, len(PAIRS)), (LONGER, len(SEEDS))):
            for rule in SELECTED_BY:
                there = len(measure(results, condition, method, rule, times).runs)
                row.append(_part(there, whole) if times == 1 or method in LONGER_METHODS else "-")
        rows.append(row)
    kinds = [f"{kind}, by {rule.partition('/')[0]}" for kind in ("seeds and folds", f"{LONGER} times as long") for rule in SELECTED_BY]
    return Table(["method", "trials of the search", *kinds], rows)


def _part(there: int, whole: int) -> str:
    return f"{there} of {whole}" if there else NOT_RUN


def _results_table(measured: Sequence[Measured]) -> Table:
    columns = ["method", "trial", "unbiased accuracy", "explicit MMD", "its error", "implicit MMD that counts"]
    columns += [f"explicit IOSM, {side}" for side in SIDES]
    columns += ["over StdM", f"{COVERAGE:.0%} interval", "equal to StdM?", "CPU s a run"]
    return Table(columns, [_results_row(runs) for runs in measured])


def _results_row(runs: Measured) -> list[str]:
    if not runs.runs:
        return [runs.method, *[NOT_RUN] * 11]
    pattern: list[str] = [Stressed("collapsed")] * 5
    if not runs.collapsed:
        implicit = spread(runs.mmd(runs.leant_on)) if runs.leant_on else "none counts" if runs.standard else "StdM not run"
        error = runs.mmd_error()
        told = "not available" if error is None else shown(error)
        pattern = [spread(runs.mmd(runs.explicit)), told, implicit, *(_iosm(runs, side) for side in SIDES)]
    comparison = ["", "", ""]
    if runs.method != STANDARD:
        comparison = list(against(runs.gains))
    return [runs.method, str(runs.trial), spread(runs.accuracies), *pattern, *comparison, shown(cpu_seconds(runs))]


def _iosm(runs: Measured, side: str) -> str:
    if runs.method == STANDARD:
        return ""
    gains = [runs.iosm(factor, side) for factor in runs.explicit]
    return signed(mean([fmean(pair) for pair in zip(*gains, strict=True)]))


def _mmd_table(measured: Sequence[Measured]) -> Table:
    """A row for each factor, a column for each method that was run."""
    there = [runs for runs in measured if runs.runs]
    rows = []
    for factor in FACTORS:
        kind = "does not count"
        if there and factor in there[0].explicit:
            kind = "explicit"
        elif there and factor in there[0].leant_on:
            kind = "counts"
        rows.append([factor, kind, *(Stressed("collapsed") if runs.collapsed else shown(mean(runs.mmd([factor]))) for runs in there)])
    return Table(["MMD by factor", "", *(runs.method for runs in there)], rows)


def _longer(results: Results, condition: str, rule: str) -> Iterator[Block]:
    """Whether what a method gains is still there when it and StdM are trained longer, over the pairs that were run both ways."""
    rows = []
    for method in LONGER_METHODS:
        usual, longer = (measure(results, condition, method, rule, times) for times in (1, LONGER))
        both = [pair for pair in usual.runs if pair in usual.standard and pair in longer.runs and pair in longer.standard]
        if not both:
            rows.append([method, shown(mean(usual.accuracies)), shown(mean(longer.accuracies)), *[""] * 2, "0", NOT_RUN])
            continue
        accuracies = [
            [fmean(runs[pair].number("test/accuracy") for pair in both) for runs in (found.runs, found.standard)]
            for found in (usual, longer)
        ]
        gains = [own - standard for own, standard in accuracies]
        reading = "" if method == STANDARD else _speed(*gains)
        cells = [f"{shown(own)} ({signed(gain)})" for (own, _), gain in zip(accuracies, gains, strict=True)]
        for found in (usual, longer):
            mmds = dict(zip(found.runs, found.mmd(found.explicit), strict=True))
            cells.append(shown(fmean(mmds[pair] for pair in both)))
        rows.append([method, *cells, str(len(both)), reading])
    yield f"Trained {LONGER} times as long, unbiased accuracy (and gain over StdM of the same length), and explicit MMD:"
    lengths = [f"{times * results.epochs(condition)} epochs" for times in (1, LONGER)]
    yield Table(["method", *lengths, *(f"explicit MMD, {length}" for length in lengths), "pairs", "reading"], rows)


def _speed(gain: float, longer: float) -> str:
    if gain <= 0:
        return "no gain"
    return "the effect is speed of learning" if is_speed_of_learning(gain, longer) else "the gain stays"


def _paper_table(results: Results) -> Table:
    ours = [(condition, rule) for condition in CONDITIONS for rule in SELECTED_BY]
    columns = ["method", *(f"paper: {name}" for name in PAPER_ACCURACIES)]
    columns += [f"here: {condition}, by {rule.partition('/')[0]}" for condition, rule in ours]
    rows = []
    for index, method in enumerate(PAPER):
        row = [method, *(shown(accuracies[index]) for accuracies in PAPER_ACCURACIES.values())]
        for condition, rule in ours:
            runs = measure(results, condition, method, rule) if condition in results.common else None
            row.append(shown(mean(runs.accuracies) if runs else None))
        rows.append(row)
    return Table(columns, rows)
