"""What of a run lies where in Guild, in which form, and what is declared to change."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from trackbridge import projection
from trackbridge.deviations import Reason
from trackbridge.names import Names
from trackbridge.projection import Projection
from trackbridge.records import RunInfo, Status
from trackbridge_adapters.tensorboard.events import OURS, frames, protobuf

KEYS = Names(allowed=r"[\s\S]", mark="·")  # no tag of a metric looks like that of a text, `KEY·string`
FOLDERS = Names(allowed=r"[\w .,=+@()-]", mark="%", max_length=100, measure=lambda name: len(name.encode()), plain_path=True)
STRING, MEDIA, ARTIFACT = "string", "media", "artifact"
"""Ends of the tags of texts: of a metric; of what tells of a file."""

OWN = "trackbridge"
"""Our attribute, by which the Reader knows a run of ours: what Guild has no attribute for."""

ATTRIBUTES = ("project", "group", "job_type")
AUTHOR = "trackbridge"
"""Who has written the comment that holds a run's notes."""

EXITS = {Status.FINISHED: 0, Status.FAILED: 1, Status.CRASHED: -9}
"""Guild shows them as completed, error and terminated."""

SUFFIXES = {"table": "csv", "histogram": "json", "text": "txt"}
FILES = ("image", "figure", "audio", "video", "file")

_STEP = "an event has a step, a 64-bit integer, by which Guild orders"
PROJECTION = Projection(
    projection.drop("scalar", Reason.UNSUPPORTED, "None is not stored", "a scalar is a tensor of one number", projection.is_none),
    *projection.numbers_become_floats("Guild takes tensors of float32 and float64 for scalars"),
    projection.step_bounds(-(2**63), 2**63 - 1, _STEP),
    projection.step_from_call(_STEP),
    projection.time_to_float_seconds("the time of an event is a double"),
)


@functools.cache
def library() -> SimpleNamespace:
    """What we use of Guild, imported when it is first needed."""
    from guild import op_util, opref, run, tfevent, var, yaml_util

    return SimpleNamespace(
        YAMLError=yaml_util.yaml.YAMLError,
        Run=run.Run,
        OpRef=opref.OpRef,
        EventReader=tfevent.EventReader,
        scalar_of=tfevent._try_scalar_event,
        scalar_readers=tfevent.scalar_readers,
        runs=var.runs,
        encode=yaml_util.encode_yaml,
        write_lock=op_util.write_proc_lock,
        delete_lock=op_util.delete_proc_lock,
    )


def run_at(home: Path, run_id: str) -> Any:
    return library().Run(run_id, str(home / "runs" / run_id))


def is_scalar(step: int | None) -> bool:
    return step is not None and -(2**63) <= step < 2**63


def file_name(name: str) -> str:
    """The last part of `name` without what file systems refuse."""
    return re.sub(r"[^\w .-]", "_", name.rpartition("/")[2])[-60:].strip(" .") or "file"


def texts(folder: Path, end: str) -> Iterator[dict[str, Any]]:
    """What the texts with tags that end so tell, without reading the points."""
    mark = f"·{end}"
    for path in sorted(folder.iterdir()):
        for _, data in frames(path) if OURS.fullmatch(path.name) else ():
            if mark.encode() in data:
                for value in protobuf().Event.FromString(data).summary.value:
                    if value.tag.endswith(mark):
                        yield json.loads(value.tensor.string_val[0])


def info(run: Any) -> RunInfo:
    """The run as Guild tells it."""
    ours, comments = run.get(OWN) or {}, run.get("comments") or []
    notes = next((comment.get("body") or "" for comment in comments if comment.get("user") == AUTHOR), "") if ours else ""
    started, stopped, exit_status = run.timestamp, run.get("stopped"), run.get("exit_status")
    if exit_status is None:
        status = Status.RUNNING if run.status in ("running", "pending", "staged") else Status.CRASHED
    else:
        status = Status.FINISHED if exit_status == 0 else Status.FAILED if exit_status > 0 else Status.CRASHED
    described: dict[str, Any] = {name: str(run.get(name) or "") for name in ATTRIBUTES} if ours else {"project": _operation(run)}
    return RunInfo(
        id=run.id,
        name=str(run.get("label") or ""),
        notes=notes,
        tags=tuple(map(str, run.get("tags") or ())),
        status=status,
        start=int(started or 0) * 1000,
        end=int(stopped) * 1000 if stopped else None,
        **described,
    )


def _operation(run: Any) -> str:
    """Model and operation of a run that others began, which is what tells it from the runs of another experiment."""
    opref = run.opref
    return ":".join(filter(None, (opref.model_name, opref.op_name))) if opref else ""
