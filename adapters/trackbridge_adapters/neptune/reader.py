"""Reads runs of either client, and what Neptune's exporter left."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from trackbridge.errors import RunNotFound
from trackbridge.names import from_text
from trackbridge.normal import unflatten
from trackbridge.projection import nanoseconds
from trackbridge.records import AnyEvent, Artifact, Config, FileRef, Media, Metrics, Record, RunInfo, Status, Summary, Tags
from trackbridge.times import from_iso
from trackbridge_adapters.neptune import classic, export, layout, scale
from trackbridge_adapters.neptune.layout import (
    ARTIFACTS,
    CONFIG,
    ENTRIES,
    KEYS,
    PARTS,
    PATHS,
    SUMMARY,
    Gone,
    Held,
    Sets,
    Source,
    Stored,
    told,
)

LARGEST_CELL = (1 << 31) - 1
PICTURES = re.compile(r".*\.(png|jpe?g|gif|webp|bmp|svg)$", re.IGNORECASE)


class Reader:
    """Joins what lies in a folder of one run. Of runs that others wrote it reads series and values, where they lie."""

    def __init__(self, location: Path) -> None:
        self._location = location

    def runs(self) -> Iterator[RunInfo]:
        found: dict[str, list[Source]] = {}
        for source in self._sources():
            found.setdefault(source.run_id, []).append(source)
        for sources in found.values():
            yield _Run(sources).info

    def read(self, run_id: str) -> Iterator[Record]:
        for sequence, event in enumerate(self._find(run_id).events()):
            yield Record("native", sequence, event)

    def sidecar(self, run_id: str) -> tuple[bytes, str] | None:
        values = self._find(run_id).values
        journal = values.get(layout.JOURNAL)
        return (journal.read(), values.get(layout.DIGEST, "")) if isinstance(journal, Stored) and journal.path else None

    def _sources(self, run_id: str = "") -> Iterator[Source]:
        return chain(scale.runs(self._location, run_id), classic.runs(self._location, run_id), export.runs(self._location))

    def _find(self, run_id: str) -> _Run:
        sources = [source for source in self._sources(run_id) if source.run_id == run_id]
        if not sources:
            raise RunNotFound(f"no run {run_id!r} in {self._location}")
        return _Run(sources)


class _Run:
    """One run, of one or several sources in the order in which they were begun."""

    def __init__(self, sources: list[Source]) -> None:
        self._sources = sorted(sources, key=lambda source: source.start)
        self.values: dict[str, Any] = {}
        self._sets: dict[str, dict[str, None]] = {}
        for held in self._held(series=False):
            self._see(held)
        self.ours = layout.RUN_ID in self.values
        originals = [value for path, value in self.values.items() if path.startswith(layout.ORIGINAL)]
        self._originals = {encoding.encode(key): key for key in originals for encoding in (KEYS, ENTRIES, PARTS, PATHS)}

    def _held(self, series: bool = True) -> Iterator[Held]:
        return chain.from_iterable(source.held(series) for source in self._sources)

    def _see(self, held: Held) -> None:
        if isinstance(held.value, Sets):
            texts = self._sets.setdefault(held.path, {})
            texts |= dict.fromkeys(held.value.add)
            for text in held.value.remove:
                texts.pop(text, None)
        elif isinstance(held.value, Gone):
            self.values.pop(held.path, None)
        elif not held.series:
            self.values.pop(held.path, None)
            self.values[held.path] = held.value

    @property
    def info(self) -> RunInfo:
        first, values = self._sources[0], self.values
        failed = values.get(layout.FAILED) is True
        start, end = values.get(layout.START), values.get(layout.END)
        return RunInfo(
            id=first.run_id,
            name=str(values.get(layout.NAME) or first.name),
            project=str(values.get(layout.PROJECT, "" if self.ours else first.project)),
            group=", ".join(self._sets.get(layout.GROUPS, ())),
            job_type=str(values.get(layout.JOB_TYPE, "")),
            notes=str(layout.whole_text(values.get(layout.NOTES, ""))),
            tags=tuple(self._sets.get(layout.TAGS, ())),
            status=values.get(layout.STATUS) or (Status.FAILED if failed else Status.FINISHED),
            start=from_iso(start) if start else first.start,
            end=from_iso(end) if end else None,
        )

    def events(self) -> Iterator[AnyEvent]:
        info = self.info
        yield Config(info.start, unflatten(self._entries(CONFIG)) if self.ours else self._plain())
        yield Summary(info.start, self._entries(SUMMARY))
        yield Tags(info.start, list(info.tags))
        current: dict[str, Any] = {}
        for held in self._held():
            if held.series:
                yield from self._point(held)
            elif self.ours and held.path.startswith(ARTIFACTS):
                yield from self._artifact(held)
            elif self.ours and held.path.endswith("/content") and not held.path.startswith((CONFIG, SUMMARY, layout.OWN)):
                place = held.path.removesuffix("/content")
                step, time = (told(current.get(f"{place}/{word}")) for word in ("step", "time"))
                yield from self._media(place.rpartition("/")[0], held.value, step, nanoseconds(time))
            elif isinstance(held.value, Stored) and not self.ours:
                yield Artifact(held.time, held.path, "file", [_ref(held.value)])
            current[held.path] = held.value

    def _entries(self, space: str) -> dict[str, Any]:
        names = {path.removeprefix(space): value for path, value in self.values.items() if path.startswith(space)}
        return {ENTRIES.decode(name, self._originals): told(value) for name, value in names.items()} if self.ours else {}

    def _plain(self) -> dict[str, Any]:
        """Values of a run that others wrote."""
        every = self.values | {path: list(texts) for path, texts in self._sets.items()}
        return {path: value for path, value in every.items() if not path.startswith(layout.NOT_CONFIG) and not isinstance(value, Stored)}

    def _point(self, held: Held) -> Iterator[AnyEvent]:
        name, value = held.path, held.value
        if isinstance(value, float | int):
            key = KEYS.decode(name, self._originals) if self.ours else name
            yield Metrics(held.time, 0, held.step, {key: value})
        elif isinstance(value, str) and (not self.ours or name.endswith(f"·{layout.STRING}")):
            key = KEYS.decode(name.rpartition("·")[0], self._originals) if self.ours else name
            yield Metrics(held.time, 0, held.step, {key: value})
        else:
            yield from self._media(name, value, held.step, held.time)

    def _media(self, name: str, value: Any, step: int | None, time: int) -> Iterator[Media]:
        if self.ours:
            name, _, end = name.rpartition("·")
            key = KEYS.decode(name, self._originals)
            kind, _, format = end.partition(".")
        elif isinstance(value, Stored):
            key, format = name, value.name.rpartition(".")[2] if "." in value.name else ""
            kind = "image" if PICTURES.match(value.name) else "file"
        else:
            key, kind, format = name, "histogram", ""
        if kind in FORMATS:
            yield Media(time, 0, step, key, kind, FORMATS[kind], inline=_inline(kind, value))
        else:
            yield Media(time, 0, step, key, kind, format, file=_ref(value))

    def _artifact(self, held: Held) -> Iterator[Artifact]:
        kind, name, path = held.path.removeprefix(ARTIFACTS).split("/", 2)
        kind, name = PARTS.decode(kind, self._originals), PARTS.decode(name, self._originals)
        path = PATHS.decode(path, self._originals)
        if isinstance(held.value, Stored):
            yield Artifact(held.time, name, kind, [_ref(held.value, path)])
        elif isinstance(held.value, str):
            about = from_text(held.value)
            yield Artifact(held.time, name, kind, [FileRef(path, "", about["bytes"])], about["uri"])


FORMATS = {"histogram": "counts", "table": "rows", "text": "text"}


def _ref(stored: Stored, name: str | None = None) -> FileRef:
    """A file of which nothing is left has no digest."""
    data = stored.read()
    digest = hashlib.sha256(data).hexdigest() if data or stored.path else ""
    return FileRef(stored.name if name is None else name, digest, len(data))


def _inline(kind: str, value: Any) -> Any:
    if not isinstance(value, Stored):
        return value
    text = value.read().decode("utf-8", "surrogatepass")
    if kind == "histogram":
        return json.loads(text)
    if kind == "table":
        csv.field_size_limit(LARGEST_CELL)
        columns, *rows = ([from_text(cell) for cell in row] for row in csv.reader(io.StringIO(text, newline="")))
        return {"columns": columns, "rows": rows}
    return text
