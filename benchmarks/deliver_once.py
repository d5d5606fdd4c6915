"""One sample of the delivery benchmark: ``python -m benchmarks.deliver_once BACKEND native|ours FOLDER``; prints seconds and peak memory."""

from __future__ import annotations

import json
import math
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.delivery import KEYS, STEPS

NAMES = [f"train/metric_{number:02d}" for number in range(KEYS)]
START_NS = 1_763_870_000_000_000_000


def row(step: int) -> dict[str, float]:
    return {name: math.sin(step * 0.01 + number) * 1.2345678901234567 for number, name in enumerate(NAMES)}


def time_ns(step: int) -> int:
    return START_NS + step * 10_000_000


def native_tensorboard(folder: Path) -> Callable[[], None]:
    """Raw protobufs with 20 values an event through its own EventFileWriter, which is its fastest path (its Writer class takes one value a call)."""
    from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, types_pb2
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder), max_queue_size=10_000)

    def deliver() -> None:
        for step in range(STEPS):
            values = [
                summary_pb2.Summary.Value(
                    tag=key, tensor=tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[value], double_val=[value])
                )
                for key, value in row(step).items()
            ]
            writer.add_event(event_pb2.Event(wall_time=time_ns(step) / 1e9, step=step, summary=summary_pb2.Summary(value=values)))
        writer.flush()

    return deliver


def native_mlflow(folder: Path) -> Callable[[], None]:
    """``log_batch`` with 1,000 metrics, its bulk path; 40 times faster than its log_metrics."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    run = client.create_run(client.create_experiment("benchmark", folder.as_uri())).info.run_id

    def deliver() -> None:
        batch: list[Any] = []
        for step in range(STEPS):
            batch += [Metric(key, value, time_ns(step) // 1_000_000, step) for key, value in row(step).items()]
            if len(batch) >= 1000:
                client.log_batch(run, metrics=batch[:1000])
                del batch[:1000]
        if batch:
            client.log_batch(run, metrics=batch)

    return deliver


def native_wandb(folder: Path) -> Callable[[], None]:
    """``run.log`` of the whole row, offline, exact encoding, as our adapter has to set it; ``finish`` is its flush."""
    os.environ |= {"WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}
    import wandb

    exact = wandb.Settings(x_history_value_encoding="json,typed", x_transaction_log_flush_interval=0.5, x_disable_stats=True, silent=True)
    run = wandb.init(mode="offline", dir=str(folder), project="benchmark", settings=exact)

    def deliver() -> None:
        for step in range(STEPS):
            run.log(row(step) | {"_timestamp": time_ns(step) / 1e9})
        run.finish()

    return deliver


def ours(backend: str, folder: Path) -> Callable[[], None]:
    """Our forwarder's Delivery on a journal that is there already, from after `open` until everything is flushed."""
    from trackbridge import registry
    from trackbridge.adapters import Target
    from trackbridge.forward.delivery import Delivery
    from trackbridge.journal.writer import ShardWriter
    from trackbridge.records import End, Event, Metrics, Start

    events: list[Event] = [Start(START_NS, "benchmark", "benchmark", host="elsewhere", pid=1)]
    events += [Metrics(time_ns(step), step, step, row(step)) for step in range(STEPS)]
    writer = ShardWriter(folder / "run" / "journal", "benchmark", "r0-h-1-aa", max_bytes=1 << 30)
    for event in [*events, End(time_ns(STEPS), "finished")]:
        writer.append([event], is_call=isinstance(event, Metrics))
    writer.close()
    adapter = registry.check(backend)
    target = adapter.resolve(Target.parse(f"{backend}:{folder}/target"), folder)
    delivery = Delivery(folder / "run", target, adapter, attach_sidecar=False)
    delivery.prepare()

    def deliver() -> None:
        while delivery.cursor.delivered < KEYS * STEPS:
            delivery.step()

    return deliver


def count(backend: str, who: str, folder: Path) -> int:
    """How many points the tracker's own reader finds."""
    if who == "ours":
        from trackbridge import registry
        from trackbridge.adapters import Target
        from trackbridge.records import Metrics

        adapter = registry.check(backend)
        reader = adapter.reader(adapter.resolve(Target.parse(f"{backend}:{folder}/target"), folder))
        return sum(len(record.event.values) for record in reader.read("benchmark") if isinstance(record.event, Metrics))
    if backend == "tensorboard":
        from tensorboard.backend.event_processing.event_accumulator import DEFAULT_SIZE_GUIDANCE, EventAccumulator

        events = EventAccumulator(str(folder), size_guidance=dict.fromkeys(DEFAULT_SIZE_GUIDANCE, 0))
        events.Reload()
        return sum(len(events.Tensors(name)) for name in NAMES)
    if backend == "mlflow":
        from mlflow.tracking import MlflowClient

        client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
        run = client.search_runs([client.get_experiment_by_name("benchmark").experiment_id])[0].info.run_id
        return sum(len(client.get_metric_history(run, name)) for name in NAMES)
    from trackbridge_adapters.wandb.layout import Log  # wandb has no offline reader of its own
    from wandb.proto.wandb_internal_pb2 import Record

    found = 0
    for path in folder.rglob("run-*.wandb"):
        for payload in Log(path).new():
            found += sum((item.nested_key or [item.key])[0] in NAMES for item in Record.FromString(payload).history.item)
    return found


def main(backend: str, who: str, folder: Path) -> None:
    deliver = (
        ours(backend, folder)
        if who == "ours"
        else {name.removeprefix("native_"): make for name, make in globals().items()}[backend](folder)
    )
    begin = time.perf_counter()
    deliver()
    seconds = time.perf_counter() - begin
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = count(backend, who, folder)
    if found != KEYS * STEPS:
        sys.exit(f"the reader finds {found} of {KEYS * STEPS} points")
    print(json.dumps({"seconds": seconds, "mib": mib}))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
