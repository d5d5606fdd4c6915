"""Reads runs from the logs that the client writes, online and offline, also those that others wrote."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trackbridge import records
from trackbridge.adapters import SIDECAR_FILE
from trackbridge.errors import RunNotFound
from trackbridge.files import reference
from trackbridge.projection import nanoseconds
from trackbridge.records import AnyEvent, Artifact, FileRef, Metrics, Record, RunInfo
from trackbridge_adapters.wandb import layout, media
from trackbridge_adapters.wandb.layout import OWN, SIDECAR, Fragment, Held, Row
from trackbridge_adapters.wandb.projection import KEYS, PATHS


class Reader:
    """Joins the fragments of a run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def runs(self) -> Iterator[RunInfo]:
        parts = layout.fragments(self._folder)
        for run_id in dict.fromkeys(part.run_id for part in parts):
            info = layout.held((part for part in parts if part.run_id == run_id), rows=False).info()
            if info is not None:
                yield info

    def read(self, run_id: str) -> Iterator[Record]:
        held, events = Held(), list[AnyEvent]()
        for part in layout.fragments(self._folder, run_id):
            for entry in layout.entries(part.log):
                if held.see(entry):
                    events += _row(entry, part) if isinstance(entry, Row) else _artifact(entry, part)
        info = held.info()
        if info is None:
            if run_id != os.environ.get("WANDB_RUN_ID"):
                raise RunNotFound(f"no run {run_id!r} in {self._folder}")
            yield Record("native", 0, records.Start(0, run_id))
            yield Record("native", 1, records.Config(0, _launched()))
            return
        text = {name: getattr(info, name) for name in ("project", "name", "group", "job_type", "notes")}
        head: list[AnyEvent] = [records.Start(info.start, info.id, **text), records.Tags(info.start, list(info.tags))]
        head += [records.Config(info.start, held.values("config")), records.Summary(info.start, held.values("summary"))]
        tail: list[AnyEvent] = [records.End(info.end, info.status)] if info.end is not None else []
        for sequence, event in enumerate([*head, *events, *tail]):
            yield Record("native", sequence, event)

    def sidecar(self, run_id: str) -> tuple[bytes, str] | None:
        """Of the newest fragment that has one: it covers those before."""
        for part in reversed(layout.fragments(self._folder, run_id)):
            path = part.files / SIDECAR_FILE
            if path.is_file():
                return path.read_bytes(), layout.held([part]).summary.get(SIDECAR, "")
        return None


def _launched() -> dict[str, Any]:
    """The hyper-parameters that an agent chose for the run which this process is part of."""
    from wandb.sdk.lib.config_util import dict_from_config_file

    return dict_from_config_file(os.environ.get("WANDB_SWEEP_PARAM_PATH", "")) or {}


def _row(row: Row, part: Fragment) -> Iterator[AnyEvent]:
    scalars: dict[str, Any] = {}
    for name, value in row.values.items():
        if name[:1] == "_" or name.startswith(OWN):
            continue
        if not isinstance(value, dict | list):
            scalars[KEYS.decode(name)] = value
        elif isinstance(value, dict) and (found := media.found(name, value, row.values, part)) is not None:
            yield found
    if scalars:
        yield Metrics(nanoseconds(row.values.get("_timestamp", 0.0)), 0, media.step(row.values), scalars)


def _artifact(entry: Any, part: Fragment) -> Iterator[Artifact]:
    """What the record lists and is really there. The client's own artifacts, such as its tables, are not the user's."""
    held = entry.artifact
    if entry.WhichOneof("record_type") != "artifact" or held.type == "run_table" or held.type.startswith("wandb-"):
        return
    metadata = json.loads(held.metadata or "{}")
    name, kind = metadata.pop(OWN + "name", held.name), metadata.pop(OWN + "type", held.type)
    files: list[FileRef] = []
    uri = ""
    for item in held.manifest.contents:
        path = PATHS.decode(item.path)
        if item.ref:
            uri = item.ref
            files.append(FileRef(path, "", item.size))
            continue
        for place in (part.artifacts / Path(item.local_path).name, Path(item.local_path)):  # the folder may have been moved
            if place.is_file():
                files.append(reference(place, path))
                break
    yield Artifact(0, name, kind, files, uri, metadata)
