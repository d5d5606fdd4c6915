"""neptune 1.x: a log of operations as lines of JSON for each run, and the files to upload beside it.

The lines are those of the client's ``Operation.to_dict``, as its queue writes them; the client itself takes seconds to import, and is not needed.
"""

from __future__ import annotations

import base64
import io
import json
import math
import os
import platform
import re
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trackbridge.adapters import Position
from trackbridge.files import put, replace
from trackbridge.projection import Projection, nanoseconds, seconds
from trackbridge.records import Metrics, RunInfo
from trackbridge_adapters.neptune import layout
from trackbridge_adapters.neptune.layout import JOURNAL, JOURNAL_FILE, POSITION, RUN_ID, Gone, Held, Sets, Stored

VERSION = "1.14.0.post2"  # of the client whose form this is
BATCH = 100  # points in one operation, as the client writes them
LOG_BYTES = 64 << 20  # after which the client begins another file
CHUNK = 1 << 20  # bytes that are handed to the system at once
IMAGES = ("png", "jpg", "jpeg", "gif", "webp", "bmp")
IMAGE_BYTES = 32 << 20
ASSIGN = {bool: "AssignBool", int: "AssignInt", float: "AssignFloat", str: "AssignString"}
FLOAT = frozenset({float})
EMPTY = "··"  # an escape that stands for nothing
encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def outages() -> tuple[type[Exception], ...]:
    """What is raised where the log cannot be written."""
    return (OSError,)


