"""``trackbridge sync``: deliver journals, of runs that ended or that go on, to their targets or to others."""

from __future__ import annotations

import os
import signal
import time
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


def sync(
    where: Where = None,
    to: Annotated[list[str] | None, typer.Option("--to", help="A target instead of those of the run: name[:location][#project].")] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Stay, and deliver live what is logged on machines that share the folder.")
    ] = False,
) -> None:
    """Deliver what is pending. Ctrl-C stops it; nothing is lost, and the next one goes on. Exit codes as of status."""
    at_work: dict[tuple[Path, str], Supervisor] = {}
    try:
        with told_errors():
            chosen = [_target(text) for text in to or []]
            while True:
                for path in run_folders(where):
                    for target in chosen or _own_targets(path):
                        _begin(path, target, watch, at_work)
                if not watch:
                    break
                time.sleep(WATCH_SECONDS)
            for supervisor in at_work.values():
                supervisor.wait(float("inf"))
    except KeyboardInterrupt:
        messages.print("stopped; what is pending stays in the journal")
    finally:
        for supervisor in at_work.values():
            supervisor.end()
    _conclude(at_work)


def _begin(path: Path, target: Target, watch: bool, at_work: dict[tuple[Path, str], Supervisor]) -> None:
    """Start a forwarder for (run, target), unless one is at work or everything is delivered."""
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
            return
        if holder.host == host.identity() and state.health().state == State.WAITING:
            os.kill(holder.pid, signal.SIGTERM)  # it asks with the key and address of a training that is over: what is wrong may be these
    if known is not None:
        if state.health().state not in FINAL or info(path).status != Status.RUNNING:
            return
        known.end()
    elif state.health().state == State.DELIVERED and (cursor := state.cursor()).closed and not news(path, cursor.position):
        return
    if known is None and not watch and at_work:
        for supervisor in list(at_work.values())[:-1]:
            supervisor.wait(float("inf"))
    at_work[place] = Supervisor(path, [target], training=False, once=not watch)


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


def _conclude(at_work: dict[tuple[Path, str], Supervisor]) -> None:
    code = 0
    for (path, target), supervisor in at_work.items():
        for health in supervisor.health():
            line = f"{path.name} -> {target}: {health.state}, {health.delivered} values"
            messages.print(line + (f"; {health.message}" if health.message else ""), markup=False, highlight=False)
            if health.dead:
                code = LOST
            elif health.state not in (State.DELIVERED, State.HEALTHY):
                code = code or PENDING
    if not at_work:
        messages.print("everything is delivered")
    if code:
        raise typer.Exit(code)
