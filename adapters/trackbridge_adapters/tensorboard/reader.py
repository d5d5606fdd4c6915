"""Reads runs through TensorBoard's EventAccumulator."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from trackbridge import projection, records
from trackbridge.adapters import SIDECAR_FILE
from trackbridge.errors import RunNotFound
from trackbridge.records import FileRef, Media, Metrics, Record, RunInfo
from trackbridge_adapters.tensorboard import layout

Order = tuple[int, str, int]
"""The number of a record, and a tag and place in it for what the forwarder added at the end, which has no number of its own."""


class Reader:
    """Reads runs through TensorBoard's EventAccumulator. Of runs that others wrote it reads the scalars, as TensorBoard holds them."""

    def __init__(self, location: Path) -> None:
        self.location = location

    def runs(self) -> Iterator[RunInfo]:
        for folder in layout.folders(self.location):
            yield layout.info_of(layout.kept(folder)) or self._foreign(folder)

    def _foreign(self, folder: Path) -> RunInfo:
        return RunInfo(id=folder.relative_to(self.location).as_posix(), name=folder.name)

    def read(self, run_id: str) -> Iterator[Record]:
        folder = layout.find(self.location, run_id)
        if folder is None:
            folder = next((path for path in layout.folders(self.location) if self._foreign(path).id == run_id), None)
        if folder is None:
            raise RunNotFound(f"no run {run_id!r} in {self.location}")
        accumulator = _accumulator(folder)
        info, events = _events(accumulator, folder)
        if info is None:
            info, events = self._foreign(folder), _foreign_scalars(accumulator)
        ordered: list[records.AnyEvent] = [layout.start(info)]
        if not any(isinstance(event, records.Tags) for event in events.values()):
            ordered.append(records.Tags(info.start, list(info.tags)))
        ordered += [event for _, event in sorted(events.items())]
        if info.end is not None:
            ordered.append(records.End(info.end, info.status))
        for sequence, event in enumerate(ordered):
            yield Record("native", sequence, event)

    def sidecar(self, run_id: str) -> tuple[bytes, str] | None:
        folder = layout.find(self.location, run_id)
        path = folder / SIDECAR_FILE if folder else None
        if folder is None or path is None or not path.is_file():
            return None
        digests = [note["digest"] for name, note, _ in layout.kept(folder) if name == "sidecar"]
        return path.read_bytes(), digests[-1] if digests else ""


def _events(accumulator: Any, folder: Path) -> tuple[RunInfo | None, dict[Order, records.AnyEvent]]:
    """What our own Writer wrote: the run, and events by the number of their record."""
    events: dict[Order, records.AnyEvent] = {}
    calls: dict[int, dict[str, Any]] = {}
    kept: list[tuple[str, dict[str, Any], records.AnyEvent]] = []
    for tag in accumulator.Tags()["tensors"]:
        key = layout.TAGS.decode(tag)
        for index, item in enumerate(accumulator.Tensors(tag)):
            tensor, numbers = item.tensor_proto, item.tensor_proto.int64_val
            if len(numbers) >= 2 and tensor.double_val:
                mark, ordinal = numbers[0], numbers[1]
                values = calls.get(ordinal)
                if values is None:
                    time = layout.time_of(mark, item.wall_time)
                    values = calls[ordinal] = {}
                    events[ordinal, "", 0] = Metrics(time, ordinal, None if mark & layout.NO_STEP else item.step, values)
                values[key] = layout.value_of(tensor, mark & 7)
            elif tensor.variant_val:
                note, event = json.loads(tensor.variant_val[0].type_name), records.decode(tensor.variant_val[0].metadata)[0]
                if tag in ("trackbridge/run", "trackbridge/sidecar"):
                    kept.append((tag.partition("/")[2], note, event))
                elif (found := _found(event, tensor, folder, note.get("native", False))) is not None:
                    events[note["ordinal"], tag, index] = found
                    kept.append((tag.partition("/")[2], note, found))
    return layout.info_of(kept), events


def _found(event: Any, tensor: Any, folder: Path, native: bool) -> Any:
    """`event` with the digests of the contents that are really there; None for a value whose content is not."""
    store = folder / layout.BESIDE / "files"

    def there(ref: FileRef) -> FileRef | None:
        if not ref.digest:  # by reference
            return ref
        if not (store / ref.digest).is_file():
            return None
        with (store / ref.digest).open("rb") as file:
            return FileRef(ref.path, hashlib.file_digest(file, "sha256").hexdigest(), os.fstat(file.fileno()).st_size)

    if isinstance(event, records.Artifact):
        return msgspec.structs.replace(event, files=[ref for ref in map(there, event.files) if ref is not None])
    if isinstance(event, Media) and event.file is not None:
        ref = there(event.file) if not native else None
        if native:
            content = tensor.string_val[0 if event.kind == "audio" else 2]
            ref = FileRef(event.file.path, hashlib.sha256(content).hexdigest(), len(content))
        return None if ref is None else msgspec.structs.replace(event, file=ref)
    return event


def _foreign_scalars(accumulator: Any) -> dict[Order, records.AnyEvent]:
    from tensorboard.util.tensor_util import make_ndarray

    points = [(e.wall_time, e.step, tag, e.value) for tag in accumulator.Tags()["scalars"] for e in accumulator.Scalars(tag)]
    for tag in accumulator.Tags()["tensors"]:
        if accumulator.SummaryMetadata(tag).plugin_data.plugin_name == "scalars":
            points += [(e.wall_time, e.step, tag, make_ndarray(e.tensor_proto).item()) for e in accumulator.Tensors(tag)]
    points.sort(key=lambda point: point[0])
    return {(n, "", 0): Metrics(projection.nanoseconds(p[0]), n, p[1], {p[2]: p[3]}) for n, p in enumerate(points)}


def _accumulator(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import STORE_EVERYTHING_SIZE_GUIDANCE, EventAccumulator

    return EventAccumulator(str(folder), size_guidance=STORE_EVERYTHING_SIZE_GUIDANCE, purge_orphaned_data=False).Reload()
