"""Writes a run: one thread, nothing buffered beyond `flush`."""

from __future__ import annotations

import functools
import io
import json
import math
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from trackbridge import files, projection, records
from trackbridge.adapters import SIDECAR_FILE, Place, Position
from trackbridge.deviations import Deviation, Ledger, Reason
from trackbridge.errors import Rejected, SettingsError, Unavailable
from trackbridge.files import outage
from trackbridge.normal import content, flatten
from trackbridge.projection import FileItem, MediaItem, deviation
from trackbridge.records import Artifact, FileRef, Media, Metrics, Record, RunInfo, Status, unpack
from trackbridge_adapters.tensorboard import layout
from trackbridge_adapters.tensorboard.events import EventFiles, protobuf

NATIVE_LIMIT = 64 << 20  # larger media stay files: a protobuf message ends at 2 GiB, and a dashboard loads it whole
FLOAT = frozenset({float})
SCALAR = frozenset({float, int, bool, str, type(None)})


class Writer:
    """Turns Records into events. Names the dashboard of a tag with its first event."""

    def __init__(self, location: Path, project: str) -> None:
        self.location, self.project = location, project
        self._files: EventFiles | None = None

    def open(self, run: RunInfo, position: Position | None) -> Position:
        if self._files is not None:
            self._files.close()
        self._run, self._proto, self._ledger = run, protobuf(), Ledger()
        self._slots: dict[str, tuple[Any, Any]] = {}  # by key: the protobuf value of a series, made once, and its tensor
        self._described: set[str] = set()  # tags whose dashboard was named
        project = self.project or run.project
        name = f"{layout.FOLDERS.encode(run.name or run.id)}-{layout.FOLDERS.encode(run.id)}"
        folder = self.location / (layout.FOLDERS.encode(project) if project else "") / name
        with outage(folder):
            found = None if folder.is_dir() else layout.find(self.location, run.id)
            self._folder = found[0] if found else folder
            self._folder.mkdir(parents=True, exist_ok=True)
            self._files = EventFiles(self._folder, run.start, position)
        self._hparams: dict[str, Any] | None = None if self._files.held else {}  # the configuration until its dashboard has it
        self._show_run(run, run.start)
        held = self.flush()
        return held if position is not None else Position({}, held.token)  # without a cursor all comes again; what is held is skipped

    @property
    def _log(self) -> EventFiles:
        assert self._files is not None, "the Writer was not opened"
        return self._files

    def write(self, batch: Sequence[Record]) -> Sequence[Deviation]:
        log = self._log
        for index, record in enumerate(batch):
            if record.shard and record.sequence < log.held.get(record.shard, 0):
                continue
            try:
                self._take(record.event)
            except SettingsError as error:
                raise Unavailable(str(error)) from error
            except (TypeError, ValueError, LookupError) as error:
                raise Rejected(str(error), index) from error
            except OSError as error:
                raise Unavailable(f"{self._folder}: {error.strerror or error}") from error
            if record.shard:  # what the forwarder adds at the end has no identity
                log.held[record.shard] = record.sequence + 1
        deviations, self._ledger = self._ledger.rows(), Ledger()
        return deviations

    def _take(self, event: records.AnyEvent) -> None:
        if isinstance(event, Metrics):
            self._metrics(event)
        elif isinstance(event, Media):
            self._media(event)
        elif isinstance(event, Artifact):
            about = {"artifact": event.name, "type": event.type, "uri": event.uri, "metadata": event.metadata}
            self._beside(about, event.files, event.time)
            for ref in event.files:
                item = FileItem(event.name, event.type, ref.path, ref.digest)
                layout.PROJECTION.held(self._ledger, "artifact", item, f"artifact/{event.name}", ref.path)
        elif isinstance(event, tuple(layout.TEXTS.values())):
            name, _, *fields = msgspec.to_builtins(event, builtin_types=(bytes,))
            self._show(name, fields[0] if len(fields) == 1 else fields, event.time)
            if isinstance(event, records.Config) and self._hparams is not None:
                self._hparams.update(event.values)

    def _metrics(self, event: Metrics) -> None:
        wall_time, step, given = projection.seconds(event.time), event.step, event.values
        if step is not None and layout.in_range(step) and FLOAT.issuperset(map(type, given.values())):
            if projection.nanoseconds(wall_time) != event.time:
                self._ledger.add(Deviation(Reason.TIMESTAMP, "time", len(given), layout.TIME.what))
        else:
            given = layout.PROJECTION.scalars(self._ledger, event)
            step = event.call if step is None else step
        if not given:
            return
        if self._hparams:
            self._session_start()
        message = self._proto.Event(wall_time=wall_time, step=step)
        values, slots = message.summary.value, self._slots
        for key, value in given.items():
            if type(value) is str:
                values.append(self._value(f"{layout.TAGS.encode(key)}·{layout.STRING}", "text", [value.encode()]))
                continue
            known = slots.get(key)
            slot, tensor = known or self._slot(key)
            tensor.float_val[0] = tensor.double_val[0] = value
            values.append(slot)
            if known is None:
                values[-1].metadata.CopyFrom(_metadata("scalars"))
        self._log.append(message)

    def _slot(self, key: str) -> tuple[Any, Any]:
        slot = self._proto.Value(tag=layout.TAGS.encode(key))
        tensor = slot.tensor
        tensor.dtype = self._proto.DT_FLOAT
        tensor.tensor_shape.SetInParent()
        tensor.float_val.append(0.0)
        tensor.double_val.append(0.0)
        self._slots[key] = slot, tensor
        return slot, tensor

    def _media(self, event: Media) -> None:
        item = MediaItem(event.key, event.step, event.time, event.kind, event.format, content(event), event.call)
        held, rules = layout.PROJECTION.apply("media", item)
        if held is not None and event.file is not None and event.file.size > NATIVE_LIMIT:
            held, rules = None, [layout.NO_DASHBOARD]
        if held is None:
            about = {"media": event.key, "kind": event.kind, "format": event.format, "step": event.step, "value": event.inline}
            self._beside(about, [event.file] if event.file else [], event.time)
        else:
            suffix = layout.SUFFIXES[event.kind, event.format]
            parts, shape = _parts(suffix, self._run.content(event.file).read_bytes() if event.file else event.inline)
            value = self._value(f"{layout.TAGS.encode(event.key)}·{suffix}", layout.DASHBOARDS[suffix][0], parts, shape)
            self._event(event.time, held.step, value)
        for rule in rules:
            self._ledger.add(deviation(rule, event.key, f"{event.kind} {event.format}"))

    def _beside(self, about: dict[str, Any], refs: Sequence[FileRef], time: int) -> None:
        """What no dashboard shows: its files into our folder, and a text that names them."""
        folder = f"{layout.BESIDE}/files"
        for ref in refs:
            if ref.digest and not (self._folder / folder / ref.digest).is_file():
                files.add_file(self._folder / folder, self._run.content(ref), ref.path)
        named = [{"name": ref.path, "bytes": ref.size, "where": f"{folder}/{ref.digest}" if ref.digest else "not copied"} for ref in refs]
        self._show("files", about | {"files": named}, time)

    def _session_start(self) -> None:
        info = self._proto.SessionStartInfo(group_name=self._run.id, start_time_secs=projection.seconds(self._run.start))
        for key, value in flatten(self._hparams or {}).items():
            cell = info.hparams[key]
            if isinstance(value, bool):
                cell.bool_value = value
            elif isinstance(value, int | float) and math.isfinite(number := projection.to_float(value)) and number == value:
                cell.number_value = number
            else:  # the dashboard's JSON has neither NaN nor lists
                cell.string_value = value if isinstance(value, str) else json.dumps(value, default=repr)
        self._hparams = None
        self._session("session_start_info", info, self._run.start)

    def _session(self, part: str, info: Any, time: int) -> None:
        data = self._proto.HParamsPluginData(version=0, **{part: info}).SerializeToString()
        self._event(time, 0, self._proto.Value(tag=f"_hparams_/{part}", metadata=_metadata("hparams", data)))

    def _show_run(self, run: RunInfo, time: int) -> None:
        fields = (field for field in run.__struct_fields__ if field != "directory")
        self._show("run", {field: value for field in fields if (value := getattr(run, field))}, time)

    def _show(self, name: str, value: Any, time: int) -> None:
        """`value` as a text for people, which the Reader reads too."""
        tag = f"{layout.BESIDE}/{name}"
        self._event(time, sum(self._log.held.values()), self._value(tag, "text", [layout.fenced(value)]))

    def _event(self, time: int, step: int | None, value: Any) -> None:
        self._log.append(self._proto.Event(wall_time=projection.seconds(time), step=step, summary=self._proto.Summary(value=[value])))

    def _value(self, tag: str, plugin: str, parts: list[Any], shape: Sequence[int] = ()) -> Any:
        value = self._proto.Value(tag=tag)
        if tag not in self._described:
            self._described.add(tag)
            value.metadata.CopyFrom(_metadata(plugin))
        tensor = value.tensor
        tensor.tensor_shape.SetInParent()
        for size in shape:
            tensor.tensor_shape.dim.add(size=size)
        tensor.dtype = self._proto.DT_DOUBLE if plugin == "histograms" else self._proto.DT_STRING
        (tensor.double_val if plugin == "histograms" else tensor.string_val).extend(parts)
        return value

    def flush(self) -> Position:
        if self._hparams:
            self._session_start()
        return self._log.flush()

    def attach(self, sidecar: bytes, digest: str) -> None:
        self.flush()
        path = self._folder / SIDECAR_FILE
        with outage(path):
            path.parent.mkdir(exist_ok=True)
            files.replace(path, sidecar)
        self._show("sidecar", {"sha256": digest}, self._run.start)
        self.flush()

    def close(self, status: str, end: int) -> None:
        self.flush()
        outcome = self._proto.STATUS_SUCCESS if status == Status.FINISHED else self._proto.STATUS_FAILURE
        self._session("session_end_info", self._proto.SessionEndInfo(status=outcome, end_time_secs=projection.seconds(end)), end)
        self._show_run(msgspec.structs.replace(self._run, status=str(status), end=end), end)
        self.flush()
        self._log.close()

    def place(self) -> Place:
        return Place(self._run.id, str(self._folder), hint=f"tensorboard --logdir {shlex.quote(str(self.location))}")


