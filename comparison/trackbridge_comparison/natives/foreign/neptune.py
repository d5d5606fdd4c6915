"""neptune-scale's offline file: protobuf messages in SQLite."""

import sqlite3
from pathlib import Path

import wire


def read(folder, name):
    (path,) = (Path(folder) / name).rglob("run_operations.sqlite3")
    database = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    series = {}
    for (data,) in database.execute("SELECT operation FROM run_operations WHERE operation_type = 0 ORDER BY sequence_id"):
        message = list(wire.fields(data))
        step = dict(wire.fields(next((value for number, value in message if number == 1), b""))).get(1, 0)
        for entry in (dict(wire.fields(value)) for number, value in message if number == 8):
            key, value = entry[1].decode(), dict(wire.fields(entry[2]))
            if 1 in value and not key.startswith(("monitoring/", "runtime/")):
                series.setdefault(key, []).append((step, wire.double(value[1])))
    return series
