"""``python -m trackbridge_comparison.power``: can noise pass for a change, and is a change found? Answered by measuring the same thing again and again.

The overhead of three light backends is measured in sessions, one after the other, as a comparison does it: repeats in fresh processes, in random
order, with controls. Two sessions in a row are a report, and two reports in a row a pair of the same thing: what :mod:`changes` calls changed in it
is false. Then a change is planted in the later report of each pair: its measured times of one backend, or of one of its cells, are multiplied.
Pairs overlap, so that what happens in one session is seen in several. Writes ``power.json``, with all samples.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import tempfile
import time
from collections.abc import Collection, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from trackbridge import environments
from trackbridge_comparison import changes, children, natives, schema
from trackbridge_comparison.schema import Cell, Data, Spec, Status, Way
from trackbridge_comparison.statistics import quantile

BACKENDS = ("jsonl", "tensorboard", "trackio")
CONTROLS = ("control-a", "control-b")
CALLS, PAUSE, BURST, KEYS = 50, 0.002, 200, 3
FACTOR = 1.5
SESSIONS = 3
"""More than pairs: a pair takes four, and the next begins one later."""

AXIS = "overhead"
ALONE = "log_p50_burst"
"""The cell of a backend in which a change is planted alone."""


def session(repeats: int, order: random.Random, work: Path) -> Data:
    """One report of the overhead of all :data:`BACKENDS`, as far as :mod:`changes` reads it."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in (*BACKENDS, *CONTROLS)}
    for _ in range(repeats):
        turn = list(runs)
        order.shuffle(turn)
        for name in turn:
            runs[name].append(_one("jsonl" if name in CONTROLS else name, work))
    first, second = ([median(run["burst"]) for run in runs[name]] for name in CONTROLS)
    control = [a / b for a, b in zip(first, second, strict=True)]
    cells = [_cell(f"{backend}/{AXIS}/{name}", samples) for backend in BACKENDS for name, samples in _figures(runs[backend]).items()]
    return Data(cells=[*cells, _cell(f"{BACKENDS[0]}/{AXIS}/control_aa", control, Way.CONTROL)])


def _one(backend: str, work: Path) -> dict[str, Any]:
    """The calls' times of one fresh process, in nanoseconds."""
    pinned = environments.requirements(backend)
    interpreter = sys.executable if pinned is None else str(environments.create(backend).interpreter)
    with tempfile.TemporaryDirectory(dir=work) as folder:
        rest = [str(value) for value in (CALLS, PAUSE, BURST, KEYS)]
        printed = children.run([interpreter, "-I", str(natives.DRIVER), backend, "time", folder, "timed", *rest], Path(folder), 60.0)
    found: dict[str, Any] = json.loads(
        next(line for line in printed.splitlines() if line.startswith("{"))
    )  # clients print before and after it
    return found


