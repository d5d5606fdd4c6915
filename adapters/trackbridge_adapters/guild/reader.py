"""Reads runs by Guild's own readers of attributes and events."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from trackbridge.adapters import SIDECAR_FILE
from trackbridge.errors import RunNotFound
from trackbridge.files import reference
from trackbridge.names import from_text
from trackbridge.normal import unflatten
from trackbridge.projection import nanoseconds
from trackbridge.records import AnyEvent, Artifact, Config, FileRef, Media, Metrics, Record, RunInfo, Summary, Tags
from trackbridge.times import from_iso
from trackbridge_adapters.guild import layout
from trackbridge_adapters.guild.layout import ARTIFACT, KEYS, MEDIA, OWN, STRING
from trackbridge_adapters.tensorboard.events import OURS

LARGEST_CELL = (1 << 31) - 1


class Reader:
    """Reads the runs of a home. Of runs that others wrote, and that we have not adopted, it reads flags and scalars."""

    def __init__(self, home: Path, project: str) -> None:
        self._home, self._project = home, project

    def runs(self) -> Iterator[RunInfo]:
        for run in layout.library().runs(str(self._home / "runs"), force_root=True):
            found = layout.info(run)
            if self._project in ("", found.project):
                yield found

    def read(self, run_id: str) -> Iterator[Record]:
        run = self._find(run_id)
        events = _ours(run) if run.get(OWN) else _theirs(run)
        for sequence, event in enumerate(events):
            yield Record("native", sequence, event)

    def sidecar(self, run_id: str) -> tuple[bytes, str] | None:
        run = self._find(run_id)
        path = Path(run.path, SIDECAR_FILE)
        return (path.read_bytes(), (run.get(OWN) or {}).get("sidecar", "")) if path.is_file() else None

    def _find(self, run_id: str) -> Any:
        if "/" not in run_id and (self._home / "runs" / run_id / ".guild" / "opref").is_file():
            return layout.run_at(self._home, run_id)
        raise RunNotFound(f"no run {run_id!r} in {self._home}")


def _theirs(run: Any) -> Iterator[AnyEvent]:
    start, flags = layout.info(run).start, run.get("flags") or {}
    yield Config(start, {str(name): value for name, value in flags.items()})
    yield Tags(start, [str(tag) for tag in run.get("tags") or ()])
    lib = layout.library()
    for folder, _, _ in lib.scalar_readers(run.path):
        for event in lib.EventReader(folder):
            values = {told[0]: told[1] for value in event.summary.value if (told := lib.scalar_of(event, value))}
            if values:
                yield Metrics(nanoseconds(event.wall_time), 0, event.step, values)


def _ours(run: Any) -> Iterator[AnyEvent]:
    lib, folder, start = layout.library(), Path(run.path), layout.info(run).start
    yield Config(start, unflatten({str(name): value for name, value in (run.get("flags") or {}).items()}))
    yield Summary(start, run.get("summary") or {})
    yield Tags(start, [str(tag) for tag in run.get("tags") or ()])
    artifacts: dict[str, Artifact] = {}  # by place: what was logged again has replaced it
    for path in sorted(path for path in folder.iterdir() if OURS.fullmatch(path.name)):
        for event in lib.EventReader(str(path)):
            points: dict[str, Any] = {}
            for value in event.summary.value:
                scalar = lib.scalar_of(event, value)
                key, _, end = value.tag.rpartition("·")
                if scalar is not None:
                    points[KEYS.decode(value.tag)] = scalar[1]
                elif end == STRING:
                    points[KEYS.decode(key)] = value.tensor.string_val[0].decode()
                elif end == MEDIA:
                    yield _media(folder, json.loads(value.tensor.string_val[0]))
                elif end == ARTIFACT:
                    for place, artifact in _files(folder, json.loads(value.tensor.string_val[0])):
                        artifacts.pop(place, None)
                        artifacts[place] = artifact
            if points:
                yield Metrics(nanoseconds(event.wall_time), 0, event.step, points)
    yield from artifacts.values()


def _media(folder: Path, about: dict[str, Any]) -> Media:
    path = folder / about["file"]
    media = Media(from_iso(about["time"]), 0, about["step"], about["key"], about["kind"], about["format"], meta=about.get("meta", {}))
    if media.kind in layout.SUFFIXES:
        return msgspec.structs.replace(media, inline=_inline(media.kind, path.read_bytes().decode("utf-8", "surrogatepass")))
    return msgspec.structs.replace(media, file=_ref(path, path.name))


def _inline(kind: str, text: str) -> Any:
    if kind == "histogram":
        return json.loads(text)
    if kind == "table":
        csv.field_size_limit(LARGEST_CELL)
        columns, *rows = ([from_text(cell) for cell in row] for row in csv.reader(io.StringIO(text, newline="")))
        return {"columns": columns, "rows": rows}
    return text


def _files(folder: Path, about: dict[str, Any]) -> Iterator[tuple[str, Artifact]]:
    for entry in about["files"]:
        if "file" in entry:
            place, ref = entry["file"], _ref(folder / entry["file"], entry["path"])
        else:
            place, ref = f"{about['name']}/{entry['path']}", FileRef(entry["path"], "", entry["bytes"])
        time, metadata = from_iso(about["time"]), about.get("metadata", {})
        yield place, Artifact(time, about["name"], about["type"], [ref], entry.get("uri", ""), metadata)


def _ref(path: Path, name: str) -> FileRef:
    """A file that was deleted in Guild has no digest."""
    return reference(path, name) if path.is_file() else FileRef(name, "", 0)
