"""Writes a run: numbers in batches to Aim's storage, everything else through its tracker."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import logging
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from trackbridge.adapters import Place, Position
from trackbridge.deviations import Deviation, Ledger, Reason, unpack
from trackbridge.errors import Rejected, Unavailable
from trackbridge.projection import FileItem, MediaItem, nanoseconds, seconds
from trackbridge.records import AnyEvent, Artifact, Config, Deviations, Media, Metrics, Record, RunInfo, Status, Summary, Tags
from trackbridge_adapters.aim.folder import Batch, Store
from trackbridge_adapters.aim.layout import (
    INLINE,
    KEYS,
    OURS,
    PARTS,
    SEQUENCES,
    STRING,
    SUMMARY,
    context,
    in_range,
    is_distribution,
    run_hash,
    shown,
)

DISTINCT = 2**53  # Aim's hash of a step is that of a double: two larger ones may share a place
SINGLY = 1000  # points at most that are asked of a server one by one, before it is asked for the whole series
CHEAPER = 8  # a point of a whole series comes so many times as fast as one that is asked for by itself
NAMES = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)  # a file where another one has a folder: that stays so
INDEX_SECONDS = 20.0  # after which it is an outage that another process holds the index


class Points:
    """One of Aim's sequences: a name in a context."""

    def __init__(self, tracker: Any, name: str, context: dict[str, Any], local: bool) -> None:
        from aim.storage.context import Context

        self.name, self.context = name, Context(context)
        self.info = tracker.sequence_infos[self.context.idx, name]
        known = local and tracker.meta_run_tree.get(("traces", self.context.idx, name, "dtype")) is not None
        self.last = self.info.count - 1 if self.info.initialized else float("inf") if known else float("-inf")  # no step is beyond it
        self.new: list[tuple[int, float]] = []  # points that its description does not know yet
        self._singly = float("inf") if local else min(SINGLY, self.info.count // CHEAPER if self.info.initialized else SINGLY)
        self._known: dict[int, tuple[int, float, Any]] | None = None

    def at(self, step: int) -> tuple[int, float, Any] | None:
        """Step, time and value of the point that takes the place of `step`."""
        info = self.info
        if info.step_hash_fn is None:  # it has no point yet
            return None
        key = info.step_hash_fn(step)
        self._singly -= 1
        if self._known is None and info.version == 2 and self._singly < 0:
            steps, times, values = (dict(view.items()) for view in (info.step_view, info.time_view, info.val_view))
            self._known = {key: (steps[key], times[key], _mark(values[key])) for key in values if key in steps and key in times}
        if self._known is not None:
            return self._known.get(key)
        try:
            return info.step_view[key] if info.version == 2 else step, info.time_view[key], _mark(info.val_view[key])
        except KeyError:
            return None

    def put(self, step: int, value: float, time: float, batch: Batch) -> None:
        """A further number, of which the description is told at the next flush."""
        info, key = self.info, self.info.step_hash_fn(step)
        batch.put(key, ((info.val_view, value), (info.epoch_view, None), (info.time_view, time), (info.step_view, step)))
        self.new.append((step, value))
        if self._known is not None:
            self._known[key] = (step, time, _mark(value))

    def extremes(self) -> Iterator[tuple[int, float]]:
        """The new points that the description tells: the last, the least, the largest, and one of each type."""
        numbers = [point for point in self.new if point[1] == point[1]]
        if numbers:
            yield min(numbers, key=lambda point: point[1])
            yield max(numbers, key=lambda point: point[1])
        yield from {type(value): (step, value) for step, value in self.new}.values()
        yield max(self.new, key=lambda point: point[0])


class Writer:
    def __init__(self, store: Store, project: str) -> None:
        self._store, self._chosen = store, project

    def open(self, run: RunInfo, position: Position | None) -> Position:
        self._source, self._hash = run, run_hash(run.id)
        self._points: dict[tuple[str, str, int], Points] = {}
        self._originals: dict[str, str] = {}
        logging.getLogger("aim").setLevel(logging.ERROR)
        with self._store.outage():
            self._aim = self._store.opened(self._hash, run)
            self._tracker = self._aim._tracker
            self._batch = self._store.batch(self._aim)
            ours = self._aim.get(OURS, {})
            self._describe(run)
        self._held = position if ours and position else Position()
        return self.flush()

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
        with self._store.outage():
            for index, record in enumerate(batch):
                try:
                    self._take(record.event, ledger)
                except (TypeError, ValueError, LookupError, OverflowError, RecursionError) as error:
                    raise Rejected(f"{type(error).__name__}: {error}"[:500], index) from error
                except OSError as error:
                    if error.errno not in NAMES:
                        raise
                    raise Rejected(f"{type(error).__name__}: {error}"[:500], index) from error
            self._batch.commit()
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
        with self._store.outage():
            self._batch.commit()
            for points in self._points.values():
                if points.new:
                    with self._aim.repo.atomic_track(self._hash):
                        for step, value in points.extremes():
                            self._tracker._update_sequence_info(points.context.idx, points.name, value, step)
                points.new.clear()
            self._index()
        return self._held

    def _index(self) -> None:
        """Copy the run's description to the repository's index, which one process writes at a time."""
        import aimrocks.errors

        end = time.monotonic() + INDEX_SECONDS
        while True:
            with contextlib.suppress(aimrocks.errors.RocksIOError):
                if self._store.index(self._aim):
                    return
            if time.monotonic() > end:
                raise Unavailable(f"{self._store}: Aim's index is held by another process")
            time.sleep(0.1)

    def attach(self, sidecar: bytes, digest: str) -> None:
        self.flush()
        with self._store.outage(), tempfile.TemporaryDirectory(prefix="trackbridge-") as scratch:
            local = Path(scratch, "journal")
            local.write_bytes(sidecar)
            self._store.attach(self._aim, local)
            self._tell("sidecar", digest)
        self.flush()

    def close(self, status: str, end: int) -> None:
        with self._store.outage():
            self._tell("status", str(status))
            self._aim.meta_run_tree["end_time"] = seconds(end)
            self._aim._resources.set_run_end_time = lambda: None  # Aim takes the time of closing
            self.flush()
            self._store.release(self._aim)

    def place(self) -> Place:
        return self._store.place(self._hash)

    # -- values ----------------------------------------------------------------------------------------------------------------------

    def _metrics(self, event: Metrics, ledger: Ledger) -> None:
        time, step, given = seconds(event.time), event.step, event.values
        if step is not None and in_range(step) and set(map(type, given.values())) <= {float}:
            if nanoseconds(time) != event.time and given:
                ledger.add(Deviation(Reason.TIMESTAMP, "time", len(given), "rounded to a double of seconds"))
        else:
            given, step = self._store.projection.scalars(ledger, event), event.call if step is None else step
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
        points.put(step, value, time, self._batch)

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
                points = self._points[name, kind, repeat] = Points(self._tracker, name, context(kind, repeat), self._store.local)
            if points.last < step:
                points.last = step
                if step <= DISTINCT:
                    return points
            self._batch.commit()
            there = points.at(step)
            if there is None:
                return points
            if there == mark:
                return None
            repeat += 1

    def _media(self, event: Media, ledger: Ledger) -> None:
        item = MediaItem.of(event)
        held = self._store.projection.held(ledger, "media", item, event.key, f"{event.kind} {event.format}")
        if held is None:
            return
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
        self._store.put(self._aim, f"media/{self._part(event.key)}/{self._part(event.kind)}/{name}", self._source.content(event.file))

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
            if self._store.local:
                return None
            size = 1, 1  # what is no picture after all
        image = Image(Pillow.new("L", (1, 1)), caption=caption)  # it would encode the picture anew
        image.storage["data"], image.storage["format"] = BLOB(data=data), event.format
        image.storage["width"], image.storage["height"] = size
        return image

    def _artifact(self, event: Artifact, ledger: Ledger) -> None:
        head = f"artifacts/{self._part(event.name)}/{self._part(event.type)}"
        for ref in event.files:
            if self._store.projection.held(
                ledger, "artifact", FileItem(event.name, event.type, ref.path, ref.digest), f"artifact/{event.name}", event.uri
            ):
                self._store.put(self._aim, f"{head}/{'/'.join(map(self._part, ref.path.split('/')))}", self._source.content(ref))

    def _part(self, text: str) -> str:
        """`text` as a part of a path; where that is not to be read back, the run tells what it was."""
        name = PARTS.encode(text)
        if PARTS.shortened(text) and name not in self._originals:
            self._originals[name] = text
            self._aim[OURS, "names", name] = text
        return name


def _mark(value: Any) -> Any:
    """What two points of one step and time are told apart by."""
    return (type(value).__name__, repr(value)) if isinstance(value, int | float) else value.storage["data"].load()
