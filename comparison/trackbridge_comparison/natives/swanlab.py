"""SwanLab offline, as without an account: a log that ``swanlab sync`` uploads, and read here by the client's own store."""

import os
from pathlib import Path

import swanlab
from swanlab.proto.swanlab.record.v1.record_pb2 import Record
from swanlab.sdk.internal.core_python.store import DataStoreReader


def start(folder, name):
    os.environ |= {"SWANLAB_SAVE_DIR": str(Path(folder) / "home")}
    settings = swanlab.Settings(mode="offline", interactive=False, log_dir=str(Path(folder) / name))
    return swanlab.init(project="comparison", name=name, settings=settings)


def log(run, values, step):
    run.log(values, step=step)


def finish(run):
    run.finish()


def read(folder, name):
    series = {}
    for path in (Path(folder) / name).rglob("*.swanlab"):
        reader = DataStoreReader()
        reader.open(str(path))
        for data in reader:
            record = Record.FromString(data)
            if record.HasField("scalar") and not record.scalar.key.startswith("__"):
                series.setdefault(record.scalar.key, []).append((record.scalar.step, record.scalar.value.number))
        reader.close()
    return series
