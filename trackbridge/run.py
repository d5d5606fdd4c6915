"""Run: what training code holds. ``log`` appends to the journal, and that is all that happens in the training process."""

from __future__ import annotations

import atexit
import dataclasses
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from trackbridge import files, host, identity
from trackbridge.deviations import Deviation, Ledger, Reason
from trackbridge.errors import SettingsError, TrackBridgeError
from trackbridge.journal import sync
from trackbridge.journal.blocks import MAX_DEPTH
from trackbridge.journal.writer import ShardWriter
from trackbridge.records import (
    Artifact,
    Config,
    Define,
    Deviations,
    End,
    Event,
    FileRef,
    Media,
    Metrics,
    Rewind,
    Start,
    Status,
    Summary,
    Tags,
    pack,
)
from trackbridge.redact import Redactor
from trackbridge.report import Report, TargetReport
from trackbridge.settings import Settings
from trackbridge.signals import raised_by_handler
from trackbridge.summary import RULES
from trackbridge.values import TYPED, Content, Figure, Image, scalar

_INLINE_BYTES = 1 << 20
_KNOWN_KEYS = 100_000


class Forwarding:
    """What a run needs of its forwarders; the base class is a run without any."""

    def reports(self, records: int) -> list[TargetReport]:
        """One for each target; `records`: how many the journal holds."""
        return []

    def wait(self, seconds: float) -> bool:
        return True

    def stop(self) -> None:
        return None