def _figures(runs: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    """Quantity -> a sample for each process, in microseconds."""
    times = {
        f"log_{name}_{cadence}": [quantile(run[phase], share) / 1000 for run in runs]
        for cadence, phase in (("burst", "burst"), ("2ms", "paced"))
        for name, share in (("p50", 0.5), ("p99", 0.99))
    }
    calls = len(runs[0]["paced"]) + len(runs[0]["burst"])
    return {**times, "finish": [run["finish"] / 1000 for run in runs], "cpu_per_call": [1e6 * run["cpu"] / calls for run in runs]}


def _cell(id: str, samples: list[float], way: Way = Way.NATIVE) -> Cell:
    unit = "ratio" if way is Way.CONTROL else "us"
    return Cell(spec=Spec(id, id, unit, way), status=Status.MEASURED, value=median(samples), samples=samples)


def judge(sessions: Sequence[Data], factor: float = FACTOR) -> dict[str, Any]:
    """What is called changed in each pair of reports, of the same thing and with a change planted.

    Returns:
        ``pairs``; ``false``: pairs with anything called changed; ``found``: share of the changes of a whole backend of which any cell is called
        changed, ``found_by_quantity`` in each of its cells, ``found_alone`` where a single cell changed.
    """
    reports = [_joined(*two) for two in pairwise(sessions)]
    pairs = list(zip(reports[2:], reports, strict=False))
    planted = [
        (backend, _called(_slower(new, [id for id in _ids(new) if id.startswith(f"{backend}/")], factor), old))
        for new, old in pairs
        for backend in _backends(new)
    ]
    alone = [
        (id in _called(_slower(new, [id], factor), old))
        for new, old in pairs
        for id in (f"{backend}/{AXIS}/{ALONE}" for backend in _backends(new))
    ]
    quantities = list(dict.fromkeys(id.split("/")[2] for id in _ids(sessions[0])))
    return {
        "pairs": len(pairs),
        "false": sum(bool(_called(new, old)) for new, old in pairs),
        "found": _share([any(id.startswith(f"{backend}/") for id in called) for backend, called in planted]),
        "found_by_quantity": {
            quantity: _share([f"{backend}/{AXIS}/{quantity}" in called for backend, called in planted]) for quantity in quantities
        },
        "found_alone": _share(alone),
        "controls": [round(changes.spread(new, old) or 0.0, 3) for new, old in pairs],
    }


def _joined(first: Data, second: Data) -> Data:
    """One report with the repeats of both sessions."""
    return Data(
        cells=[_cell(one.spec.id, [*one.samples, *two.samples], one.spec.way) for one, two in zip(first.cells, second.cells, strict=True)]
    )


def _called(new: Data, old: Data) -> set[str]:
    return {change.id for change in changes.against(new, old) if change.verdict == "changed"}


def _slower(data: Data, ids: Collection[str], factor: float) -> Data:
    return msgspec.structs.replace(
        data,
        cells=[
            _cell(cell.spec.id, [factor * sample for sample in cell.samples], cell.spec.way) if cell.spec.id in ids else cell
            for cell in data.cells
        ],
    )


def _ids(data: Data) -> list[str]:
    return [cell.spec.id for cell in data.cells if cell.spec.way is not Way.CONTROL]


def _backends(data: Data) -> list[str]:
    return list(dict.fromkeys(id.split("/")[0] for id in _ids(data)))


def _share(found: Sequence[bool]) -> float:
    return round(sum(found) / len(found), 3)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m trackbridge_comparison.power", description=__doc__)
    parser.add_argument("--pairs", type=int, default=20, help="of reports (%(default)s)")
    parser.add_argument("--repeats", type=int, default=7, help="fresh processes for each backend in a session (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the order of the processes (%(default)s)")
    parser.add_argument("--out", type=Path, default=Path("comparison") / "results" / "power.json", help="%(default)s")
    options = parser.parse_args(arguments)
    began, load, order = time.strftime(schema.TIME, time.gmtime()), os.getloadavg()[0], random.Random(options.seed)
    sessions = []
    with tempfile.TemporaryDirectory(prefix="power-") as work:
        for number in range(options.pairs + SESSIONS):
            sessions.append(session(options.repeats, order, Path(work)))
            print(f"session {number + 1} of {options.pairs + SESSIONS}", flush=True)
    machine = {"python": platform.python_version(), "cpus": os.cpu_count(), "system": platform.system(), "load": round(load, 2)}
    setting = {"backends": BACKENDS, "repeats": options.repeats, "factor": FACTOR, "calls": CALLS, "burst": BURST, "seed": options.seed}
    result = {"began": began, "ended": time.strftime(schema.TIME, time.gmtime()), "machine": machine, **setting, **judge(sessions)}
    samples = [{cell.spec.id: [float(f"{sample:.4g}") for sample in cell.samples] for cell in one.cells} for one in sessions]
    options.out.write_text(json.dumps({**result, "samples": samples}) + "\n", "utf-8")
    print(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
