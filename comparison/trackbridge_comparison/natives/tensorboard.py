"""TensorBoard's own writer, without torch or TensorFlow. It takes one scalar a call, and keeps float32."""

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import DEFAULT_SIZE_GUIDANCE, EventAccumulator
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer
from tensorboard.summary import Writer


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
