"""W&B's offline log: protobuf in a LevelDB log."""

import json
from pathlib import Path

import wire


def read(folder, name):
    (path,) = Path(folder).glob(f"wandb/offline-run-*-{name}/run-{name}.wandb")
    series = {}
    for record in wire.log(path):
        for history in (value for number, value in wire.fields(record) if number == 2):
            items = [dict(wire.fields(value)) for number, value in wire.fields(history) if number == 1]
            row = {(item.get(1) or item[2]).decode(): json.loads(item[16]) for item in items}
            for key, value in row.items():
                if not key.startswith("_"):
                    series.setdefault(key, []).append((row["_step"], value))
    return series
