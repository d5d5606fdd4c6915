"""How each tracker's own client is used, in one short script per backend, printed in the report so that anybody can judge whether it is fair.

A script is plain documented use with default settings (offline, telemetry off) and imports nothing of TrackBridge:

    start(folder, name)          begin a run
    log(run, values, step)       one call of the client for a mapping of scalars (one per key, where it takes no mapping)
    finish(run)                  end it
    read(folder, name)           {key: [(step, value), ...]} with the tracker's own reader; where it has none, that of ``foreign/``

and what its tracker has of these:

    prepare(folder)              what exists from a user's second run on; done before clocks start
    tuned_start(folder, name), tuned_log(run, values, step)
                                 the same with the settings that TrackBridge's adapter uses, where these differ
    count_runs(folder)           how many runs the tracker's own listing finds
    filter_runs(folder, name)    how many of them its own query finds by their name
    compact(folder)              its own means to make a store smaller
    serve(folder, port)          the command of its server on loopback; ``TRACKER_ADDRESS`` leads `start` to it

``driver`` runs them. A backend without a script gets the status ``unsupported`` in the cells of its own client. ``foreign/`` holds readers of
the trackers' files that need nothing but the standard library.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from trackbridge_comparison import tools

FOLDER = Path(__file__).parent
DRIVER = FOLDER / "driver.py"
THROUGH = "through"
FOREIGN = "foreign"


def script(backend: str) -> Path | None:
    """The script of this backend's own client, if there is one."""
    path = FOLDER / f"{backend}.py"
    return path if backend in tools.entries() and path.is_file() else None


def foreign(backend: str) -> Path | None:
    """The reader of this backend's files that needs nothing but the standard library, if there is one."""
    path = FOLDER / FOREIGN / f"{backend}.py"
    return path if path.is_file() else None


@cache
def functions(backend: str) -> frozenset[str]:
    """The names of the functions in the script of this backend."""
    path = script(backend)
    body = ast.parse(path.read_text("utf-8")).body if path else []
    return frozenset(node.name for node in body if isinstance(node, ast.FunctionDef))


def offers(backend: str, function: str) -> bool:
    return function in functions(backend)


def sources() -> dict[str, str]:
    """The script of each backend, with the reader of ``foreign/`` where it has none of its own."""
    found = {}
    for backend in tools.entries():
        if (path := script(backend)) is not None:
            reader = None if offers(backend, "read") else foreign(backend)
            found[backend] = path.read_text("utf-8") + (f"\n\n# {FOREIGN}/{reader.name}\n{reader.read_text('utf-8')}" if reader else "")
    return found
