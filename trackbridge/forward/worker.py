"""The forwarder process: ``python -I -m trackbridge.forward.worker RUN TARGET``.

It lives beside the training process, niced and in its session, imports the tracker's client, delivers, and ends when the run is delivered or
cannot be. It notices that the training process is dead by asking who its parent is: pipes and locks are held open by forked data workers.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from trackbridge import registry
from trackbridge.adapters import Target
from trackbridge.errors import TrackBridgeError
from trackbridge.forward.state import FINAL, Health, LeaseFile, State, TargetState

NICE = 10
IDLE_SECONDS = (0.02, 0.25)
BEAT_SECONDS = 10.0
HELD = 3
"""Exit code: another forwarder holds the lease."""

CREDENTIALS = "TRACKBRIDGE_TARGET_CREDENTIALS"
"""Variable that hands the ``user:password`` of a target's URL to its forwarder, so that it is in no file and no argument."""


def serve(run: Path, target: Target, is_orphan: Callable[[], bool], *, attach_sidecar: bool = True, once: bool = False) -> int:
    """Deliver `run` to `target` until it is done; the exit code.

    Args:
        run: the run's folder.
        is_orphan: whether the training process is known to be dead.
        once: end as soon as all that is there is delivered, although the run goes on.
    """
    state = TargetState(run, target)
    state.prepare()
    lease = LeaseFile(state.directory)
    if lease.acquire() is not None:
        return HELD
    try:
        try:
            adapter = registry.check(target.name)
            from trackbridge.forward.delivery import Delivery  # needs the extra `forward`, which `check` has looked for
        except TrackBridgeError as error:
            state.save_health(Health(target=str(target), state=State.UNAVAILABLE, message=str(error), pid=os.getpid()))
            return 0
        delivery = Delivery(run, target, adapter, is_orphan, attach_sidecar)
        delivery.health.pid = os.getpid()
        idle, beaten = IDLE_SECONDS[0], time.monotonic()
        while not delivery.done:
            if delivery.step():
                idle = IDLE_SECONDS[0]
            elif once and delivery.health.state == State.HEALTHY:
                return 0
            else:
                time.sleep(idle)
                idle = min(idle * 1.5, IDLE_SECONDS[1])
            if time.monotonic() - beaten > BEAT_SECONDS:
                beaten = time.monotonic()
                if not lease.beat():
                    return HELD
        return 0 if delivery.health.state in FINAL else 1
    finally:
        lease.release()


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
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the training process, whose end this one notices
    os.nice(NICE)
    target = Target.parse(options.target)
    credentials = os.environ.pop(CREDENTIALS, "")
    if credentials:
        target = Target(target.name, target.location, target.project, target.options, credentials)

    def is_orphan() -> bool:
        return bool(options.parent) and os.getppid() != int(options.parent)

    return serve(options.run, target, is_orphan, attach_sidecar=not options.no_sidecar, once=options.once)


if __name__ == "__main__":
    sys.exit(main())
