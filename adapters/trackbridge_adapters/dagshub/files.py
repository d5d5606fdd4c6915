"""Writes and reads the open files."""

from __future__ import annotations

import itertools
import json
import os
import shlex
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from trackbridge.adapters import SIDECAR_FILE, Place, Position, Target
from trackbridge.deviations import Deviation, Ledger, Reason, unpack, words
from trackbridge.errors import Rejected, RunNotFound, Unavailable
from trackbridge.files import outage
from trackbridge.records import (
    AnyEvent,
    Artifact,
    Config,
    Deviations,
    End,
    Media,
    Metrics,
    Record,
    RunInfo,
    Start,
    Status,
    Summary,
    Tags,
)
from trackbridge.times import iso
from trackbridge_adapters.dagshub import layout
from trackbridge_adapters.dvc.layout import FOLDERS, PATHS, Places
from trackbridge_adapters.dvc.repository import put

INLINE = ("rows", "counts", "text")


class FilesWriter:
    def __init__(self, target: Target) -> None:
        self._root, self._project = Path(target.location), target.project

    def open(self, run: RunInfo, position: Position | None) -> Position:
        self._run, self._ledger = run, Ledger()
        project = self._project or run.project
        named = f"{layout.NAMES.encode(run.name)[:60].strip()}-{layout.IDS.encode(run.id)}" if run.name else layout.IDS.encode(run.id)
        with outage(self._root):
            self._folder = layout.find(self._root, run.id) or self._root / (layout.NAMES.encode(project) if project else "") / named
            self._folder.mkdir(parents=True, exist_ok=True)
            self._position = self._recover(position)
            self._load(layout.params(self._folder) if self._position.sequences else {})
        return self.flush()

    def _recover(self, position: Position | None) -> Position:
        """Cut the tables back to `position`; to nothing when they do not reach it, so that all comes again."""
        lengths = position.token.get("bytes", {}) if position else {}
        sizes = {name: path.stat().st_size if (path := self._folder / name).exists() else 0 for name in layout.TABLES}
        if not (self._folder / layout.PARAMS).exists() or any(sizes[name] < lengths.get(name, 0) for name in layout.TABLES):
            position, lengths = None, {}
        for name, size in sizes.items():
            if size > lengths.get(name, 0):
                os.truncate(self._folder / name, lengths.get(name, 0))
        return Position(position.sequences if position else {}, {"bytes": lengths})

    def _load(self, held: dict[str, Any]) -> None:
        """Begin with what the files hold."""
        run, about = self._run, held.pop(layout.ABOUT, {})
        self._sequences, self._lengths = dict(self._position.sequences), dict(self._position.token["bytes"])
        self._config = {key[:-1] if layout.owned(key) else key: value for key, value in held.items()}
        self._about: dict[str, Any] = {"tags": list(run.tags), "summary": {}} | about
        self._about |= {name: getattr(run, name) for name in layout.DESCRIPTION}
        self._about |= {"status": str(Status.RUNNING), "started": iso(run.start), "ended": None}
        self._about["provenance"] = msgspec.to_builtins(run.provenance)
        self._waiting: dict[str, list[Sequence[Any]]] = {name: [] for name in layout.TABLES}
        self._places, self._names, self._taken, self._versions = Places(FOLDERS), Places(FOLDERS), set[str](), dict[str, int]()
        self._dirty = True
        for row in layout.rows(self._folder / "media.csv"):
            self._places.claim(row[2])
            self._taken.add(row[5])
        for row in layout.rows(self._folder / "artifacts.csv"):
            self._names.claim(row[1])
            self._versions[row[1]] = int(row[2])

    def write(self, batch: Sequence[Record]) -> Sequence[Deviation]:
        for index, record in enumerate(batch):
            if record.shard and record.sequence < self._sequences.get(record.shard, 0):
                continue  # before a record that was rejected
            try:
                self._take(record.event, self._ledger)
            except (TypeError, ValueError, LookupError, OverflowError, RecursionError) as error:
                raise Rejected(f"{type(error).__name__}: {error}"[:500], index) from error
            except OSError as error:
                raise Unavailable(f"{self._folder}: {error.strerror or error}") from error
            if record.shard:
                self._sequences[record.shard] = record.sequence + 1
        self._append()
        deviations, self._ledger = self._ledger.rows(), Ledger()
        return deviations

    def _take(self, event: AnyEvent, ledger: Ledger) -> None:
        if isinstance(event, Metrics):
            self._metrics(event, ledger)
        elif isinstance(event, Media):
            self._media(event)
        elif isinstance(event, Artifact):
            self._artifact(event)
        elif isinstance(event, Config | Summary):
            (self._config if isinstance(event, Config) else self._about["summary"]).update(layout.plain(event.values))
            self._dirty = True
        elif isinstance(event, Tags):
            self._about["tags"], self._dirty = list(event.values), True
        elif isinstance(event, Deviations):
            self._about["deviations"], self._dirty = words(Ledger(unpack(event.items)).by_reason()), True

    def _metrics(self, event: Metrics, ledger: Ledger) -> None:
        values, step, time = event.values, event.step, event.time // 1_000_000
        kinds = set(map(type, values.values()))
        if not layout.SCALARS.issuperset(kinds):
            raise TypeError("a value of a metric is a number, a bool, a text or None")
        if values and step is None:
            step = event.call
            ledger.add(Deviation(Reason.STEP_CHANGED, "step", len(values), layout.NO_STEP.what))
        if values and event.time % 1_000_000:
            ledger.add(Deviation(Reason.TIMESTAMP, "time", len(values), layout.MILLISECONDS.what))
        if str in kinds:
            values = {key: layout.cell(value) for key, value in values.items()}
        self._waiting[layout.METRICS].extend([(key, value, time, step) for key, value in values.items()])

    def _media(self, event: Media) -> None:
        format, meta = event.format, layout.as_json(event.meta)
        content: Path | bytes
        if event.file is not None and format not in INLINE:
            content, ending = self._run.content(event.file), format or PurePosixPath(event.file.path).suffix[1:] or "bin"
        elif isinstance(inline := self._run.inline(event), str):
            content, ending = inline.encode(), "txt"
        else:
            table = layout.cells(layout.plain(inline)) if format == "rows" else []
            content = (layout.table_text(table) if table else json.dumps(inline, ensure_ascii=False)).encode()
            ending = "csv" if table else "json"
        name = self._free(event.key, f"call {event.call}" if event.step is None else str(event.step), ending)
        self._put(name, content)
        self._taken.add(name)
        self._waiting["media.csv"].append((event.time, event.step, event.key, event.kind, format, name, meta))

    def _free(self, key: str, stem: str, ending: str) -> str:
        """A path that no other value of the run has."""
        place, ending = self._places.claim(key), PATHS.encode(ending)
        stems = itertools.chain([stem], (f"{stem} ({number})" for number in itertools.count(2)))
        return next(name for one in stems if (name := f"media/{place}/{one}.{ending}") not in self._taken)

    def _artifact(self, event: Artifact) -> None:
        contents = [self._run.content(file) if file.digest else None for file in event.files]
        version, metadata = self._versions.get(event.name, -1) + 1, layout.as_json(event.metadata)
        folder, places = f"artifacts/{self._names.claim(event.name)}/v{version}", Places(PATHS, files=True)
        for file, content in zip(event.files, contents, strict=True):
            name = f"{folder}/{places.claim(file.path)}" if content else ""
            if content:
                self._put(name, content)
            row = (event.time, event.name, version, event.type, file.path, file.size, name, event.uri, metadata)
            self._waiting["artifacts.csv"].append(row)
        self._versions[event.name] = version

    def _put(self, name: str, held: bytes | Path) -> None:
        path = self._folder / name
        if isinstance(held, bytes):
            put(path, held)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f".{os.getpid()}.part")
        shutil.copyfile(held, scratch)
        os.replace(scratch, path)

    def _append(self) -> None:
        with outage(self._folder):
            for name, waiting in self._waiting.items():
                if waiting:
                    head = "" if self._lengths.get(name) else ",".join(layout.TABLES[name]) + "\n"
                    rest = memoryview((head + layout.table_text(waiting)).encode())
                    self._lengths[name] = self._lengths.get(name, 0) + len(rest)
                    with (self._folder / name).open("ab", buffering=0) as file:
                        while rest:
                            rest = rest[file.write(rest) :]
                    waiting.clear()

    def flush(self) -> Position:
        self._append()
        if self._dirty:
            import yaml

            held = {key + "_" if layout.owned(key) else key: value for key, value in self._config.items()} | {layout.ABOUT: self._about}
            text = yaml.safe_dump(layout.listed(held), allow_unicode=True, sort_keys=False, width=1 << 30)
            with outage(self._folder):
                put(self._folder / layout.PARAMS, text.encode())
            self._dirty = False
        return Position(dict(self._sequences), {"bytes": dict(self._lengths)})

    def attach(self, sidecar: bytes, digest: str) -> None:
        self.flush()
        with outage(self._folder):
            self._put(SIDECAR_FILE, sidecar)
            self._put(layout.DIGEST, f"{digest}  {SIDECAR_FILE.rpartition('/')[2]}\n".encode())

    def close(self, status: str, end: int) -> None:
        self._about |= {"status": str(status), "ended": iso(end)}
        self._dirty = True
        self.flush()

    def place(self) -> Place:
        return Place(
            self._run.id, str(self._folder), hint=shlex.join(["dagshub", "upload", "USER/REPO", str(self._folder), self._folder.name])
        )


