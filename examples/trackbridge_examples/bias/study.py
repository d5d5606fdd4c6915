"""The study of the bias experiments: a search for each method, then its best settings with every seed and fold.

    python -m trackbridge_examples.bias.study --quick            # three methods, one condition: less than half an hour
    python -m trackbridge_examples.bias.study --full             # everything that protocol.py says: hours
    python -m trackbridge_examples.bias.study --full --dry-run   # how many runs are missing, and what they cost
    python -m trackbridge_examples.report                        # what came out

It may be stopped and started again: runs that finished, which it finds by reading them back, are not repeated.
"""

import argparse
import shlex
from collections.abc import Iterable, Iterator, Sequence

from joblib import Parallel, delayed

from trackbridge_examples.bias import options, train
from trackbridge_examples.bias.methods import METHODS
from trackbridge_examples.bias.options import CONDITIONS
from trackbridge_examples.bias.protocol import LONGER, LONGER_METHODS, PAIRS, SEARCH_SEED, SEEDS, SELECTED_BY
from trackbridge_examples.bias.results import Place, Results
from trackbridge_examples.bias.spaces import TRIALS
from trackbridge_examples.data import FOLDS
from trackbridge_examples.readback import read_back
from trackbridge_examples.training import LOG_LEVELS, parse_with_presets, positive

PRESETS: dict[str, dict[str, object]] = {
    "full": {},
    "quick": {"project": "bias-study-quick", "method": ["stdm", "stdm-balanced", "gdro"], "condition": ["one"], "trials": 2, "folds": 1},
    "smoke": {"project": "bias-study-smoke", "method": ["stdm", "gdro"], "condition": ["one"], "trials": 2, "seeds": 1, "folds": 1},
}
CORES = 2


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Which part of the study is run."""
    parser = argparse.ArgumentParser(
        prog="python -m trackbridge_examples.bias.study", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--method", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD", help="(all)")
    parser.add_argument("--condition", nargs="+", choices=CONDITIONS, default=list(CONDITIONS), help="(both)")
    parser.add_argument("--trials", type=int, choices=range(1, TRIALS + 1), default=TRIALS, help="of each method (%(default)s)")
    parser.add_argument("--seeds", type=int, choices=range(1, len(SEEDS) + 1), default=len(SEEDS), help="(%(default)s)")
    parser.add_argument("--folds", type=int, choices=range(1, FOLDS + 1), default=FOLDS, help="of the first seed (%(default)s)")
    parser.add_argument("--jobs", type=positive, default=CORES, help="runs at the same time, one thread each (%(default)s)")
    parser.add_argument("--log-level", choices=LOG_LEVELS, default="light", help="how much each run logs (%(default)s)")
    parser.add_argument("--project", default="bias-study", help="(%(default)s)")
    parser.add_argument("--source", help="where finished runs are read back from (the journals)")
    parser.add_argument("--dry-run", action="store_true", help="say what is missing and what it would cost")
    return parse_with_presets(parser, PRESETS, argv)


def command_line(args: argparse.Namespace, condition: str, method: str, seed: int, fold: int, trial: int, times: int = 1) -> list[str]:
    """The options of one run."""
    preset = [] if args.preset == "full" else [f"--{args.preset}"]
    argv = [*preset, "--condition", condition, "--method", method]
    for name, value in (("seed", seed), ("fold", fold), ("trial", trial), ("log-level", args.log_level), ("project", args.project)):
        argv += [f"--{name}", str(value)]
    return [*argv, "--epochs", str(times * options.parse(argv, None).epochs)]


def search(args: argparse.Namespace) -> Iterator[list[str]]:
    """Every trial of every method, once."""
    for condition in args.condition:
        for trial in range(args.trials):
            for method in args.method:
                yield command_line(args, condition, method, SEARCH_SEED, 0, trial)


def finals(args: argparse.Namespace, results: Results) -> Iterator[list[str]]:
    """What was selected with every seed, and every fold of the first; some methods also trained longer."""
    pairs = [(seed, fold) for seed, fold in PAIRS if seed in SEEDS[: args.seeds] and fold < args.folds]
    for condition in args.condition:
        trials = {method: sorted({results.selected(condition, method, rule) for rule in SELECTED_BY}) for method in args.method}
        for times, methods, folds in ((1, args.method, FOLDS), (LONGER, LONGER_METHODS, 1)):
            for seed, fold in pairs:
                for method in methods:
                    for trial in trials.get(method, ()) if fold < folds else ():
                        yield command_line(args, condition, method, seed, fold, trial, times)


def missing(tasks: Iterable[list[str]], results: Results) -> list[list[str]]:
    """The command lines whose runs are not there."""
    left = []
    for argv in tasks:
        args = options.parse(argv, None)
        settings = train.run_settings(args, args.method[0])
        results.agree(settings)
        if Place.of(settings) not in results.runs:
            left.append(argv)
    return left


def cost(tasks: Iterable[list[str]], results: Results) -> tuple[float, list[str]]:
    """CPU seconds of the tasks, by those of finished runs of the method per epoch; and the methods of which none has finished."""
    seconds, unknown = 0.0, set()
    for argv in tasks:
        args = options.parse(argv, None)
        measured = [run.number("time/cpu_s") / place.epochs for place, run in results.runs.items() if place.method == args.method[0]]
        if measured:
            seconds += args.epochs * sum(measured) / len(measured)
        else:
            unknown.add(args.method[0])
    return seconds, sorted(unknown)


def tell(stage: str, tasks: list[list[str]], results: Results, jobs: int) -> None:
    """Prints how many runs are missing, and what they cost where finished runs tell."""
    seconds, unknown = cost(tasks, results)
    print(f"{stage}: {len(tasks)} runs are missing")
    if seconds:
        print(f"  {seconds / jobs / 3600:.2f} h on {jobs} cores, if each takes as long as those that finished")
    if unknown:
        print(f"  not available for {', '.join(unknown)}, of which none has finished")


def make(tasks: list[list[str]], jobs: int) -> None:
    """Makes these runs; one that fails does not keep the others from being made.

    Raises:
        SystemExit: some failed; what follows would be selected from the others alone.
    """
    complaints = [complaint for complaint in Parallel(n_jobs=jobs)(delayed(attempt)(task) for task in tasks) if complaint]
    if complaints:
        raise SystemExit("\n".join([f"{len(complaints)} of {len(tasks)} runs failed; the same command tries them again:", *complaints]))


def attempt(task: list[str]) -> str:
    """Makes a run; why it failed, and the command that repeats it, or nothing."""
    try:
        train.main(task)
    except (Exception, SystemExit) as error:
        return f"  {type(error).__name__}: {error}\n    python -m trackbridge_examples.bias {shlex.join(task)}"
    return ""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs what is missing of the study."""
    args = parse(argv)
    try:
        for stage, tasks_of in (("search", lambda results: search(args)), ("selected so far", lambda results: finals(args, results))):
            results = Results(read_back(args.source, args.project))
            tasks = missing(tasks_of(results), results)
            tell(stage, tasks, results, args.jobs)
            if not args.dry_run:
                make(tasks, args.jobs)
    except ValueError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
