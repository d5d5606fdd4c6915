"""Writes a run's log by the client's own store, in the form in which its core does."""

from __future__ import annotations

import hashlib
import itertools
import os
import shlex
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from trackbridge.adapters import SIDECAR_FILE, Place, Position
from trackbridge.deviations import Deviation, Ledger, unpack
from trackbridge.errors import Rejected
from trackbridge.files import outage, put, reference
from trackbridge.projection import FileItem, MediaItem
from trackbridge.records import AnyEvent, Artifact, Config, Deviations, Media, Metrics, Record, RunInfo, Status, Summary, Tags
from trackbridge_adapters.swanlab import layout
from trackbridge_adapters.swanlab.layout import CONFIG, DIGEST, ID, INLINE, OURS, PARTS, PROJECTION, STRING, SUMMARY, TAGS, client


class Columns:
    """The columns of one key and kind: the first holds the first value of each step, the second the second ones."""

    def __init__(self) -> None:
        from pyroaring import BitMap64

        self.names: list[str] = []
        self._last, self._steps = -1, BitMap64()
        self._repeats: dict[int, int] = {}

    def take(self, step: int) -> int:
        """The number of the column for one more value at `step`."""
        if step > self._last or step not in self._steps:
            self._last = max(self._last, step)
            self._steps.add(step)
            return 0
        number = self._repeats[step] = self._repeats.get(step, 0) + 1
        return number