class Store:
    """Writes one run. What is written after the last flush is cut off when a killed Writer is opened again (recovery ``truncate``)."""

    projection: Projection = layout.CLASSIC
    text_limit = 16_384

    def __init__(self, location: Path, run: RunInfo, project: str, position: Position | None) -> None:
        self.folder = _folder(location, run.id)
        self._uploads = self.folder / "upload_path"
        self._uploads.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "metadata.json").exists():
            replace(self.folder / "metadata.json", _metadata(self.folder.name.split("__")[1], run.start))
        self.held, self._lengths = _recover(self.folder, position)
        self.new = not any(self._lengths.values())
        self._version, self._uploaded = 0, 0
        self._leaves: dict[str, str] = {}  # types of attributes; Neptune has none below another
        self._spaces: Counter[str] = Counter()
        self._values: Counter[str] = Counter()  # of media that lie in files
        self._scan()
        self._file = io.FileIO(self.folder / max(self._lengths, key=_first, default="data-1.log"), "ab")
        self._places: dict[str, str] = {}
        self._points: dict[str, list[dict[str, Any]]] = {}
        self._staged: list[tuple[str, str, dict[str, Any]]] = []
        self._lines: list[bytes] = []
        self._bytes = 0

    def _scan(self) -> None:
        """Learn which attributes and files the log names; files that it does not name are left of a kill."""
        named = {JOURNAL_FILE}
        for operation, version in _operations(self.folder):
            kind, path, self._version = operation["type"], "/".join(operation["path"]), version
            if kind == "DeleteAttribute":
                self._forget(path)
                continue
            self._see(path, kind)
            if kind == "UploadFile":
                named.add(operation["tmp_file_name"])
                if path != JOURNAL:
                    self._uploaded = int(operation["tmp_file_name"][:8])
                if path.endswith("/content"):
                    self._values[path.rsplit("/", 2)[0]] += 1
        for file in self._uploads.iterdir():
            if file.name not in named:
                file.unlink()

    def known(self) -> Iterator[Held]:
        return Run(self.folder).held(series=False)

    def shown(self, value: Any) -> Any:
        return layout.shown(value, 32, finite=True)

    def free(self, event: Metrics) -> bool:
        """Whether no rule but that on times concerns `event`."""
        return FLOAT.issuperset(map(type, event.values.values())) and all(map(math.isfinite, event.values.values()))

    def rounds(self, time: int) -> bool:
        return nanoseconds(seconds(time)) != time

    # -- names -----------------------------------------------------------------------------------------------------------------------

    def _see(self, path: str, kind: str) -> None:
        if path not in self._leaves:
            self._spaces.update(_above(path))
        self._leaves[path] = kind

    def _forget(self, path: str) -> None:
        if self._leaves.pop(path, None):
            self._spaces.subtract(_above(path))

    def _place(self, path: str) -> str:
        """Where the attribute `path` lies: with an empty escape where an attribute would lie below another."""
        place = self._places.get(path)
        if place is None:
            parts = path.split("/")
            for end in range(1, len(parts)):
                while "/".join(parts[:end]) in self._leaves:
                    parts[end - 1] += EMPTY
            while self._spaces["/".join(parts)] > 0:
                parts[-1] += EMPTY
            place = self._places[path] = "/".join(parts)
        return place

    # -- operations ------------------------------------------------------------------------------------------------------------------

    def _stage(self, kind: str, path: str, **fields: Any) -> None:
        self._staged.append((kind, path, fields))

    def assign(self, path: str, value: Any, time: int) -> None:
        place = self._place(path)
        if isinstance(value, Gone):
            self._stage("DeleteAttribute", place)
            self._forget(place)
            self._places.clear()
            return
        kind = ASSIGN[type(value)]
        if self._leaves.get(place, kind) != kind:  # an attribute keeps its type
            self._stage("DeleteAttribute", place)
        self._see(place, kind)
        self._stage(kind, place, value=value)

    def change(self, path: str, sets: Sets, time: int) -> None:
        for kind, texts in (("RemoveStrings", sets.remove), ("AddStrings", sets.add)):
            if texts:
                self._stage(kind, path, values=texts)

    def points(self, values: dict[str, float], texts: dict[str, str], step: int | None, time: int) -> None:
        at = seconds(time)
        for name, value in values.items():
            points = self._points.get(name)
            if points is None:
                points = self._points[name] = []
            points.append({"value": value, "step": step, "ts": at})
            if len(points) >= BATCH:
                self._put_points(name)
        for name, text in texts.items():
            self._put_points(name.rpartition("·")[0])  # those before it
            self.text(name, text, step, time)

    def _put_points(self, name: str) -> None:
        if points := self._points.get(name):
            self._points[name] = []
            self._put("LogFloats", self._series(name, "LogFloats"), {"values": points})

    def _series(self, name: str, kind: str) -> str:
        place = self._place(name)
        self._see(place, kind)
        return place

    def fits(self, text: str) -> bool:
        """Whether a series takes `text` whole."""
        return len(text) <= layout.STRING_LIMIT

    def text(self, name: str, text: str, step: int | None, time: int) -> None:
        self._stage("LogStrings", self._series(name, "LogStrings"), values=[{"value": text, "step": step, "ts": seconds(time)}])

    def histogram(self, name: str, content: Any, step: int | None, time: int) -> bool:
        return False

    def media(self, name: str, content: Path | bytes, file: str, step: int | None, time: int) -> None:
        """An image goes into a series; there is none for other files, so each has a place of its own, with its step and time."""
        length = len(content) if isinstance(content, bytes) else content.stat().st_size
        if name.rpartition(".")[2] in IMAGES and length <= IMAGE_BYTES:
            data = base64.b64encode(content if isinstance(content, bytes) else content.read_bytes()).decode()
            value = {"value": {"data": data, "name": file, "description": None}, "step": step, "ts": seconds(time)}
            self._stage("LogImages", self._series(name, "LogImages"), values=[value])
            return
        place = f"{name}/{self._values[name]}"
        self._values[name] += 1
        self.assign(f"{place}/step", self.shown(step), time)
        self.assign(f"{place}/time", seconds(time), time)
        self.file(f"{place}/content", content, file, time)

    def file(self, path: str, content: Path | bytes, file: str, time: int) -> None:
        place = self._place(path)
        if self._leaves.get(place, "UploadFile") != "UploadFile":
            self._stage("DeleteAttribute", place)
        self._see(place, "UploadFile")
        self._uploaded += 1
        copy = self._uploads / f"{self._uploaded:08}-{file}"
        put(copy, content)
        self._upload(place, copy)

    def _upload(self, place: str, copy: Path) -> None:
        fields = {"file_path": None, "tmp_file_name": copy.name, "clean_after_upload": False}
        self._stage("UploadFile", place, ext=copy.suffix[1:], **fields)

    def _put(self, kind: str, place: str, fields: dict[str, Any]) -> None:
        self._version += 1
        operation = {"type": kind, "path": place.split("/"), **fields}
        line = encode({"obj": operation, "version": self._version, "at": time.time()}).encode() + b"\n"
        self._lines.append(line)
        self._bytes += len(line)

    # -- what is held ----------------------------------------------------------------------------------------------------------------

    def take(self) -> None:
        """Keep what was staged: its record is whole."""
        for kind, place, fields in self._staged:
            self._put(kind, place, fields)
        self._staged = []
        if self._bytes > CHUNK:
            self._write()

    def drop(self) -> None:
        self._staged = []

    full = False  # it is written as it comes

    def _write(self) -> None:
        data, self._lines, self._bytes = memoryview(b"".join(self._lines)), [], 0
        while data:
            data = data[self._file.write(data) or 0 :]

    def flush(self, held: dict[str, int]) -> dict[str, Any]:
        for name in self._points:
            self._put_points(name)
        if self._lines or self._staged or held != self.held or self._file.tell() != self._lengths.get(self._name, 0):
            self._stage("AssignString", POSITION, value=json.dumps(held))
            self.take()
            self._write()
            self._lengths[self._name] = self._file.tell()
            replace(self.folder / "last_put_version", str(self._version).encode(), sync=False)
            self.held = dict(held)
            if self._file.tell() > LOG_BYTES:
                self._file.close()
                self._file = io.FileIO(self.folder / f"data-{self._version + 1}.log", "ab")
        return {"files": dict(self._lengths)}

    @property
    def _name(self) -> str:
        return Path(os.fsdecode(self._file.name)).name

    def journal(self, sidecar: bytes) -> None:
        """One file, replaced in place."""
        replace(self._uploads / JOURNAL_FILE, sidecar)
        if JOURNAL not in self._leaves:
            self._see(JOURNAL, "UploadFile")
            self._upload(JOURNAL, self._uploads / JOURNAL_FILE)

    def close(self) -> None:
        self._file.close()


