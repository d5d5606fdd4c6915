"""``trackbridge status``: for each run and target, what is delivered, what is pending, what is not exact."""

from __future__ import annotations

from pathlib import Path

import msgspec
import typer
from rich.markup import escape
from rich.table import Table

from trackbridge.adapters import Target
from trackbridge.cli.common import FAILED, LOST, PENDING, Json, Where, console, for_each_run
from trackbridge.deviations import Deviation, Ledger, unpack, words
from trackbridge.forward.state import State, TargetState, states
from trackbridge.forward.supervisor import report
from trackbridge.journal.reader import JournalReader, info
from trackbridge.records import Deviations, RunInfo
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
        console.print_json(msgspec.json.encode(found, enc_hook=str).decode())
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
    reader = JournalReader(path)
    records, ledger, most = 0, Ledger(), 0
    for record in reader:
        records += 1
        most = max(most, record.sequence + 1)
        if isinstance(record.event, Deviations):
            ledger.extend(unpack(record.event.items))
    targets = [report(TargetState(path, Target.parse(health.target)), most) for health in states(path)]
    return RunStatus(info(path), records, reader.refused[1], reader.damaged, reader.torn, reader.missing, ledger.rows(), targets)


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
