"""Starts one forwarder per target, two at a time, and starts it again when it dies. It serves the runs of its training process one after
the other, or at once where the client can.

Two at a time, because fifteen clients that import at once take the cores that training needs; in the session of the training process, because
on desktops a new session defeats ``nice`` (measured: training at 0.22 of its speed beside fifteen clients in sessions of their own, 0.85 here).
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from trackbridge import registry
from trackbridge.adapters import Concurrency, Target
from trackbridge.errors import BackendError
from trackbridge.forward import worker
from trackbridge.forward.state import FINAL, Health, State, TargetState
from trackbridge.report import TargetReport
from trackbridge.run import Forwarding

AT_ONCE = 2
STARTING_SECONDS = 120.0
POLL_SECONDS = 0.1
WATCH_SECONDS = 2.0
"""The pause between two looks at forwarders that run: each reads a file, which on a cluster may be everybody's file system."""

BACKOFF = (1.0, 30.0)


class _Process:
    """A forwarder process, and the runs that it was given."""

    _of: dict[tuple[object, ...], list[_Process]] = {}

    def __init__(self, target: Target, run: Path, arguments: Sequence[str], log: Path) -> None:
        command = [*registry.command(target.name, worker.__name__), str(run), str(target), "--more", *arguments]
        self._states = [TargetState(run, target)]
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=output, stderr=output, env=target.child_environment(), close_fds=True
            )

    @classmethod
    def given(cls, target: Target, run: Path, arguments: Sequence[str], log: Path) -> _Process:
        """A process that delivers `run`: one that runs and can take it, so that the client is imported once, else a new one."""
        key = (os.getpid(), str(target), target.credentials, *arguments)
        cls._of[key] = alive = [process for process in cls._of.get(key, []) if process.alive]
        runs = registry.get(target.name).capabilities(target).runs
        for process in alive:
            takes = runs == Concurrency.CONCURRENT or (runs == Concurrency.SERIAL and process.free)
            if takes and process._take(run, target):
                return process
        alive.append(cls(target, run, arguments, log))
        return alive[-1]

    def _take(self, run: Path, target: Target) -> bool:
        if not self._say(os.fsencode(run)):
            return False
        self._states.append(TargetState(run, target))
        return True

    def wake(self) -> None:
        self._say(b"")

    def _say(self, name: bytes) -> bool:
        assert self._popen.stdin is not None
        try:
            self._popen.stdin.write(name + b"\0")
            self._popen.stdin.flush()
        except OSError:  # it has just ended
            return False
        return True

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    @property
    def free(self) -> bool:
        return all(state.health().released for state in self._states)

    def end(self) -> None:
        if self.alive:
            self._popen.terminate()
            self._popen.wait()


class _Forwarder:
    """The forwarder of one run to one target: a process, which may serve other runs too, or a thread."""

    def __init__(self, run: Path, target: Target, arguments: Sequence[str], in_thread: bool) -> None:
        self.state = TargetState(run, target)
        self.state.prepare()
        self._run, self._target, self._arguments, self._in_thread = run, target, list(arguments), in_thread
        self._process: _Process | None = None
        self._thread: threading.Thread | None = None
        self._inbox = worker.Inbox()
        self.started_at = self.not_before = 0.0
        self._backoff = BACKOFF[0]

    @property
    def running(self) -> bool:
        if self._thread is not None:
            return self._thread.is_alive()
        return self._process is not None and self._process.alive

    @property
    def starting(self) -> bool:
        return self.running and self.health().state == State.STARTING and time.monotonic() - self.started_at < STARTING_SECONDS

    @property
    def final(self) -> bool:
        return self.started_at > 0 and self.health().released

    def health(self) -> Health:
        return self.state.health()

    def start(self) -> None:
        now = time.monotonic()
        if self.started_at:  # it died: wait longer each time it does so soon
            self._backoff = BACKOFF[0] if now - self.started_at > 60 else min(self._backoff * 2, BACKOFF[1])
        self.not_before = now + self._backoff
        self.state.save_health(Health(target=str(self._target)))
        try:
            self._launch()
        except BackendError as error:
            self.state.save_health(Health(target=str(self._target), state=State.UNAVAILABLE, message=str(error), released=True))
        self.started_at = now  # last: before it runs, what an earlier forwarder said must not be taken for its end

    def _launch(self) -> None:
        if self._in_thread:
            self._thread = threading.Thread(target=self._serve, name=f"trackbridge-{self._target.name}", daemon=True)
            self._thread.start()
        else:
            self._process = _Process.given(self._target, self._run, self._arguments, self.state.log)

    def wake(self) -> None:
        """Have it look for the end of its run now, and not after its pause."""
        self._inbox.wake()
        if self._process is not None:
            self._process.wake()

    def end(self) -> None:
        if self._process is not None and not self.final:
            self._process.end()

    def _serve(self) -> None:
        sidecar = "--no-sidecar" not in self._arguments
        try:
            worker.serve(self._run, self._inbox, lambda run: worker.Service(run, self._target, attach_sidecar=sidecar))
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            self.state.save_health(Health(target=str(self._target), state=State.DEGRADED, message=message, released=True))


