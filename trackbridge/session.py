"""The run of this process, and the public verbs that act on it."""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trackbridge import host, identity, settings
from trackbridge.errors import JournalError, RunNotFound, SettingsError, TrackBridgeError
from trackbridge.records import Start
from trackbridge.report import Report
from trackbridge.run import ConfigMapping, Forwarding, Run, SummaryMapping, public, warn, warn_once, watch_process
from trackbridge.settings import Settings
from trackbridge.signals import raised_by_handler

_lock = threading.RLock()
_current: Run | None = None
_silent: Run | None = None


class SilentRun(Run):
    """A run that writes nothing: ``mode="disabled"``, or a rank that does not log. Every call costs nothing and does nothing."""

    def __init__(self, run_id: str = "") -> None:
        self.id, self.directory, self.implicit = run_id, Path(os.devnull), False
        self.name = self.project = self.group = ""
        self._tags = ()
        self._finished, self._report = False, None
        self._metrics = lambda values, step: True
        self.config, self.summary = ConfigMapping(dict), SummaryMapping(dict)
        self._forwarding = Forwarding()

    def log(self, values: Mapping[str, Any], step: int | None = None) -> None:
        return None

    def log_artifact(self, path: str | Path, name: str | None = None, type: str = "file", **options: Any) -> None:
        return None

    def define_metric(self, pattern: str, step: str | None = None, summary: str | None = None) -> None:
        return None

    def rewind(self, step: int) -> None:
        return None

    def _set_tags(self, tags: Iterable[str]) -> None:
        self._tags = tuple(tags)

    def _guard(self, action: Any) -> None:
        action()

    def status(self) -> dict[str, Any]:
        return {}

    urls = ids = property(lambda self: {})

    def finish(self, status: str | None = None) -> Report:
        self._finished = True
        return Report(self.id, self.directory, status or "finished", [], [], 0, True)

    def __exit__(self, *error: object) -> None:
        return None


def init(
    project: str | None = None,
    *,
    name: str | None = None,
    id: str | None = None,
    config: Mapping[str, Any] | Any | None = None,
    tags: Iterable[str] = (),
    notes: str = "",
    group: str | None = None,
    job_type: str | None = None,
    resume: str | None = None,
    backend: str | None = None,
    dir: str | Path | None = None,
    mode: str | None = None,
    strict: bool | None = None,
) -> Run:
    """Begin a run, or go on with one.

    Args:
        project: what the run belongs to; the name of the working directory by default.
        name: for people; the id by default.
        id: names the run's folder; the same at each start of a run that is resumed.
        config: hyper-parameters: a mapping, an ``argparse.Namespace`` or a dataclass.
        tags, notes, group, job_type: description.
        resume: ``never`` (the id must be new), ``allow``, ``must``, or ``auto``: the id comes from ``SLURM_JOB_ID``, which survives a
            requeue, or ``TORCHELASTIC_RUN_ID``.
        backend: like ``TRACKBRIDGE_BACKEND``: ``"mlflow,tensorboard:./tb"``; None takes the variable, ``"none"`` the journal alone.
        dir: where journals live.
        mode: ``online``; ``offline``: the journal only; ``disabled``: nothing.
        strict: a value that nothing can hold raises.

    Raises:
        SettingsError: an argument or variable that cannot be used, in words that name the remedy. Before training, and on every rank.
        BackendError: an unknown backend, or one whose client is not installed; names the command that installs it.
        JournalError: the directory cannot be written.
    """
    global _current
    entries = _entries(config)
    with _lock:
        if _current is not None and not _current._finished:
            _make_way(_current)
        given = settings.read()
        chosen = dataclasses.replace(
            given,
            backend=given.backend if backend is None else backend,
            dir=str(given.dir if dir is None else dir),
            mode=given.mode if mode is None else settings.check("mode", mode, "mode"),
            strict=given.strict if strict is None else strict,
            resume=given.resume if resume is None else settings.check("resume", resume, "resume"),
            project=project or given.project or identity.project(),
            run_name=name or given.run_name,
            group=group or given.group,
        )
        run = _begin(chosen, id or given.run_id or None, notes, job_type or "", explicit=True)
        given_tags = [tag.strip() for tag in given.tags.split(",") if tag.strip()]
        if given_tags or tuple(tags):
            run.tags = (*given_tags, *tags)
        run.config.update({**entries, **run.config})  # what a launcher chose wins over the script's defaults
        _current = run
        return run