class FilesReader:
    def __init__(self, target: Target) -> None:
        self._root = Path(target.location) / (layout.NAMES.encode(target.project) if target.project else "")

    def runs(self) -> Iterator[RunInfo]:
        for folder in layout.folders(self._root, "*"):
            yield layout.described(layout.params(folder)[layout.ABOUT])

    def read(self, run_id: str) -> Iterator[Record]:
        for number, event in enumerate(self._events(self._find(run_id))):
            yield Record("native", number, event)

    def sidecar(self, run_id: str) -> tuple[bytes, str] | None:
        folder = self._find(run_id)
        if not (folder / SIDECAR_FILE).is_file():
            return None
        told = (folder / layout.DIGEST).read_text() if (folder / layout.DIGEST).is_file() else ""
        return (folder / SIDECAR_FILE).read_bytes(), told.partition(" ")[0]

    def _find(self, run_id: str) -> Path:
        found = layout.find(self._root, run_id)
        if found is None:
            raise RunNotFound(f"no run {run_id} in {self._root}")
        return found

    def _events(self, folder: Path) -> Iterator[AnyEvent]:
        held = layout.params(folder)
        about = held.pop(layout.ABOUT)
        info = layout.described(about)
        yield Start(info.start, info.id, info.project, info.name, info.group, info.job_type, info.notes, provenance=info.provenance)
        yield Tags(info.start, list(info.tags))
        yield Config(info.start, {key[:-1] if layout.owned(key) else key: value for key, value in held.items()})
        for key, text, time, step in layout.rows(folder / layout.METRICS):
            yield Metrics(int(time) * 1_000_000, 0, int(step), {key: layout.uncell(text)})
        for time, step, key, kind, format, path, meta in layout.rows(folder / "media.csv"):
            media = Media(int(time), 0, int(step) if step else None, key, kind, format, meta=json.loads(meta or "{}"))
            yield msgspec.structs.replace(media, **layout.content(folder, path, format))
        for time, name, _, type, file, size, path, uri, metadata in layout.rows(folder / "artifacts.csv"):
            yield Artifact(int(time), name, type, [layout.digested(folder, path, file, int(size))], uri, json.loads(metadata or "{}"))
        yield Summary(info.start, about["summary"])
        if info.end is not None:
            yield End(info.end, info.status)
