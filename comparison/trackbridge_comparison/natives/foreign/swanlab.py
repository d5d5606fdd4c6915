"""SwanLab's offline log: protobuf in a LevelDB log."""

from pathlib import Path

import wire


def read(folder, name):
    series = {}
    for path in (Path(folder) / name).rglob("*.swanlab"):
        for record in wire.log(path):
            for scalar in (dict(wire.fields(value)) for number, value in wire.fields(record) if number == 13):
                key, number = scalar[1].decode(), dict(wire.fields(scalar.get(5, b"")))
                if not key.startswith("__"):
                    series.setdefault(key, []).append((scalar.get(2, 0), wire.double(number[1]) if 1 in number else 0.0))
    return series
