"""The examples that can be swept, and how each of them reads its command line."""

import argparse
import contextlib
import io
from collections.abc import Callable, Iterable, Sequence

from trackbridge_examples.bias import options as bias
from trackbridge_examples.efficientnet import options as efficientnet
from trackbridge_examples.madgrad import options as madgrad
from trackbridge_examples.sweep.grid import Task

EXAMPLES: dict[str, Callable[[Sequence[str]], argparse.Namespace]] = {
    "bias": lambda argv: bias.parse(argv, None),
    "efficientnet": lambda argv: efficientnet.parse(argv, None),
    "madgrad": lambda argv: madgrad.parse(argv, None),
}
ELSEWHERE = ("study", "table", "contact_sheet")  # options with which an example does something else than train once


def check(tasks: Iterable[Task]) -> None:
    """Lets every task's example read its options, before anything runs.

    Raises:
        ValueError: some options are refused; the message has every reason once, and the first task that it concerns.
    """
    reasons: dict[str, Task] = {}
    for task in tasks:
        reason = refusal(task)
        if reason:
            reasons.setdefault(reason, task)
    if reasons:
        raise ValueError("\n".join(f"{task.example} {task}: {reason}" for reason, task in reasons.items()))


def refusal(task: Task) -> str:
    """Why the example would not train once with the task's options; the empty string where it would."""
    complaints = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaints), contextlib.redirect_stdout(complaints):
            args = EXAMPLES[task.example](task.options)
    except SystemExit:
        last = (complaints.getvalue().strip().splitlines() or ["its options ask for something else than a run"])[-1]
        return last.rpartition(": error: ")[2]
    if isinstance(vars(args).get("method"), list) and len(args.method) != 1:
        return "a task is one run, so give its methods one by one: method=stdm,gdro"
    other = [name for name in ELSEWHERE if vars(args).get(name)]
    return f"--{other[0].replace('_', '-')} does not train one model, so it cannot be swept" if other else ""