def current() -> Run:
    """The run of this process; one is begun with the defaults when there is none. Never raises."""
    global _current, _silent
    run = _current
    if run is not None and not run.ended:
        return run
    with _lock:
        if _current is not None:
            return _current  # one that has begun meanwhile, or is finished: that says so, once
        try:
            given = settings.read()
            given = dataclasses.replace(given, project=given.project or identity.project())
            run = _begin(given, given.run_id or None, "", "", explicit=False)
            given_tags = [tag.strip() for tag in given.tags.split(",") if tag.strip()]
            if given_tags:
                run.tags = given_tags
            run.implicit = True
        except Exception as error:
            if raised_by_handler(error):
                raise
            named = "" if isinstance(error, TrackBridgeError) else f"{type(error).__name__}: "
            warn_once("implicit", f"nothing is logged: {named}{error}")
            run = _silent = _silent or SilentRun()
        _current = run
        return run


def log(values: Mapping[str, Any], step: int | None = None) -> None:
    """Log to the run of this process: see :meth:`Run.log`. Without ``init`` a run is begun with the defaults; never raises then."""
    run = _current
    if run is not None:
        metrics = run._metrics  # a variable: calling the attribute itself is slower
        if metrics(values, step):
            return
    current().log(values, step)


def log_artifact(
    path: str | Path, name: str | None = None, type: str = "file", *, metadata: Mapping[str, Any] | None = None, by_reference: bool = False
) -> None:
    """Log a file or folder to the run of this process: see :meth:`Run.log_artifact`."""
    current().log_artifact(path, name, type, metadata=metadata, by_reference=by_reference)


def define_metric(pattern: str, step: str | None = None, summary: str | None = None) -> None:
    """See :meth:`Run.define_metric`."""
    current().define_metric(pattern, step, summary)


def finish() -> Report:
    """End the run of this process: see :meth:`Run.finish`. The next call of ``init`` or ``log`` begins another.

    Raises:
        SettingsError: there is no run.
    """
    global _current
    with _lock:
        run = _current
        if run is None:
            raise SettingsError("there is no run to finish: call trackbridge.init() or trackbridge.log(...) first")
        report = run.finish()
        _current = None
        return report


# -- the beginning of a run --------------------------------------------------------------------------------------------------------------


def _entries(config: Any) -> Mapping[str, Any]:
    """The entries of what ``init`` was given as `config`.

    Raises:
        SettingsError: it has none.
    """
    if config is None or isinstance(config, Mapping):
        return config or {}
    if not dataclasses.is_dataclass(config) and not hasattr(config, "__dict__"):
        raise SettingsError(f"config is a mapping, an argparse.Namespace or a dataclass, not {type(config).__name__}")
    return public(config)


def _make_way(before: Run) -> None:
    """A second init: in a notebook the cell was run again, so the first run is finished; elsewhere it is an error in the script."""
    if "ipykernel" in sys.modules or isinstance(before, SilentRun):
        warn(f"run {before.id} is finished, since another one begins")
        before.finish()
    elif before.implicit:
        warn(f"run {before.id}, which log() had begun before init(), is finished; call init() first")
        before.finish()
    else:
        raise SettingsError(f"run {before.id} is not finished: call trackbridge.finish() before another init()")


def _begin(given: Settings, run_id: str | None, notes: str, job_type: str, *, explicit: bool) -> Run:
    from trackbridge import capture

    who = identity.resolve(run_id, given.resume, explicit=explicit)
    targets = _targets(given, explicit)
    system = _system(given, explicit)
    if given.mode == "disabled" or (who.rank > 0 and given.ranks == "zero"):
        return SilentRun(who.run_id)
    directory = Path(given.dir).expanduser().absolute() / who.run_id
    _check_resume(directory, who.resume)
    start = Start(
        time=time.time_ns(),
        run_id=who.run_id,
        project=given.project,
        name=given.run_name,
        group=given.group,
        job_type=job_type,
        notes=notes,
        rank=who.rank,
        world_size=who.world_size,
        host=host.identity(),
        pid=os.getpid(),
        targets=[str(target) for target in targets],
        provenance=capture.provenance() if given.capture != "off" else {},
        library=_version(),
        ticks=host.own_ticks(),
    )
    forwarded = targets if who.rank == 0 and given.mode == "online" else ()
    run = Run(start, directory, given, identity.shard_name(who.rank), lambda run: _forward(run, forwarded, given))
    watch_process()
    if system is not None:
        system.start(directory, run._sampled, run._over)
    for target in forwarded:
        if target.name == who.launcher:
            _take_config(run, target)
    return run