class Supervisor(Forwarding):
    """The forwarders of one run.

    Args:
        run: the run's folder, whose journal has been begun.
        targets: where to deliver; absolute.
        in_thread: run the clients in this process (``TRACKBRIDGE_FORWARD=thread``), for machines with one core.
        attach_sidecar: attach the journal to the run in each tracker.
        training: this process is the one that logs, so that its death ends the run; else liveness is told from the journal.
        once: deliver what is there, and do not wait for the end of a run that goes on.
        opened: called once for each target when its run is open, or it is known that it cannot be.
    """

    def __init__(
        self,
        run: Path,
        targets: Sequence[Target],
        *,
        in_thread: bool = False,
        attach_sidecar: bool = True,
        training: bool = True,
        once: bool = False,
        opened: Callable[[Health], None] = lambda health: None,
    ) -> None:
        arguments = ["--parent", str(os.getpid())] if training else []
        arguments += ["--no-sidecar"] * (not attach_sidecar) + ["--once"] * once
        self._forwarders = [_Forwarder(run, target, arguments, in_thread) for target in targets]
        self._opened, self._told = opened, set[str]()
        self._at_once = AT_ONCE
        self._stop, self._hurry = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._loop, name="trackbridge-supervisor", daemon=True)
        self._thread.start()

    def health(self) -> list[Health]:
        return [forwarder.health() for forwarder in self._forwarders]

    def reports(self, records: int) -> list[TargetReport]:
        return [report(forwarder.state, records) for forwarder in self._forwarders]

    def wait(self, seconds: float) -> bool:
        """Wait until every target is delivered or cannot be; whether that came within `seconds`. No training needs the cores now."""
        self._at_once = len(self._forwarders)
        self._hurry.set()
        for forwarder in self._forwarders:
            forwarder.wake()
        until = time.monotonic() + seconds
        with Progress() as progress:
            while not all(forwarder.final for forwarder in self._forwarders):
                if time.monotonic() > until:
                    return False
                progress.show(self.health())
                time.sleep(POLL_SECONDS)
        self._tell()
        return True

    def stop(self) -> None:
        """Start nothing any more. Forwarders that run go on until their run is delivered."""
        self._stop.set()
        self._hurry.set()

    def end(self) -> None:
        """Stop, and end the forwarders too; what they have not confirmed is delivered by the next one."""
        self.stop()
        self._thread.join()
        for forwarder in self._forwarders:
            forwarder.end()

    def _loop(self) -> None:
        while not self._stop.is_set() and not all(forwarder.final for forwarder in self._forwarders):
            starting = sum(forwarder.starting for forwarder in self._forwarders)
            for forwarder in self._forwarders:
                idle = not forwarder.running and not forwarder.final and time.monotonic() >= forwarder.not_before
                if idle and starting < self._at_once and not self._stop.is_set():
                    try:
                        forwarder.start()
                        starting += 1
                    except OSError as error:
                        forwarder.not_before = time.monotonic() + BACKOFF[1]
                        forwarder.state.log.open("a").write(f"cannot start: {error}\n")
            self._tell()
            if self._hurry.is_set():
                self._stop.wait(POLL_SECONDS)
            else:
                settled = len(self._told) == len(self._forwarders) and all(forwarder.running for forwarder in self._forwarders)
                self._hurry.wait(WATCH_SECONDS if settled else POLL_SECONDS)

    def _tell(self) -> None:
        for health in self.health():
            if health.target not in self._told and (health.opens or health.state in FINAL or health.state == State.WAITING):
                self._told.add(health.target)
                self._opened(health)


def report(state: TargetState, records: int) -> TargetReport:
    """What a user sees of a target; `records`: how many this process's journal holds."""
    health = state.health()
    held = max(state.cursor().position.sequences.values(), default=0)
    return TargetReport(
        target=health.target,
        state=health.state,
        message=health.message,
        delivered=health.delivered,
        pending=0 if health.state == State.DELIVERED else max(0, records - held),
        dead=health.dead,
        deviations=health.deviations,
        id=health.id,
        where=health.where,
        url=health.url,
        hint=health.hint,
        mode=health.mode,
    )


class Progress:
    """A line on a terminal while ``finish`` waits; nothing elsewhere, where lines pile up in a log."""

    def __init__(self) -> None:
        self._live = sys.stderr is not None and sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def show(self, health: list[Health]) -> None:
        if self._live:
            waiting = ", ".join(f"{one.target.partition(':')[0]} {one.state} {one.delivered}" for one in health if one.state not in FINAL)
            print(f"\r\033[Ktrackbridge: delivering to {waiting}", end="", file=sys.stderr, flush=True)

    def __exit__(self, *error: object) -> None:
        if self._live:
            print("\r\033[K", end="", file=sys.stderr, flush=True)
