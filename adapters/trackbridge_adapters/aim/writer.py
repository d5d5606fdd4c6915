"""Writes a run: numbers in batches to Aim's storage, everything else through its tracker."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from trackbridge.adapters import SIDECAR_FILE, Place, Position
from trackbridge.deviations import Deviation, Ledger, Reason, unpack
from trackbridge.errors import Rejected, Unavailable
from trackbridge.projection import FileItem, MediaItem, nanoseconds, seconds
from trackbridge.records import AnyEvent, Artifact, Config, Deviations, Media, Metrics, Record, RunInfo, Status, Summary, Tags
from trackbridge_adapters.aim.layout import (
    ARTIFACTS,
    KEYS,
    OURS,
    PARTS,
    PROJECTION,
    SEQUENCES,
    STRING,
    SUMMARY,
    context,
    in_range,
    is_distribution,
    outage,
    repository,
    run_hash,
    shown,
)

INLINE = {"counts", "rows", "text"}
DISTINCT = 2**53  # Aim's hash of a step is that of a double: two larger ones may share a place
INDEX_SECONDS = 20.0  # after which it is an outage that another process holds the index


class Points:
    """One of Aim's sequences: a name in a context."""

    def __init__(self, tracker: Any, name: str, context: dict[str, Any]) -> None:
        from aim.storage.context import Context

        self.name, self.context = name, Context(context)
        self.info = tracker.sequence_infos[self.context.idx, name]
        known = tracker.meta_run_tree.get(("traces", self.context.idx, name, "dtype")) is not None
        self.last = self.info.count - 1 if self.info.initialized else float("inf") if known else float("-inf")  # no step is beyond it
        self.new: list[tuple[int, float]] = []  # points that its description does not know yet

    def at(self, step: int) -> tuple[int, float, Any] | None:
        """Step, time and value of the point that takes the place of `step`."""
        info = self.info
        if info.step_hash_fn is None:  # it has no point yet
            return None
        key = info.step_hash_fn(step)
        try:
            return info.step_view[key] if info.version == 2 else step, info.time_view[key], _mark(info.val_view[key])
        except KeyError:
            return None

    def extremes(self) -> Iterator[tuple[int, float]]:
        """The new points that the description tells: the last, the least, the largest, and one of each type."""
        numbers = [point for point in self.new if point[1] == point[1]]
        if numbers:
            yield min(numbers, key=lambda point: point[1])
            yield max(numbers, key=lambda point: point[1])
        yield from {type(value): (step, value) for step, value in self.new}.values()
        yield max(self.new, key=lambda point: point[0])


