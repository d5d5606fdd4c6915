"""neptune-scale offline, into its SQLite file, and read here as the protobuf messages that lie there. The service ended in March 2026."""

import sqlite3
from pathlib import Path

from neptune_api.proto.neptune_pb.ingest.v1.common_pb2 import UpdateRunSnapshot
from neptune_scale import Run


def start(folder, name):
    return Run(project="comparison/comparison", run_id=name, mode="offline", log_directory=str(Path(folder) / name))


def log(run, values, step):
    run.log_metrics(values, step=step)


def finish(run):
    run.close()


def read(folder, name):
    (path,) = (Path(folder) / name).rglob("run_operations.sqlite3")
    database = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    series = {}
    for (data,) in database.execute("SELECT operation FROM run_operations WHERE operation_type = 0 ORDER BY sequence_id"):
        message = UpdateRunSnapshot.FromString(data)
        for key, value in message.append.items():
            if not key.startswith(("monitoring/", "runtime/")):
                series.setdefault(key, []).append((message.step.whole, value.float64))
    return series
