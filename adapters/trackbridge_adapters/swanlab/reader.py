"""Reads runs through the client's own reader of logs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from trackbridge.adapters import SIDECAR_FILE
from trackbridge.errors import RunNotFound
from trackbridge.files import reference
from trackbridge.records import AnyEvent, Artifact, Config, Media, Metrics, Record, RunInfo, Status, Summary
from trackbridge_adapters.swanlab import layout
from trackbridge_adapters.swanlab.layout import CONFIG, DIGEST, ID, INLINE, KEYS, NAMES, OURS, PARTS, STRING, SUMMARY, TAGS, client, told

FORMATS = {"histogram": "counts", "table": "rows", "text": "text"}


class Reader:
    """Reads the runs of a folder, or of one project. Of runs that others wrote it reads configuration, numbers, texts, images and sounds."""

    def __init__(self, folder: Path, project: str) -> None:
        self._folder, self._chosen = folder, project

    def runs(self) -> Iterator[RunInfo]:
        for folder, _ in layout.folders(self._folder):
            info = _info(folder)
            if info is not None and self._chosen in ("", info.project):
                yield info

    def read(self, run_id: str) -> Iterator[Record]:
        folder = self._find(run_id)
        for sequence, event in enumerate(_events(folder)):
            yield Record("native", sequence, event)

    def sidecar(self, run_id: str) -> tuple[bytes, str] | None:
        folder = self._find(run_id)
        path = folder / "files" / SIDECAR_FILE
        return (path.read_bytes(), layout.config(folder).get(DIGEST, "")) if path.is_file() else None

    def _find(self, run_id: str) -> Path:
        folder = layout.find(self._folder, run_id)
        if folder is None or _info(folder) is None:
            raise RunNotFound(f"no run {run_id!r} in {self._folder}")
        return folder


def _info(folder: Path) -> RunInfo | None:
    """The description of a run, whose log begins with it and ends with its status."""
    first = last = None
    for message in layout.messages(folder):
        first, last = first or message, message
    if first is None or last is None:
        return None
    start, end = client().Record.FromString(first).start, client().Record.FromString(last)
    config = layout.config(folder)
    ours, project = ID in config, config.get(layout.PROJECT, start.project)
    states = {client().RunState.Value(name): status for status, name in layout.STATES.items()}
    return RunInfo(
        id=config.get(ID, start.id),
        name=config.get(f"{OURS}name", start.name),
        project=project if layout.project_name(project) == start.project else start.project,
        group=config.get(f"{OURS}group", start.group),
        job_type=config.get(f"{OURS}job_type", start.job_type),
        notes=config.get(f"{OURS}notes", start.description),
        tags=tuple(config[TAGS] if ours else start.tags),
        status=states[end.finish.state] if end.HasField("finish") else Status.RUNNING if ours else Status.CRASHED,
        start=start.started_at.ToNanoseconds(),
        end=end.finish.finished_at.ToNanoseconds() if end.HasField("finish") else None,
    )


def _events(folder: Path) -> Iterator[AnyEvent]:
    config, start = layout.config(folder), 0
    ours = ID in config
    originals = {key.removeprefix(f"{NAMES}/"): text for key, text in config.items() if key.startswith(f"{NAMES}/")}
    for call, message in enumerate(layout.messages(folder)):
        record = client().Record.FromString(message)
        kind = record.WhichOneof("record_type")
        if kind == "start":
            start = record.start.started_at.ToNanoseconds()
            entries = {key: value for key, value in config.items() if not key.startswith(OURS)}
            yield Config(start, {CONFIG.decode(key): told(value) for key, value in entries.items()} if ours else entries)
            summary = {key.removeprefix(SUMMARY): value for key, value in config.items() if key.startswith(SUMMARY)}
            yield Summary(start, {CONFIG.decode(key): told(value) for key, value in summary.items()})
        elif kind == "scalar":
            scalar = record.scalar
            key = KEYS.decode(layout.parts(scalar.key)[0], originals) if ours else scalar.key
            yield Metrics(scalar.timestamp.ToNanoseconds(), call, scalar.step, {key: scalar.value.number})
        elif kind == "media":
            yield from _shown(folder, record.media, call, originals, ours)
        elif kind == "save" and record.save.type == client().SaveType.SAVE_TYPE_CUSTOM and record.save.name != SIDECAR_FILE:
            path = folder / "files" / record.save.name
            if path.is_file():
                yield _saved(record.save.name, path, originals, start)


def _shown(folder: Path, found: Any, call: int, originals: dict[str, str], ours: bool) -> Iterator[AnyEvent]:
    medium, time = client().medium[found.type], found.timestamp.ToNanoseconds()
    name, suffix, _ = layout.parts(found.key) if ours else (found.key, medium, 0)
    key, kind = KEYS.decode(name, originals) if ours else name, suffix.partition(" ")[0]
    for item in found.value.items:
        path = folder / "media" / medium / item.filename
        if not path.is_file():
            continue
        media = Media(time, call, found.step, key, kind, FORMATS.get(kind, path.suffix[1:]))
        if kind == STRING:
            yield Metrics(time, call, found.step, {key: path.read_bytes().decode()})
        else:
            yield _content(media, path)


def _content(media: Media, path: Path) -> Media:
    if media.format in INLINE:
        return msgspec.structs.replace(media, inline=layout.decoded(media.format, path.read_bytes()))
    return msgspec.structs.replace(media, file=reference(path, path.name))


def _saved(name: str, path: Path, originals: dict[str, str], start: int) -> AnyEvent:
    """A saved file: a value that SwanLab does not show, or a file of an artifact."""
    head, *rest = name.split("/")
    if head == "media" and len(rest) == 3:
        stamp, _, format = rest[2].partition(".")
        step, time, _ = stamp.split("_")
        key, kind = (PARTS.decode(part, originals) for part in rest[:2])
        return _content(Media(int(time), 0, int(step), key, kind, PARTS.decode(format)), path)
    title, kind, *place = [PARTS.decode(part, originals) for part in rest] if head == "artifacts" and len(rest) > 2 else (name, "", name)
    return Artifact(start, title, kind, [reference(path, "/".join(place))])
