"""Hands records to the client, and waits until they are in its log."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shlex
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trackbridge import records
from trackbridge.adapters import SIDECAR_FILE, Place, Position
from trackbridge.deviations import Deviation, Ledger
from trackbridge.errors import Rejected, SettingsError, Unavailable
from trackbridge.files import add_file, replace
from trackbridge.normal import flatten
from trackbridge.projection import SCALARS, Entry, MediaItem, Point, deviation, nanoseconds, to_float
from trackbridge.records import AnyEvent, Artifact, Media, Metrics, Record, RunInfo
from trackbridge_adapters.wandb import client, layout, media
from trackbridge_adapters.wandb.layout import EXIT_CODES, MARK, OWN, SIDECAR, UPLOADED, Fragment, Log
from trackbridge_adapters.wandb.projection import (
    BIG_INTEGER,
    KEYS,
    PATHS,
    PROJECTION,
    STEP,
    TAGS,
    TIME,
    artifact_name,
    artifact_type,
    column_step,
    is_big,
)

REWIND = OWN + "rewind"
FLUSH_SECONDS = 60.0  # after which the client's process is taken to be dead
FULL_SECONDS = 2.0  # the same where its disk was full meanwhile: it does not say so, nor try again when there is room
ROOM_BYTES = 64 * 1024  # a disk with less is full
POLL_SECONDS = 0.005


class _Cache(dict[str, str]):
    def __init__(self, make: Callable[[str], str]) -> None:
        self._make = make

    def __missing__(self, key: str) -> str:
        value = self[key] = self._make(key)
        return value


class Writer:
    """One fragment of a run. Each call of ``log`` is a row, and so is each media value; rows say what is held."""

    def __init__(self, folder: Path, project: str, online: bool, options: dict[str, str]) -> None:
        self._folder, self._project, self._online, self._options = folder, project, online, options

    def open(self, run: RunInfo, position: Position | None) -> Position:
        self._source, self._ledger = run, Ledger()
        with client.outage():
            self._folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self._folder, os.W_OK | os.X_OK):  # the client would go to a temporary folder
                raise PermissionError(f"{self._folder} is not writable")
            known = layout.fragments(self._folder, run.id)
            earlier = [fragment for fragment in known if fragment.has_rows()]  # else it is what an attempt to open the run left
            held = layout.held(earlier)
            try:
                self._upload([fragment.log for fragment in earlier])
                self._run = client.start(self._folder, run, self._project or run.project, held, self._online, self._options)
            except Exception:
                client.forget()
                for fragment in layout.fragments(self._folder, run.id):  # else each attempt of a long outage leaves a folder
                    if fragment not in known and not fragment.has_rows():
                        shutil.rmtree(fragment.log.parent, ignore_errors=True)
                raise
        self._next = dict(held.next)
        rows = position.token.get("rows", {}) if position else {}
        if position and all(held.next.get(shard, 0) >= count for shard, count in rows.items()):
            for shard, count in position.sequences.items():  # rejected records may follow the last row
                self._next[shard] = max(self._next.get(shard, 0), count)
        self._unmarked: set[str] = set()  # shards whose last record has no row, or one without a mark
        self._last: bytes | None = None  # the last mark
        self._before: tuple[str, int] | None = None  # the record of the last row
        self._shards = _Cache(json.dumps)
        self._names = _Cache(KEYS.encode)
        self._fragment = Fragment(Path(self._run.dir).parent / f"run-{run.id}.wandb")
        self._log = Log(self._fragment.log)
        self._earlier = [fragment.log for fragment in earlier]
        for name in (MARK, STEP):
            self._run.define_metric(name, hidden=True, summary="none")
        self._run.define_metric("*", step_metric=STEP)
        self._log_row = client.rows(self._run)
        self._summary = {key: value for key, value in held.explicit.items() if not key.startswith(OWN)}
        self._run.summary.update(self._summary)
        opened = self.flush()
        return opened if position is not None else Position({}, opened.token)  # without a cursor all comes again; what is held is skipped

    def write(self, batch: Sequence[Record]) -> Sequence[Deviation]:
        with client.outage():
            for index, record in enumerate(batch):
                shard, following = record.shard, self._next.get(record.shard, 0)
                sequence = record.sequence if shard else following  # what the forwarder adds at the end has no identity
                if sequence < following:
                    continue
                try:
                    row = self._taken(record.event, self._ledger)
                except (TypeError, ValueError, LookupError) as error:
                    raise Rejected(f"{type(record.event).__name__}: {error}", index) from error
                self._next[shard] = sequence + 1
                if row is None:
                    self._unmarked.add(shard)
                else:
                    self._row(shard, row)
        deviations, self._ledger = self._ledger.rows(), Ledger()
        return deviations

    def _taken(self, event: AnyEvent, ledger: Ledger) -> dict[str, Any] | None:
        """Hand `event` to the client; or the row that does so."""
        if isinstance(event, Metrics):
            return self._metrics(event, ledger)
        if isinstance(event, Media):
            return self._media(event, ledger)
        if isinstance(event, records.Rewind):
            return self._place(event.time, event.step) | {REWIND: event.step}
        if isinstance(event, records.Config):
            _changes("config", flatten(event.values), ledger)
            self._run.config.update({self._names[key]: value for key, value in event.values.items()}, allow_val_change=True)
        elif isinstance(event, records.Summary):
            _changes("summary", event.values, ledger)
            values = {self._names[key]: value for key, value in event.values.items()}
            self._summary |= values
            self._run.summary.update(values)
        elif isinstance(event, records.Tags):
            if PROJECTION.apply("tags", frozenset(event.values))[1]:
                ledger.add(deviation(TAGS, "tags", event.values))
            self._run.tags = client.tags(event.values)
        elif isinstance(event, records.Define):
            with contextlib.suppress(Exception):  # the client takes a glob only at the end of a name
                step = self._names[event.step] if event.step else STEP
                self._run.define_metric(self._names[event.pattern], step_metric=step, summary=event.summary)
        elif isinstance(event, records.Deviations):
            self._run.summary.update({f"{OWN}deviations/{row[0]}/{row[1]}": row[2] for row in event.items})
        elif isinstance(event, Artifact):
            self._artifact(event)
        return None

    def _metrics(self, event: Metrics, ledger: Ledger) -> dict[str, Any]:
        values, names = event.values, self._names
        kinds = set(map(type, values.values()))
        if not kinds <= SCALARS:
            raise TypeError(f"a point must be a number, a bool, a text or None, not {kinds - SCALARS}")
        row = {names[key]: value for key, value in values.items()}
        if int in kinds:
            for key, value in values.items():
                if type(value) is int and is_big(value):
                    row[names[key]] = to_float(value)
                    ledger.add(deviation(BIG_INTEGER, key, value))
        count = len(values)
        step, seconds = event.step, event.time / 1e9
        if nanoseconds(seconds) != event.time and count:
            ledger.add(Deviation(TIME.reason, "time", count, TIME.what))
        if (step is None or is_big(step)) and count:
            for rule in PROJECTION.apply("scalar", Point("", 0.0, step, 0, event.call))[1]:
                ledger.add(Deviation(rule.reason, "step", count, rule.what))
        row["_timestamp"] = seconds
        row[STEP] = event.call if step is None else column_step(step)
        return row

    def _media(self, event: Media, ledger: Ledger) -> dict[str, Any]:
        item = MediaItem.of(event)
        PROJECTION.held(ledger, "media", item, event.key, event.kind)
        if event.file is not None and not event.file.digest:
            cell = media.by_reference(event, event.file)
        else:
            cell = media.cell(self._run, self._fragment, event, self._source.content(event.file) if event.file else None)
        return self._place(event.time, event.call if event.step is None else event.step) | {self._names[event.key]: cell}

    def _place(self, time: int, step: int) -> dict[str, Any]:
        return {STEP: column_step(step), "_timestamp": time / 1e9}

    def _row(self, shard: str, row: dict[str, Any]) -> None:
        """`row` stands for the last record of `shard`, or, empty, tells that it is held. It has a mark if that does not follow from the row before."""
        sequence = self._next[shard] - 1
        if row and self._before == (shard, sequence - 1):
            self._unmarked.add(shard)
        else:
            row[MARK] = mark = f"[{self._shards[shard]},{sequence}]"
            self._last = mark.encode()
            self._unmarked.discard(shard)
        self._before = shard, sequence
        self._log_row(row)

    def _artifact(self, event: Artifact) -> None:
        import wandb
        from wandb.sdk.artifacts.artifact_manifest_entry import ArtifactManifestEntry

        name, kind = artifact_name(event.name), artifact_type(event.type)
        artifact = wandb.Artifact(name, kind)
        own = {OWN + key: text for key, text, held in (("name", event.name, name), ("type", event.type, kind)) if text != held}
        try:
            artifact.metadata = event.metadata | own
        except ValueError:  # infinities, or more than 100 keys
            artifact.metadata = {"metadata": json.dumps(event.metadata)} | own
        for ref in event.files:
            path = PATHS.encode(ref.path)
            if ref.digest:
                content = self._source.content(ref)
                if not (self._fragment.artifacts / ref.digest).is_file():
                    try:
                        add_file(self._fragment.artifacts, content, ref.path)
                    except SettingsError as error:
                        raise Unavailable(str(error)) from error
                artifact.add_file(str(self._fragment.artifacts / ref.digest), path, skip_cache=True, policy="immutable")
            else:  # the client's add_reference asks the store, and needs its library
                uri = event.uri or ref.path
                artifact.manifest.add_entry(ArtifactManifestEntry(path=path, digest=uri, ref=uri, size=ref.size))
        media.publish(self._run, artifact)

    def flush(self) -> Position:
        """Wait until the last row is in the log: the client returns before its own process has written it."""
        for shard in sorted(self._unmarked):
            self._row(shard, {})
        if (last := self._last) is not None:
            tails = itertools.chain((1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24), itertools.repeat(1 << 62))  # a row may be large
            self._wait(lambda: self._log.holds(last, next(tails)))
            self._last = None
        held = {shard: count for shard, count in self._next.items() if shard}
        return Position(held, {"rows": held})

    def _wait(self, done: Callable[[], bool]) -> None:
        began, full = time.monotonic(), False
        while not done():
            waited = time.monotonic() - began
            full = full or shutil.disk_usage(self._folder).free < ROOM_BYTES
            if waited > FLUSH_SECONDS:
                raise Unavailable(f"the W&B client did not write to {self._log.path} for {FLUSH_SECONDS:.0f} s: has its process ended?")
            if full and waited > FULL_SECONDS:
                raise Unavailable(f"the disk of {self._folder} is full, or was: the W&B client cannot write there; make room")
            time.sleep(POLL_SECONDS)

    def attach(self, sidecar: bytes, digest: str) -> None:
        self.flush()
        path = self._fragment.files / SIDECAR_FILE
        with client.outage():
            new = not path.exists()
            path.parent.mkdir(exist_ok=True)
            replace(path, sidecar)
            if new:
                media.announce(self._run, path)
            self._run.summary.update({SIDECAR: digest})
        self._next[""] = self._next.get("", 0) + 1
        self._unmarked.add("")
        self.flush()

    def close(self, status: str, end: int) -> None:
        with client.outage():
            self._run.summary.update(self._summary)  # a later value of a metric of that key replaced it
            try:
                client.finish(self._run, next((code for code, word in EXIT_CODES.items() if word == status), client.CRASHED))
            except Unavailable as error:
                raise self._held(error, [self._log.path]) from error
            self._wait(lambda: any(map(layout.is_exit, self._log.new())))
            if self._online and (lost := self._fragment.given_up()):
                raise self._held(lost, [self._log.path])
            if self._online:
                (self._fragment.log.parent / UPLOADED).touch()

    def _upload(self, logs: list[Path]) -> None:
        """Upload what earlier processes of the client left on this disk: those that were killed, met an outage, or were offline."""
        if self._online and not all(map(layout.is_uploaded, logs)):
            try:
                client.upload(logs, self._options)
            except Exception as error:
                raise self._held(error, logs) from error

    def _held(self, reason: object, logs: list[Path]) -> Unavailable:
        return Unavailable(f"{client.reason(str(reason))}; what is not uploaded is on this disk, also for: {_sync(logs)}")

    def place(self) -> Place:
        where = str(self._fragment.log.parent)
        if self._online:
            return Place(self._source.id, where, self._run.url or "", mode="online")
        return Place(self._source.id, where, hint=_sync([*self._earlier, self._fragment.log]), mode="offline")


def _sync(logs: list[Path]) -> str:
    """The vendor's command that uploads these logs; without the option it passes over those of runs that were online."""
    folders = [log.parent for log in logs]
    online = any(not folder.name.startswith("offline-") for folder in folders)
    return shlex.join(["wandb", "sync", *["--include-online"] * online, *map(str, folders)])


def _changes(on: str, values: dict[str, Any], ledger: Ledger) -> None:
    for key, value in values.items():
        PROJECTION.held(ledger, on, Entry(key, value), f"{on}/{key}", value)