def _system(given: Settings, explicit: bool) -> Any:
    """What samples the system, when that is asked for. An explicit init wants it to be installed; an implicit one goes on without."""
    if "system" not in given.capture or given.mode == "disabled":
        return None
    from trackbridge import capture

    try:
        return capture.System()
    except SettingsError as error:
        if explicit:
            raise
        warn_once(str(error), str(error))
        return None


def _take_config(run: Run, target: Any) -> None:
    """Fill the configuration with the hyper-parameters that the tracker's launcher put into the run which it made. A child reads them: no client
    is imported into the training process."""
    from trackbridge.normal import normal, unflatten
    from trackbridge.remote import RemoteReader

    try:
        given = unflatten(normal(RemoteReader(target).read(run.id)).config)
    except RunNotFound:  # the launcher, or the user by its variable, has only named it
        return
    except TrackBridgeError as error:
        warn(f"the hyper-parameters of the run that {target.name} launched cannot be read: {error}")
    else:
        run.config.update({key: value for key, value in given.items() if key not in run.config})


def _check_resume(directory: Path, resume: str) -> None:
    exists = (directory / "journal").is_dir()
    if resume == "never" and exists:
        raise SettingsError(f"run {directory.name} exists in {directory.parent}: give another id, or resume='allow' to go on with it")
    if resume == "must" and not exists:
        raise SettingsError(f"run {directory.name} is not in {directory.parent}: give its id and dir, or resume='allow' to begin it")
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise JournalError(
            f"cannot make {directory}: {error.strerror}; choose a writable folder with TRACKBRIDGE_DIR or init(dir=...)"
        ) from error


def _targets(given: Settings, explicit: bool) -> tuple[Any, ...]:
    """The targets, absolute. An explicit init wants each client to be there; an implicit one leaves that to the forwarder."""
    if not given.backend.strip() or given.backend.strip().lower() == "none":
        return ()
    from trackbridge import registry
    from trackbridge.adapters import Target

    resolved = []
    for target in Target.parse_all(given.backend):
        try:
            adapter = registry.get(target.name)
            if explicit and given.mode == "online":
                find_client = registry.check if given.forward == "thread" else registry.home
                find_client(target.name)
        except TrackBridgeError as error:
            if explicit:
                raise
            warn_once(str(error), f"{error}; what is logged stays in the journal")
            continue
        resolved.append(adapter.resolve(target, Path.cwd()))
    return tuple(resolved)


def _forward(run: Run, targets: tuple[Any, ...], given: Settings) -> Forwarding:
    if not targets:
        return Forwarding()
    from trackbridge.forward.supervisor import Supervisor

    return Supervisor(run.directory, targets, in_thread=given.forward == "thread", attach_sidecar=given.sidecar == "on", opened=_announce)


def _announce(health: Any) -> None:
    """One line per backend, as soon as its forwarder has opened the run."""
    if health.where:
        name = health.target.partition(":")[0].partition("#")[0]
        place = health.url or health.where
        tail = f"; {health.hint}" if health.hint else f"; see it with: trackbridge open {shlex.quote(health.target)}"
        warn(f"{name} ({health.mode}): {place}{tail}")
    else:
        warn(f"{health.target}: {health.state}. {health.message}")


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("trackbridge")
    except metadata.PackageNotFoundError:
        return ""


def _after_fork() -> None:
    """Another thread of the parent may have held the lock, as ``finish`` does while it waits; it is not in the child."""
    global _lock
    _lock = threading.RLock()


os.register_at_fork(after_in_child=_after_fork)
