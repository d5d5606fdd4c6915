"""``python -m benchmarks [log|imports|examples|delivery|together|scale] [--repeats N]``: run benchmarks, print a table, and write benchmarks/results/NAME.json."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import delivery, examples, imports, log_call, scale, together

ALL = {"log": log_call, "imports": imports, "examples": examples, "delivery": delivery, "together": together, "scale": scale}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *ALL], default=[])
    parser.add_argument("--repeats", type=int, default=0, help="0: as many as each benchmark needs")
    parser.add_argument("--backends", default="", help="for delivery and together; all by default")
    options = parser.parse_args()
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    machine = {"python": platform.python_version(), "cpus": os.cpu_count(), "system": platform.system()}
    for name in options.names or ALL:
        module = ALL[name]
        rows = []
        for row in _dated(iter(module.run(options))):
            rows.append(row)
            print("  ".join(f"{key}={value}" for key, value in row.items() if key != "samples"), flush=True)
        path = folder / f"{name}.json"
        if options.backends and path.exists():
            rows = _merged(json.loads(path.read_text()), machine, rows)
        result = {"benchmark": name, "machine": machine, "shows_not": module.SHOWS_NOT, "rows": rows}
        path.write_text(json.dumps(result, indent=1) + "\n")
        print(f"{name} does not show: {module.SHOWS_NOT}")


def _dated(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Each row with the time (UTC) at which its measurement began, and how busy the machine was then."""
    while True:
        begun, load = time.strftime("%Y-%m-%d %H:%M", time.gmtime()), round(os.getloadavg()[0], 1)
        row = next(rows, None)
        if row is None:
            return
        yield row | {"begun": begun, "load": load}


def _merged(before: dict[str, Any], machine: dict[str, Any], rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of the last result that tell of one backend, with those that were measured anew in their places. Those of another machine are
    not kept."""
    fresh = {row["what"]: row for row in rows}
    last = [row for row in before["rows"] if "backend" in row] if before["machine"] == machine else []
    return [*(fresh.pop(row["what"], row) for row in last), *fresh.values()]


if __name__ == "__main__":
    main()
