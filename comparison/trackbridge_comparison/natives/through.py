"""The same values through TrackBridge. The folder holds ``target.txt``, the target as in ``TRACKBRIDGE_BACKEND``."""

import csv
from pathlib import Path

import trackbridge


def target(folder):
    return (Path(folder) / "target.txt").read_text()


def start(folder, name):
    return trackbridge.init(project="comparison", id=name, backend=target(folder), dir=Path(folder) / "journals")


def log(run, values, step):
    run.log(values, step)


def finish(run):
    report = trackbridge.finish()
    assert report.delivered, str(report)


def read(folder, name):
    series = {}
    for row in trackbridge.read(name, target(folder), sidecar=False).rows():
        series.setdefault(row["key"], []).append((row["step"], row["value_any"]))
    return series


def export(folder, name):
    with (Path(folder) / "export.csv").open("w", newline="") as file:
        table = csv.writer(file)
        for row in trackbridge.read(name, target(folder), sidecar=False).rows():
            table.writerow((row["key"], row["step"], row["value_any"]))
