"""Guild's own SummaryWriter in a run of its own, as ``guild run`` would begin it; it keeps float32, and takes one scalar a call."""

import os
import time
from pathlib import Path

from guild import config, opref, summary, tfevent, var
from guild import run as runs
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, types_pb2


def start(folder, name):
    config.set_guild_home(str(folder))
    run = runs.Run(name, str(Path(var.runs_dir()) / name))
    os.makedirs(run.path)
    run.init_skel()
    run.write_opref(opref.OpRef("func", "", "", "comparison", "train"))
    run.write_attr("started", runs.timestamp())
    return run, summary.SummaryWriter(run.path)


def log(run, values, step):
    for key, value in values.items():
        run[1].add_scalar(key, value, step)


def tuned_start(folder, name):
    """All values of a call in one event, as float64."""
    return start(folder, name)


def tuned_log(run, values, step):
    tensors = {key: tensor_pb2.TensorProto(dtype=types_pb2.DT_DOUBLE, double_val=[value]) for key, value in values.items()}
    summary = summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=key, tensor=tensor) for key, tensor in tensors.items()])
    run[1]._get_writer().add_event(event_pb2.Event(wall_time=time.time(), step=step, summary=summary))


def finish(run):
    run[1].close()
    run[0].write_attr("exit_status", 0)
    run[0].write_attr("stopped", runs.timestamp())


def read(folder, name):
    series = {}
    for _, _, events in tfevent.scalar_readers(str(Path(folder) / "runs" / name)):
        for key, value, step in events:
            series.setdefault(key, []).append((step, value))
    return series


def count_runs(folder):
    return len(var.runs(str(Path(folder) / "runs"), force_root=True))


def filter_runs(folder, name):
    return len(var.runs(str(Path(folder) / "runs"), force_root=True, filter=lambda run: run.id == name))
