"""Reads runs through trackio's own storage."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from trackbridge.errors import RunNotFound
from trackbridge.records import AnyEvent, Artifact, Config, FileRef, Media, Metrics, Record, RunInfo, Status, Summary
from trackbridge.times import from_iso
from trackbridge_adapters.trackio.layout import (
    CREATED,
    DIGEST,
    END,
    GROUP,
    KEYS,
    KINDS,
    OURS,
    PATHS,
    PROJECT,
    SIDECAR_TYPE,
    STATUS,
    SUMMARY,
    TAGS,
    TYPES,
    artifact_names,
    project_name,
    sidecar_name,
    storage,
    told,
)


class Reader:
    """Reads the runs of a folder, or of one project. Of runs that others wrote it reads what lies in trackio's own places."""

    def __init__(self, folder: Path, project: str) -> None:
        self._folder, self._chosen = folder, project

    def runs(self) -> Iterator[RunInfo]:
        with storage(self._folder) as store:
            found = [_info(project, record, _config(store, project, record)) for project, record in self._records(store)]
        yield from found

    def read(self, run_id: str) -> Iterator[Record]:
        with storage(self._folder) as store:
            events = list(_events(store, *self._find(store, run_id)))
        for sequence, event in enumerate(events):
            yield Record("native", sequence, event)

    def sidecar(self, run_id: str) -> tuple[bytes, str] | None:
        with storage(self._folder) as store:
            from trackio import cas

            project, record = self._find(store, run_id)
            found = store.get_artifact_manifest(project, sidecar_name(run_id), "latest")
            path = cas.blob_path(project, found["manifest"][0]["digest"]) if found else None
            if path is None or not path.is_file():
                return None
            return path.read_bytes(), _config(store, project, record).get(DIGEST, "")

    def _records(self, store: Any) -> Iterator[tuple[str, dict[str, Any]]]:
        for project in [project_name(self._chosen)] if self._chosen else store.get_projects():
            for record in store.get_run_records(project):
                yield project, record

    def _find(self, store: Any, run_id: str) -> tuple[str, dict[str, Any]]:
        for project, record in self._records(store):
            if record["id"] == run_id:
                return project, record
        raise RunNotFound(f"no run {run_id!r} in {self._folder}")


def _config(store: Any, project: str, record: dict[str, Any]) -> dict[str, Any]:
    return store.get_run_config(project, run_id=record["id"]) or {}


def _info(project: str, record: dict[str, Any], config: dict[str, Any]) -> RunInfo:
    original, end = str(told(config.get(PROJECT, project))), config.get(END)
    return RunInfo(
        id=record["id"],
        name=record["name"],
        project=original if project_name(original) == project else project,  # a run may have been moved
        group=config.get(GROUP) or "",
        job_type=str(told(config.get(f"{OURS}job_type", ""))),
        notes=str(told(config.get(f"{OURS}notes", ""))),
        tags=tuple(config.get(TAGS, ())),
        status=config.get(STATUS, Status.FINISHED),
        start=from_iso(config.get(CREATED) or record["created_at"]),
        end=from_iso(end) if end else None,
    )


def _events(store: Any, project: str, record: dict[str, Any]) -> Iterator[AnyEvent]:
    config = _config(store, project, record)
    start, ours = _info(project, record, config).start, STATUS in config
    entries = {key: value for key, value in config.items() if not key.startswith(("_", OURS))}
    yield Config(start, {KEYS.decode(key): told(value) for key, value in entries.items()} if ours else entries)
    summary = {key.removeprefix(SUMMARY): value for key, value in config.items() if key.startswith(SUMMARY)}
    yield Summary(start, {KEYS.decode(key): told(value) for key, value in summary.items()})
    for call, row in enumerate(store.get_logs(project, run_id=record["id"])):
        time, step = from_iso(row.pop("timestamp")), row.pop("step")
        values = {KEYS.decode(key): value for key, value in row.items()} if ours else row
        points = {key: value for key, value in values.items() if not isinstance(value, dict | list)}
        if points:
            yield Metrics(time, call, step, points)
        for key, value in values.items():
            if isinstance(value, dict) and (media := _media(value, Media(time, call, step, key, "", ""))) is not None:
                yield media
    for link in store.get_run_artifacts(project, None, record["id"])["output"]:
        if link["type"] != SIDECAR_TYPE:
            yield _artifact(store.get_artifact_manifest(project, link["name"], f"v{link['version']}"), ours)


def _media(value: dict[str, Any], media: Media) -> Media | None:
    """`media` with what trackio's value says; None for what is none, or has lost its file."""
    from trackio.utils import MEDIA_DIR

    type = str(value.get("_type")).removeprefix("trackio.")
    if type in KINDS:
        kind, format = KINDS[type]
        inline: Any = value.get("_value")
        if type == "histogram":
            inline = {"edges": value["bins"], "counts": value["values"]}
        elif type == "table":
            inline = {"columns": list(inline[0]) if inline else [], "rows": [list(map(told, row.values())) for row in inline]}
        return msgspec.structs.replace(media, kind=kind, format=format, inline=inline)
    path = MEDIA_DIR / str(value.get("file_path", ""))
    if not path.is_file():
        return None
    with path.open("rb") as file:
        ref = FileRef(path.name, hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)
    named = path.name.partition("-")[0]  # tells figures from images
    kind = named if TYPES.get(named) == type or (named, type) == ("figure", "html") else type
    return msgspec.structs.replace(media, kind=kind, format="" if kind == "file" else path.suffix[1:], file=ref)


def _artifact(found: dict[str, Any], ours: bool) -> Artifact:
    name, kind, description = found["name"], found["type"], found["description"] or ""
    original = description if ours and name in artifact_names(description, kind) else name
    files = [FileRef(PATHS.decode(one["path"]), "" if "ref" in one else one["digest"], one["size"]) for one in found["manifest"]]
    return Artifact(from_iso(found["created_at"]), original, kind, files)
