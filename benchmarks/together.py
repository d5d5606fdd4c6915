"""All fifteen backends at once on one training run: what it costs until all are healthy, and what it costs after that.

A training process of one thread computes, and logs 20 values a step; the other cores are spare. It runs with no backend and with all, in turns,
each time for so long: the start with all backends lasts until each forwarder says `healthy`, and the steady part is measured after it. Backends
of the cloud are offline; SageMaker is moto on loopback.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.delivery import BACKENDS, OFFLINE, server
from benchmarks.statistics import interval, ratio

SHOWS_NOT = "machines without a spare core; training on a GPU; vendors' clouds (offline, SageMaker is moto on loopback, whose server takes a part of the spare core)"
SECONDS = 120
LIMIT = 1.02

PROGRAM = r"""
import json, os, sys, time
os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
import numpy as np
import trackbridge
from trackbridge.testing.drive import descendants

steady, folder = float(sys.argv[1]), sys.argv[2]
os.chdir(folder)
run = trackbridge.init("together", config={"lr": 0.1}, dir=folder + "/journals")
matrix = np.random.default_rng(0).standard_normal((300, 300))
waiting = [part for part in os.environ.get("TRACKBRIDGE_BACKEND", "").split(",") if part]
step, at_start, after, begin = 0, [], [], time.perf_counter()


def train(times):
    global matrix, step
    before = time.perf_counter()
    for _ in range(80):
        matrix = np.tanh(matrix @ matrix / 300)
    trackbridge.log({f"train/metric_{number:02d}": float(matrix[number, number]) for number in range(20)}, step=step)
    step += 1
    times.append(time.perf_counter() - before)


def ticks(pid):
    try:
        fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(map(int, fields[11:15]))


looked = 0.0
while waiting and time.perf_counter() - begin < 400:
    train(at_start)
    if time.perf_counter() - looked > 1:
        looked = time.perf_counter()
        if all(report.state == "healthy" for report in run.status().values()):
            break
healthy = time.perf_counter() - begin
states = {name: report.state for name, report in run.status().items()}
assert all(state == "healthy" for state in states.values()), {name: report for name, report in run.status().items() if report.state != "healthy"}
cpu, begin = sum(map(ticks, descendants(os.getpid()))), time.perf_counter()
while time.perf_counter() - begin < steady:
    train(after)
seconds = time.perf_counter() - begin
cpu = (sum(map(ticks, descendants(os.getpid()))) - cpu) / os.sysconf("SC_CLK_TCK") / seconds
print(json.dumps({"healthy": healthy, "start_steps": at_start, "steps": len(after), "seconds": seconds, "step": sorted(after)[len(after) // 2],
                  "cores": cpu, "states": states}), flush=True)
report = trackbridge.finish()
print(json.dumps({"delivered": report.delivered, "message": str(report)}))
"""


def run(options: Namespace) -> list[dict[str, object]]:
    repeats = options.repeats or 3
    with server("sagemaker") as variables:
        targets = [_target(backend, variables) for backend in (options.backends.split(",") if options.backends else BACKENDS)]
        nothing, everything = [_sample([], variables)], []
        for _ in range(repeats):
            everything.append(_sample(targets, variables))
            nothing.append(_sample([], variables))
    pace = [one["seconds"] / one["steps"] for one in nothing]
    before, after = pace[:-1], pace[1:]
    around = [(left + right) / 2 for left, right in zip(before, after, strict=True)]
    steady = ratio(
        f"steady: a step with {len(targets)} backends / with none",
        [one["seconds"] / one["steps"] for one in everything], around, LIMIT, [left / right for left, right in zip(before, after, strict=True)],
    )  # fmt: skip
    steady["cores_of_forwarders"] = round(median(one["cores"] for one in everything), 3)
    control = ratio("A/A control: a step with none / with none later", before, after, None)
    start = ratio(
        "start: a step until all are healthy / with none",
        [sum(one["start_steps"]) / len(one["start_steps"]) for one in everything], around, None,
    )  # fmt: skip
    healthy = [one["healthy"] for one in everything]
    low, high = interval(healthy)
    seconds = {
        "what": "start: seconds until all are healthy",
        "median": round(median(healthy), 1),
        "low": round(low, 1),
        "high": round(high, 1),
    }
    return [seconds | {"n": repeats, "samples": [round(one, 1) for one in healthy]}, start, steady, control]


def _target(backend: str, variables: dict[str, str]) -> str:
    query = "&".join(f"{name}={value}" for name, value in OFFLINE.get(backend, {}).items())
    return f"{backend}:{variables['AWS_ENDPOINT_URL']}" if backend == "sagemaker" else f"{backend}?{query}" if query else backend


def _sample(targets: list[str], variables: dict[str, str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        environment = os.environ | variables | {"TRACKBRIDGE_BACKEND": ",".join(targets), "WANDB_MODE": "offline", "HOME": folder}
        environment |= {"XDG_CACHE_HOME": str(Path.home() / ".cache"), "TRACKBRIDGE_FINISH_TIMEOUT": "300"}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(SECONDS), folder], capture_output=True, text=True, check=False, env=environment
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode or len(lines) < 2 or not json.loads(lines[1])["delivered"]:
            raise RuntimeError(f"{targets}:\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}")
        found: dict[str, Any] = json.loads(lines[0])
        print(
            f"  {len(targets)} backends: {found['steps']} steps in {found['seconds']:.0f} s, healthy after {found['healthy']:.1f} s, forwarders take {found['cores']:.2f} cores",
            flush=True,
        )
        return found
