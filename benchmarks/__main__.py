"""``python -m benchmarks [log|imports|examples|delivery|together] [--repeats N]``: run benchmarks, print a table, and write benchmarks/results/NAME.json."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path

from benchmarks import delivery, examples, imports, log_call, together

ALL = {"log": log_call, "imports": imports, "examples": examples, "delivery": delivery, "together": together}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *ALL], default=[])
    parser.add_argument("--repeats", type=int, default=0, help="0: as many as each benchmark needs")
    parser.add_argument("--backends", default="", help="for delivery and together; all by default")
    options = parser.parse_args()
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    for name in options.names or ALL:
        module = ALL[name]
        begun, load = time.strftime("%Y-%m-%d %H:%M", time.gmtime()), os.getloadavg()[0]
        rows = module.run(options)
        machine = {"python": platform.python_version(), "cpus": os.cpu_count(), "system": platform.system(), "load": load}
        result = {"benchmark": name, "begun": begun, "machine": machine, "shows_not": module.SHOWS_NOT, "rows": rows}
        (folder / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
        print(f"\n{name} ({begun} UTC, load {load:.1f}, {machine['cpus']} CPUs, Python {machine['python']})")
        for row in rows:
            print("  " + "  ".join(f"{key}={value}" for key, value in row.items() if key != "samples"))
        print(f"  does not show: {module.SHOWS_NOT}")


if __name__ == "__main__":
    main()
