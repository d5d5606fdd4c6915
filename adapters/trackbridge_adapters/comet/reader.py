"""Reads runs from archives, and from folders that will become archives, as the client's uploader does."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from trackbridge.adapters import SIDECAR_FILE
from trackbridge.errors import RunNotFound
from trackbridge.normal import unflatten
from trackbridge.records import AnyEvent, Artifact, Config, FileRef, Media, Metrics, Record, RunInfo, Status, Summary, Tags
from trackbridge.times import from_iso
from trackbridge_adapters.comet import layout
from trackbridge_adapters.comet.layout import (
    DIGEST,
    ENTRIES,
    FIELDS,
    KEYS,
    NUMBERS,
    RUN_ID,
    STATUS,
    SUMMARY,
    Fragment,
    told,
)

META = {"kind", "format", "key", "time", "name", "size"}
LARGEST_CELL = (1 << 31) - 1


class Reader:
    """Joins the archives of a run. Of runs that others wrote it reads metrics, parameters and what is under Other."""

    def __init__(self, location: Path) -> None:
        self._location = location

    def runs(self) -> Iterator[RunInfo]:
        found = layout.fragments(self._location)
        while found:
            parts = found.pop(next(iter(found)))  # with the archives that are open
            yield _info(parts, layout.described(parts)[1])

    def read(self, run_id: str) -> Iterator[Record]:
        for sequence, event in enumerate(_events(*self._find(run_id))):
            yield Record("native", sequence, event)

    def sidecar(self, run_id: str) -> tuple[bytes, str] | None:
        """Of the newest archive that has one: it covers those before."""
        parts, _ = self._find(run_id)
        for part in reversed(parts):
            others, found = layout.described([part])[1], None
            for kind, payload in part.messages(metrics=False):
                if kind == "file_upload" and (payload["additional_params"] or {}).get("fileName") == SIDECAR_FILE:
                    found = payload["file_path"]
            if found:
                return part.content(found), others.get(DIGEST, "")
        return None

    def _find(self, run_id: str) -> tuple[list[Fragment], bool]:
        """The archives of a run, and whether it is ours."""
        key = layout.experiment_key(run_id)
        if parts := layout.fragments(self._location, key).get(key):
            ours = layout.described(parts[:1])[1].get(RUN_ID)
            if run_id == (ours or key):
                return parts, bool(ours)
        raise RunNotFound(f"no run {run_id!r} in {self._location}")


def _info(parts: list[Fragment], others: dict[str, Any]) -> RunInfo:
    first, last = parts[0].meta, parts[-1]
    ours = RUN_ID in others
    text: dict[str, Any] = {field: str(others.get(name, "")) for field, name in FIELDS.items() if ours or field == "name"}
    return RunInfo(
        id=str(others[RUN_ID]) if ours else first.get("offline_id") or parts[0].name,
        project=first.get("project_name") or "",
        tags=tuple(last.meta.get("tags", ())),
        status=others.get(STATUS, Status.RUNNING) if ours else Status.RUNNING if last.live else Status.FINISHED,
        start=first["start_time"] * 1_000_000,
        end=None if last.live else last.meta["stop_time"] * 1_000_000,
        **text,
    )


def _events(parts: list[Fragment], ours: bool) -> Iterator[AnyEvent]:
    parameters, others = layout.described(parts)
    info, names = _info(parts, others), layout.originals(others)
    if ours:
        config = {KEYS.decode(name, names): told(value) for name, value in parameters.items() if value is not None}
        entries, originals = (
            {name.removeprefix(SUMMARY): others[name] for name in others if name.startswith(SUMMARY)},
            layout.originals(others, ENTRIES),
        )
        summary = {ENTRIES.decode(name, originals): told(value) for name, value in entries.items()}
        yield Config(info.start, unflatten(config))
    else:
        summary = others
        yield Config(info.start, parameters)
    yield Summary(info.start, summary)
    yield Tags(info.start, list(info.tags))
    for part in parts:
        for kind, payload in part.messages():
            if kind == "metric_msg":
                metric = payload["metric"]
                name, value = metric["metricName"], metric["metricValue"]
                key = KEYS.decode(name, names) if ours else name
                value = NUMBERS.get(value, value) if isinstance(value, str) else value
                yield Metrics(payload["local_timestamp"] * 1_000_000, 0, metric["step"], {key: value})
            elif ours and kind in ("file_upload", "remote_file"):
                yield from _file(part, payload)


def _file(part: Fragment, payload: dict[str, Any]) -> Iterator[AnyEvent]:
    about = payload.get("metadata") or {}
    data = part.content(payload["file_path"]) if "file_path" in payload else None
    digest, size = ("", about.get("size", 0)) if data is None else (hashlib.sha256(data).hexdigest(), len(data))
    if about.get("kind") == "artifact":
        metadata = {name: told(value) for name, value in about.get("metadata", {}).items()}
        yield Artifact(0, about["name"], about["type"], [FileRef(about["path"], digest, size)], payload.get("remote_uri", ""), metadata)
    elif "key" in about:
        step, meta = payload["additional_params"]["step"], {name: told(value) for name, value in about.items() if name not in META}
        media = Media(from_iso(about["time"]), 0, step, about["key"], about["kind"], about["format"], meta=meta)
        if data is not None and "name" not in about:
            yield msgspec.structs.replace(media, inline=_inline(media.kind, data))
        else:
            yield msgspec.structs.replace(media, file=FileRef(about["name"], digest, size))


def _inline(kind: str, data: bytes) -> Any:
    if kind == "histogram":
        return json.loads(data)
    text = data.decode("utf-8", "surrogatepass")
    if kind == "table":
        csv.field_size_limit(LARGEST_CELL)
        columns, *rows = ([told(cell) for cell in row] for row in csv.reader(io.StringIO(text, newline="")))
        return {"columns": columns, "rows": rows}
    return text
