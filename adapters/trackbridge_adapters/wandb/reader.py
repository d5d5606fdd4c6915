"""Reads runs from the logs that the client writes, online and offline."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from trackbridge import records
from trackbridge.adapters import SIDECAR_FILE
from trackbridge.errors import RunNotFound
from trackbridge.records import AnyEvent, Artifact, FileRef, Media, Record, RunInfo
from trackbridge_adapters.wandb import layout
from trackbridge_adapters.wandb.layout import Fragment, Held, Row


class Reader:
    """Joins the fragments of a run. Of runs that others wrote it reads configuration and scalars."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def runs(self) -> Iterator[RunInfo]:
        parts = layout.fragments(self._folder)
        for wandb_id in dict.fromkeys(part.wandb_id for part in parts):
            own = [part for part in parts if part.wandb_id == wandb_id]
            info = layout.held(own, only_notes=True).described() or layout.foreign(own[-1])
            if info is not None:
                yield info

    def read(self, run_id: str) -> Iterator[Record]:
        parts = layout.fragments(self._folder, layout.IDS.encode(run_id))
        held = Held()
        events: dict[tuple[int, int, int], AnyEvent] = {}
        for number, part in enumerate(parts):
            for row in layout.rows(part.log):
                if isinstance(row, Row) and row.mark:
                    held.see(row, part)
                    # What was sent twice has the same ordinal twice; what the forwarder adds at the end has no shard, and comes after.
                    place = (row.mark[2], -1, 0) if row.mark[0] else (row.mark[2], number, row.mark[1])
                    if place not in events and "status" not in row.note and "sidecar" not in row.note:
                        event = _found(row, part)
                        if event is not None:
                            events[place] = event
        info = held.described()
        found: list[AnyEvent] = [event for _, event in sorted(events.items(), key=lambda item: item[0])]
        if info is None and parts:
            info, found = layout.foreign(parts[-1]), list(layout.foreign_events(parts))
        if info is None or info.id != run_id:
            raise RunNotFound(f"no run {run_id!r} in {self._folder}")
        head: list[AnyEvent] = [layout.start(info)]
        if held.tags is None:
            head.append(records.Tags(info.start, list(info.tags)))
        tail = [records.End(info.end, info.status)] if info.end is not None else []
        for sequence, event in enumerate([*head, *found, *tail]):
            yield Record("native", sequence, event)

    def sidecar(self, run_id: str) -> tuple[bytes, str] | None:
        """Of the newest fragment that has one: it covers those before."""
        for part in reversed(layout.fragments(self._folder, layout.IDS.encode(run_id))):
            path = part.files / SIDECAR_FILE
            if path.is_file():
                return path.read_bytes(), layout.held([part], only_notes=True).digests.get(str(part.log.parent), "")
        return None


def _found(row: Row, part: Fragment) -> AnyEvent | None:
    """The row's event with the digests of the contents that are really there; None for a value whose content is not."""
    event = row.event
    if isinstance(event, Artifact):
        files = [_there(ref, [layout.artifact(event.name, ref.path), layout.FILES / ref.digest], part) for ref in event.files]
        return msgspec.structs.replace(event, files=[ref for ref in files if ref is not None])
    if isinstance(event, Media) and event.file is not None:
        shown: Any = row.values.get(layout.MEDIA.encode(event.key))
        native = [Path(shown["path"])] if isinstance(shown, dict) and event.kind in layout.NATIVE and "path" in shown else []
        ref = _there(event.file, [*native, layout.FILES / event.file.digest], part)
        return None if ref is None else msgspec.structs.replace(event, file=ref)
    return event


def _there(ref: FileRef, places: list[Path], part: Fragment) -> FileRef | None:
    """`ref` as the first of `places` that is there holds it, best the one that holds what was logged."""
    if not ref.digest:  # by reference
        return ref
    best: FileRef | None = None
    for place in places:
        path = part.files / place
        if path.is_file():
            with path.open("rb") as file:
                found = FileRef(ref.path, hashlib.file_digest(file, "sha256").hexdigest(), os.fstat(file.fileno()).st_size)
            if best is None or found.digest == ref.digest:
                best = found
    return best
