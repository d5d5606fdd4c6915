"""The form of a run on disk: event files (TFRecord frames of protobuf messages), tags, and what lies in a tensor beside the drawn value."""

from __future__ import annotations

import functools
import json
import math
import os
import re
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec

from trackbridge import projection, records
from trackbridge.names import Names
from trackbridge.projection import Projection
from trackbridge.records import RunInfo

TAGS = Names(allowed=r"[\s\S]", mark="·", reserved="(trackbridge|_hparams_)/")  # media of `key` have the tag `key·images`: no scalar's
FOLDERS = Names(allowed=r"[\w .,=+@()-]", mark="%", max_length=100, measure=lambda name: len(name.encode()), plain_path=True)
PROJECTION = Projection(projection.step_bounds(-(2**63), 2**63 - 1, "an event's step is a 64-bit integer, and dashboards order by it"))

FLOAT, BOOL, INT, DIGITS, TEXT, NONE = range(6)  # how to read a point; with NO_STEP its event's step is only the number of its call
NO_STEP = 8
OURS = re.compile(r"events\.out\.tfevents\.\d{10,}\.trackbridge\.\d{6}")
BESIDE = "trackbridge"  # our folder in the run's, and the first part of our own tags


@functools.cache
def protobuf() -> SimpleNamespace:
    """TensorBoard's messages, imported when they are first needed."""
    from google_crc32c import value as crc32c
    from tensorboard.compat.proto import event_pb2, summary_pb2, types_pb2
    from tensorboard.plugins.audio import plugin_data_pb2 as audio_pb2
    from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2

    names: dict[str, Any] = {"crc32c": crc32c, "Value": summary_pb2.Summary.Value}
    for module in (event_pb2, summary_pb2, types_pb2, api_pb2, plugin_data_pb2, audio_pb2):
        names |= {name: item for name, item in vars(module).items() if name[:1].isupper()}
    return SimpleNamespace(**names)


def frame(data: bytes) -> bytes:
    """One record of an event file: length, masked checksum, data, masked checksum (the TFRecord format)."""
    head = struct.pack("<Q", len(data))
    return b"".join((head, _checksum(head), data, _checksum(data)))


def _checksum(data: bytes) -> bytes:
    crc = protobuf().crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def frames(path: Path) -> Iterator[tuple[int, bytes]]:
    """(end, data) of the whole records of an event file."""
    end = 0
    with path.open("rb") as file:
        while len(head := file.read(12)) == 12:
            length = struct.unpack("<Q", head[:8])[0]
            if _checksum(head[:8]) != head[8:] or len(rest := file.read(length + 4)) < length + 4 or _checksum(rest[:-4]) != rest[-4:]:
                return
            end += length + 16
            yield end, rest[:-4]


def mark(time: int, wall_time: float, no_step: bool) -> int:
    """The nanoseconds that `wall_time` lacks of `time`, zigzag above bit 4, and room for the type of a value below."""
    rest = time - projection.nanoseconds(wall_time)
    return (rest << 1 if rest >= 0 else (-rest << 1) - 1) << 4 | (NO_STEP if no_step else 0)


def time_of(mark: int, wall_time: float) -> int:
    """The inverse of :func:`mark`."""
    return projection.nanoseconds(wall_time) + (-((mark >> 5) + 1) if mark & 16 else mark >> 5)


def fill(tensor: Any, value: Any, mark: int, ordinal: int) -> None:
    """Put a value that is no float into the tensor of a point: near it for the chart, and exactly."""
    number, exact = math.nan, tuple[int, ...]()
    if isinstance(value, bool):
        kind, number = BOOL, float(value)
    elif isinstance(value, str):
        kind = TEXT
        tensor.string_val.append(value.encode())
    elif value is None:
        kind = NONE
    else:
        number = projection.to_float(value)
        if -(2**63) <= value < 2**63:
            kind, exact = INT, (value,)
        else:
            kind = DIGITS
            tensor.string_val.append(str(value).encode())
    tensor.float_val[0] = tensor.double_val[0] = number
    tensor.int64_val[:] = (mark | kind, ordinal, *exact)


def value_of(tensor: Any, kind: int) -> Any:
    """The inverse of :func:`fill`."""
    if kind == FLOAT:
        return tensor.double_val[0]
    if kind == BOOL:
        return bool(tensor.double_val[0])
    if kind == INT:
        return tensor.int64_val[2]
    if kind == NONE:
        return None
    text = tensor.string_val[0].decode()
    return int(text) if kind == DIGITS else text


def start(run: RunInfo) -> records.Start:
    return records.Start(run.start, run.id, run.project, run.name, run.group, run.job_type, run.notes, provenance=run.provenance)


def info_of(kept: Iterable[tuple[str, dict[str, Any], Any]]) -> RunInfo | None:
    """The run that the records of the tags ``trackbridge/...`` describe; None where there are none."""
    info: RunInfo | None = None
    given, tags = tuple[str, ...](), None
    for name, note, event in kept:
        if name == "run":
            fields = {field: getattr(event, field) for field in ("name", "project", "group", "job_type", "notes", "provenance")}
            info = RunInfo(id=event.run_id, start=event.time, status=note["status"], end=note.get("end"), **fields)
            given = tuple(note["tags"])
        elif name == "tags":
            tags = tuple(event.values)
    return info and msgspec.structs.replace(info, tags=given if tags is None else tags)


def kept(folder: Path) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """The records of the tags ``trackbridge/...``, without the points: for a list of runs."""
    for path in sorted(folder.iterdir()):
        for _, data in frames(path) if OURS.fullmatch(path.name) else ():
            if b"trackbridge/" in data:
                for value in protobuf().Event.FromString(data).summary.value:
                    if value.tag.startswith("trackbridge/"):
                        extra = value.tensor.variant_val[0]
                        yield value.tag.partition("/")[2], json.loads(extra.type_name), records.decode(extra.metadata)[0]


def folders(location: Path) -> Iterator[Path]:
    """The folders below `location` that TensorBoard takes for runs."""
    for folder, below, files in os.walk(location):
        below[:] = sorted(name for name in below if name != BESIDE)
        if any("tfevents" in name for name in files):
            yield Path(folder)


def find(location: Path, run_id: str) -> Path | None:
    """The folder of a run that we wrote."""
    for pattern in ("*", "*/*"):
        for folder in sorted(location.glob(f"{pattern}-{FOLDERS.encode(run_id)}")):
            info = info_of(kept(folder))
            if info is not None and info.id == run_id:
                return folder
    return None
