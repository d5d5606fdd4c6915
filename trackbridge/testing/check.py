"""``python -m trackbridge.testing.check NAME [TARGET]``: run the conformance suite on one adapter, and print what is wrong.

NAME is a backend, or ``module:attribute``. TARGET is its location, with ``{}`` for a fresh folder (``{}/target``), and its options:
``sqlite:///{}/mlflow.db``, ``{}/target?client=neptune``.
``--only NAME,...`` runs some checks, ``--keep`` leaves the folder, ``--limit N`` shows N problems of each. Exit code 1: a check failed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import parse_qsl

from trackbridge.testing.checks import CHECKS, KILL_CHECKS
from trackbridge.testing.lab import KILLS, Lab
from trackbridge.testing.subject import Subject


def selected(only: set[str]) -> Iterator[tuple[str, Callable[[Lab], list[str]]]]:
    for name, check in CHECKS.items():
        if not only or name in only:
            yield name, check
    for name, kill_check in KILL_CHECKS.items():
        if not only or name in only:
            for point in KILLS:
                yield f"{name} {point}", _at(kill_check, point)


def _at(check: Callable[[Lab, str], list[str]], point: str) -> Callable[[Lab], list[str]]:
    return lambda lab: check(lab, point)


def _judged(lab: Lab, only: set[str], limit: int) -> int:
    """Say how each check went; how many failed."""
    print(f"{lab.target}: flavour {lab.capabilities.flavour}, recovery {lab.capabilities.recovery}, in {lab.root}")
    failed = 0
    for name, check in selected(only):
        begin = time.perf_counter()
        try:
            problems = check(lab)
        except AssertionError as error:
            problems = [str(error)]
        print(f"{'FAIL' if problems else 'ok  '} {name} ({time.perf_counter() - begin:.1f} s)", flush=True)
        for problem in problems[:limit]:
            print(f"     {problem}")
        if len(problems) > limit:
            print(f"     and {len(problems) - limit} more")
        failed += bool(problems)
    return failed


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m trackbridge.testing.check", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("name")
    parser.add_argument("target", nargs="?", default=Subject.location)
    parser.add_argument("--only", default="", help=", ".join([*CHECKS, *KILL_CHECKS]))
    parser.add_argument("--limit", type=int, default=20)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args(arguments)
    only = set(filter(None, options.only.split(",")))
    folder = Path(tempfile.mkdtemp(prefix="trackbridge-check-"))
    location, _, query = options.target.partition("?")
    with Lab(Subject(options.name, location, tuple(parse_qsl(query))), folder) as lab:
        failed = _judged(lab, only, options.limit)
    if not options.keep:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