def _folder(location: Path, run_id: str) -> Path:
    number = uuid.uuid5(uuid.NAMESPACE_URL, f"trackbridge:{run_id}")
    return location / "offline" / f"run__{number}__0__trackbridge"


def _metadata(number: str, start: int) -> bytes:
    """What the client notes of a run."""
    about = {
        "mode": "offline",
        "containerId": number,
        "containerType": "run",
        "structureVersion": 3,
        "os": platform.platform(),
        "pythonVersion": sys.version,
        "neptuneClientVersion": VERSION,
        "createdAt": datetime.fromtimestamp(start / 1e9, UTC).isoformat(),
    }
    return json.dumps(about, indent=2).encode()


def _recover(folder: Path, position: Position | None) -> tuple[dict[str, int], dict[str, int]]:
    """Cut the log back to `position`, or to what it tells itself: the sequences that it holds, and the lengths of its files."""
    sizes = {path.name: path.stat().st_size for path in _logs(folder)}
    lengths: dict[str, int] = position.token.get("files", {}) if position else {}
    held = dict(position.sequences) if position else {}
    if not lengths or any(sizes.get(name, 0) < length for name, length in lengths.items()):
        held, lengths = _told(folder)
    for name, size in sizes.items():
        if not lengths.get(name):
            (folder / name).unlink()
        elif size > lengths[name]:
            os.truncate(folder / name, lengths[name])
    return held, {name: length for name, length in lengths.items() if length}


def _told(folder: Path) -> tuple[dict[str, int], dict[str, int]]:
    """The sequences that the log tells last, and the lengths of its files there."""
    held, lengths, whole = dict[str, int](), dict[str, int](), dict[str, int]()
    for path in _logs(folder):
        for end, line in _lines(path):
            whole[path.name] = end
            if b'"position"' in line:
                operation = json.loads(line)["obj"]
                if "/".join(operation["path"]) == POSITION:
                    held, lengths = json.loads(operation["value"]), dict(whole)
    return held, lengths


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) for end in range(1, len(parts))]


def _first(name: str) -> int:
    """The first version in the file of this name."""
    return int(re.sub(r"\D", "", name) or 0)


def _logs(folder: Path) -> list[Path]:
    return sorted(folder.glob("data-*.log"), key=lambda path: _first(path.name))


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(end, line) of the whole lines of a log."""
    end = 0
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            end += len(line)
            yield end, line


def _operations(folder: Path, points: bool = True) -> Iterator[tuple[dict[str, Any], int]]:
    """Operations and their versions; without the points of metrics if not `points`."""
    for path in _logs(folder):
        for _, line in _lines(path):
            if points or b'"LogFloats"' not in line[:40]:
                told = json.loads(line)
                yield told["obj"], told["version"]


class Run:
    """Reads one run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            about = json.loads((folder / "metadata.json").read_bytes())
        except (OSError, ValueError):
            about = {}
        self.run_id = about.get("containerId") or folder.name
        for operation, _ in _operations(folder, points=False):
            if "/".join(operation["path"]) == RUN_ID:
                self.run_id = operation["value"]
                break
        self.project = self.name = ""
        created = about.get("createdAt")
        self.start = nanoseconds(datetime.fromisoformat(created).timestamp()) if created else 0

    def held(self, series: bool = True) -> Iterator[Held]:
        for operation, _ in _operations(self._folder, series):
            kind, path = operation["type"], "/".join(operation["path"])
            if kind in ASSIGN.values():
                yield Held(path, operation["value"])
            elif kind == "AssignDatetime":
                yield Held(path, datetime.fromtimestamp(operation["value"] / 1000, UTC).isoformat())
            elif kind == "AddStrings":
                yield Held(path, Sets(operation["values"]))
            elif kind == "RemoveStrings":
                yield Held(path, Sets([], operation["values"]))
            elif kind == "DeleteAttribute":
                yield Held(path, Gone())
            elif kind == "UploadFile":
                place = Path(operation["file_path"] or self._folder / "upload_path" / operation["tmp_file_name"])
                yield Held(path, Stored(place.name, place if place.is_file() else None))
            elif kind in ("LogFloats", "LogStrings", "LogImages") and series:
                for value in operation["values"]:
                    yield Held(path, _value(value["value"]), True, layout.whole(value["step"]), nanoseconds(value["ts"]))


def _value(value: Any) -> Any:
    """A number or text as it is; an image, which lies in the log itself."""
    if not isinstance(value, dict):
        return value
    return Stored(value.get("name") or "image", data=base64.b64decode(value["data"] or ""))


def runs(location: Path, run_id: str = "") -> Iterator[Run]:
    """The runs in `location`; if it is given, those that may have this id."""
    ours = _folder(location, run_id)
    for folder in [ours] if run_id and ours.is_dir() else sorted(location.glob("offline/*")) + sorted(location.glob("async/*")):
        if _logs(folder):
            yield Run(folder)