class Run:
    """One run of an experiment. Made by :func:`trackbridge.init`, not directly.

    After ``init`` nothing raises because of a backend, the disk or a value (but with ``strict``): a logger must not end a fifteen-hour run. What
    a signal handler raises meanwhile (Ctrl-C, ``signal.alarm``) reaches the caller; handlers may log, and finish the run.

    Attributes:
        id: names the run's folder, and the run in every tracker.
        directory: the run's folder.
    """

    def __init__(
        self,
        start: Start,
        directory: Path,
        settings: Settings,
        shard: str,
        forwarding: Callable[[Run], Forwarding] = lambda run: Forwarding(),
    ) -> None:
        self.id, self.directory, self.implicit = start.run_id, directory, False
        self.name, self.project, self.group = start.name or start.run_id, start.project, start.group
        self._settings, self._start, self._owner = settings, start, os.getpid()
        self._lock = threading.RLock()
        self._ledger = Ledger()
        self._redactor = Redactor(enabled=settings.redact == "on")
        self._power = settings.durability == "power"  # then each call is synced, and no way is fast
        self._tags: tuple[str, ...] = ()
        self._failed = self._finished = self._forked = False
        self._over = threading.Event()
        self._report: Report | None = None
        self._journal = self._writer(shard)
        self._metrics: Callable[[Mapping[str, Any], int | None], bool] = self._journal.metrics
        notes = self._redactor.text(start.notes)
        self._append([msgspec.structs.replace(start, notes=notes)], vital=True)
        if notes != start.notes:
            self._deviate(Reason.REDACTED, "notes")
        self.config = ConfigMapping(self._config_changed)
        self.summary = SummaryMapping(self._summary_changed)
        _runs.add(self)
        self._forwarding = forwarding(self)

    # -- logging ---------------------------------------------------------------------------------------------------------------------

    def log(self, values: Mapping[str, Any], step: int | None = None) -> None:
        """Log one call of values.

        When it has returned, the values survive the death of this process, unless they were refused for want of space, which is counted.

        Args:
            values: key to value: Python and numpy numbers, 0-d arrays and tensors, bool, str, None, typed values such as
                :class:`trackbridge.Image`, and mappings of these, which are flattened with ``/``. ``.item()`` of a GPU tensor waits for
                the GPU.
            step: the step; it may repeat and go backwards. Without it trackers get the number of the call.

        Raises:
            SettingsError: with ``strict`` only: a value that cannot be stored.
        """
        if not self._metrics(values, step):
            self._guard(lambda: self._log_slowly(values, step))

    def log_artifact(
        self,
        path: str | Path,
        name: str | None = None,
        type: str = "file",
        *,
        metadata: Mapping[str, Any] | None = None,
        by_reference: bool = False,
    ) -> None:
        """Log a file or a folder: a copy of it as it is now (a reflink where the file system can).

        Args:
            path: the file or folder; links in a folder are not followed.
            name: what it is called; the file's own name by default.
            type: ``model``, ``dataset`` ...
            metadata: anything that JSON can hold.
            by_reference: record only where it lies, or a URL; for what is too large to copy.

        Raises:
            SettingsError: with ``strict`` only: it cannot be read.
        """
        self._guard(lambda: self._log_artifact(path, name, type, dict(metadata or {}), by_reference))

    def define_metric(self, pattern: str, step: str | None = None, summary: str | None = None) -> None:
        """Give the metrics that match a glob their own step axis, or a rule for the summary. It holds from now on.

        Args:
            pattern: ``val/*``.
            step: the key of the metric that is the step axis: its value in the same call, else the last one logged.
            summary: ``min max mean first last none``; min, max and mean skip NaN.
        """

        def define() -> None:
            if summary is not None and summary not in RULES:
                raise SettingsError(f"summary rule {summary!r} is unknown; it can be {', '.join(RULES)}")
            self._append([Define(time.time_ns(), pattern, step, summary)])

        self._guard(define)

    def rewind(self, step: int) -> None:
        """Start a new attempt at `step`, after a checkpoint was loaded: the default view of the run drops the points at `step` or later
        that were logged before; the journal keeps all."""
        self._guard(lambda: self._append([Rewind(time.time_ns(), int(step))], vital=True))

    @property
    def tags(self) -> tuple[str, ...]:
        """The run's tags. ``run.tags += ("baseline",)`` adds one."""
        return self._tags

    @tags.setter
    def tags(self, tags: Iterable[str]) -> None:
        self._guard(lambda: self._set_tags(tags))

    # -- what became of it -----------------------------------------------------------------------------------------------------------

    def status(self) -> dict[str, TargetReport]:
        """For each backend: its state, what is delivered and pending, deviations, where the run lies."""
        return {report.target: report for report in self._forwarding.reports(self._journal.sequence)}

    @property
    def urls(self) -> dict[str, str]:
        """Per backend the address, or folder, of the run, as soon as its forwarder has opened it."""
        return {
            report.target: report.url or report.where
            for report in self._forwarding.reports(self._journal.sequence)
            if report.where or report.url
        }

    @property
    def ids(self) -> dict[str, str]:
        """Per backend its own id of the run."""
        return {report.target: report.id for report in self._forwarding.reports(self._journal.sequence) if report.id}

    def finish(self, status: str | None = None) -> Report:
        """End the run, wait until it is delivered, at most ``TRACKBRIDGE_FINISH_TIMEOUT`` seconds, and show the report on standard error.

        What is pending then stays in the journal and is delivered by its forwarder, or later by ``trackbridge sync``. A second call
        returns the same report.

        Args:
            status: ``finished``, or ``failed``; by default whether an exception has left the script.
        """
        with self._lock:
            if self._report is not None:
                return self._report
            end = Status(status) if status else Status.FAILED if self._failed else Status.FINISHED
            mine = os.getpid() == self._owner
            if not self._finished:
                self._append([End(time.time_ns(), end)], vital=True)
                self._finished = True
                self._over.set()
                sync.thread.forget(self._journal)
                self._journal.close()
                self._metrics = _not_plain
            done = not mine
            try:
                done = done or self._forwarding.wait(self._settings.finish_timeout)
            finally:  # Ctrl-C ends the waiting, not the delivery
                self._report = self._concluded(end, done)
            return self._report

    def _concluded(self, end: Status, done: bool) -> Report:
        """Let go of the forwarders, and say what became of the run; `done`: they have delivered it."""
        self._forwarding.stop()
        if self._journal.refused_values:
            self._ledger.add(Deviation(Reason.REFUSED, "*", self._journal.refused_values))
        reports, records = self._forwarding.reports(self._journal.sequence), self._journal.sequence
        report = Report(self.id, self.directory, end, reports, self._ledger.rows(), records, done)
        _runs.discard(self)
        if os.getpid() == self._owner:
            warn(str(report))
        return report

    @property
    def ended(self) -> bool:
        """Whether ``finish`` has returned; while it waits, what another thread logs is refused, and begins no other run."""
        return self._report is not None

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None and not (issubclass(kind, SystemExit) and getattr(error, "code", None) in (None, 0)):
            self._failed = True
        self.finish()

    # -- inside ----------------------------------------------------------------------------------------------------------------------

    def _writer(self, shard: str) -> ShardWriter:
        writer = ShardWriter(
            self.directory / "journal",
            self.id,
            shard,
            max_bytes=self._settings.max_bytes,
            power=self._power,
            warn=warn,
        )
        writer.on_network = sync.on_network(self.directory)
        writer.set_room(sync.room(writer.directory))
        sync.thread.add(writer)
        return writer

    def _append(self, events: list[Event], *, vital: bool = False) -> None:
        self._own_journal().append(events, vital=vital)

    def _sampled(self, values: dict[str, float], number: int) -> bool:
        """Append a sample of the system, which is no call of the user's; False when the run is finished."""
        with self._lock:
            if not self._finished:
                self._own_journal().append(lambda call: [Metrics(time.time_ns(), call, number, values)])
            return not self._finished

    def _own_journal(self) -> ShardWriter:
        """The journal of this process; a forked child's begins here."""
        if self._forked:
            with self._lock:
                if self._forked:
                    self._journal = self._writer(identity.shard_name(self._start.rank))
                    self._forked = False
                    start = msgspec.structs.replace(
                        self._start, time=time.time_ns(), pid=os.getpid(), ticks=host.own_ticks(), forked=self._settings.ranks == "zero"
                    )
                    self._journal.append([start], vital=True)
                    self._metrics = self._journal.metrics
        return self._journal

    def _guard(self, action: Callable[[], Any]) -> None:
        """Do `action`; a failure is told once, and raised only when the user asked for that."""
        try:
            if self._finished:
                warn_once(f"finished {self.id}", f"run {self.id} is finished: what is logged to it now is refused")
                return
            action()
        except Exception as error:
            if self._settings.strict or raised_by_handler(error):
                raise
            warn_once(
                f"{type(error).__name__} {error}", f"not logged: {error if isinstance(error, (TrackBridgeError, OSError)) else repr(error)}"
            )

    def _log_slowly(self, values: Mapping[str, Any], step: Any) -> None:
        if not isinstance(values, Mapping):
            raise SettingsError(f"log takes a mapping of keys to values, such as {{'loss': 0.3}}, got {type(values).__name__}")
        deviations: list[Deviation] = []
        flat = self._flatten(values, deviations)
        at = self._step(step, deviations)
        scalars: dict[str, Any] = {}
        contents: dict[str, tuple[Content, Any, FileRef | None]] = {}

        def sort(key: str, value: Any) -> None:
            found = self._held(key, value, deviations)
            if isinstance(found, Content):
                contents[key] = found, *self._store(key, found)
            else:
                scalars[key] = found

        for key, value in flat.items():
            self._each(key, deviations, sort, key, value)
        now = time.time_ns()
        noted = self._noted(deviations)

        def events(call: int) -> list[Event]:
            made: list[Event] = [Metrics(now, call, at, scalars)] if scalars else []
            for key, (content, inline, ref) in contents.items():
                made.append(Media(now, call, at, key, content.kind, content.format, inline, ref, content.meta))
            return made + noted

        if scalars or contents or noted:
            self._own_journal().append(events, is_call=True)
        known = self._journal.known
        if len(known) < _KNOWN_KEYS and not self._power:
            known.update(key for key in scalars if key in values)

    def _each(self, subject: str, deviations: list[Deviation], action: Callable[..., Any], *arguments: Any) -> None:
        """Do `action` for one of several values: where nothing can hold that one, whatever its library raises, the others are kept."""
        try:
            action(*arguments)
        except Exception as error:
            if raised_by_handler(error):
                raise
            why = str(error) if isinstance(error, SettingsError) else f"{type(error).__name__}: {error}"
            if self._settings.strict:
                raise SettingsError(f"{subject!r} cannot be logged: {why}") from error
            deviations.append(Deviation(Reason.UNSUPPORTED, subject, 1, why[:200]))

    def _flatten(self, values: Mapping[Any, Any], deviations: list[Deviation], prefix: str = "") -> dict[str, Any]:
        flat: dict[str, Any] = {}
        for key, value in values.items():
            name = self._key(key, deviations)
            path = f"{prefix}/{name}" if prefix else name
            items: dict[str, Any] = {path: value}
            if isinstance(value, Mapping):
                items = self._flatten(value, deviations, path)
            elif isinstance(value, (list, tuple)) and value and all(isinstance(item, TYPED) for item in value):
                items = {f"{path}/{index}": item for index, item in enumerate(value)}
            for place, item in items.items():
                if place in flat:
                    deviations.append(Deviation(Reason.MERGED, place, 1, "two entries of one call have this key; the last one is kept"))
                flat[place] = item
        return flat

    def _key(self, key: Any, deviations: list[Deviation]) -> str:
        name = key if isinstance(key, str) else str(key)
        clean = utf8(name)
        if clean != key:
            deviations.append(Deviation(Reason.RENAMED, clean, 1, repr(key)[:100]))
        return clean

    def _step(self, step: Any, deviations: list[Deviation]) -> int | None:
        if step is None:
            return None
        try:
            number = scalar(step)
            whole = int(number)
        except (TypeError, ValueError, OverflowError):
            number, whole = step, None
        if whole is None or not -(2**63) <= whole < 2**64:
            deviations.append(
                Deviation(Reason.STEP_REJECTED, "step", 1, f"{step!r:.80} is no whole number of 64 bits: logged without a step")
            )
            return None
        if whole != number:
            deviations.append(Deviation(Reason.STEP_CHANGED, "step", 1, f"{step!r:.80} became {whole}"))
        return whole

    def _held(self, key: str, value: Any, deviations: list[Deviation]) -> Any:
        """`value` as a scalar, or the content of a typed one. Raises SettingsError when it is neither."""
        if isinstance(value, TYPED):
            content = value.content()
            if content.kind == "text":
                clean = self._redactor.text(content.inline)
                if clean != content.inline:
                    deviations.append(Deviation(Reason.REDACTED, key))
                    content = Content("text", "text", inline=clean)
            return content
        try:
            plain = scalar(value)
        except TypeError:
            for kind, mark in ((Figure, "savefig"), (Figure, "to_html"), (Image, "getbands")):
                if hasattr(value, mark):
                    return kind(value).content()
            shape = getattr(value, "shape", None)
            remedy = (
                "log trackbridge.Histogram(x), Image(x), Table(...) or a scalar of it"
                if shape
                else "log a number, a string or a typed value"
            )
            raise SettingsError(
                f"{type(value).__name__}{f' of shape {tuple(shape)}' if shape else ''} is no value of a metric; {remedy}"
            ) from None
        if isinstance(plain, str):
            clean = self._redactor.text(utf8(plain))
            if clean != plain:
                deviations.append(Deviation(Reason.REDACTED, key))
            plain = clean
        if type(plain) is int:
            pack(plain)  # raises for one that nothing can hold
        return plain

    def _store(self, key: str, content: Content) -> tuple[Any, FileRef | None]:
        """What of `content` lies in the journal, and the file that holds the rest. Raises what says that it cannot be held."""
        pack(content.meta)
        store = self.directory / "files"
        if content.path is not None:
            return None, self._kept(files.add_file(store, content.path, content.path.name))
        if content.data is not None:
            return None, self._kept(files.add_bytes(store, content.data, f"{files.safe_name(key or '_')}.{content.format}"))
        packed = pack(content.inline)
        if len(packed) > _INLINE_BYTES:
            return None, self._kept(files.add_bytes(store, packed, f"{files.safe_name(key or '_')}.msgpack"))
        return content.inline, None

    def _kept(self, ref: FileRef) -> FileRef:
        self._journal.keep(self.directory / "files" / ref.digest)
        return ref

    def _log_artifact(self, path: str | Path, name: str | None, type: str, metadata: dict[str, Any], by_reference: bool) -> None:
        text = str(path)
        if by_reference:
            where = text if "://" in text else str(Path(text).expanduser().resolve())
            refs, uri = [FileRef(name or Path(text).name, "", 0)], self._redactor.text(where)
        else:
            root = Path(text).expanduser()
            if not root.exists():
                raise SettingsError(f"artifact {text} does not exist")
            refs, uri = [self._kept(files.add_file(self.directory / "files", file, place)) for file, place in files.tree(root)], ""
        deviations: list[Deviation] = []
        about = self._entries("artifact", metadata, deviations)
        self._append([Artifact(time.time_ns(), name or Path(text).name, type, refs, uri, about), *self._noted(deviations)])

    def _config_changed(self, values: dict[str, Any]) -> dict[str, Any]:
        return self._described("config", values, Config)

    def _summary_changed(self, values: dict[str, Any]) -> dict[str, Any]:
        return self._described("summary", values, Summary)

    def _described(self, what: str, values: dict[str, Any], event: type[Config] | type[Summary]) -> dict[str, Any]:
        """Journal what was set; what is kept of it."""
        kept: dict[str, Any] = {}

        def change() -> None:
            deviations: list[Deviation] = []
            entries = self._entries(what, values, deviations)
            self._append([event(time.time_ns(), entries), *self._noted(deviations)], vital=True)
            kept.update(entries)

        self._guard(change)
        return kept

    def _entries(self, what: str, values: Mapping[Any, Any], deviations: list[Deviation]) -> dict[str, Any]:
        """`values` as the journal holds them: plain, without secrets, and without what nothing can hold."""
        kept: dict[str, Any] = {}

        def keep(key: str, value: Any) -> None:
            clean, hits = self._redactor.tree(plain(value, f"{what}/{key}", deviations), key)
            pack(clean)
            kept[key] = clean
            deviations.extend(Deviation(Reason.REDACTED, f"{what}/{hit}") for hit in hits)

        for key, value in values.items():
            name = utf8(str(key))
            self._each(f"{what}/{name}", deviations, keep, name, value)
        return kept

    def _set_tags(self, tags: Iterable[str]) -> None:
        if isinstance(tags, str):
            raise SettingsError(f"tags are a sequence of strings, such as ({tags!r},)")
        given = tuple(dict.fromkeys(utf8(str(tag)) for tag in tags))
        clean = tuple(self._redactor.text(tag) for tag in given)
        self._tags = clean
        self._append([Tags(time.time_ns(), list(clean))], vital=True)
        if clean != given:
            self._deviate(Reason.REDACTED, "tags")

    def _noted(self, deviations: list[Deviation]) -> list[Event]:
        """Count `deviations`, warn once for each new one, and give the event that journals them."""
        for deviation in deviations:
            if self._ledger.add(deviation):
                warn(f"{deviation.subject!r}: {deviation.reason}. {deviation.example}".rstrip())
        return [Deviations(time.time_ns(), [msgspec.to_builtins(row) for row in deviations])] if deviations else []

    def _deviate(self, reason: Reason, subject: str, example: str = "") -> None:
        self._append(self._noted([Deviation(reason, subject, 1, example)]))

    def _after_fork(self) -> None:
        """In a forked child: the parent's shard is not ours. The child's own begins at its first call."""
        self._lock, self._over = threading.RLock(), threading.Event()
        self._journal.abandon()
        self._forwarding = Forwarding()
        self._forked = True
        self._metrics = _not_plain


