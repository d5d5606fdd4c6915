"""Lines of JSON."""

import json
from pathlib import Path


def read(folder, name):
    series = {}
    for line in (Path(folder) / f"{name}.jsonl").read_text().splitlines(keepends=True):
        if line.endswith("\n"):  # the last one may be torn
            row = json.loads(line)
            step = row.pop("step")
            for key, value in row.items():
                series.setdefault(key, []).append((step, value))
    return series
