"""TensorBoard's own writer, without torch or TensorFlow. It takes one scalar a call, and keeps float32."""

import time
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import DEFAULT_SIZE_GUIDANCE, EventAccumulator
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, types_pb2
from tensorboard.summary import Writer
from tensorboard.summary.writer.event_file_writer import EventFileWriter


def start(folder, name):
    return Writer(str(Path(folder) / name))


def log(run, values, step):
    for key, value in values.items():
        run.add_scalar(key, value, step)


def finish(run):
    run.close()


def read(folder, name):
    everything = dict.fromkeys(DEFAULT_SIZE_GUIDANCE, 0)  # by default it samples
    events = EventAccumulator(str(Path(folder) / name), size_guidance=everything).Reload()
    tensors = {key: events.Tensors(key) for key in events.Tags()["tensors"]}
    return {key: [(point.step, point.tensor_proto.float_val[0]) for point in points] for key, points in tensors.items()}


def count_runs(folder):
    return len(EventMultiplexer().AddRunsFromDirectory(str(folder)).Reload().Runs())


def tuned_start(folder, name):
    """A queue that does not block, and all values of a call in one event, which also holds them as float64."""
    return EventFileWriter(str(Path(folder) / name), max_queue_size=10_000)


def tuned_log(run, values, step):
    tensors = {
        key: tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[value], double_val=[value]) for key, value in values.items()
    }
    summary = summary_pb2.Summary(value=[summary_pb2.Summary.Value(tag=key, tensor=tensor) for key, tensor in tensors.items()])
    run.add_event(event_pb2.Event(wall_time=time.time(), step=step, summary=summary))
