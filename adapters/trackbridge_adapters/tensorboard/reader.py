"""Reads runs through TensorBoard's own loader of event files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from trackbridge import projection
from trackbridge.adapters import SIDECAR_FILE
from trackbridge.errors import RunNotFound
from trackbridge.records import AnyEvent, End, FileRef, Media, Metrics, Record, RunInfo, Start, Tags
from trackbridge_adapters.tensorboard import layout


class Reader:
    """Reads runs in the order of their event files. Of runs that others wrote it reads the scalars."""

    def __init__(self, location: Path) -> None:
        self.location = location

    def runs(self) -> Iterator[RunInfo]:
        for folder in layout.folders(self.location):
            yield layout.info(folder) or self._named(folder)

    def read(self, run_id: str) -> Iterator[Record]:
        found = layout.find(self.location, run_id)
        folder, info = found or self._foreign(run_id)
        for sequence, event in enumerate(_run(folder, info, ours=found is not None)):
            yield Record("native", sequence, event)

    def sidecar(self, run_id: str) -> tuple[bytes, str] | None:
        found = layout.find(self.location, run_id)
        if found is None or not (path := found[0] / SIDECAR_FILE).is_file():
            return None
        return path.read_bytes(), dict(layout.texts(found[0], "sidecar")).get("sidecar", {}).get("sha256", "")

    def _foreign(self, run_id: str) -> tuple[Path, RunInfo]:
        for folder in layout.folders(self.location):
            if (info := self._named(folder)).id == run_id:
                return folder, info
        raise RunNotFound(f"no run {run_id!r} in {self.location}")

    def _named(self, folder: Path) -> RunInfo:
        return RunInfo(id=folder.relative_to(self.location).as_posix(), name=folder.name)


def _run(folder: Path, info: RunInfo, ours: bool) -> Iterator[AnyEvent]:
    yield Start(info.start, info.id, info.project, info.name, info.group, info.job_type, info.notes, provenance=info.provenance)
    yield Tags(info.start, list(info.tags))
    plugins: dict[str, str] = {}  # a tag's first value names its dashboard
    for call, event in enumerate(_events(folder)):
        time, points = projection.nanoseconds(event.wall_time), dict[str, Any]()
        for value in event.summary.value:
            tag = value.tag
            if plugins.setdefault(tag, value.metadata.plugin_data.plugin_name) == "scalars":
                points[layout.TAGS.decode(tag) if ours else tag] = _number(value.tensor)
            elif ours and tag.startswith("trackbridge/"):
                yield from _text(tag.partition("/")[2], time, value.tensor)
            elif ours:
                name, _, suffix = tag.rpartition("·")
                key = layout.TAGS.decode(name)
                if suffix == layout.STRING:
                    points[key] = value.tensor.string_val[0].decode()
                elif suffix in layout.DASHBOARDS:
                    _, kind, format = layout.DASHBOARDS[suffix]
                    yield _content(Media(time, call, event.step, key, kind, format), value.tensor)
        if points:
            yield Metrics(time, call, event.step, points)
    if info.end is not None:
        yield End(info.end, info.status)


def _events(folder: Path) -> Iterator[Any]:
    """The events of a run, in the order in which TensorBoard reads them."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.backend.event_processing.io_wrapper import IsTensorFlowEventsFile

    for path in sorted(map(str, folder.iterdir())):
        if IsTensorFlowEventsFile(path):
            yield from EventFileLoader(path).Load()


def _number(tensor: Any) -> float:
    """The float64 of a point where there is one, else what is drawn."""
    if tensor.double_val:
        return float(tensor.double_val[0])
    from tensorboard.util.tensor_util import make_ndarray

    return float(make_ndarray(tensor).item())


def _text(name: str, time: int, tensor: Any) -> Iterator[AnyEvent]:
    if name in layout.TEXTS:
        kind, shown = layout.TEXTS[name], layout.unfenced(tensor.string_val[0])
        yield kind(time, *(shown if len(kind.__struct_fields__) > 2 else [shown]))


def _content(event: Media, tensor: Any) -> Media:
    """`event` with the content that its dashboard shows."""
    if event.format == "counts":
        inline: Any = layout.histogram(tensor.double_val)
    elif event.format == "rows":
        inline = layout.table([cell.decode() for cell in tensor.string_val], tensor.tensor_shape.dim[1].size)
    elif event.format == "text":
        inline = tensor.string_val[0].decode()
    else:
        data = tensor.string_val[0 if event.kind == "audio" else 2]
        file = FileRef(f"{event.kind}.{event.format}", hashlib.sha256(data).hexdigest(), len(data))
        return msgspec.structs.replace(event, file=file)
    return msgspec.structs.replace(event, inline=inline)