class Writer:
    _live: ClassVar[dict[tuple[str, str], Any]] = {}  # the runs that this process holds open: Aim opens each only once

    def __init__(self, folder: Path, project: str) -> None:
        self._folder, self._chosen = folder, project

    def open(self, run: RunInfo, position: Position | None) -> Position:
        self._source, self._hash = run, run_hash(run.id)
        self._points: dict[tuple[str, str, int], Points] = {}
        self._originals: dict[str, str] = {}
        with outage(self._folder):
            self._aim = self._opened(run)
            self._tracker = self._aim._tracker
            self._series = self._aim.repo.request_container("seqs", self._hash, read_only=False)
            self._batch = self._series.batch()
            ours = self._aim.get(OURS, {})
            self._describe(run)
            self._aim.set_artifacts_uri(f"file://{self._folder / ARTIFACTS}")
        self._held = position if ours and position else Position()
        return self.flush()

    def _opened(self, run: RunInfo) -> Any:
        self._folder.mkdir(parents=True, exist_ok=True)
        repo = repository(self._folder, make=True)
        from aim import Run

        logging.getLogger("aim").setLevel(logging.ERROR)
        self._release()
        Path(repo.path, "meta", "chunks", self._hash).mkdir(parents=True, exist_ok=True)  # then Aim takes it for a run that exists
        type(repo)._all_run_hashes.cache_clear()
        repo.request_props(self._hash, read_only=False, created_at=datetime.fromtimestamp(seconds(run.start), UTC).replace(tzinfo=None))
        quiet: dict[str, Any] = {"system_tracking_interval": None, "capture_terminal_logs": False, "log_system_params": False}
        found = self._live[str(self._folder), self._hash] = Run(self._hash, repo=repo, **quiet)
        return found

    def _release(self) -> None:
        """Close the run that a Writer left open which met an outage."""
        left = self._live.pop((str(self._folder), self._hash), None)
        if left is not None:
            repo, containers = left.repo, [left.repo.request_container(name, self._hash, read_only=False) for name in ("meta", "seqs")]
            with contextlib.suppress(Exception):
                left.close()
            for container in containers:
                with contextlib.suppress(Exception):
                    container.close()
            repo.container_pool.clear()

    def _describe(self, run: RunInfo) -> None:
        aim = self._aim
        if aim.get(OURS) is None:
            aim[OURS] = {"id": run.id}
            aim.name, aim.description, aim.experiment = run.name or run.id, run.notes, self._chosen or run.project or "default"
            self._tag(run.tags)
        for name in ("group", "job_type", "provenance"):
            if value := getattr(run, name):
                self._tell(name, shown(value))
        self._tell("status", str(Status.RUNNING))

    def _tell(self, name: str, value: Any) -> None:
        self._aim[OURS, name] = value

    def _tag(self, tags: Iterable[str]) -> None:
        for tag in dict.fromkeys(tags):
            if tag not in self._aim.tags:
                self._aim.add_tag(tag)
        for tag in set(self._aim.tags).difference(tags):
            self._aim.remove_tag(tag)

    def write(self, batch: Sequence[Record]) -> Sequence[Deviation]:
        ledger = Ledger()
        with outage(self._folder):
            for index, record in enumerate(batch):
                try:
                    self._take(record.event, ledger)
                except (TypeError, ValueError, LookupError, OverflowError, RecursionError) as error:
                    raise Rejected(f"{type(error).__name__}: {error}"[:500], index) from error
            self._commit()
        self._held = self._held.advanced(record for record in batch if record.shard)  # what the forwarder adds at the end has no identity
        return ledger.rows()

    def _take(self, event: AnyEvent, ledger: Ledger) -> None:
        if isinstance(event, Metrics):
            self._metrics(event, ledger)
        elif isinstance(event, Media):
            self._media(event, ledger)
        elif isinstance(event, Artifact):
            self._artifact(event, ledger)
        elif isinstance(event, Config):
            for key, value in event.values.items():
                self._aim[KEYS.encode(key)] = shown(value)
        elif isinstance(event, Summary):
            for key, value in event.values.items():
                self._aim[SUMMARY, KEYS.encode(key)] = shown(value)
        elif isinstance(event, Tags):
            self._tag(event.values)
        elif isinstance(event, Deviations):
            self._tell("deviations", Ledger(unpack(event.items)).by_reason())

    def flush(self) -> Position:
        """What was handed to the system is there after a kill; the index shows it to Aim's readers."""
        with outage(self._folder):
            self._commit()
            for points in self._points.values():
                for step, value in points.extremes() if points.new else ():
                    self._tracker._update_sequence_info(points.context.idx, points.name, value, step)
                points.new.clear()
            self._index()
        return self._held

    def _commit(self) -> None:
        self._series.commit(self._batch)
        self._batch.clear()

    def _index(self) -> None:
        """Copy the run's description to the repository's index, which one process writes at a time."""
        import aimrocks.errors
        from aim.sdk.index_manager import RepoIndexManager

        end = time.monotonic() + INDEX_SECONDS
        while True:
            try:
                manager = RepoIndexManager.get_index_manager(self._aim.repo)  # each one takes an inotify instance, of which a user has 128
                manager.repo = self._aim.repo
                manager._corrupted_runs.clear()
                manager.index(self._hash)
                if not manager._corrupted_runs:  # it tells nobody else
                    return
            except aimrocks.errors.RocksIOError:
                pass
            if time.monotonic() > end:
                raise Unavailable(f"{self._folder}: Aim's index is held by another process")
            time.sleep(0.1)

    def attach(self, sidecar: bytes, digest: str) -> None:
        self.flush()
        with tempfile.TemporaryDirectory(prefix="trackbridge-") as scratch, outage(self._folder):
            local = Path(scratch, "journal")
            local.write_bytes(sidecar)
            self._file(SIDECAR_FILE, local)
            self._tell("sidecar", digest)
        self.flush()

    def close(self, status: str, end: int) -> None:
        with outage(self._folder):
            self._tell("status", str(status))
            self._aim.meta_run_tree["end_time"] = seconds(end)
            self._aim._resources.set_run_end_time = lambda: None  # Aim takes the time of closing
            self.flush()
            self._release()

    def place(self) -> Place:
        return Place(self._hash, str(self._folder), hint=f"aim up --repo {shlex.quote(str(self._folder))}")

    # -- values ----------------------------------------------------------------------------------------------------------------------

    def _metrics(self, event: Metrics, ledger: Ledger) -> None:
        time, step, given = seconds(event.time), event.step, event.values
        if step is not None and in_range(step) and set(map(type, given.values())) <= {float}:
            if nanoseconds(time) != event.time and given:
                ledger.add(Deviation(Reason.TIMESTAMP, "time", len(given), "rounded to a double of seconds"))
        else:
            given, step = PROJECTION.scalars(ledger, event), event.call if step is None else step
        for key, value in given.items():
            name = SEQUENCES.encode(key)
            if isinstance(value, str):
                from aim import Text

                self._object(name, STRING, Text(value), step, time)
            else:
                self._number(name, value, step, time)

    def _number(self, name: str, value: float, step: int, time: float) -> None:
        """As Aim's tracker does it, but into a batch, and what describes the sequence once for each flush."""
        points = self._free(name, "", (step, time, _mark(value)))
        if points is None:
            return
        info = points.info
        if not info.initialized:
            self._tracker._track(value, time, name, step, context=points.context.to_dict())
            return
        from aim.storage.encoding import encode, encode_path

        key = encode_path((info.step_hash_fn(step),))
        for view, held in ((info.val_view, value), (info.epoch_view, None), (info.time_view, time), (info.step_view, step)):
            view.tree.container.set(key, encode(held), store_batch=self._batch)
        points.new.append((step, value))

    def _object(self, name: str, kind: str, value: Any, step: int, time: float) -> None:
        points = self._free(name, kind, (step, time, _mark(value)))
        if points is not None:
            self._tracker._track(value, time, name, step, context=points.context.to_dict())

    def _free(self, name: str, kind: str, mark: tuple[int, float, Any]) -> Points | None:
        """The sequence that can take a point: the first that has none in its place. None if one of them holds this very point."""
        step, repeat = mark[0], 0
        while True:
            points = self._points.get((name, kind, repeat))
            if points is None:
                points = self._points[name, kind, repeat] = Points(self._tracker, name, context(kind, repeat))
            if points.last < step:
                points.last = step
                if step <= DISTINCT:
                    return points
            self._commit()
            there = points.at(step)
            if there is None:
                return points
            if there == mark:
                return None
            repeat += 1

    def _media(self, event: Media, ledger: Ledger) -> None:
        item = MediaItem.of(event)
        held = PROJECTION.held(ledger, "media", item, event.key, f"{event.kind} {event.format}")
        assert held is not None
        assert held.step is not None
        if not in_range(held.step):
            raise ValueError(f"step {held.step} is beyond 64 bits")
        value = self._inline(event) if event.format in INLINE else self._shown(event)
        if value is not None:
            kind = f"{event.kind}.json" if event.format in ("counts", "rows") and type(value).__name__ == "Text" else event.kind
            self._object(SEQUENCES.encode(event.key), kind, value, held.step, seconds(event.time))
            return
        assert event.file is not None
        name = f"{held.step}_{held.time}_{event.file.digest[:8]}.{PARTS.encode(event.format)}"
        self._file(f"media/{self._part(event.key)}/{self._part(event.kind)}/{name}", self._source.content(event.file))

    def _inline(self, event: Media) -> Any:
        from aim import Distribution, Text

        inline = self._source.inline(event)
        if event.format == "text":
            return Text(inline)
        if event.format == "rows":
            if any(len(row) != len(inline["columns"]) for row in inline["rows"]):
                raise ValueError("a row of the table has not as many cells as there are columns")
        elif is_distribution(inline):
            return Distribution(hist=inline["counts"], bin_range=(inline["edges"][0], inline["edges"][-1]))
        elif len(inline["edges"]) != len(inline["counts"]) + 1:
            raise ValueError("a histogram has one edge more than counts")
        return Text(json.dumps(inline, ensure_ascii=False))

    def _shown(self, event: Media) -> Any:
        """Aim's object with the bytes as they were logged; None for what it has none for."""
        from aim import Audio, Image
        from aim.storage.types import BLOB
        from PIL import Image as Pillow

        data, caption = self._source.content(event.file).read_bytes(), str(event.meta.get("caption") or "")
        if event.kind == "audio" and event.format in Audio.audio_formats and event.format:
            return Audio(data, format=event.format, caption=caption)
        if event.kind not in ("image", "figure", "video") or not event.format.isalnum():
            return None
        try:
            with Pillow.open(io.BytesIO(data)) as picture:
                size = picture.size
        except (OSError, ValueError, Pillow.DecompressionBombError):
            return None
        image = Image(Pillow.new("L", (1, 1)), caption=caption)  # it would encode the picture anew
        image.storage["data"], image.storage["format"] = BLOB(data=data), event.format
        image.storage["width"], image.storage["height"] = size
        return image

    def _artifact(self, event: Artifact, ledger: Ledger) -> None:
        head = f"artifacts/{self._part(event.name)}/{self._part(event.type)}"
        for ref in event.files:
            if PROJECTION.held(
                ledger, "artifact", FileItem(event.name, event.type, ref.path, ref.digest), f"artifact/{event.name}", event.uri
            ):
                self._file(f"{head}/{'/'.join(map(self._part, ref.path.split('/')))}", self._source.content(ref))

    def _part(self, text: str) -> str:
        """`text` as a part of a path; where that is not to be read back, the run tells what it was."""
        name = PARTS.encode(text)
        if PARTS.shortened(text) and name not in self._originals:
            self._originals[name] = text
            self._aim[OURS, "names", name] = text
        return name

    def _file(self, name: str, source: Path) -> None:
        """What Aim's own `log_artifact` does, but that a file is never there in part."""
        from aim.sdk.objects.artifact import Artifact as AimArtifact

        path = self._folder / ARTIFACTS / self._hash / name
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{self._hash}.part")
        shutil.copyfile(source, partial)
        os.replace(partial, path)
        self._aim.meta_run_tree.subtree("artifacts")[name] = AimArtifact(name, uri=self._aim.artifacts_uri, name=name)


def _mark(value: Any) -> Any:
    """What two points of one step and time are told apart by."""
    return (type(value).__name__, repr(value)) if isinstance(value, int | float) else value.storage["data"].load()