class Writer:
    def __init__(self, folder: Path, project: str) -> None:
        self._folder, self._chosen = folder, project

    def open(self, run: RunInfo, position: Position | None) -> Position:
        self._source, self._ledger = run, Ledger()
        self._columns: defaultdict[tuple[str, str], Columns] = defaultdict(Columns)
        self._announced: set[str] = set()
        self._count = self._number = 0
        with outage(self._folder):
            found = layout.find(self._folder, run.id)
            self._run = found or layout.new_folder(self._folder, run.id, run.start)
            (self._run / "files").mkdir(parents=True, exist_ok=True)
            self._log = self._run / f"run-{layout.IDS.encode(run.id)}.swanlab"
            kept = self._continue(position.token.get("records", 0) if position else 0)
            self._config = layout.config(self._run) if kept else {}
            if not kept:
                self._begin()
        self._describe()
        self._message = client().Record()  # filled anew for each value
        self._held = dict(position.sequences) if position and kept else {}
        return self.flush()

    def _continue(self, count: int) -> bool:
        """Begin the log with its first `count` messages; with none if they are not there, or if none is wanted."""
        self._start(itertools.islice(layout.messages(self._run), count))
        if self._count < count:
            self._count = 0
            self._columns.clear()
            self._announced.clear()
            self._start(())
        return self._count > 0

    def _start(self, messages: Iterable[bytes]) -> None:
        """The store only makes new files: it is begun beside the log, and takes its place."""
        self._store = client().DataStoreWriter()
        partial = self._run / "log.part"
        partial.unlink(missing_ok=True)
        self._store.open(partial)
        for message in messages:
            self._see(client().Record.FromString(message))
            self._put(message)
        self._store.ensure_flushed()
        os.replace(partial, self._log)

    def _see(self, record: Any) -> None:
        """What of an earlier log decides about new values."""
        kind = record.WhichOneof("record_type")
        if kind in ("scalar", "media"):
            data = getattr(record, kind)
            key, suffix, _ = layout.parts(data.key)
            self._columns[key, suffix].take(data.step)
        elif kind == "column":
            key, suffix, _ = layout.parts(record.column.column_key)
            self._columns[key, suffix].names.append(record.column.column_key)
        elif kind == "save":
            self._announced.add(record.save.name)
        self._number = max(self._number, record.num)

    def _put(self, message: bytes) -> None:
        self._store.write(message)
        self._count += 1

    def _record(self, time: int, num: int | None = None, **content: Any) -> None:
        """Append a message of a kind that is not frequent."""
        if num is None:
            self._number = num = self._number + 1
        record = client().Record(num=num, **content)
        record.timestamp.FromNanoseconds(time)
        self._put(record.SerializeToString())

    def _begin(self) -> None:
        builder, start = client().builder, self._source.start
        self._record(start, builder.START_RECORD_NUM, start=self._described(self._source.tags))
        config = client().SaveRecord(
            name="config", source_path=str(self._run / "files" / "config.yaml"), type=client().SaveType.SAVE_TYPE_CONFIG
        )
        self._record(start, builder.CONFIG_RECORD_NUM, save=config)

    def _described(self, tags: Iterable[str]) -> Any:
        run = self._source
        texts = {name: getattr(run, name)[:limit] for name, limit in layout.LIMITS.items()}
        record = client().StartRecord(
            id=layout.IDS.encode(run.id),
            project=layout.project_name(self._chosen or run.project),
            name=texts["name"] or run.id[:512],
            description=texts["notes"],
            group=texts["group"],
            job_type=texts["job_type"],
            tags=[tag[:512] for tag in tags],
        )
        record.started_at.FromNanoseconds(run.start)
        return record

    def _describe(self) -> None:
        """What the description of a run has no place for."""
        run, project = self._source, self._chosen or self._source.project
        self._changed = True
        self._config |= {ID: run.id} | ({layout.PROJECT: project} if layout.project_name(project) != project else {})
        self._config |= {OURS + name: getattr(run, name) for name, limit in layout.LIMITS.items() if len(getattr(run, name)) > limit}
        if run.provenance:
            self._set(f"{OURS}provenance", layout.shown(run.provenance))
        self._config.setdefault(TAGS, list(run.tags))

    def write(self, batch: Sequence[Record]) -> Sequence[Deviation]:
        with outage(self._folder):
            for index, record in enumerate(batch):
                if record.shard and record.sequence < self._held.get(record.shard, 0):
                    continue  # taken before a later one of its batch was rejected
                try:
                    self._take(record.event)
                except (TypeError, ValueError, LookupError, OverflowError, RecursionError) as error:
                    raise Rejected(f"{type(error).__name__}: {error}"[:500], index) from error
                if record.shard:  # what the forwarder adds at the end has no identity
                    self._held[record.shard] = record.sequence + 1
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
            for key, value in event.values.items():
                self._set(CONFIG.encode(key), layout.shown(value))
        elif isinstance(event, Summary):
            for key, value in event.values.items():
                self._set(SUMMARY + CONFIG.encode(key), layout.shown(value))
        elif isinstance(event, Tags):
            self._set(TAGS, list(event.values))
        elif isinstance(event, Deviations):
            self._set(f"{OURS}deviations", Ledger(unpack(event.items)).by_reason())

    def _set(self, name: str, value: Any) -> None:
        self._config[name], self._changed = value, True

    def flush(self) -> Position:
        with outage(self._folder):
            if self._changed:
                writer = client().config
                content = writer.format_config(self._config, {key: number for number, key in enumerate(self._config)})
                self._file(Path("files", "config.yaml"), writer.dump_config(content).encode())
                self._changed = False
            self._store.ensure_flushed()
        return Position(dict(self._held), {"records": self._count})

    def attach(self, sidecar: bytes, digest: str) -> None:
        with outage(self._folder):
            self._save(SIDECAR_FILE, sidecar, self._source.start)
        self._set(DIGEST, digest)
        self.flush()

    def close(self, status: str, end: int) -> None:
        """End the log. Tags come after it was begun: they are told to the run now, in its first message."""
        with outage(self._folder):
            error = "" if status == Status.FINISHED else f"TrackBridge: the run {status}"
            finish = client().FinishRecord(state=client().RunState.Value(layout.STATES[Status(status)]), error=error)
            finish.finished_at.FromNanoseconds(end)
            self._record(end, client().builder.FINISH_RECORD_NUM, finish=finish)
            self.flush()
            self._store.close()
            first = client().Record.FromString(next(layout.messages(self._run)))
            if list(first.start.tags) != (tags := self._config[TAGS]):
                first.start.CopyFrom(self._described(tags))
                old = layout.messages(self._run)
                next(old)
                self._count = 0
                self._columns.clear()
                self._start(itertools.chain([first.SerializeToString()], old))
                self._store.close()

    def place(self) -> Place:
        sync = f"swanlab sync --id {shlex.quote(layout.IDS.encode(self._source.id))} {shlex.quote(str(self._run))}"
        return Place(self._source.id, str(self._run), hint=sync, mode="offline")

    # -- values ----------------------------------------------------------------------------------------------------------------------

    def _metrics(self, event: Metrics) -> None:
        given, step = event.values, event.step
        if step is None or not 0 <= step <= layout.STEPS or not {float}.issuperset(map(type, given.values())):
            given, step = PROJECTION.scalars(self._ledger, event), event.call if step is None else step
        if not given:
            return
        message = self._message
        message.timestamp.FromNanoseconds(event.time)
        scalar = message.scalar
        scalar.timestamp.CopyFrom(message.timestamp)
        scalar.step, scalar.type = step, client().ColumnType.COLUMN_TYPE_SCALAR
        for key, value in given.items():
            if isinstance(value, str):
                self._shown(key, STRING, "text", "txt", value.encode(), step, event.time)
                continue
            column = self._column(key, "", step, scalar.type, event.time)
            self._number += 1
            message.num, scalar.key, scalar.value.number = self._number, column, value
            self._put(message.SerializeToString())

    def _column(self, key: str, kind: str, step: int, type: int, time: int) -> str:
        """The first column of this key and kind that has no value at `step` yet."""
        columns = self._columns[layout.KEYS.encode(key), kind]
        number = columns.take(step)
        if number < len(columns.names):
            return columns.names[number]
        name = layout.column(key, kind, number)
        columns.names.append(name)
        about = client().ColumnRecord(
            column_class=client().ColumnClass.COLUMN_CLASS_CUSTOM,
            column_key=name,
            column_type=type,
            section_name=name.partition("/")[0] if "/" in name else "",
            section_type=client().SectionType.SECTION_TYPE_PUBLIC,
        )
        self._record(time, column=about)
        if layout.KEYS.shortened(key):
            self._set(f"{layout.NAMES}/{layout.KEYS.encode(key)}", key)
        return name

    def _media(self, event: Media) -> None:
        item = MediaItem.of(event)
        held = PROJECTION.held(self._ledger, "media", item, event.key, f"{event.kind} {event.format}")
        if held is None:
            return
        if event.format in INLINE:
            data: bytes | Path = layout.encoded(event.format, self._source.inline(event))
            medium, ending = INLINE[event.format]
        else:
            data, medium, ending = self._source.content(event.file), layout.SHOWN.get((event.kind, event.format), ""), event.format
        step, (digest, size) = held.step or 0, _measured(data)
        if medium and size <= layout.MEDIA_BYTES:
            kind = f"{event.kind} {medium}" if medium == "html" else event.kind
            self._shown(event.key, kind, medium, ending, data, step, event.time, str(event.meta.get("caption") or ""))
        else:
            name = f"{step}_{event.time}_{digest[:8]}.{PARTS.encode(event.format)}"
            self._save(f"media/{self._part(event.key)}/{self._part(event.kind)}/{name}", data, event.time)

    def _shown(self, key: str, kind: str, medium: str, ending: str, data: bytes | Path, step: int, time: int, caption: str = "") -> None:
        digest, size = _measured(data)
        name = f"{step:03d}-{digest[:16]}.{ending}"
        self._file(Path("media", medium, name), data)
        type = client().medium[medium]
        media = client().MediaRecord(key=self._column(key, kind, step, type, time), step=step, type=type)
        media.timestamp.FromNanoseconds(time)
        media.value.items.add(filename=name, sha256=digest, size=size, caption=caption)
        self._record(time, media=media)

    def _artifact(self, event: Artifact) -> None:
        head = f"artifacts/{self._part(event.name)}/{self._part(event.type)}"
        sources: list[tuple[str, Path]] = []
        for ref in event.files:
            if PROJECTION.held(
                self._ledger, "artifact", FileItem(event.name, event.type, ref.path, ref.digest), f"artifact/{event.name}", event.uri
            ):
                sources.append((f"{head}/{'/'.join(map(self._part, ref.path.split('/')))}", self._source.content(ref)))
        for name, source in sources:
            self._save(name, source, event.time)

    def _part(self, text: str) -> str:
        """`text` as a part of a path; where that is not to be read back, the configuration tells what it was."""
        name = PARTS.encode(text)
        if PARTS.shortened(text):
            self._set(f"{layout.NAMES}/{name}", text)
        return name

    def _save(self, name: str, data: bytes | Path, time: int) -> None:
        """A file in the run's own folder, which is announced once: the client would link to one elsewhere."""
        self._file(Path("files", name), data)
        if name not in self._announced:
            self._announced.add(name)
            source = str(self._run / "files" / name)
            self._record(time, save=client().SaveRecord(name=name, source_path=source, type=client().SaveType.SAVE_TYPE_CUSTOM))

    def _file(self, place: Path, data: bytes | Path) -> None:
        path = self._run / place
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{hashlib.sha256(path.name.encode()).hexdigest()[:16]}.part")
        put(partial, data)
        os.replace(partial, path)


def _measured(data: bytes | Path) -> tuple[str, int]:
    """Digest and size of a content, or of that of a file."""
    if isinstance(data, bytes):
        return hashlib.sha256(data).hexdigest(), len(data)
    ref = reference(data, data.name)
    return ref.digest, ref.size
