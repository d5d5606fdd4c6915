"""Reads runs: from the experiments in git by DVC's own interface, and from the folders of those that grow or are not saved."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from trackbridge.adapters import SIDECAR_FILE
from trackbridge.errors import RunNotFound
from trackbridge.records import AnyEvent, Artifact, Config, End, FileRef, Media, Metrics, Record, RunInfo, Start, Summary, Tags
from trackbridge.times import from_iso
from trackbridge_adapters.dvc import layout
from trackbridge_adapters.dvc.repository import LIVE, Repository


class Reader:
    def __init__(self, root: Path, project: str = "") -> None:
        self._repository, self._project = Repository(root), project

    def runs(self) -> Iterator[RunInfo]:
        for about, _ in self._found().values():
            if self._project in ("", about["project"]):
                yield _info(about)

    def read(self, run_id: str) -> Iterator[Record]:
        with self._copy(run_id) as copy:
            for number, event in enumerate(copy.events()):
                yield Record("native", number, event)

    def sidecar(self, run_id: str) -> tuple[bytes, str] | None:
        with self._copy(run_id) as copy:
            if not (copy.folder / SIDECAR_FILE).is_file():
                return None
            told = copy.folder / layout.DIGEST
            return (copy.folder / SIDECAR_FILE).read_bytes(), told.read_text().partition(" ")[0] if told.is_file() else ""

    def _found(self) -> dict[str, tuple[dict[str, Any], str | Path]]:
        """By id what a run says of itself, and where it is: an experiment's commit, or a folder that says something else than it."""
        found: dict[str, tuple[dict[str, Any], str | Path]] = {}
        for commit, text in self._repository.experiments().values():
            if about := layout.about(text):
                found[about["id"]] = about, commit
        for folder, about in layout.folders(self._repository.runs).items():
            if found.get(about["id"], ({},))[0] != about:
                found[about["id"]] = about, folder
        return found

    @contextmanager
    def _copy(self, run_id: str) -> Iterator[_Copy]:
        about, place = self._found().get(run_id, ({}, ""))
        if isinstance(place, Path):
            yield _Copy(about, place, lambda path: self._repository.cached(layout.md5(place / f"{path}.dvc")).open("rb"))
        elif place:
            with tempfile.TemporaryDirectory(prefix="trackbridge-") as scratch:
                files = self._repository.files(place)
                self._repository.extract(files, Path(scratch, "run"))
                yield _Copy(about, Path(scratch, "run"), lambda path: files.open(f"{LIVE}/{path}"))
        else:
            raise RunNotFound(f"no run {run_id} in {self._repository.root}")


class _Copy:
    """The files of a run in `folder`; `kept` opens those that DVC keeps outside git."""

    def __init__(self, about: dict[str, Any], folder: Path, kept: Callable[[str], Any]) -> None:
        self._about, self.folder, self._kept = about, folder, kept

    def events(self) -> Iterator[AnyEvent]:
        from dvc.utils.serialize import loads_yaml

        folder, info = self.folder, _info(self._about)
        yield Start(info.start, info.id, info.project, info.name, info.group, info.job_type, info.notes, provenance=info.provenance)
        yield Tags(info.start, list(info.tags))
        yield Config(info.start, layout.unparams(_held(folder / layout.PARAMS, loads_yaml)))
        for table in sorted((folder / layout.METRICS).rglob("*.tsv")):
            yield from _points(table, table.relative_to(folder / layout.METRICS).as_posix().removesuffix(".tsv"))
        for row in _rows(folder / "media.tsv"):
            yield self._media(*row)
        for time, name, _, type, file, size, path, uri, metadata in _rows(folder / "artifacts.tsv"):
            yield Artifact(int(time), name, type, [self._ref(path, file, int(size))], uri, json.loads(metadata or "{}"))
        summary = _held(folder / layout.SUMMARY, json.loads)
        yield Summary(info.start, {key: layout.unshown(value) for key, value in summary.items()})
        if info.end is not None:
            yield End(info.end, info.status)

    def _media(self, time: str, step: str, key: str, kind: str, format: str, path: str, meta: str) -> Media:
        media = Media(int(time), 0, int(step) if step else None, key, kind, format, meta=json.loads(meta or "{}"))
        place = self.folder / path
        if place.is_file() and place.suffix == ".txt":
            return msgspec.structs.replace(media, inline=place.read_bytes().decode())
        if place.is_file() and place.suffix == ".json":
            return msgspec.structs.replace(media, inline=layout.unpoints(json.loads(place.read_bytes()), format))
        return msgspec.structs.replace(media, file=self._ref(path, place.name, 0))

    def _ref(self, path: str, name: str, size: int) -> FileRef:
        """A reference with the digest of the bytes that are there; "" where there are none, as of a file by reference."""
        place = self.folder / path
        try:
            with place.open("rb") if place.exists() else self._kept(path) as file:
                return FileRef(name, hashlib.file_digest(file, "sha256").hexdigest(), file.seek(0, 2))
        except OSError:
            return FileRef(name, "", size)


def _info(about: dict[str, Any]) -> RunInfo:
    described = {name: about[name] for name in layout.DESCRIPTION if name != "tags"}
    end = from_iso(about["ended"]) if about.get("ended") else None
    return RunInfo(
        **described,
        tags=tuple(about["tags"]),
        start=from_iso(about["started"]),
        end=end,
        provenance=about.get("provenance") or {},
    )


def _points(path: Path, name: str) -> Iterator[Metrics]:
    rows = layout.rows(path)
    key = layout.key(next(rows, [""])[-1], name)
    for time, step, text in rows:
        yield Metrics(int(time) * 1_000_000, 0, int(step), {key: layout.value(text)})


def _rows(path: Path) -> Iterator[list[str]]:
    return iter(list(layout.rows(path))[1:])


def _held(path: Path, load: Any) -> dict[str, Any]:
    return (load(path.read_text("utf-8")) if path.is_file() else None) or {}
