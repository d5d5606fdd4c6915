"""Writes a run: tables that grow, and small files that are replaced, at each flush."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from trackbridge.adapters import SIDECAR_FILE, Place, Position
from trackbridge.deviations import Deviation, Ledger, Reason, unpack, words
from trackbridge.errors import Rejected, Unavailable
from trackbridge.files import outage
from trackbridge.records import AnyEvent, Artifact, Config, Deviations, Media, Metrics, Record, RunInfo, Status, Summary, Tags
from trackbridge.times import iso
from trackbridge_adapters.dvc import layout
from trackbridge_adapters.dvc.layout import FOLDERS, PATHS, PROJECTION, Places
from trackbridge_adapters.dvc.repository import Repository, pointer, put

INLINE = ("rows", "counts", "text")
BUFFER = 1 << 24  # characters of rows that wait for a flush
NO_STEP, MILLISECONDS = PROJECTION.rules


class Writer:
    def __init__(self, root: Path, project: str) -> None:
        self._repository, self._project = Repository(root), project

    def open(self, run: RunInfo, position: Position | None) -> Position:
        self._repository.prepare()
        self._run, self._ledger = run, Ledger()
        with outage(self._repository.root):
            self._folder = folder(self._repository, run)
            self._position = self._recover(position)
            self._load(fresh=not self._position.sequences)
        return self.flush()

    def _recover(self, position: Position | None) -> Position:
        """Cut the tables back to `position`; to nothing when they do not reach it, so that all comes again."""
        lengths = position.token.get("bytes", {}) if position else {}
        sizes = {path.relative_to(self._folder).as_posix(): path.stat().st_size for path in layout.tables(self._folder)}
        if not (self._folder / layout.RUN).exists() or any(sizes.get(name, 0) < length for name, length in lengths.items()):
            position, lengths = None, {}
        for path in layout.tables(self._folder):
            name = path.relative_to(self._folder).as_posix()
            if name not in lengths:
                path.unlink()
            elif lengths[name] < sizes[name]:
                os.truncate(path, lengths[name])
        return Position(position.sequences if position else {}, {"bytes": lengths})

    def _load(self, fresh: bool) -> None:
        """What the files hold already; nothing when all comes again."""
        from dvc.utils.serialize import loads_yaml

        def held(name: str, load: Any) -> Any:
            path = self._folder / name
            return {} if fresh or not path.exists() else load(path.read_text("utf-8"))

        run = self._run
        self._sequences, self._lengths = dict(self._position.sequences), dict(self._position.token["bytes"])
        self._config = layout.unparams(held(layout.PARAMS, loads_yaml))
        self._summary = {name: layout.unshown(value) for name, value in held(layout.SUMMARY, json.loads).items()}
        self._latest = {name: layout.unshown(value) for name, value in held(layout.LATEST, json.loads).items()}
        self._step = self._latest.get("step") if f"{layout.METRICS}/step.tsv" in self._lengths else self._latest.pop("step", None)
        about = {name: getattr(run, name) for name in layout.DESCRIPTION} | {"started": iso(run.start)}
        former = held(layout.RUN, loads_yaml)
        former.pop("ended", None)
        self._about = former | about | {"status": str(Status.RUNNING), "tags": former.get("tags", list(run.tags))}
        self._about |= {"project": self._project or run.project, "provenance": msgspec.to_builtins(run.provenance)}
        self._tables, self._folders, self._names = Places(PATHS), Places(FOLDERS), Places(FOLDERS)  # of metrics, media and artifacts
        self._series: dict[str, tuple[str, list[str]]] = {}  # by key: the name of its table, and the rows that wait
        self._rows: dict[str, list[str]] = {name: [] for name in layout.TABLES}
        self._versions: dict[str, int] = {}
        self._taken, self._plots = set[str](), dict[str, Any]()
        self._artifacts: dict[str, dict[str, Any]] = {}  # by name, the last version as dvc.yaml tells it
        self._waiting, self._dirty = 0, set[str]({layout.PARAMS, layout.RUN, layout.SUMMARY, layout.LATEST, layout.STAGES})
        for name in self._lengths:
            place = name.removeprefix(f"{layout.METRICS}/").removesuffix(".tsv")
            if place != name.removesuffix(".tsv") and not layout.MARKED.fullmatch(place):
                self._tables.claim(PATHS.decode(place))
        for one in list(layout.rows(self._folder / "media.tsv"))[1:]:
            self._folders.claim(one[2])
            self._show(one[2], one[4], one[5])
        for one in list(layout.rows(self._folder / "artifacts.tsv"))[1:]:
            self._version(one[1], one[3], int(one[2]))

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
        if self._waiting > BUFFER:
            with outage(self._folder):
                self._append()
        deviations, self._ledger = self._ledger.rows(), Ledger()
        return deviations

    def _take(self, event: AnyEvent, ledger: Ledger) -> None:
        if isinstance(event, Metrics):
            self._metrics(event, ledger)
        elif isinstance(event, Config):
            self._config |= plain(event.values)
            self._dirty.add(layout.PARAMS)
        elif isinstance(event, Summary):
            self._summary |= plain(event.values)
            self._dirty |= {layout.SUMMARY, layout.LATEST}
        elif isinstance(event, Tags):
            self._about["tags"] = plain(event.values)
            self._dirty.add(layout.RUN)
        elif isinstance(event, Deviations):
            self._about["deviations"] = words(Ledger(unpack(event.items)).by_reason())
            self._dirty.add(layout.RUN)
        elif isinstance(event, Media):
            self._media(event)
        elif isinstance(event, Artifact):
            self._artifact(event)

    def _metrics(self, event: Metrics, ledger: Ledger) -> None:
        values, step = event.values, event.step
        texts = [repr(value) if type(value) is float else layout.cell(value) for value in values.values()]
        if step is None and values:
            step = event.call
            ledger.add(Deviation(Reason.STEP_CHANGED, "step", len(values), NO_STEP.what))
        if event.time % 1_000_000 and values:
            ledger.add(Deviation(Reason.TIMESTAMP, "time", len(values), MILLISECONDS.what))
        head, series = f"{event.time // 1_000_000}\t{step}\t", self._series
        for key, text in zip(values, texts, strict=True):
            waiting = (series.get(key) or self._table(key))[1]
            waiting.append(f"{head}{text}\n")
            self._waiting += len(text) + 32
        self._latest.update(values)
        self._step = step if values else self._step
        self._dirty.add(layout.LATEST)

    def _table(self, key: str) -> tuple[str, list[str]]:
        place = self._tables.claim(key)
        name = f"{layout.METRICS}/{place}.tsv"
        head = [] if self._lengths.get(name) else [layout.row(("timestamp", "step", layout.column(key, place)))]
        self._series[key] = name, head
        self._dirty.add(layout.STAGES)
        return self._series[key]

    def _media(self, event: Media) -> None:
        meta = json.dumps(plain(event.meta), ensure_ascii=False) if event.meta else ""
        content: bytes | Path
        if event.file is not None and event.format not in INLINE:
            shown, content = (event.kind, event.format) in layout.PICTURES, self._run.content(event.file)
            folder, ending = layout.IMAGES if shown else layout.MEDIA, event.format or PurePosixPath(event.file.path).suffix[1:] or "bin"
            content = content.read_bytes() if shown else content
        elif isinstance(inline := self._run.inline(event), str):
            folder, ending, content = layout.MEDIA, "txt", inline.encode()
        else:
            shape = layout.points(plain(inline))
            folder, ending = layout.CUSTOM if isinstance(shape, list) else layout.MEDIA, "json"
            content = json.dumps(shape, ensure_ascii=False, indent=1).encode()
        name = self._free(folder, event.key, f"call {event.call}" if event.step is None else str(event.step), ending)
        if isinstance(content, bytes):
            put(self._folder / name, content)
        else:
            self._keep(content, name)
        self._show(event.key, event.format, name)
        self._row("media.tsv", (event.time, event.step, event.key, event.kind, event.format, name, meta))

    def _free(self, folder: str, key: str, stem: str, ending: str) -> str:
        """A path that no other value of the run has. DVC's plots cannot sort a folder in which only some names are numbers."""
        file = f"{stem}.{PATHS.encode(ending)}"
        sort = "" if file.partition(".")[0].isdigit() else " (no step)"
        names = (
            f"{folder}/{self._folders.claim(key + sort + again)}/{file}"
            for again in itertools.chain([""], (f" ({n})" for n in itertools.count(2)))
        )
        return next(name for name in names if name not in self._taken)

    def _show(self, key: str, format: str, name: str) -> None:
        """Remember that the path `name` is taken, and what of it `dvc plots` shows: the last table of a key."""
        self._taken.add(name)
        if name.startswith(layout.CUSTOM):
            self._plots[key] = {name: {"template": "bar_horizontal", "x": "count", "y": "left"}} if format == "counts" else name
        self._dirty.add(layout.STAGES)

    def _artifact(self, event: Artifact) -> None:
        contents = [self._run.content(file) if file.digest else None for file in event.files]
        metadata = json.dumps(plain(event.metadata), ensure_ascii=False) if event.metadata else ""
        version = self._versions.get(event.name, -1) + 1
        folder, places = self._version(event.name, event.type, version), Places(PATHS, files=True)
        for file, content in zip(event.files, contents, strict=True):
            name = f"{folder}/{places.claim(file.path)}" if content else ""
            if content:
                self._keep(content, name)
            self._row("artifacts.tsv", (event.time, event.name, version, event.type, file.path, file.size, name, event.uri, metadata))

    def _version(self, name: str, type: str, version: int) -> str:
        """The folder of this version of an artifact, which dvc.yaml names as its last."""
        folder = f"{layout.ARTIFACTS}/{self._names.claim(name)}/v{version}"
        self._versions[name] = version
        self._artifacts[name] = {"path": folder, "desc": name} | ({"type": type} if type else {})
        self._dirty.add(layout.STAGES)
        return folder

    def _keep(self, content: Path, name: str) -> None:
        """Put `content` into DVC's cache, and a ``.dvc`` file in its place."""
        put(self._folder / f"{name}.dvc", pointer(self._repository.keep(content), name.rpartition("/")[2]))

    def _row(self, table: str, cells: Sequence[Any]) -> None:
        waiting = self._rows[table]
        if not waiting and not self._lengths.get(table):
            waiting.append(layout.row(layout.TABLES[table]))
        waiting.append(layout.row(cells))

    def flush(self) -> Position:
        with outage(self._folder):
            self._append()
            for name in sorted(self._dirty):
                put(self._folder / name, self._small(name))
            self._dirty.clear()
        return Position(dict(self._sequences), {"bytes": dict(self._lengths)})

    def _append(self) -> None:
        for name, waiting in [*self._series.values(), *self._rows.items()]:
            if waiting:
                path = self._folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("ab", buffering=0) as file:
                    if file.tell() != self._lengths.get(name, 0):
                        raise Unavailable(f"{path} was removed or changed; it is written again from the journal")
                    rest = memoryview("".join(waiting).encode())
                    self._lengths[name] = self._lengths.get(name, 0) + len(rest)
                    while rest:
                        rest = rest[file.write(rest) :]
                waiting.clear()
        self._waiting = 0

    def _small(self, name: str) -> bytes:
        if name.endswith(".json"):
            values = self._summary
            if name == layout.LATEST:  # a key of both would be shown twice
                values = {key: value for key, value in ({"step": self._step} | self._latest).items() if key not in self._summary}
            return json.dumps({key: layout.shown(value) for key, value in values.items()}, indent=1, ensure_ascii=False).encode()
        from dvc.utils.serialize import dumps_yaml

        held = {layout.PARAMS: lambda: layout.params(self._config), layout.RUN: lambda: self._about, layout.STAGES: self._stages}[name]()
        return str(dumps_yaml(held)).encode()

    def _stages(self) -> dict[str, Any]:
        """What tells DVC which files are parameters, metrics, plots and artifacts."""
        plots: list[Any] = [{layout.METRICS: {"x": "step"}}] if self._latest else []
        plots += [layout.IMAGES] if any(name.startswith(layout.IMAGES) for name in self._taken) else []
        plots += self._plots.values()
        artifacts: dict[str, Any] = {}
        for number, (name, artifact) in enumerate(self._artifacts.items(), 1):
            word = re.sub("[^a-z0-9]+", "-", name.lower())[:60].strip("-")
            artifacts[word if word[:1].isalpha() and word not in artifacts else f"artifact-{number}"] = artifact
        found = {"params": [layout.PARAMS, layout.RUN], "metrics": [layout.LATEST, layout.SUMMARY], "plots": plots, "artifacts": artifacts}
        return {name: part for name, part in found.items() if part}

    def attach(self, sidecar: bytes, digest: str) -> None:
        self.flush()
        with outage(self._folder):
            put(self._folder / SIDECAR_FILE, sidecar)
            put(self._folder / layout.DIGEST, f"{digest}  {SIDECAR_FILE.rpartition('/')[2]}\n".encode())

    def close(self, status: str, end: int) -> None:
        self._about |= {"status": str(status), "ended": iso(end)}
        self._dirty.add(layout.RUN)
        self.flush()
        message = f"{self._run.name or self._run.id}\n\n{self._run.notes}\n".replace("\0", " ")  # git refuses it
        with outage(self._repository.root):
            self._repository.save(self._folder, str(self._run.provenance.get("commit", "")), message, end)

    def place(self) -> Place:
        hint = f"dvc --cd {shlex.quote(str(self._repository.root))} exp push GIT-REMOTE {self._folder.name}"
        return Place(self._folder.name, str(self._folder), hint=hint)


def plain(value: Any) -> Any:
    """`value` itself, which YAML and JSON take.

    Raises:
        TypeError: they do not.
    """
    if isinstance(value, (dict, list, tuple)):
        for inner in (*value, *value.values()) if isinstance(value, dict) else value:
            plain(inner)
    elif value is not None and type(value) not in (str, int, float, bool):
        raise TypeError(f"{type(value).__name__} is no value of a configuration, summary or table")
    return value


def folder(repository: Repository, run: RunInfo) -> Path:
    """The folder of `run`: the one that it has, or had where only its experiment is left, else a new one."""
    for found, about in layout.folders(repository.runs, layout.RUNS.encode(run.id)).items():
        if about["id"] == run.id:
            return found
    for name, (commit, text) in repository.experiments().items():
        if layout.about(text).get("id") == run.id:
            repository.extract(repository.files(commit), repository.runs / name)
            return repository.runs / name
    name = re.sub("[^A-Za-z0-9_=+-]+", "-", run.name)[:60].strip("-")
    return repository.runs / f"{name}-{layout.RUNS.encode(run.id)}".lstrip("-")
