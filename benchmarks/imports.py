"""``import trackbridge`` in fresh interpreters."""

from __future__ import annotations

import subprocess
import sys
from argparse import Namespace
from statistics import median

from benchmarks.statistics import interval

SHOWS_NOT = "a cold disk cache; the import of msgspec alone is the second row"
LIMIT_MS = 50.0

PROGRAM = "import time; begin = time.perf_counter(); import {}; print((time.perf_counter() - begin) * 1e3)"


def run(options: Namespace) -> list[dict[str, object]]:
    samples: dict[str, list[float]] = {"trackbridge": [], "msgspec": []}
    for _ in range(options.repeats or 21):
        for module, times in samples.items():
            result = subprocess.run([sys.executable, "-I", "-c", PROGRAM.format(module)], capture_output=True, text=True, check=True)
            times.append(float(result.stdout))
    rows: list[dict[str, object]] = []
    for module, times in samples.items():
        low, high = interval(times)
        row: dict[str, object] = {
            "what": f"import {module}, ms",
            "median": round(median(times), 1),
            "low": round(low, 1),
            "high": round(high, 1),
        }
        if module == "trackbridge":
            row |= {"limit": LIMIT_MS, "verdict": "met" if high <= LIMIT_MS else "missed"}
        rows.append(row | {"samples": [round(time, 1) for time in times]})
    return rows
