"""Appends the client's messages to the file of an archive, and hands them to the experiment on the server if there is one."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shlex
import shutil
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from trackbridge.adapters import SIDECAR_FILE, Place, Position
from trackbridge.deviations import Deviation, Ledger, Reason, unpack, words
from trackbridge.errors import Rejected, Unavailable
from trackbridge.files import outage, replace
from trackbridge.names import Names, to_text
from trackbridge.normal import flatten, top_level
from trackbridge.records import AnyEvent, Artifact, Config, Deviations, FileRef, Media, Metrics, Record, RunInfo, Status, Summary, Tags
from trackbridge.times import iso
from trackbridge_adapters.comet import client, layout
from trackbridge_adapters.comet.layout import (
    DEVIATIONS,
    DIGEST,
    ENTRIES,
    FIELDS,
    JOURNAL,
    KEYS,
    MESSAGES,
    META,
    ORIGINAL,
    PATHS,
    PICTURES,
    POSITION,
    PROJECTION,
    RUN_ID,
    STATUS,
    SUMMARY,
    TEXT_LENGTH,
    UPLOADS,
    Fragment,
    experiment_key,
    shown,
)

CHUNK = 1 << 20  # bytes that are handed to the system at once
encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


class Writer:
    """Writes one archive of a run. Each record is taken whole or not at all."""

    def __init__(self, location: Path, project: str, workspace: str | None, online: bool) -> None:
        self._location, self._chosen, self._workspace, self._online = location, project, workspace, online

    def open(self, run: RunInfo, position: Position | None) -> Position:
        self._run, self._lib, self._key, self._ledger = run, client.library(), experiment_key(run.id), Ledger()
        self._project = self._chosen or run.project
        self._lines: list[bytes] = []
        self._size = 0
        self._taken: list[Any] = []  # messages of the record that is being taken
        self._names: dict[str, str] = {}
        with outage(self._location):
            self._location.mkdir(parents=True, exist_ok=True)
            parts = layout.fragments(self._location, self._key).get(self._key, [])
            self._adopt(parts, position)
            parameters, others = layout.described(parts)
            self._earlier = [part.path for part in parts if not part.live]
            names = layout.originals(others)
            self._config = {KEYS.decode(name, names) for name, value in parameters.items() if value is not None}
            self._tags = list(parts[-1].meta["tags"] if parts else run.tags)
            self._write_meta()
            self._file = io.FileIO(self._folder / MESSAGES, "ab")
            self._experiment = client.Online(self._key, self._project, self._workspace) if self._online else None
            if not self._count:
                self._describe()
        return self.flush()

    def _adopt(self, parts: list[Fragment], position: Position | None) -> None:
        """Cut the folder that a killed Writer left back to `position`, or to what it says itself; or begin another one."""
        given = position if position and parts else Position()
        told = next((held for part in reversed(parts) if (held := part.position()[0])), {})
        self._held = {shard: max(count, told.get(shard, 0)) for shard, count in (told | given.sequences).items()}
        if parts and parts[-1].live:
            last, self._folder = parts[-1], parts[-1].path
            (self._folder / MESSAGES).touch()
            length = given.token.get("length", 0) if given.token.get("fragment") == last.name else 0
            if 0 < length <= last.size:
                self._held = dict(given.sequences)
            else:
                length = last.position()[1]
            os.truncate(self._folder / MESSAGES, length)
            named = {payload.get("file_path") for _, payload in last.messages(metrics=False)}
            for path in self._folder.iterdir():
                if path.name not in named | {META, MESSAGES}:
                    path.unlink()
            self._announced = JOURNAL in named
            self._count = sum(1 for _ in last.lines())
        else:
            self._folder = self._location / (f"{self._key}-{len(parts):06}" if parts else self._key)
            for name in (*(part.name for part in parts), self._folder.name):  # left of a kill when one was closed or begun
                shutil.rmtree(self._location / name, ignore_errors=True)
            self._folder.mkdir()
            self._count, self._announced = 0, False
        self._marked = dict(self._held) if self._count else None  # what the last entry POSITION says

    def _write_meta(self, end: int | None = None, failed: str = "") -> None:
        start = self._run.start // 1_000_000
        about = client.meta(
            experiment_key=self._key,
            workspace=self._workspace,
            project_name=self._project or None,
            start_time=start,
            stop_time=start if end is None else end // 1_000_000,
            tags=self._tags,
            resume_strategy="create" if self._folder.name == self._key else "get",
            customer_error_reported=bool(failed),
            customer_error_message=failed or None,
        )
        replace(self._folder / META, about)

    def _describe(self) -> None:
        run, lib = self._run, self._lib
        self._other(RUN_ID, run.id)
        for field, name in FIELDS.items():
            if text := getattr(run, field):
                self._other(name, text)
        self._other(STATUS, str(Status.RUNNING))
        if script := run.provenance.get("script"):
            self._send(lib.FileNameMessage(str(script)))
        if commit := run.provenance.get("commit"):
            self._send(lib.GitMetadataMessage(dict.fromkeys(("user", "root", "branch", "origin")) | {"parent": str(commit)}))
        self._commit()

    # -- messages --------------------------------------------------------------------------------------------------------------------

    def _send(self, message: Any, file: str = "") -> None:
        """Keep `message` until its record is whole. `file`: the name of the file that goes with it."""
        message.message_id = self._count + len(self._taken) + 1
        payload = message.to_message_dict() | ({"file_path": file} if file else {})
        self._taken.append((encode({"payload": payload, "type": message.type}).encode() + b"\n", message))

    def _commit(self) -> None:
        for line, message in self._taken:
            self._lines.append(line)
            self._size += len(line)
            if self._experiment is not None:
                self._experiment.put(message)
        self._count += len(self._taken)
        self._taken = []

    def _put(self) -> None:
        data, self._lines, self._size = memoryview(b"".join(self._lines)), [], 0
        with outage(self._location):
            while data:
                data = data[self._file.write(data) or 0 :]

    def _other(self, name: str, value: Any) -> None:
        long = isinstance(value, str) and len(value) > TEXT_LENGTH
        self._send(self._lib.LogOtherMessage(name, value[:TEXT_LENGTH] if long else value))
        if long:
            self._asset(f"other/{name}.txt", value.encode("utf-8", "surrogatepass"), None, {"kind": "other", "name": name})

    def _parameter(self, name: str, value: Any) -> None:
        long = isinstance(value, str) and len(value) > TEXT_LENGTH
        message = self._lib.ParameterMessage(None, self._run.start // 1_000_000)
        message.set_param(name, value[:TEXT_LENGTH] if long else value, source="manual")
        self._send(message)
        if long:
            self._asset(f"parameters/{name}.txt", value.encode("utf-8", "surrogatepass"), None, {"kind": "parameter", "name": name})

    def _asset(
        self,
        name: str,
        content: bytes | Path,
        step: int | None,
        about: dict[str, Any],
        upload: str = "asset",
        time: int = 0,
        file: str = "",
    ) -> None:
        """A file: its copy lies in the folder, as `file` or under a number."""
        suffix = name.rpartition(".")[2]
        extension = suffix if suffix.isascii() and suffix.isalnum() and len(suffix) < 10 and "." in name else ""
        path = self._folder / (file or f"{self._count + len(self._taken) + 1:08}.{extension}".rstrip("."))
        if isinstance(content, Path):
            shutil.copyfile(content, path)
        elif not file:
            path.write_bytes(content)
        parameters = {"context": None, "step": step, "runId": None, "overwrite": bool(file), "extension": extension}
        named = {"figName": name, "figCounter": 0} if upload == "visualization" else {"fileName": name, "type": upload}
        message = self._lib.UploadFileMessage(str(path), upload, parameters | named, about, path.stat().st_size, clean=False)
        message.local_timestamp = (time or self._run.start) // 1_000_000
        self._send(message, path.name)

    def _name(self, key: str) -> str:
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = self._encoded(key, KEYS)
        return name

    def _encoded(self, key: str, encoding: Names) -> str:
        """The name of `key`; the original of a shortened one is told."""
        name = encoding.encode(key)
        if encoding.shortened(key):
            self._other(ORIGINAL + name[-16:], key)
        return name

    # -- records ---------------------------------------------------------------------------------------------------------------------

    def write(self, batch: Sequence[Record]) -> Sequence[Deviation]:
        for index, record in enumerate(batch):
            if record.shard and record.sequence < self._held.get(record.shard, 0):
                continue
            try:
                self._take(record.event)
            except (TypeError, ValueError, LookupError, AttributeError, OverflowError, RecursionError) as error:
                self._taken = []
                self._names.clear()  # what it told of them is dropped too
                raise Rejected(f"{type(error).__name__}: {error}"[:500], index) from error
            except OSError as error:
                raise Unavailable(f"{self._folder}: {error.strerror or error}") from error
            self._commit()
            if record.shard:  # what the forwarder adds at the end has no identity
                self._held[record.shard] = record.sequence + 1
            if self._size > CHUNK:
                self._put()
        deviations, self._ledger = self._ledger.rows(), Ledger()
        return deviations

    def _take(self, event: AnyEvent) -> None:
        if isinstance(event, Metrics):
            self._metrics(event)
        elif isinstance(event, Media):
            self._media(event)
        elif isinstance(event, Artifact):
            about: dict[str, Any] = {"kind": "artifact", "name": event.name, "type": event.type}
            about |= {"metadata": {name: shown(value) for name, value in event.metadata.items()}} if event.metadata else {}
            for ref in event.files:
                name = PATHS.encode(f"artifacts/{event.name}/{ref.path}")
                self._file_or_link(name, ref, event.uri, None, about | {"path": ref.path}, event.time)
        elif isinstance(event, Config):
            self._configure(event)
        elif isinstance(event, Summary):
            for key, value in event.values.items():
                self._other(SUMMARY + self._encoded(key, ENTRIES), shown(value))
        elif isinstance(event, Tags):
            self._tags = list(event.values)
            self._write_meta()
            if self._experiment is not None:
                self._experiment.add_tags(self._tags)
        elif isinstance(event, Deviations):
            self._other(DEVIATIONS, words(Ledger(unpack(event.items)).by_reason()))

    def _metrics(self, event: Metrics) -> None:
        make, step, time, kept = self._lib.MetricMessage, event.step, event.time // 1_000_000, 0
        for key, value in event.values.items():
            if type(value) is not float and type(value) is not int:
                held = PROJECTION.scalar(self._ledger, event, key, value, shared=False)
                if held is None:
                    continue
                value = held.value
            message = make(None, time)
            message.set_metric(self._name(key), value, step)
            self._send(message)
            kept += 1
        if event.time % 1_000_000 and kept:
            self._ledger.add(Deviation(Reason.TIMESTAMP, "time", kept, "cut to milliseconds"))

    def _configure(self, event: Config) -> None:
        """Comet takes no parameter away: one that is gone becomes null."""
        values = flatten(event.values)
        top = top_level(event.values)
        gone = {path for path in self._config - values.keys() if path.partition("/")[0] in top}
        for path, value in values.items():
            self._parameter(self._name(path), shown(value))
        for path in gone:
            self._parameter(KEYS.encode(path), None)
        self._config = (self._config - gone) | values.keys()

    def _media(self, event: Media) -> None:
        about = {name: shown(value) for name, value in event.meta.items()}
        about |= {"kind": event.kind, "format": event.format, "key": event.key, "time": iso(event.time)}
        name = KEYS.encode(event.key)
        if event.kind in INLINE:
            value = self._run.inline(event)
            if event.kind == "histogram":
                self._drawn(name, value, event)
            data, suffix = INLINE[event.kind](value)
            named = "auto-generated-in-the-backend" if event.kind == "text" else f"{name}.{suffix}"
            self._asset(named, data, event.step, about, UPLOADS.get(event.kind, "asset"), event.time)
            return
        if event.file is None or event.kind not in FILES:
            raise ValueError(f"{event.kind!r} is no kind of value that Comet has a place for")
        upload = UPLOADS.get(event.kind, "visualization" if event.kind != "file" and event.format in PICTURES else "asset")
        about["name"] = event.file.path
        shown_name = name if upload == "visualization" or not event.format else f"{name}.{event.format}"
        self._file_or_link(shown_name, event.file, event.file.path, event.step, about, event.time, upload)

    def _drawn(self, name: str, value: dict[str, Any], event: Media) -> None:
        """A histogram in the bins that Comet draws; its own edges and counts follow as JSON."""
        edges, counts = value["edges"], value["counts"]
        histogram = self._lib.Histogram()
        with contextlib.suppress(ArithmeticError, IndexError, ValueError):  # it takes no infinities, and nothing beyond its own range
            histogram.add([(low + high) / 2 for low, high in pairwise(edges)], counts=counts)
            data = json.dumps(histogram.to_json()).encode()
            self._asset(name, data, event.call if event.step is None else event.step, {}, "histogram3d", event.time)

    def _file_or_link(
        self, name: str, ref: FileRef, uri: str, step: int | None, about: dict[str, Any], time: int, upload: str = "asset"
    ) -> None:
        if ref.digest:
            self._asset(name, self._run.content(ref), step, about, upload, time)
            return
        parameters = {"context": None, "step": step, "runId": None, "overwrite": False, "fileName": name, "isRemote": True}
        self._send(self._lib.RemoteAssetMessage(uri or ref.path, upload, parameters, about | {"size": ref.size}, 0))

    # -- what is held ----------------------------------------------------------------------------------------------------------------

    def flush(self) -> Position:
        """It survives any process once the system has it. The entry that says what is held goes last."""
        self._put()
        if self._experiment is not None:
            self._experiment.flush()
        if self._held != self._marked:
            self._send(self._lib.LogOtherMessage(POSITION, encode(self._held)))  # whole, however many shards there are
            self._commit()
            self._put()
            self._marked = dict(self._held)
        return Position(dict(self._held), {"fragment": self._folder.name, "length": self._file.tell()})

    def attach(self, sidecar: bytes, digest: str) -> None:
        self.flush()
        with outage(self._location):
            replace(self._folder / JOURNAL, sidecar)
            if not self._announced or self._experiment is not None:
                self._asset(SIDECAR_FILE, b"", None, {}, file=JOURNAL)
                self._announced = True
        self._other(DIGEST, digest)
        self._commit()
        self._put()

    def close(self, status: str, end: int) -> None:
        self._other(STATUS, str(status))
        self._commit()
        self._put()
        with outage(self._location):
            if self._experiment is not None:
                self._experiment.flush()
                self._experiment.end()
            self._write_meta(end, "" if status == Status.FINISHED else str(status))
            self._file.close()
            client.pack(self._folder, self._archive)
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _archive(self) -> Path:
        return self._folder.with_name(f"{self._folder.name}.zip")

    def place(self) -> Place:
        if self._experiment is not None:
            return Place(self._key, str(self._archive), self._experiment.url, mode="online")
        return Place(
            self._key, str(self._archive), hint=f"comet upload {shlex.join(map(str, [*self._earlier, self._archive]))}", mode="offline"
        )


def _table(value: dict[str, Any]) -> tuple[bytes, str]:
    rows = [value["columns"], *value["rows"]]
    if any(len(row) != len(rows[0]) for row in rows):
        raise ValueError("a row of the table has another length than its head")
    text = io.StringIO(newline="")
    csv.writer(text).writerows([to_text(cell) for cell in row] for row in rows)
    return text.getvalue().encode("utf-8", "surrogatepass"), "csv"


def _histogram(value: dict[str, Any]) -> tuple[bytes, str]:
    if len(value["edges"]) != len(value["counts"]) + 1:
        raise ValueError("a histogram has one edge more than counts")
    return json.dumps({"edges": value["edges"], "counts": value["counts"]}).encode(), "json"


INLINE: dict[str, Callable[[Any], tuple[bytes, str]]] = {
    "table": _table,
    "histogram": _histogram,
    "text": lambda value: (value.encode("utf-8", "surrogatepass"), "txt"),
}
FILES = ("image", "figure", "audio", "video", "file")
