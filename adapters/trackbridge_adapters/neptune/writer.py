"""Turns Records into attributes of Neptune, for both of its clients."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from trackbridge.adapters import Place, Position
from trackbridge.deviations import Deviation, Ledger, Reason, unpack, words
from trackbridge.errors import Rejected, Unavailable
from trackbridge.names import Names, to_text
from trackbridge.normal import flatten
from trackbridge.projection import MediaItem
from trackbridge.records import AnyEvent, Artifact, Config, Deviations, Media, Metrics, Record, RunInfo, Status, Summary, Tags
from trackbridge.times import iso
from trackbridge_adapters.neptune import layout
from trackbridge_adapters.neptune.layout import ENTRIES, KEYS, PARTS, PATHS, Gone, Sets


class Writer:
    """Writes one run. Each record is taken whole or not at all. `client`: the module of one of Neptune's clients."""

    def __init__(self, location: Path, project: str, client: Any, notice: str) -> None:
        self._location, self._chosen, self._client, self._notice = location, project, client, notice

    def open(self, run: RunInfo, position: Position | None) -> Position:
        self._run, self._ledger, self._names = run, Ledger(), dict[str, str]()
        project = self._chosen or run.project
        with self._outage():
            self._store = self._client.Store(self._location, run, project, position)
            self._held: dict[str, int] = dict(self._store.held)
            self._config, self._tags = set[str](), list[str]()
            if self._store.new:
                self._describe(project)
            else:
                self._learn()
        return self.flush()

    @contextlib.contextmanager
    def _outage(self) -> Iterator[None]:
        try:
            yield
        except self._client.outages() as error:
            raise Unavailable(f"{self._location}: {getattr(error, 'strerror', None) or error}") from error

    def _describe(self, project: str) -> None:
        run = self._run
        texts: dict[str, str | bool] = {layout.RUN_ID: run.id, layout.PROJECT: project, layout.NAME: run.name, layout.NOTES: run.notes}
        texts |= {layout.JOB_TYPE: run.job_type, layout.STATUS: str(Status.RUNNING), layout.START: iso(run.start)}
        for name, value in run.provenance.items():
            texts[layout.SOURCE.get(name, layout.PROVENANCE + ENTRIES.encode(name))] = value if isinstance(value, bool) else str(value)
        for path, text in texts.items():
            if text != "":
                self._assign(path, text)
        if run.group:
            self._store.change(layout.GROUPS, Sets([run.group]), run.start)
        self._retag(run.tags, run.start)
        self._store.take()

    def _learn(self) -> None:
        """What the run holds already of what is set again."""
        for held in self._store.known():
            if held.path.startswith(layout.CONFIG):
                (self._config.discard if isinstance(held.value, Gone) else self._config.add)(held.path)
            elif held.path == layout.TAGS:
                self._tags = [tag for tag in self._tags if tag not in held.value.remove] + held.value.add

    # -- attributes ------------------------------------------------------------------------------------------------------------------

    def _assign(self, path: str, value: Any, time: int = 0) -> None:
        store, time = self._store, time or self._run.start
        if isinstance(value, str) and layout.size(value) > store.text_limit:
            store.file(path, value.encode("utf-8", "surrogatepass"), "text.txt", time)
        else:
            store.assign(path, value, time)

    def _name(self, key: str) -> str:
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = self._encoded(key, KEYS)
        return name

    def _encoded(self, key: str, encoding: Names) -> str:
        """The name of `key`; the original of a shortened one is told."""
        name = encoding.encode(key)
        if encoding.shortened(key):
            self._assign(layout.ORIGINAL + name[-16:], key)
        return name

    def _retag(self, tags: Iterable[str], time: int) -> None:
        wanted = list(dict.fromkeys(tags))
        sets = Sets([tag for tag in wanted if tag not in self._tags], [tag for tag in self._tags if tag not in wanted])
        if sets.add or sets.remove:
            self._store.change(layout.TAGS, sets, time)
        self._tags = wanted

    # -- records ---------------------------------------------------------------------------------------------------------------------

    def write(self, batch: Sequence[Record]) -> Sequence[Deviation]:
        store = self._store
        for index, record in enumerate(batch):
            if record.shard and record.sequence < self._held.get(record.shard, 0):
                continue
            with self._outage():
                try:
                    self._take(record.event)
                except (TypeError, ValueError, LookupError, AttributeError, OverflowError, RecursionError) as error:
                    store.drop()
                    self._names.clear()  # what it told of them is dropped too
                    raise Rejected(f"{type(error).__name__}: {error}"[:500], index) from error
                store.take()
                if record.shard:  # what the forwarder adds at the end has no identity
                    self._held[record.shard] = record.sequence + 1
                if store.full:
                    store.flush(self._held)
        deviations, self._ledger = self._ledger.rows(), Ledger()
        return deviations

    def _take(self, event: AnyEvent) -> None:
        store, time = self._store, event.time
        if isinstance(event, Metrics):
            self._metrics(event)
        elif isinstance(event, Media):
            self._media(event)
        elif isinstance(event, Artifact):
            self._artifact(event)
        elif isinstance(event, Config):
            self._configure(event)
        elif isinstance(event, Summary):
            for key, value in event.values.items():
                self._assign(layout.SUMMARY + self._encoded(key, ENTRIES), store.shown(value), time)
        elif isinstance(event, Tags):
            self._retag(event.values, time)
        elif isinstance(event, Deviations):
            self._assign(layout.DEVIATIONS, words(Ledger(unpack(event.items)).by_reason()), time)

    def _metrics(self, event: Metrics) -> None:
        store = self._store
        if store.free(event):
            values, texts = {self._name(key): value for key, value in event.values.items()}, dict[str, str]()
        else:
            values, texts = self._changed(event)
        if values or texts:
            store.points(values, texts, event.step, event.time)
            if store.rounds(event.time):
                self._ledger.add(Deviation(Reason.TIMESTAMP, "time", len(values) + len(texts), "rounded to a double of seconds"))

    def _changed(self, event: Metrics) -> tuple[dict[str, float], dict[str, str]]:
        """What the declared rules leave of the values of `event`: numbers and texts, by their names."""
        values, texts = dict[str, float](), dict[str, str]()
        for key in event.values:
            point = self._store.projection.scalar(self._ledger, event, key, event.values[key], shared=False)
            if point is None:
                continue
            if isinstance(point.value, str):
                texts[f"{self._name(key)}·{layout.STRING}"] = point.value
            else:
                values[self._name(key)] = point.value
        return values, texts

    def _configure(self, event: Config) -> None:
        values = {layout.CONFIG + self._encoded(path, ENTRIES): value for path, value in flatten(event.values).items()}
        top = {layout.CONFIG + ENTRIES.encode(path) for path in flatten(dict.fromkeys(event.values))}
        gone = {path for path in self._config - values.keys() if any(f"{path}/".startswith(f"{name}/") for name in top)}
        for path in gone:
            self._store.assign(path, Gone(), event.time)
        for path, value in values.items():
            self._assign(path, self._store.shown(value), event.time)
        self._config = (self._config - gone) | values.keys()

    def _media(self, event: Media) -> None:
        store, name = self._store, self._name(event.key)
        content = self._run.inline(event) if event.kind in INLINE else None
        item = MediaItem(event.key, event.step, event.time, event.kind, event.format, content, event.call)
        held = store.projection.held(self._ledger, "media", item, event.key, f"{event.kind} {event.format}")
        if held is None:
            return
        if event.kind == "text" and store.fits(content):
            store.text(f"{name}·text", content, held.step, event.time)
        elif event.kind == "histogram" and store.histogram(f"{name}·histogram", _checked(content), held.step, event.time):
            return
        elif event.kind in INLINE:
            extension, make = INLINE[event.kind]
            store.media(f"{name}·{event.kind}.{extension}", make(content), f"{event.kind}.{extension}", held.step, event.time)
        else:
            end = layout.suffix(event.kind, event.format)
            if event.file is None:
                raise ValueError(f"{event.key!r} has no file")
            store.media(f"{name}·{end}", self._run.content(event.file), layout.file_name(event.file.path), held.step, event.time)

    def _artifact(self, event: Artifact) -> None:
        place = f"{self._encoded(event.type, PARTS)}/{self._encoded(event.name, PARTS)}"
        contents = [self._run.content(ref) if ref.digest else None for ref in event.files]
        for ref, content in zip(event.files, contents, strict=True):
            path = f"{layout.ARTIFACTS}{place}/{self._encoded(ref.path, PATHS)}"
            if content is None:
                self._assign(path, to_text({"uri": event.uri or ref.path, "bytes": ref.size}), event.time)
            else:
                self._store.file(path, content, layout.file_name(ref.path), event.time)
        if event.metadata:
            self._assign(layout.METADATA + place, to_text(event.metadata), event.time)

    # -- what is held ----------------------------------------------------------------------------------------------------------------

    def flush(self) -> Position:
        with self._outage():
            token = self._store.flush(self._held)
        return Position(dict(self._held), token)

    def attach(self, sidecar: bytes, digest: str) -> None:
        self.flush()
        with self._outage():
            self._store.journal(sidecar)
            self._assign(layout.DIGEST, digest)
            self._store.take()
        self.flush()

    def close(self, status: str, end: int) -> None:
        with self._outage():
            self._assign(layout.STATUS, str(status), end)
            self._assign(layout.FAILED, status != Status.FINISHED, end)
            self._assign(layout.END, iso(end), end)
            self._store.take()
        self.flush()
        with self._outage():
            self._store.close()

    def place(self) -> Place:
        read = f"trackbridge.read({self._run.id!r}, {f'neptune:{self._location}'!r})"
        return Place(self._run.id, str(self._store.folder), hint=f"{self._notice}; read it with {read}", mode="offline")


def _checked(histogram: Any) -> Any:
    if len(histogram["edges"]) != len(histogram["counts"]) + 1:
        raise ValueError("a histogram has one edge more than counts")
    return histogram


def _table(value: dict[str, Any]) -> bytes:
    rows = [value["columns"], *value["rows"]]
    if any(len(row) != len(rows[0]) for row in rows):
        raise ValueError("a row of the table has another length than its head")
    text = io.StringIO(newline="")
    csv.writer(text).writerows([to_text(cell) for cell in row] for row in rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


INLINE: dict[str, tuple[str, Callable[[Any], bytes]]] = {
    "table": ("csv", _table),
    "histogram": ("json", layout.as_json),
    "text": ("txt", lambda value: value.encode("utf-8", "surrogatepass")),
}
