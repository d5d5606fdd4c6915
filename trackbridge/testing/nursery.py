"""``python -m trackbridge.testing.nursery [--once]``: starts many processes that need the same client.

It reads requests from standard input, a line of JSON each (:class:`Request`), forks a child for each, which runs ``main(arguments)`` of the module
named, and answers with a line, the child's exit code (negative: the signal). A client's imports may take seconds, and the conformance suite starts
dozens of processes that do little else. With ``--once`` what the first child had to import, with the variables that it set before, is imported
here, so that those that come find it done; nothing else of a client is used here.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path

import msgspec


class Request(msgspec.Struct):
    """One child.

    Args:
        module: its ``main(arguments)`` is the child's program.
        variables: added to its environment.
        log: the file that its output goes to.
    """

    module: str
    arguments: list[str]
    variables: dict[str, str]
    log: str


def main(arguments: list[str]) -> None:
    requests, answers = os.dup(0), os.dup(1)
    os.dup2(2, 1)  # what an import prints is no answer
    learned = Path(tempfile.mkdtemp(prefix="nursery-"), "learned.json") if "--once" in arguments else None
    with os.fdopen(requests, "rb", buffering=0) as lines:
        while line := lines.readline():
            request = msgspec.json.decode(line, type=Request)
            child = os.fork()
            if not child:
                os.close(answers)
                _redirect(request.log)
                return _work(request, learned)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            os.write(answers, f"{code}\n".encode())
            if learned and learned.exists():
                _import(learned)
                learned = None
                assert threading.active_count() == 1, (
                    f"the import of the client starts threads, which a fork loses: {threading.enumerate()}"
                )


def _work(request: Request, learned: Path | None) -> None:
    os.environ.update(request.variables)
    code = importlib.import_module(request.module).main(request.arguments)
    if learned:
        modules = [name for name in sys.modules if not name.startswith("trackbridge")]  # ours are quick, and some look at their variables
        part = learned.with_suffix(".part")
        part.write_text(json.dumps({"modules": modules, "variables": dict(os.environ)}), "utf-8")
        part.rename(learned)
    sys.exit(code)


def _import(learned: Path) -> None:
    """Import what a child had to import, in its order, and forget the variables that it set: some are its own alone."""
    found, before = json.loads(learned.read_text("utf-8")), dict(os.environ)
    shutil.rmtree(learned.parent)
    os.environ.update(found["variables"])
    for module in found["modules"]:
        if module not in sys.modules:
            with contextlib.suppress(Exception):  # one that another module makes
                importlib.import_module(module)
    os.environ.clear()
    os.environ.update(before)


def _redirect(log: str) -> None:
    """No standard input; both outputs to `log`."""
    taken, given = os.open(os.devnull, os.O_RDONLY), os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    os.dup2(taken, 0)
    os.dup2(given, 1)
    os.dup2(given, 2)
    os.close(taken)
    os.close(given)


if __name__ == "__main__":
    main(sys.argv[1:])
