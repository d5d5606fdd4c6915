"""``trackbridge sync``: deliver journals, of runs that ended or that go on, to their targets or to others."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from trackbridge import host, registry
from trackbridge.adapters import Target
from trackbridge.cli.common import LOST, PENDING, Where, messages, run_folders, told_errors
from trackbridge.forward.routing import news
from trackbridge.forward.state import FINAL, LeaseFile, State, TargetState
from trackbridge.forward.supervisor import Supervisor
from trackbridge.journal.reader import JournalReader, info
from trackbridge.records import Start, Status

WATCH_SECONDS = 5.0
PAUSE = 1.0


def sync(
    where: Where = None,
    to: Annotated[list[str] | None, typer.Option("--to", help="A target instead of those of the run: name[:location][#project].")] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Stay, and deliver live what is logged on machines that share the folder.")
    ] = False,
) -> None:
    """Deliver what is pending. Ctrl-C stops it; nothing is lost, and the next one goes on. Exit codes as of status."""
    at_work: dict[tuple[Path, str], Supervisor] = {}
    left: list[tuple[Path, Target]] = []
    anything = watch
    try:
        with told_errors():
            chosen = [_target(text) for text in to or []]
            if watch:
                while True:
                    for path, target in _tasks(where, chosen, watch):
                        _begin(path, target, watch, at_work)
                    time.sleep(WATCH_SECONDS)
            left = _tasks(where, chosen, watch)
            anything = bool(left)
            _deliver(left, at_work)
    except KeyboardInterrupt:
        messages.print("stopped; what is pending stays in the journal")
    finally:
        for supervisor in at_work.values():
            supervisor.end()
    if anything:
        _conclude(at_work, unbegun=len(left))
    else:
        messages.print("no run has a target: name one with --to, like  trackbridge sync --to mlflow:http://127.0.0.1:5000")


def _tasks(where: Path | None, chosen: Sequence[Target], watch: bool) -> list[tuple[Path, Target]]:
    """Each run with each of its targets. Who watches waits for the first run too.

    Raises:
        typer.BadParameter: there is no run.
    """
    try:
        folders = run_folders(where)
    except typer.BadParameter:
        if not watch:
            raise
        folders = []
    return [(path, target) for path in folders for target in chosen or _own_targets(path)]


def _deliver(left: list[tuple[Path, Target]], at_work: dict[tuple[Path, str], Supervisor]) -> None:
    """One after the other, each removed from `left` when it is begun. What is for a tracker that cannot be reached waits, and the others go on."""
    unreachable: dict[str, Supervisor] = {}
    while left:
        free = next((task for task in left if (held := unreachable.get(str(task[1]))) is None or held.wait(0)), None)
        if free is None:
            time.sleep(PAUSE)
            continue
        left.remove(free)
        path, target = free
        supervisor = _begin(path, target, False, at_work)
        while supervisor is not None and not supervisor.wait(PAUSE):
            if all(health.state == State.WAITING for health in supervisor.health()):
                unreachable[str(target)] = supervisor
                break
    for supervisor in at_work.values():
        supervisor.wait(float("inf"))


def _begin(path: Path, target: Target, watch: bool, at_work: dict[tuple[Path, str], Supervisor]) -> Supervisor | None:
    """Start a forwarder for (run, target), unless one is at work or everything is delivered; what was started."""
    place = path, str(target)
    state = TargetState(path, target)
    known = at_work.get(place)
    holder = LeaseFile(state.directory).holder()
    if holder is not None and known is None:
        if info(path).status == Status.RUNNING:
            if not watch:
                messages.print(
                    f"{path.name} -> {target}: process {holder.pid} of {holder.host} is delivering it", markup=False, highlight=False
                )
            return None
        if holder.host == host.identity() and state.health().state == State.WAITING:
            os.kill(holder.pid, signal.SIGTERM)  # it asks with the key and address of a training that is over: what is wrong may be these
    if known is not None:
        if state.health().state not in FINAL or info(path).status != Status.RUNNING:
            return None
        known.end()
    elif state.health().state == State.DELIVERED and (cursor := state.cursor()).closed and not news(path, cursor.position):
        return None
    at_work[place] = Supervisor(path, [target], training=False, once=not watch)
    return at_work[place]


def _target(text: str) -> Target:
    target = Target.parse(text)
    registry.home(target.name)  # raises where the client is missing
    return registry.get(target.name).resolve(target, Path.cwd())


def _own_targets(path: Path) -> list[Target]:
    """The targets that the run was begun with."""
    texts: dict[str, None] = {}
    for record in JournalReader(path):
        if isinstance(record.event, Start):
            texts.update(dict.fromkeys(record.event.targets))
    return [Target.parse(text) for text in texts]


def _conclude(at_work: dict[tuple[Path, str], Supervisor], unbegun: int) -> None:
    """Tell how far each came. `unbegun`: how many were not come to."""
    code = PENDING if unbegun else 0
    for (path, target), supervisor in at_work.items():
        for health in supervisor.health():
            line = f"{path.name} -> {target}: {health.state}, {health.delivered} values"
            messages.print(line + (f"; {health.message}" if health.message else ""), markup=False, highlight=False)
            if health.damaged:
                messages.print(f"{path.name}: {health.damaged} bytes of its journal are damaged: trackbridge status {path}", markup=False)
            if health.dead or health.damaged:
                code = LOST
            elif health.state not in (State.DELIVERED, State.HEALTHY):
                code = code or PENDING
    if unbegun:
        messages.print(f"{unbegun} more are not begun")
    elif not at_work:
        messages.print("everything is delivered")
    if code:
        raise typer.Exit(code)
