"""Reads runs: from their folders, and from the outputs of tasks as KFP tells them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from trackbridge.adapters import SIDECAR_FILE
from trackbridge.errors import RunNotFound
from trackbridge.files import reference
from trackbridge.names import from_text
from trackbridge.records import AnyEvent, Artifact, Config, End, FileRef, Media, Metrics, Record, RunInfo, Start, Summary, Tags
from trackbridge.times import from_iso
from trackbridge_adapters.kubeflow import layout


class Reader:
    """Reads the runs of a pipeline root, or of a folder that is an output artifact; of one project, if it is given."""

    def __init__(self, root: Path, project: str = "") -> None:
        self._root, self._project = root, project

    def runs(self) -> Iterator[RunInfo]:
        for folder in layout.folders(self._root).values():
            info = _info(folder)
            if self._project in ("", info.project):
                yield info

    def read(self, run_id: str) -> Iterator[Record]:
        for number, event in enumerate(_events(self._folder(run_id))):
            yield Record("native", number, event)

    def sidecar(self, run_id: str) -> tuple[bytes, str] | None:
        folder = self._folder(run_id)
        if not (folder / SIDECAR_FILE).is_file():
            return None
        return (folder / SIDECAR_FILE).read_bytes(), layout.load(folder / layout.ABOUT).get(layout.DIGEST, "")

    def _folder(self, run_id: str) -> Path:
        found = layout.folders(self._root).get(run_id)
        if found is None:
            raise RunNotFound(f"no run {run_id!r} in {self._root}")
        return found


def _info(folder: Path) -> RunInfo:
    about = layout.load(folder / layout.ABOUT)
    described: dict[str, Any] = {name: about.get(name, "") for name in layout.DESCRIPTION if name != "tags"}
    return RunInfo(
        **described,
        tags=tuple(about.get("tags", ())),
        start=from_iso(about[layout.STARTED]),
        end=from_iso(about[layout.ENDED]) if layout.ENDED in about else None,
        provenance=layout.told(about.get("provenance", {})),
    )


def _events(folder: Path) -> Iterator[AnyEvent]:
    info = _info(folder)
    yield Start(info.start, info.id, info.project, info.name, info.group, info.job_type, info.notes, provenance=info.provenance)
    yield Tags(info.start, list(info.tags))
    yield Config(info.start, layout.told(layout.load(folder / layout.CONFIG)))
    for time, step, key, value in layout.rows(folder / layout.SERIES):
        yield Metrics(int(time), 0, int(step) if step else None, {key: from_text(value)})
    for cells in layout.rows(folder / layout.MEDIA):
        yield _media(folder, *cells)
    for time, name, _, type, file, size, path, uri, metadata in layout.rows(folder / layout.ARTIFACTS):
        ref = reference(folder / path, file) if path else FileRef(file, "", int(size))
        yield Artifact(int(time), name, type, [ref], uri, layout.told(json.loads(metadata or "{}")))
    yield Summary(info.start, layout.told(layout.load(folder / layout.SUMMARY)))
    if info.end is not None:
        yield End(info.end, info.status)


def _media(folder: Path, time: str, step: str, key: str, kind: str, format: str, path: str, meta: str) -> Media:
    media = Media(int(time), 0, int(step) if step else None, key, kind, format, meta=layout.told(json.loads(meta or "{}")))
    if format in ("counts", "rows", "text"):
        return msgspec.structs.replace(media, inline=layout.outline(kind, (folder / path).read_bytes()))
    return msgspec.structs.replace(media, file=reference(folder / path, (folder / path).name))
