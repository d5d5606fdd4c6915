"""ClearML's offline session: a zip file with lists of events as JSON."""

import json
import zipfile
from pathlib import Path


def read(folder, name):
    for path in Path(folder).rglob("*.zip"):
        with zipfile.ZipFile(path) as session:
            if json.loads(session.read("task.json"))["name"] != name:
                continue
            series = {}
            for line in session.read("metrics.jsonl").decode().splitlines():
                for event in json.loads(line):
                    key = event["metric"] if event["metric"] == event["variant"] else f"{event['metric']}/{event['variant']}"
                    series.setdefault(key, []).append((event["iter"], event["value"]))
            return series
    return {}
