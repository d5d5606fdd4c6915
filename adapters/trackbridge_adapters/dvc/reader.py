"""Reads runs: from their folders, and where these are gone from the experiments in git."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from trackbridge.adapters import SIDECAR_FILE
from trackbridge.errors import RunNotFound
from trackbridge.records import AnyEvent, Artifact, Config, End, FileRef, Media, Metrics, Record, RunInfo, Start, Summary, Tags
from trackbridge_adapters.dvc import layout
from trackbridge_adapters.dvc.repository import Repository


class Reader:
    def __init__(self, root: Path, project: str = "") -> None:
        self._repository, self._project = Repository(root), project

    def runs(self) -> Iterator[RunInfo]:
        folders = {path.name: layout.about(path) for path in sorted(self._repository.runs.glob("*"))}
        for name, commit in self._repository.experiments().items():
            if not folders.get(name):
                with self._extracted(commit) as folder:
                    folders[name] = layout.about(folder)
        for about in folders.values():
            if about and (not self._project or about["project"] == self._project):
                yield _info(about)

    def read(self, run_id: str) -> Iterator[Record]:
        with self._folder(run_id) as folder:
            for number, event in enumerate(self._events(folder)):
                yield Record("native", number, event)

    def sidecar(self, run_id: str) -> tuple[bytes, str] | None:
        with self._folder(run_id) as folder:
            if not (folder / SIDECAR_FILE).is_file():
                return None
            told = folder / layout.DIGEST
            return (folder / SIDECAR_FILE).read_bytes(), told.read_text().partition(" ")[0] if told.is_file() else ""

    @contextmanager
    def _folder(self, run_id: str) -> Iterator[Path]:
        found = layout.find(self._repository.runs, run_id)
        if found is not None:
            yield found
            return
        for name, commit in self._repository.experiments().items():
            if name.endswith(layout.RUNS.encode(run_id)):
                with self._extracted(commit) as folder:
                    if layout.about(folder).get("id") == run_id:
                        yield folder
                        return
        raise RunNotFound(f"no run {run_id} in {self._repository.root}")

    @contextmanager
    def _extracted(self, commit: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="trackbridge-") as scratch:
            self._repository.extract(commit, Path(scratch, "run"))
            yield Path(scratch, "run")

    def _events(self, folder: Path) -> Iterator[AnyEvent]:
        from dvc.utils.serialize import loads_yaml

        info = _info(layout.about(folder))
        yield Start(info.start, info.id, info.project, info.name, info.group, info.job_type, info.notes, provenance=info.provenance)
        yield Tags(info.start, list(info.tags))
        yield Config(info.start, layout.unparams(_held(folder / layout.PARAMS, loads_yaml)))
        for table in layout.tables(folder):
            if table.parent != folder:
                yield from _points(table, table.relative_to(folder / layout.METRICS).as_posix().removesuffix(".tsv"))
        for row in _rows(folder / "media.tsv"):
            yield self._media(folder, *row)
        for time, name, _, type, file, size, path, uri, metadata in _rows(folder / "artifacts.tsv"):
            ref = self._ref(folder, path, file, int(size))
            yield Artifact(int(time), name, type, [ref], uri, json.loads(metadata or "{}"))
        summary = _held(folder / layout.SUMMARY, json.loads)
        yield Summary(info.start, {key: layout.unshown(value) for key, value in summary.items()})
        if info.end is not None:
            yield End(info.end, info.status)

    def _media(self, folder: Path, time: str, step: str, key: str, kind: str, format: str, path: str, meta: str) -> Media:
        media = Media(int(time), 0, int(step) if step else None, key, kind, format, meta=json.loads(meta or "{}"))
        if path.endswith(".txt") and format == "text":
            return msgspec.structs.replace(media, inline=(folder / path).read_bytes().decode())
        if path.endswith(".json") and not (folder / f"{path}.dvc").exists():
            return msgspec.structs.replace(media, inline=layout.unpoints(json.loads((folder / path).read_bytes()), format))
        return msgspec.structs.replace(media, file=self._ref(folder, path, path.rpartition("/")[2], 0))

    def _ref(self, folder: Path, path: str, name: str, size: int) -> FileRef:
        """A reference with the digest of the bytes that are there; "" where there are none, as of a file by reference."""
        place = folder / path
        if (pointer := folder / f"{path}.dvc").is_file():
            from dvc.utils.serialize import loads_yaml

            place = self._repository.cached(loads_yaml(pointer.read_text("utf-8"))["outs"][0]["md5"])
        if not place.is_file():
            return FileRef(name, "", size)
        with place.open("rb") as file:
            return FileRef(name, hashlib.file_digest(file, "sha256").hexdigest(), place.stat().st_size)


def _info(about: dict[str, Any]) -> RunInfo:
    described = {name: about[name] for name in layout.DESCRIPTION if name != "tags"}
    end = layout.unmoment(about["ended"]) if about.get("ended") and about["status"] != "running" else None
    start = layout.unmoment(about["started"])
    return RunInfo(**described, tags=tuple(about["tags"]), start=start, end=end, provenance=about.get("provenance") or {})


def _points(path: Path, name: str) -> Iterator[Metrics]:
    rows = layout.rows(path)
    key = layout.key(next(rows)[-1], name)
    for time, step, text in rows:
        yield Metrics(int(time) * 1_000_000, 0, int(step), {key: layout.value(text)})


def _rows(path: Path) -> Iterator[list[str]]:
    return iter(list(layout.rows(path))[1:])


def _held(path: Path, load: Any) -> dict[str, Any]:
    return (load(path.read_text("utf-8")) if path.is_file() else None) or {}
