"""Reads runs from sessions, as the client's import does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from trackbridge.errors import RunNotFound
from trackbridge.names import from_text
from trackbridge.normal import unflatten
from trackbridge.records import AnyEvent, Artifact, Config, FileRef, Media, Metrics, Record, RunInfo, Summary, Tags
from trackbridge.times import from_iso
from trackbridge_adapters.clearml import client, layout
from trackbridge_adapters.clearml.layout import (
    ARGUMENTS,
    CONFIG,
    DATA,
    FORMATS,
    KEYS,
    MEDIA,
    OTHER,
    OURS,
    PARAMETERS,
    PROPERTIES,
    SIDECAR,
    SINGLE,
    STATUS,
    SUMMARY,
    Session,
)


class Reader:
    """Reads the sessions of a folder. Of those that others wrote it reads scalars and parameters; online also the parameters of a task that lies on
    the server alone, for which ClearML's agent has started the script."""

    def __init__(self, location: Path, online: bool) -> None:
        self._location, self._online = location, online

    def runs(self) -> Iterator[RunInfo]:
        yield from map(_info, layout.sessions(self._location))

    def read(self, run_id: str) -> Iterator[Record]:
        try:
            events = _events(self._find(run_id))
        except RunNotFound:
            given = client.parameters(run_id) if self._online else None
            if given is None:
                raise
            events = iter([Config(0, _config(given))])
        for sequence, event in enumerate(events):
            yield Record("native", sequence, event)

    def sidecar(self, run_id: str) -> tuple[bytes, str] | None:
        session = self._find(run_id)
        for artifact in session.artifacts:
            if artifact["key"] == SIDECAR and (place := session.place(artifact["uri"])):
                return session.content(place), artifact.get("hash", "")
        return None

    def _find(self, run_id: str) -> Session:
        for only in (layout.task_id(run_id), "*"):
            for session in layout.sessions(self._location, only):
                if session.run_id == run_id:
                    return session
        raise RunNotFound(f"no run {run_id!r} in {self._location}")


def _config(given: dict[str, str]) -> dict[str, Any]:
    """The configuration that a task's hyperparameters are, named by section: those of ours, and arguments, without it."""
    config = {}
    for place, text in given.items():
        section, _, name = place.partition("/")
        if section not in (PROPERTIES, SUMMARY):
            config[PARAMETERS.decode(name) if section == CONFIG else name if section == ARGUMENTS else place] = from_text(text)
    return unflatten(config)


def _info(session: Session) -> RunInfo:
    task, properties = session.task, session.section(PROPERTIES)
    back = {theirs: ours for ours, theirs in STATUS.items()}
    text: dict[str, Any] = {"name": task.get("name", ""), "project": task.get("project_name") or ""}
    text |= {name: properties[name] for name in ("name", "project", "group", "job_type") if name in properties}
    return RunInfo(
        id=session.run_id,
        notes=task.get("comment") or "",
        tags=tuple(task.get("tags") or ()),
        status=properties.get("status") or back.get(task.get("status", ""), "finished"),
        start=from_iso(task["started"]) if OURS in (task.get("hyperparams") or {}) else 0,
        end=from_iso(task["completed"]) if OURS in (task.get("hyperparams") or {}) and "completed" in task else None,
        **text,
    )


def _events(session: Session) -> Iterator[AnyEvent]:
    info = _info(session)
    ours = OURS in (session.task.get("hyperparams") or {})
    config = {PARAMETERS.decode(name): from_text(text) for name, text in session.section(CONFIG).items()}
    yield Config(info.start, unflatten(config))
    yield Summary(info.start, {PARAMETERS.decode(name): from_text(text) for name, text in session.section(SUMMARY).items()})
    yield Tags(info.start, list(info.tags))
    for event in session.events():
        yield from _event(session, event, ours)
    for artifact in session.artifacts if ours else ():
        if artifact["key"] != SIDECAR:
            yield _artifact(session, artifact)


def _event(session: Session, event: dict[str, Any], ours: bool) -> Iterator[AnyEvent]:
    kind, time, step = event["type"], int(event["timestamp"]) * 1_000_000, event.get("iter")
    title, series = event["metric"], event["variant"]
    name = layout.join(title, series.removesuffix(OTHER) if ours else series)
    key = KEYS.decode(name) if ours else name
    if kind == "training_stats_scalar" and (title, step) != (SUMMARY, SINGLE):
        yield Metrics(time, 0, step, {key: event["value"]})
    elif kind == "plot" and ours and (found := layout.plotted(json.loads(event["plot_str"]))):
        if series.endswith(OTHER):
            yield Metrics(time, 0, step, {key: found[2]["rows"][0][0]})
        else:
            yield Media(time, 0, step, key, found[0], found[1], found[2])
    elif kind == "training_debug_image" and ours:
        yield from _sample(session, event["key"], Media(time, 0, step, key, "", ""))


def _sample(session: Session, place: str, media: Media) -> Iterator[Media]:
    name = place.rpartition("/")[2]
    head, _, suffix = name.partition(".")
    kind = head.partition("-")[0]
    try:
        data = session.content(f"{DATA}/{place}")
    except LookupError:
        return
    if kind == "text":
        yield msgspec.structs.replace(media, kind="text", format="text", inline=data.decode("utf-8", "surrogatepass"))
    elif kind in MEDIA:
        file = FileRef(name, hashlib.sha256(data).hexdigest(), len(data))
        yield msgspec.structs.replace(media, kind=kind, format="" if kind == "file" else FORMATS.decode(suffix), file=file)


def _artifact(session: Session, artifact: dict[str, Any]) -> Artifact:
    name, path = layout.artifact_name(artifact["key"])
    metadata = {key: from_text(text) for key, text in artifact.get("display_data") or ()}
    place = session.place(artifact["uri"])
    if place is None:
        file, uri = FileRef(path, "", artifact.get("content_size", 0)), artifact["uri"]
    else:
        data = session.content(place)
        file, uri = FileRef(path, hashlib.sha256(data).hexdigest(), len(data)), ""
    return Artifact(artifact.get("timestamp", 0) * 10**9, name, artifact["type"], [file], uri, metadata)