def _parts(suffix: str, held: Any) -> tuple[list[Any], list[int]]:
    """The values and the shape of a tensor of media; `held`: what lies inline, or the bytes of the file."""
    plugin, kind, _ = layout.DASHBOARDS[suffix]
    if plugin == "images":
        return [*_size(held), held], [3]
    if plugin == "audio":
        return [held, b""], [1, 2]  # a sound and its label
    if plugin == "histograms":
        numbers = layout.bins(held)
        return numbers, [len(numbers) // 3, 3]
    inline = unpack(held) if isinstance(held, bytes) else held
    if kind == "text":
        return [str.encode(inline)], []
    if not (rows := layout.cells(inline)):
        raise ValueError("the file holds no table")
    return [cell.encode() for row in rows for cell in row], [len(rows), len(rows[0])]


def _size(picture: bytes) -> tuple[bytes, bytes]:
    """Width and height; 0 for what is no picture, which the dashboard shows as such."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(picture)) as image:
            return b"%d" % image.width, b"%d" % image.height
    except (OSError, ValueError, Image.DecompressionBombError):
        return b"0", b"0"


@functools.cache
def _metadata(plugin: str, data: bytes = b"") -> Any:
    """What tells TensorBoard which dashboard shows a tag."""
    proto = protobuf()
    if plugin == "audio":
        data = proto.AudioPluginData(version=0, encoding=proto.AudioPluginData.WAV).SerializeToString()
    return proto.SummaryMetadata(plugin_data=proto.SummaryMetadata.PluginData(plugin_name=plugin, content=data))
