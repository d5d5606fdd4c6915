"""Event files (TFRecord frames of protobuf messages): appended by one thread, and cut back to the last flush after a kill."""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from trackbridge import projection
from trackbridge.adapters import Position
from trackbridge.errors import Unavailable
from trackbridge.files import outage

OURS = re.compile(r"events\.out\.tfevents\.\d{10,}\.trackbridge\.\d{6}")
CHUNK = 1 << 16  # bytes that are handed to the system at once
POSITION = "trackbridge position "  # log message of each flush: what is held up to here


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


class EventFiles:
    """The event files that we write into one run's folder. `held`: the records that were appended; `position`: those that were flushed."""

    def __init__(self, folder: Path, start: int, position: Position | None) -> None:
        """Cut back to `position`. Continue the newest file, or begin one after a cut: a server that read beyond it waits there for more."""
        self._folder, self._proto = folder, protobuf()
        self._time = projection.seconds(start)
        self.position, cut = _recover(folder, position)
        self.held: dict[str, int] = dict(self.position.token["held"])
        self._lengths: dict[str, int] = dict(self.position.token["files"])
        self._buffer = bytearray()
        self._name, self._length = max(self._lengths.items(), default=("", 0))
        if not self._name:
            self._name = f"events.out.tfevents.{max(0, start) // 10**9:010d}.trackbridge.000000"
        elif cut:
            self._name, self._length = f"{self._name[:-6]}{int(self._name[-6:]) + 1:06d}", 0
        self._file = io.FileIO(folder / self._name, "ab")
        if not self._length:
            self.append(self._proto.Event(wall_time=self._time, file_version="brain.Event:2"))

    def append(self, event: Any) -> None:
        self._buffer += frame(event.SerializeToString())
        if len(self._buffer) >= CHUNK:
            self._put()

    def _put(self) -> None:
        """Hand the buffered frames to the system; after an error the file ends where the last flush left it."""
        data, self._buffer = memoryview(self._buffer), bytearray()
        try:
            with outage(self._folder):
                while data:
                    written = self._file.write(data) or 0
                    self._length += written
                    data = data[written:]
        except Unavailable:
            self._length = self._lengths.get(self._name, 0)
            self.held = dict(self.position.token["held"])
            with contextlib.suppress(OSError):
                self._file.truncate(self._length)
            raise

    def flush(self) -> Position:
        if self._buffer or self.held != self.position.token["held"]:
            told = self._proto.LogMessage(message=POSITION + json.dumps(self.held))
            self.append(self._proto.Event(wall_time=self._time, log_message=told))
            self._put()
            self._lengths[self._name] = self._length
            self.position = Position(dict(self.held), {"files": dict(self._lengths), "held": dict(self.held)})
        return self.position

    def close(self) -> None:
        with outage(self._folder):
            os.fsync(self._file.fileno())
            self._file.close()


def _recover(folder: Path, position: Position | None) -> tuple[Position, bool]:
    """Cut our files back to `position`, or to the last position that they tell themselves; say whether anything was cut."""
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if OURS.fullmatch(path.name)}
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
        for end, data in frames(folder / name):
            if POSITION.encode() in data:
                message = protobuf().Event.FromString(data).log_message.message
                if message.startswith(POSITION):
                    held, lengths = json.loads(message.removeprefix(POSITION)), whole | {name: end}
        whole[name] = size
    return held, lengths
