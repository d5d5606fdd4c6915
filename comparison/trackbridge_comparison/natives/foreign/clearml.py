"""ClearML's offline session: lists of events as JSON, in a zip file, or in a folder while the task goes on and after it was killed."""

import json
import zipfile
from pathlib import Path


def read(folder, name):
    for about in Path(folder).rglob("task.json"):
        session = zipfile.Path(about.parent.with_suffix(".zip")) if about.parent.with_suffix(".zip").exists() else about.parent
        if json.loads((session / "task.json").read_text())["name"] != name or not (session / "metrics.jsonl").exists():
            continue
        series = {}
        for line in (session / "metrics.jsonl").read_text().splitlines():
            for event in json.loads(line):
                key = event["metric"] if event["metric"] == event["variant"] else f"{event['metric']}/{event['variant']}"
                series.setdefault(key, []).append((event["iter"], event["value"]))
        return series
    return {}
