"""Hands records to the client, and waits until they are in its log."""

from __future__ import annotations

import base64
import contextlib
import html
import itertools
import json
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from trackbridge import projection, records
from trackbridge.adapters import SIDECAR_FILE, Place, Position
from trackbridge.deviations import Deviation
from trackbridge.errors import Rejected, SettingsError, Unavailable
from trackbridge.files import add_file
from trackbridge.records import Artifact, FileRef, Media, Metrics, Record, RunInfo, Status
from trackbridge_adapters.wandb import layout
from trackbridge_adapters.wandb.layout import FILES, KEYS, MARK, MEDIA, RECORD, STEP, Log, Row

KEPT = records.Config | records.Summary | records.Tags | records.Define | Artifact | records.Rewind | records.Deviations
EXIT_CODES = {Status.FINISHED: 0, Status.FAILED: 1, Status.CRASHED: 255}
FLUSH_SECONDS = 60.0  # after which the client's process is taken to be dead or out of disk
LOG_SECONDS = 0.02  # the client's process writes what it has so often, which bounds what `flush` waits
POLL_SECONDS = 0.005
INIT_SECONDS = 20.0  # after which the server is taken to be away
SCALARS = frozenset((float, int, bool, str, type(None)))


class _Cache(dict[str, str]):
    def __init__(self, make: Callable[[str], str]) -> None:
        self._make = make

    def __missing__(self, key: str) -> str:
        value = self[key] = self._make(key)
        return value


