"""What the experiments promise: images painted in a second, how long ``--smoke`` takes after its imports, and a training of the bias study; in
fresh processes, on one core."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from math import inf
from statistics import median

from benchmarks.statistics import interval

SHOWS_NOT = "the time of imports (torch alone takes seconds) and of the first reading of a data set; what two trainings at a time take, as in the study"

PAINT = """
import time
import numpy as np
from trackbridge_examples.bias.factors import FACTORS
from trackbridge_examples.bias.generate import biased_mnist
from trackbridge_examples.data import digits
source = digits(0).train.take(np.arange(3500))
began = time.perf_counter()
painted = biased_mnist(source, dict.fromkeys(FACTORS, 0.7), repeats=2, cell=16, rng=np.random.default_rng(0))
print(len(painted.labels) / (time.perf_counter() - began))
"""
SMOKE = """
import time
from {module} import main
began = time.perf_counter()
main({options})
print(time.perf_counter() - began)
"""
TRAIN = """
from trackbridge_examples.bias.train import main
print(main(["--method", "{method}"])[0].cpu_seconds)
"""
CPU_SECONDS = {"stdm": 40.0, "gdro": 40.0, "lnl": 70.0, "lff": 70.0}
SMOKES = {
    "bias, StdM and GDRO": ("trackbridge_examples.bias.train", ["--method", "all", "--smoke"]),
    "efficientnet": ("trackbridge_examples.efficientnet.train", ["--smoke"]),
    "madgrad": ("trackbridge_examples.madgrad.command", ["--smoke"]),
}


def run(options: Namespace) -> Iterator[dict[str, object]]:
    yield _row("images of 48 pixels painted a second, at least", _samples(PAINT, options.repeats or 7), at_least=5000.0)
    for name, (module, arguments) in SMOKES.items():
        program = SMOKE.format(module=module, options=arguments)
        yield _row(f"--smoke of {name}, s", _samples(program, options.repeats or 7), at_most=5.0)
    for method, limit in CPU_SECONDS.items():
        program = TRAIN.format(method=method)
        yield _row(f"a training of the bias study, {method}, CPU s", _samples(program, options.repeats or 3), at_most=limit)


def _samples(program: str, repeats: int) -> list[float]:
    """The numbers in the last lines of what the program prints."""
    return [_printed(program) for _ in range(repeats)]


def _printed(program: str) -> float:
    with tempfile.TemporaryDirectory() as folder:
        variables = os.environ | {"TRACKBRIDGE_DIR": folder, "TRACKBRIDGE_BACKEND": "", "OMP_NUM_THREADS": "1"}
        result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=variables)
        return float(result.stdout.splitlines()[-1])


def _row(what: str, samples: list[float], *, at_least: float = 0.0, at_most: float = inf) -> dict[str, object]:
    low, high = interval(samples)
    digits = 0 if low > 100 else 2
    return {
        "what": what,
        "median": round(median(samples), digits),
        "low": round(low, digits),
        "high": round(high, digits),
        "limit": at_least or at_most,
        "verdict": "met" if at_least <= low and high <= at_most else "missed",
        "samples": [round(sample, digits) for sample in samples],
    }
