"""Delivery of 100,000 points, 20 keys a step, into each tracker: our forwarder's code against the best path of the tracker's own client.

Both in fresh processes, in turns, on the same records, from after the run is open until all is flushed; the sidecar is excluded. A sample counts
only when the tracker's reader then finds every point.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from argparse import Namespace
from pathlib import Path
from statistics import median

from benchmarks.statistics import ratio

SHOWS_NOT = (
    "servers and vendors' clouds (all local or offline); other shapes than 20 floats a call; the start of the client, which both pay"
)
KEYS, STEPS = 20, 5_000
LIMIT = 1 / 0.9  # time against time: at least 0.9 of the client's speed
MEMORY_MIB = 64


def run(options: Namespace) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for backend in options.backends.split(","):
        samples = []
        for _ in range(options.repeats or 7):
            pair = {who: _sample(backend, who) for who in ("native", "ours")}
            samples.append(pair)
        ours, native = ([pair[who]["seconds"] for pair in samples] for who in ("ours", "native"))
        row = ratio(f"{backend}: our seconds / the client's best path", ours, native, LIMIT)
        extra = median(pair["ours"]["mib"] for pair in samples) - median(pair["native"]["mib"] for pair in samples)
        row |= {
            "our_points_per_s": round(KEYS * STEPS / median(ours)),
            "client_points_per_s": round(KEYS * STEPS / median(native)),
            "memory_over_client_mib": round(extra, 1),
            "memory_verdict": "met" if extra <= MEMORY_MIB else "missed",
        }
        rows.append(row)
    return rows


def _sample(backend: str, who: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.deliver_once", backend, who, folder]
        result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).resolve().parent.parent)
        if result.returncode:
            raise RuntimeError(f"{' '.join(command)} failed:\n{result.stderr[-3000:]}")
        found: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
        return found
