"""The best correct path of each tracker's own client where it is not the plain one: for what is known when it is written, in bulk.

Correct: every point arrives with its step and, as float64 where the tracker can hold one, its value. Each writes where the plain script of
``comparison/trackbridge_comparison/natives`` would, which reads it back.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Rows = Iterable[tuple[int, dict[str, float]]]
"""Step and values of each call."""

NAME = "benchmark"


def tensorboard(folder: Path, plain: Any) -> Callable[[Rows], None]:
    """Protobufs with all values of a call in an event through its EventFileWriter; its Writer class takes one value a call."""
    from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, types_pb2
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder / NAME), max_queue_size=10_000)

    def deliver(rows: Rows) -> None:
        for step, row in rows:
            values = [
                summary_pb2.Summary.Value(
                    tag=key, tensor=tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[value], double_val=[value])
                )
                for key, value in row.items()
            ]
            writer.add_event(event_pb2.Event(wall_time=time.time(), step=step, summary=summary_pb2.Summary(value=values)))
        writer.close()

    return deliver


def mlflow(folder: Path, plain: Any) -> Callable[[Rows], None]:
    """``log_batch`` with 1,000 metrics."""
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

    client = MlflowClient(plain.uri(folder))
    run = client.create_run("0", run_name=NAME).info.run_id

    def deliver(rows: Rows) -> None:
        batch: list[Any] = []
        for step, row in rows:
            batch += [Metric(key, value, time.time_ns() // 1_000_000, step) for key, value in row.items()]
            while len(batch) >= 1000:
                client.log_batch(run, metrics=batch[:1000])
                del batch[:1000]
        client.log_batch(run, metrics=batch)
        client.set_terminated(run)

    return deliver


def wandb(folder: Path, plain: Any) -> Callable[[Rows], None]:
    """``run.log`` of the whole row, with the encoding that keeps every bit, which our adapter sets too."""
    os.environ |= {"WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true"}
    import wandb

    exact = wandb.Settings(x_history_value_encoding="json,typed", x_transaction_log_flush_interval=0.5, x_disable_stats=True, silent=True)
    run = wandb.init(mode="offline", dir=str(folder), project="comparison", id=NAME, settings=exact)

    def deliver(rows: Rows) -> None:
        for _, row in rows:
            run.log(row)
        run.finish()

    return deliver


def dagshub(folder: Path, plain: Any) -> Callable[[Rows], None]:
    """The logger with ``eager_logging=False``, which writes at the end."""
    from dagshub.logger import DAGsHubLogger

    place = folder / NAME
    place.mkdir()
    logger = DAGsHubLogger(metrics_path=str(place / "metrics.csv"), hparams_path=str(place / "params.yml"), eager_logging=False)

    def deliver(rows: Rows) -> None:
        for step, row in rows:
            logger.log_metrics(row, step_num=step)
        plain.finish(logger)

    return deliver


def dvc(folder: Path, plain: Any) -> Callable[[Rows], None]:
    """``log_metric`` without a summary at each step."""
    live = plain.start(folder, NAME)

    def deliver(rows: Rows) -> None:
        for step, row in rows:
            live.step = step
            for key, value in row.items():
                live.log_metric(key, value)
        plain.finish(live)

    return deliver


def guild(folder: Path, plain: Any) -> Callable[[Rows], None]:
    """Float64 tensors with all values of a call in an event, through its SummaryWriter's own writer."""
    from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, types_pb2

    run = plain.start(folder, NAME)
    writer = run[1]._get_writer()

    def deliver(rows: Rows) -> None:
        for step, row in rows:
            values = [
                summary_pb2.Summary.Value(tag=key, tensor=tensor_pb2.TensorProto(dtype=types_pb2.DT_DOUBLE, double_val=[value]))
                for key, value in row.items()
            ]
            writer.add_event(event_pb2.Event(wall_time=time.time(), step=step, summary=summary_pb2.Summary(value=values)))
        plain.finish(run)

    return deliver


def trackio(folder: Path, plain: Any) -> Callable[[Rows], None]:
    """``bulk_log`` of all rows at once, each with the time and the ``log_id`` that its own ``log`` gives it: without that a batch which is sent
    again, because nobody knows whether it arrived, is there twice."""
    storage = plain.storage(folder)

    def deliver(rows: Rows) -> None:
        steps, values, times, ids = [], [], [], []
        for step, row in rows:
            steps.append(step)
            values.append(row)
            times.append(datetime.now(UTC).isoformat())
            ids.append(uuid.uuid4().hex)
        storage.bulk_log("comparison", NAME, values, steps, times, log_ids=ids)

    return deliver
