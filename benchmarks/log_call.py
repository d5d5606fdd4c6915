"""One call of ``trackbridge.log`` with three floats, against "msgspec-encode, then write(2)" in the same process.

The reference is the least that survives the death of a process: it has no lock, no check of types, no frame, no checksum, no sequence, no bound.
"""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import Namespace
from statistics import median

from benchmarks.statistics import ratio

SHOWS_NOT = "absolute times of another machine; online modes (log() never reaches a network); numpy values; other threads that log"
LIMIT = 1.75

PROGRAM = r"""
import json, os, sys, tempfile, time
from time import perf_counter_ns, time_ns
import msgspec
import trackbridge

calls, cadence = int(sys.argv[1]), float(sys.argv[2])
folder = tempfile.mkdtemp(dir=os.environ.get("TRACKBRIDGE_BENCH_DIR"))
trackbridge.init("benchmark", dir=folder, backend="none")


class Reference:
    def __init__(self, path):
        self.fd = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        self.encode = msgspec.msgpack.Encoder().encode

    def log(self, values, step):
        os.write(self.fd, self.encode((1, step, time_ns(), values)))


def measure(log):
    rows = [{"loss": 1 / (i + 1), "acc": 1 - 1 / (i + 1), "lr": 0.001} for i in range(calls)]
    if not cadence:
        begin = perf_counter_ns()
        for step, row in enumerate(rows):
            log(row, step)
        return (perf_counter_ns() - begin) / calls
    spent = 0
    for step, row in enumerate(rows):
        time.sleep(cadence)
        begin = perf_counter_ns()
        log(row, step)
        spent += perf_counter_ns() - begin
    return spent / calls


reference = Reference(os.path.join(folder, "reference")).log
for log in (reference, trackbridge.log):
    log({"loss": 1.0, "acc": 0.5, "lr": 0.001}, 0)
order = {"before": reference, "ours": trackbridge.log, "after": reference}
print(json.dumps({name: measure(log) for name, log in order.items()}))
os._exit(0)
"""


def run(options: Namespace) -> list[dict[str, object]]:
    """Burst, which is gated, and 2 ms between calls, which is printed with its control: differences below 2 x are noise there."""
    rows = []
    for name, calls, cadence, repeats, limit in (("burst", 20_000, 0.0, 31, LIMIT), ("2 ms between calls", 300, 0.002, 15, None)):
        samples = [_sample(calls, cadence) for _ in range(options.repeats or repeats)]
        reference = [(one["before"] * one["after"]) ** 0.5 for one in samples]
        control = [one["before"] / one["after"] for one in samples]
        rows.append(ratio(f"log() / reference, {name}", [one["ours"] for one in samples], reference, limit, control))
        rows[-1]["ours_ns"] = round(median(one["ours"] for one in samples))
        rows[-1]["reference_ns"] = round(median(reference))
        rows.append(ratio(f"A/A control, {name}", [one["before"] for one in samples], [one["after"] for one in samples], None))
    return rows


def _sample(calls: int, cadence: float) -> dict[str, float]:
    """One fresh process."""
    result = subprocess.run([sys.executable, "-c", PROGRAM, str(calls), str(cadence)], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(result.stdout)
    return found
