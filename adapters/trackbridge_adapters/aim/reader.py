"""Reads runs through Aim's own repository and sequences."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import msgspec

from trackbridge.adapters import SIDECAR_FILE
from trackbridge.errors import RunNotFound
from trackbridge.files import reference
from trackbridge.projection import nanoseconds
from trackbridge.records import AnyEvent, Artifact, Config, FileRef, Media, Metrics, Record, RunInfo, Status, Summary
from trackbridge_adapters.aim.folder import Store
from trackbridge_adapters.aim.layout import KEYS, OBJECTS, OURS, PARTS, SEQUENCES, STRING, SUMMARY, TEXT, TEXTS, run_hash, told


class Reader:
    """Reads the runs of a repository, or of one project. Of runs that others wrote it reads parameters, numbers, texts, images and sounds."""

    def __init__(self, store: Store, project: str) -> None:
        self._store, self._chosen = store, project

    def runs(self) -> Iterator[RunInfo]:
        with self._store.outage(), self._store.repository() as repo:
            for run in repo.iter_runs() if repo is not None else ():
                info = _info(run)
                if self._chosen in ("", info.project):
                    yield info

    def read(self, run_id: str) -> Iterator[Record]:
        with self._store.outage(), self._store.repository() as repo:
            for sequence, event in enumerate(_events(self._find(repo, run_id), self._store)):
                yield Record("native", sequence, event)

    def sidecar(self, run_id: str) -> tuple[bytes, str] | None:
        with self._store.outage(), self._store.repository() as repo:
            run = self._find(repo, run_id)
            data = self._store.sidecar(run)
            return None if data is None else (data, run.get(OURS, {}).get("sidecar", ""))

    def _find(self, repo: Any, run_id: str) -> Any:
        for name in (run_hash(run_id), run_id):
            if repo is not None and (run := repo.get_run(name)) is not None:
                return run
        raise RunNotFound(f"no run {run_id!r} in {self._store}")


def _info(run: Any) -> RunInfo:
    ours = run.get(OURS) or {}
    active = Status.RUNNING if run.active else Status.FINISHED
    return RunInfo(
        id=ours.get("id", run.hash),
        name=run.name or "",
        project=run.experiment or "",
        group=told(ours.get("group", "")),
        job_type=told(ours.get("job_type", "")),
        notes=run.description or "",
        tags=tuple(run.tags),
        status=ours.get("status", active),
        start=nanoseconds(run.creation_time),
        end=nanoseconds(run.end_time) if run.end_time else None,
    )


def _events(run: Any, store: Store) -> Iterator[AnyEvent]:
    params, start = run.get(..., {}), nanoseconds(run.creation_time)
    ours = params.pop(OURS, None) or {}
    summary = params.pop(SUMMARY, {}) if ours else {}
    yield Config(start, {KEYS.decode(key): told(value) for key, value in params.items()} if ours else params)
    yield Summary(start, {KEYS.decode(key): told(value) for key, value in summary.items()})
    points: dict[str, list[tuple[int, float, int, Any]]] = {}
    media: list[tuple[float, int, Media]] = []
    for key, kind, repeat, step, time, value in _sequences(run, bool(ours)):
        if isinstance(value, int | float) or kind == STRING:
            points.setdefault(key, []).append((step, time, repeat, value if isinstance(value, int | float) else value.data))
        else:
            media.append((time, repeat, _object(Media(nanoseconds(time), 0, step, key, kind, ""), value)))
    for key, rows in points.items():
        for call, (step, time, _, value) in enumerate(sorted(rows, key=lambda row: row[:3])):
            yield Metrics(nanoseconds(time), call, step, {key: value})
    artifacts = []
    for name in run.artifacts:
        path = store.file(run, name)
        if path is not None and name.startswith("media/") and ours:
            event = _media(name, reference(path, path.name), ours.get("names", {}))
            media.append((event.time / 1e9, 0, event))
        elif path is not None and name != SIDECAR_FILE:
            artifacts.append(_artifact(name, reference(path, name), ours.get("names", {}), start))
    yield from (event for _, _, event in sorted(media, key=lambda row: row[:2]))
    yield from artifacts


def _sequences(run: Any, ours: bool) -> Iterator[tuple[str, str, int, int, float, Any]]:
    """(key, type, number of the repeat, step, time, value) of each value of each sequence."""
    from aim.sdk.sequence import Sequence
    from aim.storage.context import Context

    for type_, found in run.collect_sequence_info(("metric", *OBJECTS), skip_last_value=True).items():
        for one in found:
            sequence, context = Sequence.registry[type_](one["name"], Context(one["context"]), run), one["context"]
            key = SEQUENCES.decode(one["name"]) if ours else one["name"] + (f" {json.dumps(context)}" if context else "")
            kind = context.get("type", "") if ours else type_.rstrip("s")
            values, times = dict(sequence.values.items()), dict(sequence.timestamps.items())
            steps = dict(sequence.data.steps.items()) if sequence.version == 2 else {step: step for step in values}
            for mark, value in values.items():
                if mark in times and mark in steps:
                    yield key, kind, context.get("repeat", 0) if ours else 0, steps[mark], times[mark], value


def _object(media: Media, value: Any) -> Media:
    """`media` with the content of Aim's object."""
    name = type(value).__name__
    if name == "Distribution":
        inline: Any = {"edges": value.ranges.tolist(), "counts": value.weights.tolist()}
        return msgspec.structs.replace(media, kind="histogram", format="counts", inline=inline)
    if name == "Text":
        if media.kind in TEXTS:
            kind, format = TEXTS[media.kind]
            return msgspec.structs.replace(media, kind=kind, format=format, inline=json.loads(value.data))
        return msgspec.structs.replace(media, kind=TEXT, format="text", inline=value.data)
    data = bytes(value.storage["data"])
    ref = FileRef(f"{media.kind}.{value.storage['format']}", hashlib.sha256(data).hexdigest(), len(data))
    return msgspec.structs.replace(media, format=value.storage["format"], file=ref)


def _media(name: str, ref: FileRef, originals: dict[str, str]) -> Media:
    _, key, kind, file = name.split("/")
    stamp, _, format = file.partition(".")
    step, time, _ = stamp.split("_")
    return Media(int(time), 0, int(step), PARTS.decode(key, originals), PARTS.decode(kind, originals), PARTS.decode(format), file=ref)


def _artifact(name: str, ref: FileRef, originals: dict[str, str], start: int) -> Artifact:
    head, *parts = name.split("/")
    if head != "artifacts" or len(parts) < 3:  # of others
        return Artifact(start, name, "", [ref])
    title, kind, *path = (PARTS.decode(part, originals) for part in parts)
    return Artifact(start, title, kind, [msgspec.structs.replace(ref, path="/".join(path))])
