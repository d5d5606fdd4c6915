"""DAGsHub's CSV file."""

import csv
from pathlib import Path


def read(folder, name):
    series = {}
    with open(Path(folder) / name / "metrics.csv", newline="") as file:
        for row in csv.DictReader(file):
            series.setdefault(row["Name"], []).append((int(row["Step"]), float(row["Value"])))
    return series
