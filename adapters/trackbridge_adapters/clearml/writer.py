"""Writes a session as the client's offline mode does, without the processes and threads of its tasks."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shlex
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trackbridge.adapters import SIDECAR_FILE, Place, Position
from trackbridge.deviations import Deviation, Ledger, Reason, unpack, words
from trackbridge.errors import Rejected, Unavailable
from trackbridge.files import outage, put, replace
from trackbridge.names import to_text
from trackbridge.normal import flatten, top_level
from trackbridge.projection import SHARED, MediaItem, Point
from trackbridge.records import AnyEvent, Artifact, Config, Deviations, Media, Metrics, Record, RunInfo, Status, Summary, Tags
from trackbridge.times import iso
from trackbridge_adapters.clearml import client, layout
from trackbridge_adapters.clearml.layout import (
    CONFIG,
    DATA,
    DEVIATIONS,
    EVENTS,
    FORMATS,
    KEYS,
    MEDIA,
    OTHER,
    OURS,
    PARAMETERS,
    POSITION,
    PROJECTION,
    PROPERTIES,
    RUN_ID,
    SERVER,
    SIDECAR,
    SINGLE,
    STATUS,
    SUMMARY,
    TASK,
    Session,
    drawn,
    in_range,
    slug,
)

LINE = 500  # events that the client sends to its server at once
CHUNK = 20_000  # events that are kept before they are handed to the system


class Writer:
    """Appends events, and writes the description of the task anew when it changed. Each record is taken whole or not at all."""

    def __init__(self, location: Path, project: str, online: bool) -> None:
        self._location, self._chosen, self._wanted = location, project, online

    def open(self, run: RunInfo, position: Position | None) -> Position:
        self._run, self._lib, self._ledger = run, client.library(), Ledger()
        self._id = layout.task_id(run.id)
        self._folder = self._location / self._id
        self._archive = self._location / f"{self._id}.zip"
        self._partial, self._gone = (self._location / f".{self._id}.{word}" for word in ("part", "gone"))
        self._events: list[dict[str, Any]] = []
        self._taken: list[dict[str, Any]] = []  # events of the record that is being taken
        self._unsent: list[dict[str, Any]] = []  # events that the server has not got
        self._online: client.Online | None = None
        self._names: dict[str, tuple[str, str]] = {}
        with outage(self._location):
            held, length = self._adopt(position)
            self._held = held
            self._describe(run)
            self._save(length)
            (self._folder / EVENTS).touch()
            os.truncate(self._folder / EVENTS, length)
            self._file = io.FileIO(self._folder / EVENTS, "ab")
            if self._wanted:
                self._online = client.Online(self._folder, self._about(), self._sections[OURS].get(SERVER, ("",))[0], run.id)
                self._set(OURS, SERVER, self._online.id)
                self._save(length)
                self._changed = True  # the server has not got it
        return Position(dict(self._held), {"length": length})

    def _adopt(self, position: Position | None) -> tuple[dict[str, int], int]:
        """Take over the folder or archive that an earlier Writer left, or make a folder; what is held, and how much of the events stands for that."""
        self._location.mkdir(parents=True, exist_ok=True)
        for left in (self._partial, self._gone):  # by one that was killed
            shutil.rmtree(left, ignore_errors=True)
        if not (self._folder / TASK).exists():
            shutil.rmtree(self._folder, ignore_errors=True)  # of one that was killed when it began
            if self._archive.exists():
                with zipfile.ZipFile(self._archive) as archive:
                    for name in archive.namelist():
                        if ".." not in Path(name).parts and name.partition("/")[0] in (TASK, EVENTS, DATA):
                            archive.extract(name, self._partial)
                os.rename(self._partial, self._folder)
            else:
                self._folder.mkdir()
        self._sections: dict[str, dict[str, tuple[str, str]]] = {}
        self._artifacts: dict[str, dict[str, Any]] = {}
        self._tags = list(self._run.tags)
        if not (self._folder / TASK).exists():
            return {}, 0
        session = Session(self._folder)
        for name, items in session.task["hyperparams"].items():
            self._sections[name] = {item["name"]: (item.get("value", ""), item.get("type", "str")) for item in items.values()}
        for artifact in session.artifacts:
            self._artifacts[artifact["key"]] = artifact | {"uri": session.place(artifact["uri"]) or artifact["uri"]}
        self._tags = session.task.get("tags", [])
        size = (self._folder / EVENTS).stat().st_size if (self._folder / EVENTS).exists() else 0
        if position is not None and position.token.get("length", size + 1) <= size:
            return dict(position.sequences), position.token["length"]
        held, length = session.position()
        return (held, length) if length <= size else ({}, 0)

    # -- the task --------------------------------------------------------------------------------------------------------------------

    def _describe(self, run: RunInfo) -> None:
        self._project = self._chosen or run.project
        self._data = f"{slug(self._project)}/{slug(run.name)}.{self._id}"  # the import replaces the id
        self._set(PROPERTIES, RUN_ID, run.id)
        shown = {"name": layout.label(run.name, run.id), "project": layout.label(self._project, layout.PROJECT)}
        for name, text in {"name": run.name, "project": self._project, "group": run.group, "job_type": run.job_type}.items():
            if text != shown.get(name, ""):
                self._set(PROPERTIES, name, text)
        self._shown = shown
        self._set(PROPERTIES, "status", str(Status.RUNNING))
        self._end: int | None = None

    def _set(self, section: str, name: str, text: str, kind: str = "str") -> None:
        self._sections.setdefault(section, {})[name] = text, kind
        self._changed = True

    def _save(self, length: int) -> None:
        """Write the description of the task. It says what is held, so it goes last."""
        self._set(OURS, POSITION, json.dumps([self._held, length]))
        replace(self._folder / TASK, json.dumps(self._about(), sort_keys=True).encode())
        self._changed = False

    def _about(self) -> dict[str, Any]:
        run, lib = self._run, self._lib
        parameters = {
            section: {name: lib.ParamsItem(section=section, name=name, value=text, type=kind) for name, (text, kind) in items.items()}
            for section, items in self._sections.items()
        }
        artifacts = []
        for about in self._artifacts.values():
            uri = f"{self._folder}/{about['uri']}" if "hash" in about else about["uri"]  # the others lie elsewhere
            artifacts.append(lib.Artifact(**about | {"uri": uri}))
        task: dict[str, Any] = lib.Task(
            id=self._id,
            name=self._shown["name"],
            type="training",
            status=STATUS[self._sections[PROPERTIES]["status"][0]],
            comment=run.notes,
            tags=self._tags,
            hyperparams=parameters,
            execution=lib.Execution(artifacts=artifacts, parameters={}),
            script=lib.Script(entry_point=str(run.provenance.get("script", "")), version_num=str(run.provenance.get("commit", ""))),
        ).to_dict()
        task |= {"project_name": self._shown["project"], "offline_folder": str(self._folder), "offline_output_models": []}
        task["started"] = iso(run.start)
        if self._end is not None:
            task["completed"] = iso(self._end)
        return task

    # -- records ---------------------------------------------------------------------------------------------------------------------

    def write(self, batch: Sequence[Record]) -> Sequence[Deviation]:
        for index, record in enumerate(batch):
            if record.shard and record.sequence < self._held.get(record.shard, 0):
                continue
            self._taken = []
            try:
                self._take(record.event)
            except (TypeError, ValueError, LookupError, AttributeError, OverflowError, RecursionError) as error:
                raise Rejected(f"{type(error).__name__}: {error}"[:500], index) from error
            except OSError as error:
                raise Unavailable(f"{self._folder}: {error.strerror or error}") from error
            self._events += self._taken
            if record.shard:  # what the forwarder adds at the end has no identity
                self._held[record.shard] = record.sequence + 1
            if len(self._events) > CHUNK:
                self._put()
        deviations, self._ledger = self._ledger.rows(), Ledger()
        return deviations

    def _take(self, event: AnyEvent) -> None:
        if isinstance(event, Metrics):
            self._metrics(event)
        elif isinstance(event, Media):
            self._media(event)
        elif isinstance(event, Artifact):
            self._artifact(event)
        elif isinstance(event, Config):
            values = flatten(event.values)
            texts = {PARAMETERS.encode(path): (to_text(value), type(value).__name__) for path, value in values.items()}
            top = top_level(event.values)
            items = self._sections.setdefault(CONFIG, {})
            for name in [name for name in items if PARAMETERS.decode(name).partition("/")[0] in top]:
                del items[name]
            items.update(texts)
            self._changed = True
        elif isinstance(event, Summary):
            for key, value in event.values.items():
                self._set(SUMMARY, PARAMETERS.encode(key), to_text(value), type(value).__name__)
                if drawn(value):  # what the client calls a single value
                    self._add(self._lib.MetricsScalarEvent, event.time, SINGLE, (SUMMARY, PARAMETERS.encode(key)), value=value)
        elif isinstance(event, Tags):
            self._tags, self._changed = list(event.values), True
        elif isinstance(event, Deviations):
            self._set(PROPERTIES, DEVIATIONS, words(Ledger(unpack(event.items)).by_reason()))

    def _add(self, kind: Any, time: int, step: int, place: tuple[str, str], **content: Any) -> None:
        event = kind(task=self._id, timestamp=time // 1_000_000, iter=step, metric=place[0], variant=place[1], **content)
        self._taken.append(event.to_dict())

    def _name(self, key: str) -> tuple[str, str]:
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = layout.split(KEYS.encode(key))
        return name

    def _metrics(self, event: Metrics) -> None:
        kind, step, kept = self._lib.MetricsScalarEvent, event.call if event.step is None else event.step, 0
        for key, value in event.values.items():
            if type(value) is not float or value - value != 0.0 or not in_range(step):
                held = PROJECTION.scalar(self._ledger, event, key, value, shared=False)
                if held is None:
                    continue
                value = held.value
                if not drawn(value):
                    title, series = self._name(key)
                    plot = json.dumps(layout.table(["value"], [[value]]))
                    self._add(self._lib.MetricsPlotEvent, event.time, step, (title, series + OTHER), plot_str=plot)
                    kept += 1
                    continue
            self._add(kind, event.time, step, self._name(key), value=value)
            kept += 1
        for rule in PROJECTION.apply("scalar", Point("", 0.0, event.step, event.time, event.call))[1] if kept else ():
            self._ledger.add(Deviation(rule.reason, SHARED[rule.reason], kept, rule.what))

    def _media(self, event: Media) -> None:
        item = MediaItem.of(event)
        if event.kind in ("table", "histogram"):
            value = self._run.inline(event)
            plot = (
                layout.table(value["columns"], value["rows"])
                if event.kind == "table"
                else layout.histogram(value["edges"], value["counts"])
            )
            content = {"plot_str": json.dumps(plot)}
        elif event.kind in MEDIA:
            content = self._sample(event)
        else:
            raise ValueError(f"{event.kind!r} is no kind of value that ClearML has a place for")
        held = PROJECTION.held(self._ledger, "media", item, event.key, event.kind)
        if held is not None and held.step is not None:
            kind = self._lib.MetricsPlotEvent if "plot_str" in content else self._lib.MetricsImageEvent
            self._add(kind, event.time, held.step, self._name(event.key), **content)

    def _sample(self, event: Media) -> dict[str, Any]:
        """Address of a debug sample. The file's name tells its kind and format."""
        if event.kind == "text":
            value = self._run.inline(event)
            text = value.encode("utf-8", "surrogatepass")
            source: Path | bytes = text
            digest, suffix = hashlib.sha256(text).hexdigest(), "txt"
        elif event.file is None:
            raise ValueError(f"{event.kind!r} has no file")
        else:
            source, digest = self._run.content(event.file), event.file.digest
            suffix = slug(event.file.path) if event.kind == "file" and not event.format else FORMATS.encode(event.format)
        key = f"{self._data}/metrics/{event.kind}-{digest[:20]}.{suffix}"
        self._copy(source, f"{DATA}/{key}")
        return {"key": key, "url": f"{self._folder}/{DATA}/{key}"}

    def _artifact(self, event: Artifact) -> None:
        made = {}
        for ref in event.files:
            about: dict[str, Any] = {"uri": event.uri or ref.path}
            if ref.digest:
                about = {"uri": f"{DATA}/{self._data}/artifacts/{ref.digest[:20]}/{slug(ref.path)}", "hash": ref.digest}
                self._copy(self._run.content(ref), about["uri"])
            about |= {"key": layout.artifact_key(event.name, ref.path), "type": event.type, "mode": "output", "content_size": ref.size}
            about |= {"timestamp": event.time // 10**9, "display_data": [[name, to_text(value)] for name, value in event.metadata.items()]}
            made[about["key"]] = about
        self._artifacts |= made
        self._changed = True

    def _copy(self, source: Path | bytes, name: str) -> None:
        path = self._folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.part")
            put(partial, source)
            os.replace(partial, path)

    # -- what is held ----------------------------------------------------------------------------------------------------------------

    def _put(self) -> None:
        lines = (json.dumps(self._events[first : first + LINE]) + "\n" for first in range(0, len(self._events), LINE))
        data = memoryview("".join(lines).encode())
        if self._online is not None:
            self._unsent += self._events
        self._events = []
        with outage(self._location):
            while data:
                data = data[self._file.write(data) or 0 :]

    def flush(self) -> Position:
        """It survives any process once the system has it."""
        self._put()
        length = self._file.tell()
        with outage(self._location):
            if self._online is not None:
                refused, why = self._online.send(self._unsent, self._about() if self._changed else None)
                if refused:
                    self._ledger.add(Deviation(Reason.REJECTED, "*", refused, f"ClearML: {why}"[:200]))
                self._unsent = []
            if self._changed:
                self._save(length)
        return Position(dict(self._held), {"length": length})

    def attach(self, sidecar: bytes, digest: str) -> None:
        uri = f"{DATA}/{self._data}/artifacts/{SIDECAR_FILE}"
        with outage(self._location):
            (self._folder / uri).parent.mkdir(parents=True, exist_ok=True)
            replace(self._folder / uri, sidecar)
        about = {"key": SIDECAR, "type": OURS, "mode": "output", "uri": uri, "hash": digest, "content_size": len(sidecar)}
        self._artifacts[SIDECAR], self._changed = about, True
        self.flush()

    def close(self, status: str, end: int) -> None:
        self._set(PROPERTIES, "status", str(status))
        self._end = end
        self.flush()
        packed = self._location / f".{self._id}.zip"
        with outage(self._location):
            self._file.close()
            if self._online is not None:
                self._online.close(status)
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
                for path in sorted(self._folder.rglob("*")):
                    if path.is_file():
                        archive.write(path, path.relative_to(self._folder).as_posix())
            os.replace(packed, self._archive)
            os.rename(self._folder, self._gone)  # at once: half of a folder would be taken for a session
            shutil.rmtree(self._gone, ignore_errors=True)

    def place(self) -> Place:
        where = str(self._archive)
        if self._online is not None:
            return Place(self._online.id, where, self._online.url, mode="online")
        return Place(self._id, where, hint=f"clearml-task --import-offline-session {shlex.quote(where)}", mode="offline")
