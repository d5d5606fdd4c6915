"""Reads runs through trackio's own storage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import msgspec

from trackbridge.errors import RunNotFound
from trackbridge.records import AnyEvent, Artifact, Config, FileRef, Media, Metrics, Record, RunInfo, Status, Summary
from trackbridge.times import from_iso
from trackbridge_adapters.trackio.folder import Store
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
    told,
)


class Reader:
    """Reads the runs of a folder or server, or of one project. Of runs that others wrote it reads what lies in trackio's own places."""

    def __init__(self, store: Store, project: str) -> None:
        self._store, self._chosen = store, project

    def runs(self) -> Iterator[RunInfo]:
        for project, records in self._projects():
            configs = self._store.configs(project) if records else {}
            for record in records:
                yield _info(project, record, configs.get(record["id"], {}))

    def read(self, run_id: str) -> Iterator[Record]:
        for sequence, event in enumerate(_events(self._store, *self._find(run_id))):
            yield Record("native", sequence, event)

    def sidecar(self, run_id: str) -> tuple[bytes, str] | None:
        project, record = self._find(run_id)
        found = self._store.artifact(project, sidecar_name(run_id))
        data = self._store.blob(project, found["manifest"][0]["digest"]) if found else None
        return None if data is None else (data, self._store.configs(project).get(record["id"], {}).get(DIGEST, ""))

    def _projects(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        for project in [project_name(self._chosen)] if self._chosen else self._store.projects():
            yield project, self._store.records(project)

    def _find(self, run_id: str) -> tuple[str, dict[str, Any]]:
        for project, records in self._projects():
            for record in records:
                if record["id"] == run_id:
                    return project, record
        raise RunNotFound(f"no run {run_id!r} in {self._store}")


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


def _events(store: Store, project: str, record: dict[str, Any]) -> Iterator[AnyEvent]:
    config = store.configs(project).get(record["id"], {})
    start, ours = _info(project, record, config).start, STATUS in config
    entries = {key: value for key, value in config.items() if not key.startswith(("_", OURS))}
    yield Config(start, {KEYS.decode(key): told(value) for key, value in entries.items()} if ours else entries)
    summary = {key.removeprefix(SUMMARY): value for key, value in config.items() if key.startswith(SUMMARY)}
    yield Summary(start, {KEYS.decode(key): told(value) for key, value in summary.items()})
    for call, row in enumerate(store.rows(project, record["id"])):
        time, step = from_iso(row.pop("timestamp")), row.pop("step")
        time = time if store.timed or not ours else 0
        values = {KEYS.decode(key): value for key, value in row.items()} if ours else row
        points = {key: value for key, value in values.items() if not isinstance(value, dict | list)}
        if points:
            yield Metrics(time, call, step, points)
        for key, value in values.items():
            if isinstance(value, dict) and (media := _media(store, value, Media(time, call, step, key, "", ""))) is not None:
                yield media
    for link in store.artifacts(project, record["id"]):
        found = store.artifact(project, link["name"], f"v{link['version']}")
        if link["type"] != SIDECAR_TYPE and found is not None:
            yield _artifact(found, ours)


def _media(store: Store, value: dict[str, Any], media: Media) -> Media | None:
    """`media` with what trackio's value says; None for what is none, or has lost its file."""
    type = str(value.get("_type")).removeprefix("trackio.")
    if type in KINDS:
        kind, format = KINDS[type]
        inline: Any = value.get("_value")
        if type == "histogram":
            inline = {"edges": value["bins"], "counts": value["values"]}
        elif type == "table":
            inline = {"columns": list(inline[0]) if inline else [], "rows": [list(map(told, row.values())) for row in inline]}
        return msgspec.structs.replace(media, kind=kind, format=format, inline=inline)
    file = store.media(str(value.get("file_path", "")))
    if file is None:
        return None
    named = file.path.partition("-")[0]  # tells figures from images
    kind = named if TYPES.get(named) == type or (named, type) == ("figure", "html") else type
    return msgspec.structs.replace(media, kind=kind, format="" if kind == "file" else PurePath(file.path).suffix[1:], file=file)


def _artifact(found: dict[str, Any], ours: bool) -> Artifact:
    name, kind, description = found["name"], found["type"], found["description"] or ""
    original = description if ours and name in artifact_names(description, kind) else name
    files = [FileRef(PATHS.decode(one["path"]), "" if "ref" in one else one["digest"], one["size"]) for one in found["manifest"]]
    return Artifact(from_iso(found["created_at"]), original, kind, files)
