"""Runs an example with every combination of a grid of its options, each as a run of its own in one group.

    python -m trackbridge_examples.sweep bias --grid method=stdm,gdro p=0.5,0.9 seed=1,2,3 --jobs 2
    python -m trackbridge_examples.sweep madgrad --grid optimizer=adam,madgrad lr=1e-3,1e-2 seed=1,2 -- --smoke
    python -m trackbridge_examples.sweep bias --grid explicit=texture,distractor seed=$(seq -s, 1 20) --engine ray

The names of a grid are options of the example; what follows -- goes to every run.  A sweep that was stopped or killed,
or of which runs failed, is taken up again by the same command: it reads back which runs finished, and does the others.
The exit code is 0 where all runs have finished, 1 where some have not, 2 where options are refused, 130 for Ctrl-C.
"""

import argparse
import sys
from collections.abc import Sequence

from trackbridge import TrackBridgeError
from trackbridge_examples.sweep.conduct import Plan, conduct, make_console
from trackbridge_examples.sweep.examples import EXAMPLES, check
from trackbridge_examples.sweep.grid import make_tasks, parse_grid
from trackbridge_examples.sweep.options import add_engine_options
from trackbridge_examples.sweep.results import summaries, summary_table


def main(argv: Sequence[str] | None = None) -> None:
    """Runs what is missing of a sweep, then ends the process with the exit code of its description, except where that is 0."""
    words = list(sys.argv[1:] if argv is None else argv)
    at = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(
        prog="python -m trackbridge_examples.sweep",
        usage="%(prog)s EXAMPLE --grid NAME=VALUE,VALUE ... [options] [-- options of every run]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("example", choices=EXAMPLES)
    parser.add_argument("--grid", nargs="+", required=True, metavar="NAME=VALUE,VALUE", help="options of the example and their values")
    parser.add_argument("--group", help="of the runs (sweep-EXAMPLE)")
    parser.add_argument("--metrics", nargs="+", default=["test/accuracy"], metavar="KEY", help="of the summary table (test/accuracy)")
    add_engine_options(parser)
    args = parser.parse_args(words[:at])
    console = make_console()
    plan = Plan(args.group or f"sweep-{args.example}", args.engine, args.jobs, args.source)
    try:
        tasks = make_tasks(args.example, parse_grid(args.grid), words[at + 1 :])
        check(tasks)
    except ValueError as error:
        parser.error(str(error))
    try:
        complete = conduct(tasks, plan, console)
        console.print(summary_table(summaries(tasks, plan.source, plan.group), args.metrics))
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        sys.exit("--engine ray needs Ray: pip install 'trackbridge[ray]'")
    except TrackBridgeError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        console.print("stopped; the same command goes on")
        sys.exit(130)
    if not complete:
        sys.exit(1)
