"""The forwarder process: ``python -I -m trackbridge.forward.worker RUN TARGET``.

It lives beside the training process, niced and in its session, imports the tracker's client once, and delivers each run that it is given: the
first as an argument, others by name on its standard input. It notices that the training process is dead by asking who its parent is: pipes and
locks are held open by forked data workers.
"""

from __future__ import annotations

import argparse
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from trackbridge import registry
from trackbridge.adapters import Target
from trackbridge.errors import TrackBridgeError
from trackbridge.forward.state import Health, LeaseFile, State, TargetState

NICE = 10
IDLE_SECONDS = (0.02, 1.0)
"""The pause between two looks at a journal, which grows while nothing comes: each look asks the file system, which on a cluster may be
everybody's. Who waits for the end of a run wakes its forwarder."""

BEAT_SECONDS = 10.0
LINGER_SECONDS = 10.0
"""How long a process that has delivered all waits for another run, before it gives the client's memory back."""

STUCK = 20
"""After so many outages in a row, of each of its runs, a process makes way for a fresh one: what is wrong may be the client's own state, as when
its temporary folder was removed or a helper process of its own is gone. With the growing pauses these are some minutes, beside which an import
is little work."""


class Service:
    """The delivery of one run to one target.

    Args:
        run: the run's folder.
        is_orphan: whether the training process is known to be dead.
        once: end as soon as all that is there is delivered, although the run goes on.
    """

    def __init__(
        self, run: Path, target: Target, is_orphan: Callable[[], bool] = lambda: False, *, attach_sidecar: bool = True, once: bool = False
    ) -> None:
        self._run, self._target, self._is_orphan, self._attach_sidecar, self._once = run, target, is_orphan, attach_sidecar, once
        self._state = TargetState(run, target)
        self._state.prepare()
        self._lease = LeaseFile(self._state.directory)
        self._beaten = time.monotonic()
        self.over = False

    def begin(self) -> bool:
        """Take the lease and look for the client; False while another forwarder has the lease."""
        if self._lease.acquire() is not None:
            return False
        try:
            adapter = registry.check(self._target.name)
            from trackbridge.forward.delivery import Delivery  # needs the extra `forward`, which `check` has looked for
        except TrackBridgeError as error:
            self._end(Health(target=str(self._target), state=State.UNAVAILABLE, message=str(error), pid=os.getpid()))
        else:
            self._delivery = Delivery(self._run, self._target, adapter, self._is_orphan, self._attach_sidecar)
            self._delivery.health.pid = os.getpid()
        return True

    def step(self) -> bool:
        """Do what can be done now; False when there was nothing to do."""
        worked, health = self._delivery.step(), self._delivery.health
        all_there = self._once and not worked and self._delivery.settled
        if self._delivery.done or (all_there and health.state == State.HEALTHY):
            self._end(health)
        elif time.monotonic() - self._beaten > BEAT_SECONDS:
            self._beaten = time.monotonic()
            self.over = not self._lease.beat()
        return worked

    @property
    def stuck(self) -> bool:
        return not self.over and self._delivery.outages >= STUCK

    def leave(self) -> None:
        """Leave the run to the next forwarder."""
        self.over = True
        self._lease.release()

    def _end(self, health: Health) -> None:
        self.leave()
        health.released = True
        self._state.save_health(health)


class Inbox:
    """Names of runs, each ended by a NUL, that come through the pipe `descriptor`; closed from the beginning where it is None. An empty name
    only wakes."""

    _WAKE = Path()

    def __init__(self, descriptor: int | None = None) -> None:
        self._runs: queue.SimpleQueue[Path | None] = queue.SimpleQueue()
        self.closed = descriptor is None
        if descriptor is not None:
            threading.Thread(target=self._read, args=(descriptor,), name="trackbridge-inbox", daemon=True).start()

    def _read(self, descriptor: int) -> None:
        held = b""
        while data := os.read(descriptor, 1 << 16):
            *names, held = (held + data).split(b"\0")
            for name in names:
                self._runs.put(Path(os.fsdecode(name)) if name else self._WAKE)
        self._runs.put(None)

    def wake(self) -> None:
        self._runs.put(self._WAKE)

    def take(self, seconds: float) -> Path | None:
        """The next run, if one comes within `seconds`; None as soon as it is woken."""
        try:
            run = self._runs.get(timeout=seconds) if seconds else self._runs.get_nowait()
        except queue.Empty:
            return None
        self.closed = self.closed or run is None
        return None if run is self._WAKE else run


def serve(first: Path, inbox: Inbox, make: Callable[[Path], Service], is_orphan: Callable[[], bool] = lambda: False) -> bool:
    """Deliver the run `first` and those that come, until no more can come, or none has come for some time. `make`: the service of a run.

    False when all of its runs are stuck, and the supervisor lives that will start a fresh process for them.
    """
    waiting, active = [make(first)], list[Service]()
    idle, busy = IDLE_SECONDS[0], time.monotonic()
    while True:
        begun = [service for service in waiting if service.begin()]
        waiting = [service for service in waiting if service not in begun]
        active = [service for service in active + begun if not service.over]
        worked = sum(service.step() for service in active) > 0
        if active or (waiting and not is_orphan()):
            busy = time.monotonic()
        elif inbox.closed or is_orphan() or time.monotonic() - busy > LINGER_SECONDS:
            return True
        if active and all(service.stuck for service in active) and not is_orphan():
            for service in active:
                service.leave()
            return False
        idle = IDLE_SECONDS[0] if worked or begun else min(idle * 1.5, IDLE_SECONDS[1])
        run = inbox.take(0 if worked else idle)
        if run is not None:
            waiting.append(make(run))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="trackbridge.forward.worker")
    parser.add_argument("run", type=Path)
    parser.add_argument("target")
    parser.add_argument(
        "--parent",
        type=int,
        default=0,
        help="process id of the training process, whose child this is; 0: it is not, and liveness is told from the journal",
    )
    parser.add_argument("--once", action="store_true", help="end when all that is there is delivered, although the run goes on")
    parser.add_argument("--no-sidecar", action="store_true")
    parser.add_argument("--more", action="store_true", help="names of further runs come on standard input, each ended by a NUL")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the training process, whose end this one notices
    os.nice(NICE)
    target = Target.of_parent(options.target)

    def is_orphan() -> bool:
        return bool(options.parent) and os.getppid() != int(options.parent)

    def service(run: Path) -> Service:
        return Service(run, target, is_orphan, attach_sidecar=not options.no_sidecar, once=options.once)

    if not serve(options.run, Inbox(_own_input() if options.more else None), service, is_orphan):
        os._exit(1)  # what a client does at a regular exit may wait for its tracker
    return 0


def _own_input() -> int:
    """Standard input, as a descriptor that the tracker's own processes do not inherit."""
    descriptor, nothing = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return descriptor


if __name__ == "__main__":
    sys.exit(main())
