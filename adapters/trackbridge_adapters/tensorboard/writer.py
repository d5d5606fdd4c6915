"""Writes a run: one thread, one file, nothing buffered beyond `flush`."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import math
import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from trackbridge import projection, records
from trackbridge.adapters import SIDECAR_FILE, Place, Position
from trackbridge.deviations import Deviation
from trackbridge.errors import Rejected, SettingsError, Unavailable
from trackbridge.files import add_file
from trackbridge.normal import flatten
from trackbridge.projection import Point
from trackbridge.records import FileRef, Media, Metrics, Record, RunInfo, Status
from trackbridge_adapters.tensorboard import layout

KEPT = records.Config | records.Summary | records.Tags | records.Define | records.Artifact | records.Rewind | records.Deviations
NATIVE_LIMIT = 64 << 20  # larger media stay files: a protobuf message ends at 2 GiB, and a dashboard loads it whole
CHUNK = 1 << 16  # bytes that are handed to the system at once
POSITION = "trackbridge position "


class Writer:
    """Appends framed events to one file. Nothing is buffered beyond `flush`, nothing is written by another thread."""

    def __init__(self, location: Path, project: str) -> None:
        self.location, self.project = location, project
        self._file: io.FileIO | None = None

    def open(self, run: RunInfo, position: Position | None) -> Position:
        if self._file is not None:
            self._file.close()
        self._run, self._proto = run, layout.protobuf()
        self._buffer = bytearray()
        self._slots: dict[str, tuple[Any, Any]] = {}  # by key: the protobuf value of a series, made once, and its tensor
        self._described: set[str] = set()  # tags whose dashboard was named
        project = self.project or run.project
        name = f"{layout.FOLDERS.encode(run.name or run.id)}-{layout.FOLDERS.encode(run.id)}"
        folder = self.location / (layout.FOLDERS.encode(project) if project else "") / name
        with _outage(folder):
            self._folder = folder if folder.is_dir() else layout.find(self.location, run.id) or folder
            self._folder.mkdir(parents=True, exist_ok=True)
            self._begin(position)
        self._store("run", layout.start(run), _describe(run), run.start, tags=list(run.tags), status=str(Status.RUNNING))
        held = self.flush()
        return held if position is not None else Position({}, held.token)  # without a cursor all comes again; what is held is skipped

    def _begin(self, position: Position | None) -> None:
        """Cut back to `position`. Continue the newest file, or begin one after a cut: a server that read beyond it waits there for more."""
        self._position, cut = _recover(self._folder, position)
        self._files: dict[str, int] = dict(self._position.token["files"])
        self._name, self._length = max(self._files.items(), default=("", 0))
        if not self._name:
            self._name = f"events.out.tfevents.{max(0, self._run.start) // 10**9:010d}.trackbridge.000000"
        elif cut:
            self._name, self._length = f"{self._name[:-6]}{int(self._name[-6:]) + 1:06d}", 0
        self._file = io.FileIO(self._folder / self._name, "ab")
        self._restart()
        self._hparams: dict[str, Any] | None = None if self._next else {}  # the configuration until its dashboard has it
        if not self._length:
            self._event(self._proto.Event(wall_time=projection.seconds(self._run.start), file_version="brain.Event:2"))

    def _restart(self) -> None:
        self._next: dict[str, int] = dict(self._position.token["held"])
        self._ordinal = sum(self._next.values())  # grows with each record, through restarts
        self._owed: list[Deviation] = []

    def write(self, batch: Sequence[Record]) -> Sequence[Deviation]:
        for index, record in enumerate(batch):
            following = self._next.get(record.shard, 0)
            if record.shard and record.sequence < following:
                continue
            event = record.event
            if isinstance(event, Metrics):
                try:
                    self._metrics(event)
                except (TypeError, ValueError) as error:
                    self._slots, self._described = {}, set()  # the next event of each tag describes it again
                    raise Rejected(f"a point must be a number, a bool, a text or None: {error}", index) from error
            elif isinstance(event, Media | KEPT):
                with _outage(self._folder):
                    self._media(event, index) if isinstance(event, Media) else self._other(event, index)
            if record.shard:  # what the forwarder adds at the end has no identity
                self._next[record.shard] = record.sequence + 1
                self._ordinal += record.sequence + 1 - following
        deviations, self._owed = self._owed, []
        return deviations

    def _metrics(self, event: Metrics) -> None:
        if event.step is not None and not -(2**63) <= event.step < 2**63:
            points = [Point(key, value, event.step, event.time, event.call) for key, value in event.values.items()]
            changes = [(point, rule) for point in points for rule in layout.PROJECTION.apply("scalar", point)[1]]
            self._owed += [projection.deviation(rule, point.key, point.step) for point, rule in changes]
            return
        if self._hparams:
            self._session_start()
        wall_time = projection.seconds(event.time)
        mark = layout.mark(event.time, wall_time, event.step is None)
        message = self._proto.Event(wall_time=wall_time, step=event.call if event.step is None else event.step)
        values, ordinal = message.summary.value, self._ordinal
        for key, value in event.values.items():
            known = self._slots.get(key)
            slot, tensor = known or self._slot(key)
            if type(value) is float:
                tensor.float_val[0] = tensor.double_val[0] = value
                tensor.int64_val[:] = (mark, ordinal)
                values.append(slot)
            else:
                layout.fill(tensor, value, mark, ordinal)
                values.append(slot)
                del tensor.string_val[:]
            if known is None:  # its first event says which dashboard shows a tag: a series of texts is no chart
                values[-1].metadata.CopyFrom(_metadata("trackbridge" if type(value) is str or value is None else "scalars"))
            if type(value) is str:  # the point is in the series; this copy is for the text dashboard
                values.append(self._value(f"{layout.TAGS.encode(key)}·text", "text", [value.encode()]))
        self._event(message)

    def _slot(self, key: str) -> tuple[Any, Any]:
        slot = self._proto.Value(tag=layout.TAGS.encode(key))
        tensor = slot.tensor
        tensor.dtype = self._proto.DT_FLOAT
        tensor.tensor_shape.SetInParent()
        tensor.float_val.append(0.0)
        tensor.double_val.append(0.0)
        self._slots[key] = slot, tensor
        return slot, tensor

    def _media(self, event: Media, index: int) -> None:
        plugin, cells, shape, native = "text", list[Any]([_note(event)]), list[int](), False
        if event.file is not None and event.file.digest:
            path = self._content(event.file, index)
            native = event.file.size <= NATIVE_LIMIT
            if native and (size := _size(path, event)):
                plugin, cells = "images", [b"%d" % size[0], b"%d" % size[1], path.read_bytes()]
            elif native and (event.kind, event.format) == ("audio", "wav"):
                plugin, cells, shape = "audio", [path.read_bytes(), event.key.encode()], [1, 2]
            else:
                native = False
                self._beside(event.file, index)
        elif event.kind == "histogram" and (bins := _bins(event.inline)):
            plugin, cells, shape = "histograms", bins, [len(bins) // 3, 3]
        elif event.kind == "table" and (rows := _rows(event.inline)):
            cells, shape = [str(cell).encode() for row in rows for cell in row], [len(rows), len(rows[0])]
        elif event.kind == "text" and event.file is None:
            cells = [str(event.inline).encode()]
        step = event.call if event.step is None else max(-(2**63), min(event.step, 2**63 - 1))
        value = self._value(f"{layout.TAGS.encode(event.key)}·{plugin}", plugin, cells, shape)
        self._keep(value, event, native=native)
        self._event(self._message(event.time, step, value))

    def _other(self, event: Any, index: int) -> None:
        if isinstance(event, records.Artifact):
            for ref in event.files:
                if ref.digest:
                    self._beside(ref, index)
        elif isinstance(event, records.Config) and self._hparams is not None:
            self._hparams.update(event.values)
        elif isinstance(event, records.Rewind):  # what TensorBoard itself does on a restart: hide later points of the earlier attempt
            start = self._proto.SessionLog(status=self._proto.SessionLog.START)
            step = max(-(2**63), min(event.step, 2**63 - 1))
            self._event(self._proto.Event(wall_time=projection.seconds(event.time), step=step, session_log=start))
        shown = event.values if hasattr(event, "values") else msgspec.to_builtins(event)[2:]
        self._store(type(event).__name__.lower(), event, shown, event.time)

    def _content(self, ref: FileRef, index: int) -> Path:
        path = self._run.content(ref) if self._run.directory is not None else None
        if path is None or not path.is_file():
            raise Rejected(f"the content of {ref.path!r} ({ref.digest[:12]}) is not in the run's folder", index)
        return path

    def _beside(self, ref: FileRef, index: int) -> None:
        store = self._folder / layout.BESIDE / "files"
        if not (store / ref.digest).is_file():
            path = self._content(ref, index)
            try:
                add_file(store, path, ref.path)
            except SettingsError as error:
                raise Unavailable(str(error)) from error

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
        content = self._proto.HParamsPluginData(version=0, **{part: info}).SerializeToString()
        value = self._proto.Value(tag=f"_hparams_/{part}", metadata=_metadata("hparams", content))
        self._event(self._message(time, 0, value))

    def _store(self, name: str, event: records.Event, shown: Any, time: int, **note: Any) -> None:
        """A record that is no value of a series: a text for people, and its exact form."""
        text = json.dumps(shown, indent=2, ensure_ascii=False, default=repr)[:20_000]
        value = self._value(f"trackbridge/{name}", "text", [f"```json\n{text}\n```".encode()])
        self._keep(value, event, **note)
        self._event(self._message(time, self._ordinal, value))

    def _keep(self, value: Any, event: records.Event, **note: Any) -> None:
        value.tensor.variant_val.add(type_name=json.dumps({"ordinal": self._ordinal, **note}), metadata=records.encode([event]))

    def _message(self, time: int, step: int, value: Any) -> Any:
        return self._proto.Event(wall_time=projection.seconds(time), step=step, summary=self._proto.Summary(value=[value]))

    def _value(self, tag: str, plugin: str, cells: list[Any], shape: Sequence[int] = ()) -> Any:
        value = self._proto.Value(tag=tag)
        if tag not in self._described:
            self._described.add(tag)
            value.metadata.CopyFrom(_metadata(plugin))
        tensor = value.tensor
        tensor.tensor_shape.SetInParent()
        for size in shape or ([len(cells)] if len(cells) > 1 else ()):
            tensor.tensor_shape.dim.add(size=size)
        tensor.dtype = self._proto.DT_DOUBLE if plugin == "histograms" else self._proto.DT_STRING
        (tensor.double_val if plugin == "histograms" else tensor.string_val).extend(cells)
        return value

    def _event(self, event: Any) -> None:
        self._buffer += layout.frame(event.SerializeToString())
        if len(self._buffer) >= CHUNK:
            self._put()

    def _put(self) -> None:
        """Hand the buffered frames to the system; after an error the file ends where the last flush left it."""
        assert self._file is not None
        data, self._buffer = memoryview(self._buffer), bytearray()
        try:
            with _outage(self._folder):
                while data:
                    written = self._file.write(data) or 0
                    self._length += written
                    data = data[written:]
        except Unavailable:
            self._length = self._files.get(self._name, 0)
            self._restart()
            with contextlib.suppress(OSError):
                self._file.truncate(self._length)
            raise

    def flush(self) -> Position:
        if self._hparams:
            self._session_start()
        if self._buffer or self._next != self._position.token["held"]:
            note = POSITION + json.dumps(self._next)
            self._event(self._proto.Event(wall_time=projection.seconds(self._run.start), log_message=self._proto.LogMessage(message=note)))
            self._put()
            self._files[self._name] = self._length
            self._position = Position(dict(self._next), {"files": dict(self._files), "held": dict(self._next)})
        return self._position

    def attach(self, sidecar: bytes, digest: str) -> None:
        self.flush()
        path = self._folder / SIDECAR_FILE
        with _outage(path):
            path.parent.mkdir(exist_ok=True)
            partial = path.with_suffix(".part")
            with partial.open("wb") as file:
                file.write(sidecar)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        self._store("sidecar", records.Heartbeat(self._run.start), {"sha256": digest}, self._run.start, digest=digest)
        self.flush()

    def close(self, status: str, end: int) -> None:
        self.flush()
        outcome = self._proto.STATUS_SUCCESS if status == Status.FINISHED else self._proto.STATUS_FAILURE
        self._session("session_end_info", self._proto.SessionEndInfo(status=outcome, end_time_secs=projection.seconds(end)), end)
        self._store("run", layout.start(self._run), _describe(self._run), end, tags=list(self._run.tags), status=str(status), end=end)
        self.flush()
        assert self._file is not None
        with _outage(self._folder):
            os.fsync(self._file.fileno())
            self._file.close()

    def place(self) -> Place:
        return Place(self._run.id, str(self._folder), hint=f"tensorboard --logdir {shlex.quote(str(self.location))}")


def _describe(run: RunInfo) -> dict[str, Any]:
    fields = ("id", "name", "project", "group", "job_type", "notes", "tags", "provenance")
    return {field: value for field in fields if (value := getattr(run, field))}


def _bins(inline: Any) -> list[float]:
    """Left edge, right edge and count of each bin; [] for what is no histogram."""
    edges, counts = (inline.get(name) or () for name in ("edges", "counts")) if isinstance(inline, dict) else ((), ())
    if len(edges) != len(counts) + 1:
        return []
    return [projection.to_float(number) for row in zip(edges, edges[1:], counts, strict=False) for number in row]


def _rows(inline: Any) -> list[list[Any]]:
    """The head and the rows of a table; [] for what is none."""
    rows = [inline.get("columns") or [], *inline.get("rows", [])] if isinstance(inline, dict) else [[]]
    return rows if rows[0] and all(len(row) == len(rows[0]) for row in rows) else []


def _note(event: Media) -> bytes:
    if event.file is None:
        return json.dumps(event.inline, default=repr)[:20_000].encode()
    where = f"{layout.BESIDE}/files/{event.file.digest}" if event.file.digest else "where it was logged"
    return f"{event.kind} {event.file.path} ({event.file.size} bytes): {where}".encode()


def _size(path: Path, event: Media) -> tuple[int, int] | None:
    """Width and height of an image that a browser shows, else None."""
    if event.kind not in ("image", "figure") or event.format not in ("png", "jpg", "jpeg", "gif", "webp", "bmp"):
        return None
    from PIL import Image

    try:
        with Image.open(path) as image:
            return int(image.width), int(image.height)
    except (OSError, ValueError, Image.DecompressionBombError):
        return None


@functools.cache
def _metadata(plugin: str, content: bytes = b"") -> Any:
    """What tells TensorBoard which dashboard shows a tag."""
    proto = layout.protobuf()
    if plugin == "audio":
        content = proto.AudioPluginData(version=0, encoding=proto.AudioPluginData.WAV).SerializeToString()
    return proto.SummaryMetadata(plugin_data=proto.SummaryMetadata.PluginData(plugin_name=plugin, content=content))


def _recover(folder: Path, position: Position | None) -> tuple[Position, bool]:
    """Cut our files back to `position`, or to the last position that they tell themselves; say whether anything was cut."""
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if layout.OURS.fullmatch(path.name)}
    token = position.token if position else {}
    lengths, held = token.get("files", {}), token.get("held", {})
    if not lengths or any(sizes.get(name, 0) < length for name, length in lengths.items()):
        held, lengths = _told(folder, sizes)
    kept = {name: lengths.get(name, 0) for name in sizes}
    for name, length in kept.items():
        if sizes[name] > length:
            os.truncate(folder / name, length)
    return Position(held, {"files": kept, "held": held}), kept != sizes


def _told(folder: Path, sizes: dict[str, int]) -> tuple[dict[str, int], dict[str, int]]:
    """The sequences that the files themselves tell last, and their lengths there."""
    held, lengths, whole = dict[str, int](), dict[str, int](), dict[str, int]()
    for name, size in sizes.items():
        for end, data in layout.frames(folder / name):
            if POSITION.encode() in data:
                message = layout.protobuf().Event.FromString(data).log_message.message
                if message.startswith(POSITION):
                    held, lengths = json.loads(message.removeprefix(POSITION)), whole | {name: end}
        whole[name] = size
    return held, lengths


@contextlib.contextmanager
def _outage(path: Path) -> Iterator[None]:
    """A file system that is full, read-only or gone is an outage."""
    try:
        yield
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror or error}") from error
