"""Comet's offline archive: a zip file with a message of JSON in each line."""

import json
import zipfile
from pathlib import Path

OWN = ("sys.", "process ")  # metrics of the system


def read(folder, name):
    (path,) = (Path(folder) / name).glob("*.zip")
    with zipfile.ZipFile(path) as archive:
        rows = [json.loads(line) for line in archive.read("messages.json").decode().splitlines()]
    series = {}
    for row in rows:
        if row["type"] == "metric_msg" and not row["payload"]["metric"]["metricName"].startswith(OWN):
            metric = row["payload"]["metric"]
            series.setdefault(metric["metricName"], []).append((metric["step"], metric["metricValue"]))
    return series
