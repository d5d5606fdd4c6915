"""What grows with the number of runs and of processes, as constants: bytes and files of a run, seconds to list and to read it, and what a training
process and a forwarder ask of a file system. ``docs/scale.md`` works out from them what many runs and many machines cost.

Runs have the shape of a training: calls of 20 values. Sizes are of the journal alone, which every target shares. System calls are those that
Linux counts for a process (``syscr``, ``syscw`` of /proc/PID/io): each is at most one request to a file system that keeps nothing in memory.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.statistics import interval

SHOWS_NOT = (
    "a network file system (what is counted are requests, not what one takes there); forwarders of other backends than JSON lines, which "
    "need the memory of their tracker's client besides (benchmarks/results); media and artifacts, which are stored once by their content"
)
KEYS, CALLS, RUNS = 20, 1000, 200
SECONDS, PACE = 20, 10

LOG = """
import sys, trackbridge
calls, keys, runs, folder = *map(int, sys.argv[1:4]), sys.argv[4]
for _ in range(runs):
    trackbridge.init("scale", dir=folder, backend="none")
    for step in range(calls):
        trackbridge.log({f"train/metric_{key:02d}": (step + key) / 7 for key in range(keys)}, step=step)
    trackbridge.finish()
"""
LIST = """
import sys, time, trackbridge
begin = time.perf_counter()
found = sum(1 for run in trackbridge.runs("journal:" + sys.argv[1]))
print(time.perf_counter() - begin)
assert found == int(sys.argv[2]), found
"""
READ = """
import sys, time
from pathlib import Path
from trackbridge.journal.reader import JournalReader
begin = time.perf_counter()
values = sum(len(getattr(record.event, "values", ())) for run in Path(sys.argv[1]).iterdir() for record in JournalReader(run))
print((time.perf_counter() - begin) / values)
"""
LIVE = """
import json, os, sys, time
from pathlib import Path
import trackbridge
from trackbridge.testing.drive import descendants

def asked(pid):
    counts = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return [int(counts["syscr"]), int(counts["syscw"]), (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")]

seconds, pace, folder = float(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
run = trackbridge.init("scale", dir=folder + "/journals", backend="jsonl:" + folder + "/out")
while any(report.state != "healthy" for report in run.status().values()):
    trackbridge.log({f"train/metric_{key:02d}": key / 7 for key in range(20)})
    time.sleep(0.1)
(forwarder,) = descendants(os.getpid())
found = {}
for name, calls in (("idle", 0), ("busy", int(seconds * pace))):
    time.sleep(3)  # until the forwarder looks as rarely as it does while nothing comes
    before, begin = [asked(pid) for pid in (os.getpid(), forwarder)], time.perf_counter()
    for number in range(calls):
        trackbridge.log({f"train/metric_{key:02d}": (number + key) / 7 for key in range(20)})
        time.sleep(max(0.0, begin + (number + 1) / pace - time.perf_counter()))
    time.sleep(max(0.0, begin + seconds - time.perf_counter()))
    after, took = [asked(pid) for pid in (os.getpid(), forwarder)], time.perf_counter() - begin
    for who, one, other in zip(("training", "forwarder"), before, after):
        found[name + " " + who] = [(right - left) / took for left, right in zip(one, other)]
peak = Path(f"/proc/{forwarder}/status").read_text().split("VmHWM:")[1].split()[0]
print(json.dumps(found | {"mib": int(peak) / 1024}))
trackbridge.finish()
"""


def run(options: Namespace) -> Iterator[dict[str, object]]:
    repeats = options.repeats or 7
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        yield from _sizes(folder)
        for calls in (0, CALLS):
            _fresh(LOG, calls, KEYS, RUNS, folder / f"of-{calls}")
        empty = [float(_fresh(LIST, folder / "of-0", RUNS)) / RUNS * 1e3 for _ in range(repeats)]
        full = [float(_fresh(LIST, folder / f"of-{CALLS}", RUNS)) / RUNS * 1e3 for _ in range(repeats)]
        yield _row("to list a run without a call, ms", empty)
        each = [(more - less) / (KEYS * CALLS) * 1e6 for more, less in zip(full, empty, strict=True)]
        yield _row("to list a run, for each million values in it, ms more", each)
        yield _row("to read back, a million values, s", [float(_fresh(READ, folder / f"of-{CALLS}")) * 1e6 for _ in range(repeats)])
    live = [_live() for _ in range(min(repeats, 3))]
    for name in ("idle", "busy"):
        told = "without a call" if name == "idle" else f"at {PACE} calls a second"
        for who in ("training", "forwarder"):
            title = "the training process" if who == "training" else "a forwarder"
            for index, what in enumerate(("reads a second", "writes a second", "cores")):
                yield _row(f"{title} {told}: {what}", [one[f"{name} {who}"][index] for one in live])
    yield _row("a forwarder to JSON lines: peak memory, MiB", [one["mib"] for one in live])


def _sizes(folder: Path) -> Iterator[dict[str, object]]:
    """Of a run without a call, and of each call."""
    shapes = {"none": (0, KEYS), "narrow": (CALLS, 1), "wide": (CALLS, KEYS)}
    bytes_of = {}
    for name, (calls, keys) in shapes.items():
        _fresh(LOG, calls, keys, 1, folder / name)
        found = list((folder / name).rglob("*"))
        bytes_of[name] = sum(path.stat().st_size for path in found if path.is_file())
        if name == "none":
            yield _row("of a run without a call: bytes", [bytes_of[name]])
            yield _row("of a run: files and folders", [len(found)])
        shutil.rmtree(folder / name)
    narrow, wide = ((bytes_of[name] - bytes_of["none"]) / CALLS for name in ("narrow", "wide"))
    yield _row("of a call with one value: bytes", [narrow])
    yield _row("of each further value of a call: bytes", [(wide - narrow) / (KEYS - 1)])


def _fresh(program: str, *arguments: object) -> str:
    variables = os.environ | {"TRACKBRIDGE_BACKEND": "", "TRACKBRIDGE_SYNC": ""}
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=variables).stdout


def _live() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, Any] = json.loads(_fresh(LIVE, SECONDS, PACE, folder).splitlines()[0])
        return found


def _row(what: str, samples: list[float]) -> dict[str, object]:
    low, high = interval(samples)
    digits = {"median": median(samples), "low": low, "high": high}
    rounded = {name: float(f"{value:.3g}") for name, value in digits.items()}
    return {"what": what, **rounded, "n": len(samples), "samples": [float(f"{value:.4g}") for value in samples]}
