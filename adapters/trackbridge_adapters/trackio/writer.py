"""Writes a run by trackio's bulk interface: rows and configuration in one transaction."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trackbridge.adapters import SIDECAR_FILE, Place, Position
from trackbridge.deviations import Deviation, Ledger, Reason, unpack
from trackbridge.errors import Rejected
from trackbridge.files import outage
from trackbridge.projection import MediaItem
from trackbridge.records import AnyEvent, Artifact, Config, Deviations, Media, Metrics, Record, RunInfo, Status, Summary, Tags
from trackbridge_adapters.trackio.folder import Row, Store
from trackbridge_adapters.trackio.layout import (
    ARRIVAL,
    CREATED,
    DIGEST,
    END,
    GROUP,
    INLINE,
    KEYS,
    OURS,
    PATHS,
    PROJECT,
    SIDECAR_TYPE,
    STATUS,
    SUMMARY,
    TAGS,
    TYPES,
    artifact_names,
    file_name,
    in_range,
    iso,
    names,
    plain,
    project_name,
    shown,
    sidecar_name,
)

ROWS = 5000
"""After so many `write` hands them over: each transaction takes some milliseconds."""

FREE = frozenset({float, bool, type(None)})
"""Types that no rule concerns."""


class Writer:
    """Collects rows, and hands them over at each flush. The configuration is written whole whenever an entry changed."""

    def __init__(self, store: Store, project: str) -> None:
        self._store, self._chosen = store, project

    def open(self, run: RunInfo, position: Position | None) -> Position:
        project = self._chosen or run.project
        self._run, self._project = run, project_name(project)
        self._rows: list[Row] = []
        record = next((one for one in self._store.records(self._project) if one["id"] == run.id), None)
        self._name = record["name"] if record else run.name or run.id
        self._config: dict[str, Any] = dict(self._store.configs(self._project).get(run.id, {})) if record else {}
        self._config |= {GROUP: run.group or None, CREATED: iso(run.start), PROJECT: shown(project), STATUS: str(Status.RUNNING)}
        self._config |= {OURS + name: shown(value) for name in ("job_type", "notes", "provenance") if (value := getattr(run, name))}
        self._config.setdefault(TAGS, list(run.tags))
        self._config.pop(END, None)
        self._changed = True
        self._held = position if record and position else Position()
        return self.flush()

    def write(self, batch: Sequence[Record]) -> Sequence[Deviation]:
        ledger = Ledger()
        for index, record in enumerate(batch):
            event = record.event
            try:
                if isinstance(event, Metrics):
                    self._metrics(record, event, ledger)
                elif isinstance(event, Media):
                    self._media(record, event, ledger)
                elif isinstance(event, Artifact):
                    self._artifact(event)
                else:
                    self._describe(event)
            except (TypeError, ValueError, LookupError, OverflowError, RecursionError) as error:
                raise Rejected(f"{type(error).__name__}: {error}"[:500], index) from error
        self._held = self._held.advanced(record for record in batch if record.shard)  # what the forwarder adds at the end has no identity
        if len(self._rows) >= ROWS:
            self.flush()
        return ledger.rows()

    def flush(self) -> Position:
        """It is committed when it returns. Rows that the table holds by their id stay as they are."""
        if self._rows or self._changed:
            if not self._rows:  # the configuration comes with a row; and one without values makes an empty run visible
                self._row({}, 0, self._run.start, self._run.id)
            self._store.log(self._project, self._name, self._run.id, self._rows, self._config if self._changed else None)
            self._rows = []
            self._changed = False
        return self._held

    def attach(self, sidecar: bytes, digest: str) -> None:
        self.flush()
        with outage(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory(prefix="trackbridge-") as scratch:
            local = Path(scratch, "journal")
            local.write_bytes(sidecar)
            self._commit(sidecar_name(self._run.id), SIDECAR_TYPE, None, [self._staged(local, SIDECAR_FILE)], None, overwrite=True)
        self._set(DIGEST, digest)
        self.flush()

    def close(self, status: str, end: int) -> None:
        self._set(STATUS, str(status))
        self._set(END, iso(end))
        self.flush()

    def place(self) -> Place:
        return self._store.place(self._project, self._run.id)

    def _row(self, values: dict[str, Any], step: int, time: int, log_id: str) -> None:
        self._rows.append(Row(values, step, iso(time), log_id))

    def _identity(self, record: Record) -> str:
        return f"{self._run.id}/{record.shard}/{record.sequence}"

    def _metrics(self, record: Record, event: Metrics, ledger: Ledger) -> None:
        values, step = event.values, event.step
        if step is None or not in_range(step) or not FREE.issuperset(map(type, values.values())):
            values, step = self._store.projection.scalars(ledger, event), event.call if step is None else step
        elif values and not self._store.timed:
            ledger.add(Deviation(Reason.TIMESTAMP, "time", len(values), ARRIVAL))
        keys = tuple(values)
        named = names(keys)
        if keys:
            self._row(values if named == keys else dict(zip(named, values.values(), strict=True)), step, event.time, self._identity(record))

    def _media(self, record: Record, event: Media, ledger: Ledger) -> None:
        item = MediaItem.of(event)
        held = self._store.projection.held(ledger, "media", item, event.key, f"{event.kind} {event.format}")
        if held is None:
            return
        if not in_range(held.step or 0):
            raise ValueError(f"step {held.step} is beyond 64 bits")
        value = _value(event.format, self._run.inline(event)) if event.format in INLINE else self._file(event, held.step)
        self._row({KEYS.encode(event.key): value}, held.step or 0, event.time, self._identity(record))

    def _file(self, event: Media, step: int | None) -> dict[str, Any]:
        """The bytes go where trackio keeps the media of a run and step; what it has no player for to its Files tab."""
        source, kind = self._run.content(event.file), TYPES[event.kind]
        run, ref = file_name(self._name), event.file
        assert ref is not None
        if kind == "file":
            place = Path("files", run, str(step), ref.digest[:16], file_name(ref.path.rpartition("/")[2]))
        else:
            place = Path(run, str(step), f"{event.kind}-{ref.digest[:16]}.{file_name(event.format)}")
            kind = "html" if event.format == "html" else kind
        self._store.put(self._project, place, source)
        return {"_type": f"trackio.{kind}", "file_path": f"{self._project}/{place}", "caption": event.meta.get("caption")}

    def _artifact(self, event: Artifact) -> None:
        from trackio import cas

        uri = (event.uri if "://" in event.uri else Path(event.uri or "/").as_uri()).replace(" ", "%20")
        files = [(PATHS.encode(ref.path), ref, self._run.content(ref) if ref.digest else None) for ref in event.files]
        cas.assert_manifest_paths_compatible([path for path, _, _ in files])
        manifest = [
            self._staged(source, path) if source else {"path": path, "ref": uri, "digest": uri, "size": ref.size}
            for path, ref, source in files
        ]
        about = {key: shown(value) for key, value in event.metadata.items()}
        name, other_name = artifact_names(event.name, event.type)
        taken = self._store.artifact(self._project, name)
        if taken is not None and taken["type"] != event.type:
            name = other_name
        self._commit(name, event.type, event.name if name != event.name else None, manifest, about)

    def _staged(self, source: Path, path: str) -> dict[str, Any]:
        digest, size = self._store.stage(self._project, source)
        return {"path": path, "digest": digest, "size": size}

    def _commit(self, name: str, kind: str, description: str | None, manifest: Any, metadata: Any, overwrite: bool = False) -> None:
        if manifest:  # else it is a folder without files
            artifact = {"name": name, "type": kind, "description": description, "manifest": manifest, "metadata": metadata}
            self._store.commit(self._project, self._name, self._run.id, **artifact, overwrite=overwrite)

    def _describe(self, event: AnyEvent) -> None:
        if isinstance(event, Config):
            for key, value in event.values.items():
                self._set(KEYS.encode(key), shown(value))
        elif isinstance(event, Summary):
            for key, value in event.values.items():
                self._set(SUMMARY + KEYS.encode(key), shown(value))
        elif isinstance(event, Tags):
            self._set(TAGS, event.values)
        elif isinstance(event, Deviations):
            self._set(f"{OURS}deviations", Ledger(unpack(event.items)).by_reason())

    def _set(self, name: str, value: Any) -> None:
        self._config[name], self._changed = value, True


def _value(format: str, inline: Any) -> dict[str, Any]:
    """trackio's value for what lies inline, in the form that its own classes have."""
    kind = f"trackio.{INLINE[format]}"
    if format == "counts":
        edges, counts = inline["edges"], inline["counts"]
        if len(edges) != len(counts) + 1 or not plain([edges, counts]):
            raise ValueError("a histogram has one edge more than counts, and finite numbers")
        return {"_type": kind, "bins": edges, "values": counts}
    if format == "rows":
        rows = [dict(zip(inline["columns"], map(shown, row), strict=True)) for row in inline["rows"]]
        return {"_type": kind, "_value": rows}
    if not isinstance(inline, str):
        raise TypeError("it is no text")
    return {"_type": kind, "_value": inline}
