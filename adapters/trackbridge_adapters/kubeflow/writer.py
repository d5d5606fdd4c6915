"""Writes a run: tables that grow, small files that are replaced at each flush, and a task at the end."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from trackbridge.adapters import SIDECAR_FILE, Place, Position
from trackbridge.deviations import Deviation, Ledger, unpack, words
from trackbridge.errors import Rejected, Unavailable
from trackbridge.files import outage, put, replace
from trackbridge.records import AnyEvent, Artifact, Config, Deviations, Media, Metrics, Record, RunInfo, Status, Summary, Tags
from trackbridge.times import iso
from trackbridge_adapters.kubeflow import layout, outputs
from trackbridge_adapters.kubeflow.layout import ABOUT, PARTS

BUFFER = 1 << 24
"""Characters of rows that wait for a flush."""

IMPOSSIBLE = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST)
"""What a file system says of names that it cannot hold, or not beside others."""

SMALL = (layout.CONFIG, layout.SUMMARY, layout.LATEST, ABOUT)


class Writer:
    def __init__(self, root: Path, project: str, *, in_task: bool) -> None:
        self._root, self._project, self._in_task = root, project, in_task

    def open(self, run: RunInfo, position: Position | None) -> Position:
        self._run, name = run, PARTS.encode(run.id)
        self._folder = self._root / name if self._in_task else self._root / layout.UNFINISHED / name
        self._scratch = self._root / layout.SCRATCH / name
        with outage(self._folder):
            shutil.rmtree(self._scratch, ignore_errors=True)  # left of a kill
            whole = [task for task in layout.tasks(self._root, name) if (task / layout.OUTPUT).exists()]
            if whole and not self._in_task and not self._folder.exists():
                self._restore(whole[-1] / layout.RUN / name)
            sequences = self._recover(position)
            self._folder.mkdir(parents=True, exist_ok=True)
            self._load(sequences)
        return self.flush()

    def _restore(self, folder: Path) -> None:
        """Go on with what a task put out: files that are written again are copied."""
        for path in folder.rglob("*"):
            if path.is_file():
                place = self._scratch / path.relative_to(folder)
                outputs.link(path, place)
                if str(path.relative_to(folder)) in layout.TABLES:
                    place.unlink()
                    shutil.copyfile(path, place)
        self._folder.parent.mkdir(exist_ok=True)
        os.rename(self._scratch, self._folder)

    def _recover(self, position: Position | None) -> dict[str, int]:
        """Cut the tables back to `position`; begin anew when they do not reach it, so that all comes again. What is held."""
        lengths: dict[str, int] = position.token.get("bytes", {}) if position else {}
        sizes = {name: (self._folder / name).stat().st_size for name in layout.TABLES if (self._folder / name).exists()}
        whole = (self._folder / ABOUT).exists() and all(sizes.get(name, 0) >= length for name, length in lengths.items())
        if not position or not whole:
            shutil.rmtree(self._folder, ignore_errors=True)
            return {}
        for name in sizes:
            os.truncate(self._folder / name, lengths.get(name, 0))
        return dict(position.sequences)

    def _load(self, sequences: dict[str, int]) -> None:
        run, former = self._run, layout.load(self._folder / ABOUT)
        self._sequences = sequences
        self._config, self._summary, self._latest = (
            layout.load(self._folder / name) for name in (layout.CONFIG, layout.SUMMARY, layout.LATEST)
        )
        former.pop(layout.ENDED, None)
        self._about = former | {name: getattr(run, name) for name in layout.DESCRIPTION}
        self._about |= {
            "project": self._project or run.project,
            "tags": former.get("tags") or list(run.tags),
            "status": str(Status.RUNNING),
        }
        self._about |= {layout.STARTED: iso(run.start), "provenance": layout.shown(msgspec.to_builtins(run.provenance))}
        self._rows: dict[str, list[str]] = {name: [] for name in layout.TABLES}
        self._waiting, self._dirty = 0, set(SMALL)
        self._lengths = {name: (self._folder / name).stat().st_size if (self._folder / name).exists() else 0 for name in layout.TABLES}
        self._versions = {one[1]: int(one[2]) for one in layout.rows(self._folder / layout.ARTIFACTS)}
        self._cells: dict[str, str] = {}

    # -- records ---------------------------------------------------------------------------------------------------------------------

    def write(self, batch: Sequence[Record]) -> Sequence[Deviation]:
        for index, record in enumerate(batch):
            if record.shard and record.sequence < self._sequences.get(record.shard, 0):
                continue  # before a record that was rejected
            try:
                self._take(record.event)
            except (TypeError, ValueError, LookupError, AttributeError, OverflowError, RecursionError, msgspec.DecodeError) as error:
                raise Rejected(f"{type(error).__name__}: {error}"[:500], index) from error
            except OSError as error:
                problem = f"{error.filename or self._folder}: {error.strerror or error}"
                raise Rejected(problem, index) if error.errno in IMPOSSIBLE else Unavailable(problem) from error
            if record.shard:  # what the forwarder adds at the end has no identity
                self._sequences[record.shard] = record.sequence + 1
        if self._waiting > BUFFER:
            with outage(self._folder):
                self._append()
        return []

    def _take(self, event: AnyEvent) -> None:
        if isinstance(event, Metrics):
            self._metrics(event)
        elif isinstance(event, Media):
            self._media(event)
        elif isinstance(event, Artifact):
            self._artifact(event)
        elif isinstance(event, Config):
            self._config |= layout.shown(event.values)
            self._dirty.add(layout.CONFIG)
        elif isinstance(event, Summary):
            self._summary |= layout.shown(event.values)
            self._dirty.add(layout.SUMMARY)
        elif isinstance(event, Tags):
            self._tell("tags", list(event.values))
        elif isinstance(event, Deviations):
            self._tell(layout.DEVIATIONS, words(Ledger(unpack(event.items)).by_reason()))

    def _tell(self, name: str, value: Any) -> None:
        self._about[name] = value
        self._dirty.add(ABOUT)

    def _metrics(self, event: Metrics) -> None:
        head, cells, latest, lines = f"{event.time},{'' if event.step is None else event.step},", self._cells, {}, []
        for key, value in event.values.items():
            plain = type(value) is float and value - value == 0.0
            name = cells.get(key) or cells.setdefault(key, layout.quoted(key))
            lines.append(f"{head}{name},{value!r}\n" if plain else f"{head}{name},{layout.cell(value)}\n")
            latest[key] = value if plain else layout.shown(value)
        self._rows[layout.SERIES] += lines
        self._latest |= latest
        self._waiting += sum(map(len, lines))
        self._dirty.add(layout.LATEST)

    def _media(self, event: Media) -> None:
        stem = f"media/{PARTS.encode(event.key)}/{'' if event.step is None else event.step}_{event.time}"
        meta = json.dumps(layout.shown(event.meta), ensure_ascii=False) if event.meta else ""
        if event.format in ("counts", "rows", "text"):
            data, ending = layout.inline(event.kind, self._run.inline(event))
            name = f"{stem}.{ending}"
            self._place(name, data)
        else:
            if event.file is None:
                raise ValueError(f"{event.kind!r} is no kind of value that we know")
            ending = event.format or PurePosixPath(event.file.path).suffix[1:] or "bin"
            name = f"{stem}.{PARTS.encode(ending)}"
            self._place(name, self._run.content(event.file))
        self._row(layout.MEDIA, (event.time, event.step, event.key, event.kind, event.format, name, meta))

    def _artifact(self, event: Artifact) -> None:
        version = self._versions.get(event.name, -1) + 1
        contents = [self._run.content(ref) if ref.digest else None for ref in event.files]
        metadata = json.dumps(layout.shown(event.metadata), ensure_ascii=False) if event.metadata else ""
        for ref, content in zip(event.files, contents, strict=True):
            name = f"artifacts/{PARTS.encode(event.name)}/v{version}/{layout.path(ref.path)}" if content else ""
            if content:
                self._place(name, content)
            self._row(layout.ARTIFACTS, (event.time, event.name, version, event.type, ref.path, ref.size, name, event.uri, metadata))
        self._versions[event.name] = version

    def _place(self, name: str, content: bytes | Path) -> None:
        """Write a file anew: one of a former task may be another name of it."""
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        put(path, content)

    def _row(self, table: str, cells: Sequence[Any]) -> None:
        line = layout.row(cells)
        self._rows[table].append(line)
        self._waiting += len(line)

    # -- what is held ----------------------------------------------------------------------------------------------------------------

    def flush(self) -> Position:
        """It survives any process once the system has it."""
        with outage(self._folder):
            self._append()
            held = {layout.CONFIG: self._config, layout.SUMMARY: self._summary, layout.LATEST: self._latest, ABOUT: self._about}
            for name in sorted(self._dirty):
                replace(self._folder / name, layout.dump(held[name]), sync=False)
            self._dirty.clear()
        return Position(dict(self._sequences), {"bytes": dict(self._lengths)})

    def _append(self) -> None:
        for name, lines in self._rows.items():
            if lines or (name == layout.SERIES and not self._lengths[name]):
                head = [] if self._lengths[name] else [layout.row(layout.TABLES[name])]
                data = "".join(head + lines).encode()
                (self._folder / name).parent.mkdir(exist_ok=True)
                with (self._folder / name).open("ab") as file:
                    if file.tell() != self._lengths[name]:
                        raise Unavailable(f"{self._folder / name} was removed or changed; it is written again from the journal")
                    file.write(data)
                self._lengths[name] += len(data)
                lines.clear()
        self._waiting = 0

    def attach(self, sidecar: bytes, digest: str) -> None:
        self.flush()
        with outage(self._folder):
            path = self._folder / SIDECAR_FILE
            path.parent.mkdir(exist_ok=True)
            replace(path, sidecar)
        self._tell(layout.DIGEST, digest)
        self.flush()

    def close(self, status: str, end: int) -> None:
        self._tell("status", str(status))
        self._tell(layout.ENDED, iso(end))
        self.flush()
        with outage(self._folder):
            replace(self._folder / layout.PAGE, outputs.page(self._folder).encode(), sync=False)
            replace(self._folder / layout.TEXT, outputs.text(self._folder).encode(), sync=False)
            if not self._in_task:
                made = outputs.put_out(self._root, self._folder)
                for task in layout.tasks(self._root, self._folder.name):
                    if task != made:  # a former one, or one that was killed
                        shutil.rmtree(task.parent)
                self._scratch.parent.mkdir(exist_ok=True)
                os.rename(self._folder, self._scratch)  # at once: half of a folder would be taken for a run
                shutil.rmtree(self._scratch)

    def place(self) -> Place:
        return Place(self._folder.name, str(self._folder if self._in_task else self._root))
