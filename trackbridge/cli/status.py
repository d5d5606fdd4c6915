"""``trackbridge status``: for each run and target, what is delivered, what is pending, what is not exact."""

from __future__ import annotations

from pathlib import Path

import msgspec
import typer
from rich.markup import escape
from rich.table import Table

from trackbridge.adapters import Target
from trackbridge.cli.common import FAILED, LOST, PENDING, Json, Where, console, for_each_run, print_json
from trackbridge.deviations import Deviation, Ledger, unpack, words
from trackbridge.forward.routing import Router
from trackbridge.forward.state import State, TargetState, states
from trackbridge.forward.supervisor import report
from trackbridge.journal.reader import JournalReader, info
from trackbridge.records import Deviations, RunInfo, Start
from trackbridge.report import TargetReport


class RunStatus(msgspec.Struct):
    """One run: its description, how much the journal holds, what went wrong before it, and its targets."""

    info: RunInfo
    records: int
    refused: int
    damaged: int
    torn: int
    missing: int
    deviations: list[Deviation]
    targets: list[TargetReport]


def status(where: Where = None, as_json: Json = False) -> None:
    """Show what is delivered. Exit code 0: everything; 1: something is pending or stopped; 2: a run cannot be read; 3: values were
    rejected, refused or damaged."""
    found: list[RunStatus] = []
    well = for_each_run(where, lambda path: found.append(_look(path)))
    if as_json:
        print_json(found)
    else:
        _show(found)
    targets = [target for run in found for target in run.targets]
    if any(run.refused or run.damaged or run.missing for run in found) or any(target.dead for target in targets):
        raise typer.Exit(LOST)
    if any(target.state != "delivered" for target in targets):
        raise typer.Exit(PENDING)
    if not well:
        raise typer.Exit(FAILED)


def _look(path: Path) -> RunStatus:
    reader, router = JournalReader(path), Router()
    records, ledger, last, targets = 0, Ledger(), dict[str, int](), dict[str, None]()
    for record in reader:
        records += 1
        if isinstance(record.event, Deviations):
            ledger.extend(unpack(record.event.items))
        elif isinstance(record.event, Start):
            targets.update(dict.fromkeys(record.event.targets))
        if router.route(record) is not None:
            last[record.shard] = record.sequence + 1
    targets.update(dict.fromkeys(health.target for health in states(path)))
    told = [_target(path, text, last) for text in targets]
    return RunStatus(info(path), records, reader.refused[1], reader.damaged, reader.torn, reader.missing, ledger.rows(), told)


def _target(path: Path, text: str, last: dict[str, int]) -> TargetReport:
    """What is known of a target. `last`: how many records of each shard are for it."""
    state = TargetState(path, Target.parse(text))
    told, held = report(state, 0), state.cursor().position.sequences
    pending = sum(max(0, count - held.get(shard, 0)) for shard, count in last.items())
    if pending and (told.state == State.DELIVERED or not state.begun):
        why = "logged since it was delivered" if state.begun else "nothing is delivered"
        told = msgspec.structs.replace(told, target=text, state=State.WAITING, message=f"{why}; deliver with: trackbridge sync {path}")
    return msgspec.structs.replace(told, pending=pending)


def _show(found: list[RunStatus]) -> None:
    table = Table("run", "status", "target", "state", "values", "pending", "not exact", "where", show_lines=False)
    for run in found:
        own = Ledger(run.deviations).by_reason() | ({"refused": run.refused} if run.refused else {})
        bytes_lost = ("damaged bytes", run.damaged), ("bytes of an unfinished call", run.torn), ("missing records", run.missing)
        own |= {name: count for name, count in bytes_lost if count}
        table.add_row(
            escape(run.info.id), run.info.status, "journal", "", str(run.records), "", words(own), escape(str(run.info.directory))
        )
        for target in run.targets:
            totals = Ledger(target.deviations).by_reason() | ({"rejected": target.dead} if target.dead else {})
            place = target.url or target.where
            table.add_row(
                "", "", escape(target.target), target.state, str(target.delivered), str(target.pending), words(totals), escape(place)
            )
    console.print(table)
    for run in found:  # below, on lines of their own: a command in a cell of the table cannot be copied
        for target in run.targets:
            if target.state != State.DELIVERED or target.mode == "offline":
                for text in filter(None, (target.message, target.hint)):
                    console.print(f"{run.info.id} {target.target}: {text}", soft_wrap=True, markup=False, highlight=False)