class _Changed(MutableMapping[str, Any]):
    """A mapping that tells of each change."""

    _what = ""

    def __init__(self, changed: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        object.__setattr__(self, "_changed", changed)
        object.__setattr__(self, "_values", {})

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __delitem__(self, key: str) -> None:
        raise SettingsError(f"an entry of the {self._what} cannot be removed, trackers cannot do that; set it to None")

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"the {self._what} has no entry {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __repr__(self) -> str:
        return repr(self._values)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies, also those in other processes, belong to no run."""
        return _detached, (type(self), self._values)

    def update(self, other: Any = (), /, **more: Any) -> None:
        """Set several entries at once."""
        values = {utf8(str(key)): value for key, value in dict(other, **more).items()}
        if values:
            self._values.update(self._changed(values))


def _detached(kind: type[_Changed], values: dict[str, Any]) -> _Changed:
    mapping = kind(dict)
    mapping.update(values)
    return mapping


class ConfigMapping(_Changed):
    """The run's configuration: hyper-parameters and the like, nested as you like; also as attributes. Setting an entry again replaces it."""

    _what = "config"


class SummaryMapping(_Changed):
    """What the run came to: explicit values, which win over the rules of ``define_metric`` and over the last logged value."""

    _what = "summary"


def plain(value: Any, path: str, deviations: list[Deviation], depth: int = MAX_DEPTH - 8) -> Any:
    """`value` as dicts with string keys, lists and scalars; what is none of these becomes its text, which is a deviation.

    Args:
        depth: levels that it may nest; readers of the journal refuse a block with more than theirs.

    Raises:
        SettingsError: it nests deeper.
    """
    if not depth:
        raise SettingsError(f"it nests more than {MAX_DEPTH - 8} levels, or holds itself")
    if isinstance(value, Mapping):
        return {utf8(str(key)): plain(item, f"{path}/{key}", deviations, depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, path, deviations, depth - 1) for item in value]
    if isinstance(value, (set, frozenset)):
        return [plain(item, path, deviations, depth - 1) for item in sorted(value, key=repr)]
    if isinstance(value, Path):
        return str(value)
    try:
        result = scalar(value)
    except TypeError:
        if getattr(value, "tolist", None) is not None:
            return plain(value.tolist(), path, deviations, depth - 1)
        fields = {} if callable(value) else public(value)
        if fields:
            return plain(fields, path, deviations, depth - 1)
        deviations.append(Deviation(Reason.RETYPED, path, 1, f"{type(value).__name__} became its text"))
        result = str(value)
    return utf8(result) if isinstance(result, str) else result


def public(value: Any) -> dict[str, Any]:
    """The fields of an ``argparse.Namespace``, a dataclass or the like; {} of what has none."""
    if dataclasses.is_dataclass(value):  # one with slots has no __dict__
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return {name: item for name, item in getattr(value, "__dict__", {}).items() if not name.startswith("_")}


def utf8(text: str) -> str:
    """`text`, with what UTF-8 cannot hold (lone surrogates, as in names of files) escaped."""
    return text.encode("utf-8", "backslashreplace").decode()


def _not_plain(values: Mapping[str, Any], step: int | None) -> bool:
    """Stands for the journal's fast way where there is none: nothing was appended."""
    return False


# -- the process -----------------------------------------------------------------------------------------------------------------------

_runs: weakref.WeakSet[Run] = weakref.WeakSet()
_told: set[str] = set()
_hooked = False


def warn(message: str) -> None:
    """Tell people on standard error; never raise."""
    try:
        print(f"trackbridge: {message}", file=sys.stderr)
    except (OSError, ValueError, AttributeError):
        return


def warn_once(mark: str, message: str) -> None:
    if mark not in _told:
        _told.add(mark)
        warn(message)


def watch_process() -> None:
    """From now on an uncaught exception marks the runs as failed, and the end of the process finishes them. No signal handler is installed."""
    global _hooked
    if _hooked:
        return
    _hooked = True
    before = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        for run in list(_runs):
            run._failed = True
        before(kind, error, trace)

    sys.excepthook = hook
    atexit.register(_finish_all)


def _finish_all() -> None:
    for run in list(_runs):
        run.finish()


def _after_fork() -> None:
    for run in list(_runs):
        run._after_fork()


os.register_at_fork(after_in_child=_after_fork)