class Writer:
    """One fragment of a run. Each call of ``log`` is a row, each other record a row with a hidden column; so a row says what is held."""

    _live: dict[str, Any] = {}  # the client's runs of this process by id: it can open each only once

    def __init__(self, folder: Path, project: str, online: bool, options: dict[str, str]) -> None:
        self._folder, self._project, self._online, self._options = folder, project, online, options

    def open(self, run: RunInfo, position: Position | None) -> Position:
        self._source, self._id = run, layout.IDS.encode(run.id)
        with _outage():
            self._folder.mkdir(parents=True, exist_ok=True)
            if not os.access(self._folder, os.W_OK | os.X_OK):  # the client would go to a temporary folder
                raise PermissionError(f"{self._folder} is not writable")
            earlier = layout.fragments(self._folder, self._id)
            held = layout.held(earlier)
            try:
                self._run = self._init(held)
            except Exception:
                self._forget()
                for fragment in layout.fragments(self._folder, self._id):  # else each attempt of a long outage leaves a folder
                    if fragment not in earlier and not any(isinstance(row, Row) for row in layout.rows(fragment.log)):
                        shutil.rmtree(fragment.log.parent, ignore_errors=True)
                raise
        self._next = dict(held.next)
        rows = position.token.get("rows", {}) if position else {}
        if position and all(held.next.get(shard, 0) >= count for shard, count in rows.items()):
            for shard, count in position.sequences.items():  # records without a row may follow the last row
                self._next[shard] = max(self._next.get(shard, 0), count)
        self._rows = dict(held.next)
        self._ordinal = sum(self._next.values())
        self._serial = 0
        self._shards = _Cache(json.dumps)
        self._names = _Cache(KEYS.encode)
        self._announced: set[Path] = set()
        self._files = Path(self._run.dir)
        self._log = Log(self._files.parent / f"run-{self._id}.wandb")
        self._earlier = [fragment.log.parent for fragment in earlier]
        for name in (MARK, RECORD, STEP):
            self._run.define_metric(name, hidden=True, summary="none")
        self._run.define_metric("*", step_metric=STEP)
        self._describe(str(Status.RUNNING))
        opened = self.flush()
        return opened if position is not None else Position({}, opened.token)  # without a cursor all comes again; what is held is skipped

    def _init(self, held: layout.Held) -> Any:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        if (left := self._live.pop(self._id, None)) is not None:  # a Writer that met an outage was given up
            try:
                left.finish(exit_code=EXIT_CODES[Status.CRASHED])
            except Exception:
                self._forget()
        run, base = self._source, self._options.get("base_url")
        settings = wandb.Settings(
            mode="online" if self._online else "offline",
            console="off",
            disable_code=True,
            disable_git=True,
            init_timeout=INIT_SECONDS,
            reinit="create_new",  # leave the run of the training process alone, if it has one
            save_code=False,
            silent=True,
            x_disable_machine_info=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_history_value_encoding="json,typed",  # keeps -0.0, and floats from integers
            x_save_requirements=False,
            x_transaction_log_flush_interval=LOG_SECONDS,
            **({"base_url": base} if base else {}),
            **({"api_key": self._options["api_key"]} if self._options.get("api_key") else {}),
        )
        hooks = sys.excepthook, sys.exit
        try:
            client = wandb.init(
                dir=str(self._folder),
                id=self._id,
                entity=self._options.get("entity"),
                project=layout.PROJECTS.encode(self._project or run.project) if self._project or run.project else None,
                name=run.name or None,
                group=run.group or None,
                job_type=run.job_type or None,
                notes=run.notes or None,
                tags=_tags(run.tags if held.tags is None else held.tags),
                config=held.config or None,
                resume="allow",
                settings=settings,
            )
        finally:
            sys.excepthook, sys.exit = hooks
        self._live[self._id] = client
        return client

    def _forget(self) -> None:
        """End the client's own process, which may be dead already or holds the run's id: the next `init` starts another."""
        import wandb

        if wandb.run is None:  # in the training process, the user's own run would end with it
            self._live.clear()
            with contextlib.suppress(Exception):
                wandb.teardown(exit_code=EXIT_CODES[Status.CRASHED])

    def write(self, batch: Sequence[Record]) -> Sequence[Deviation]:
        with _outage():
            for index, record in enumerate(batch):
                following = self._next.get(record.shard, 0)
                if record.shard and record.sequence < following:
                    continue
                event = record.event
                try:
                    if isinstance(event, Metrics):
                        self._metrics(record, event)
                    elif isinstance(event, Media):
                        self._media(record, event, index)
                    elif isinstance(event, KEPT):
                        self._other(record, event, index)
                except (TypeError, ValueError) as error:
                    raise Rejected(f"{type(event).__name__}: {error}", index) from error
                if record.shard:  # what the forwarder adds at the end has no identity
                    self._next[record.shard] = record.sequence + 1
                    self._ordinal += record.sequence + 1 - following
        return []

    def _metrics(self, record: Record, event: Metrics) -> None:
        values, names = event.values, self._names
        row = {names[key]: value for key, value in values.items()}
        kinds = set(map(type, values.values()))
        if not kinds <= SCALARS:
            raise TypeError(f"a point must be a number, a bool, a text or None, not {kinds - SCALARS}")
        exact: dict[str, str] = {}
        if int in kinds:
            for key, value in values.items():
                if type(value) is int and not -(2**63) <= value < 2**63:  # the client's process makes it a float
                    exact[key], row[names[key]] = str(value), projection.to_float(value)
        self._row(record, event.call, event.step, event.time, row, exact)

    def _row(
        self, record: Record, call: int, step: int | None, time: int, row: dict[str, Any], exact: dict[str, str] | None = None
    ) -> None:
        shard = self._shards[record.shard]
        sequence = record.sequence
        if not record.shard:
            sequence = self._serial = self._serial + 1
        known = "null" if step is None else step
        mark = f"[{shard},{sequence},{self._ordinal},{call},{known},{time}" + (f",{json.dumps(exact)}]" if exact else "]")
        row[MARK] = mark
        row[STEP] = call if step is None else max(-(2**63), min(step, 2**63 - 1))
        row["_timestamp"] = time / 1e9
        self._run.log(row)
        self._last: bytes | None = mark.encode()
        if record.shard:
            self._rows[record.shard] = sequence + 1

    def _keep(self, record: Record, event: Any, shown: dict[str, Any] | None = None, **note: Any) -> None:
        """A row for a record that is no call of ``log``: its exact form, beside what the client shows."""
        text = base64.b64encode(records.encode([event])).decode()
        row = {RECORD: json.dumps({"event": text, **note}), **(shown or {})}
        call, step = (event.call, event.step) if isinstance(event, Media) else (0, None)
        self._row(record, call, step, event.time, row)

    def _media(self, record: Record, event: Media, index: int) -> None:
        shown: Any = None
        with tempfile.TemporaryDirectory(prefix="trackbridge-") as scratch:
            path: Path | None = None
            if event.file is not None and event.file.digest:
                path = Path(scratch, f"content.{event.format or 'bin'}" if event.format.isalnum() else "content")
                path.symlink_to(self._content(event.file, index).absolute())  # the client copies, and goes by the suffix
            with contextlib.suppress(Exception):  # what the client cannot show is kept as a file
                shown = _shown(event, path)
            if path is not None and (shown is None or event.kind not in layout.NATIVE or event.format == "html"):
                self._beside(event.file, index)
            name = MEDIA.encode(event.key)
            self._keep(record, event, {} if shown is None else {name: shown})

    def _other(self, record: Record, event: Any, index: int) -> None:
        if isinstance(event, Artifact):
            for ref in event.files:
                if ref.digest:
                    self._artifact(event, ref, index)
        elif isinstance(event, records.Tags):
            self._run.tags = _tags(event.values)
        elif isinstance(event, records.Define):
            with contextlib.suppress(Exception):  # the client takes a glob only at the end of a name
                step = KEYS.encode(event.step) if event.step else STEP
                self._run.define_metric(KEYS.encode(event.pattern), step_metric=step, summary=event.summary)
        else:  # NaN becomes null there, and an integer beyond 64 bits a float: the row has them exactly
            with contextlib.suppress(TypeError, ValueError):
                if isinstance(event, records.Config):
                    self._run.config.update(event.values, allow_val_change=True)
                elif isinstance(event, records.Summary):
                    self._run.summary.update({KEYS.encode(key): value for key, value in event.values.items()})
                elif isinstance(event, records.Deviations):
                    self._run.summary.update({f"trackbridge/deviations/{row[0]}/{row[1]}": row[2] for row in event.items})
        self._keep(record, event)

    def _artifact(self, event: Artifact, ref: FileRef, index: int) -> None:
        content = self._content(ref, index)
        place = layout.artifact(event.name, ref.path)
        path = self._files / place
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(content, path)
        except (FileExistsError, IsADirectoryError, NotADirectoryError):  # one file's name is another's folder
            self._beside(ref, index)
        else:
            self._announce(place)

    def _content(self, ref: FileRef, index: int) -> Path:
        path = self._source.content(ref) if self._source.directory is not None else None
        if path is None or not path.is_file():
            raise Rejected(f"the content of {ref.path!r} ({ref.digest[:12]}) is not in the run's folder", index)
        return path

    def _beside(self, ref: FileRef | None, index: int) -> None:
        assert ref is not None
        if not (self._files / FILES / ref.digest).is_file():
            try:
                add_file(self._files / FILES, self._content(ref, index), ref.path)
            except SettingsError as error:
                raise Unavailable(str(error)) from error
        self._announce(FILES / ref.digest)

    def _announce(self, place: Path) -> None:
        """Tell the client of a file in the run's own folder. It links to a file elsewhere, and never copies it."""
        if place not in self._announced:
            self._run.save(str(self._files / place), base_path=str(self._files), policy="live", glob=False)
            self._announced.add(place)

    def flush(self) -> Position:
        """Wait until the last row is in the log: the client returns before its own process has written it."""
        if (last := self._last) is not None:
            tails = itertools.chain((1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 24), itertools.repeat(1 << 62))  # a row may be large
            self._wait(lambda: self._log.holds(last, next(tails)))
            self._last = None
        return Position(dict(self._next), {"rows": dict(self._rows)})

    def _wait(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + FLUSH_SECONDS
        while not done():
            if time.monotonic() > deadline:
                raise Unavailable(f"the W&B client did not write to {self._log.path} for {FLUSH_SECONDS:.0f} s: is its disk full?")
            time.sleep(POLL_SECONDS)

    def attach(self, sidecar: bytes, digest: str) -> None:
        self.flush()
        place = Path(SIDECAR_FILE)
        path = self._files / place
        with _outage():
            path.parent.mkdir(exist_ok=True)
            partial = path.with_suffix(".part")
            with partial.open("wb") as file:
                file.write(sidecar)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
            self._announce(place)
            self._keep(Record("", 0, records.Heartbeat(self._source.start)), records.Heartbeat(self._source.start), sidecar=digest)
        self.flush()

    def close(self, status: str, end: int) -> None:
        with _outage():
            self._describe(status, end)
            self.flush()
            self._run.finish(exit_code=EXIT_CODES.get(Status(status), 255))
            self._wait(lambda: any(map(layout.is_exit, self._log.new())))
        self._live.pop(self._id, None)

    def _describe(self, status: str, end: int | None = None) -> None:
        event = layout.start(self._source)
        note: dict[str, Any] = {"status": status, "tags": list(self._source.tags)} | ({} if end is None else {"end": end})
        self._keep(Record("", 0, event), event, **note)

    def place(self) -> Place:
        where = str(self._files.parent)
        earlier = shlex.join(map(str, self._earlier))
        if self._online:
            hint = f"if an earlier process was killed, upload what it had not: wandb sync {earlier}" if earlier else ""
            return Place(self._id, where, self._run.url or "", hint, "online")
        return Place(self._id, where, hint=f"wandb sync {earlier} {shlex.quote(where)}".replace("  ", " "), mode="offline")


def _tags(tags: Sequence[str]) -> tuple[str, ...]:
    """Those that the client takes; the others are kept in a row alone."""
    return tuple(dict.fromkeys(tag for tag in tags if 1 <= len(tag) <= 64))


def _shown(event: Media, path: Path | None) -> Any:
    """The client's own value for `event`, None for what it has none for."""
    import wandb

    caption = event.meta.get("caption")
    if path is not None:
        if event.kind in ("image", "figure") and event.format != "html":
            return wandb.Image(str(path), caption=caption)
        if event.kind == "audio":
            return wandb.Audio(str(path), caption=caption)
        if event.kind == "video":
            return wandb.Video(str(path), caption=caption)
        if event.format == "html":
            return wandb.Html(str(path), inject=False)
        return None
    if event.kind == "histogram":
        return wandb.Histogram(np_histogram=(event.inline["counts"], event.inline["edges"]))
    if event.kind == "table":
        return wandb.Table(columns=event.inline["columns"], data=event.inline["rows"], allow_mixed_types=True)
    if event.kind == "text":
        return wandb.Html(f"<pre>{html.escape(str(event.inline))}</pre>", data_is_not_path=True)
    return None


@contextlib.contextmanager
def _outage() -> Iterator[None]:
    """What the client or the disk cannot do now is an outage."""
    try:
        yield
    except OSError as error:
        raise Unavailable(str(error)) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] == "wandb":
            raise Unavailable(f"{type(error).__name__}: {error}") from error
        raise
