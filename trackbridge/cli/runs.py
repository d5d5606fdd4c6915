"""``trackbridge runs``: list the runs in a journal folder or in a tracker."""

from __future__ import annotations

import datetime
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

import trackbridge
from trackbridge.cli.common import Json, console, messages, print_json, told_errors


def runs(
    source: Annotated[str | None, typer.Argument(help="A target, or journal:DIR; the journals in TRACKBRIDGE_DIR by default.")] = None,
    as_json: Json = False,
) -> None:
    """List runs."""
    with told_errors():
        found = list(trackbridge.runs(source))
    if as_json:
        print_json(found)
        return
    if not found:
        messages.print(f"{source or 'the journals'}: no run is there", markup=False, highlight=False)
        return
    table = Table("id", "name", "project", "group", "status", "begun")
    for run in found:
        begun = datetime.datetime.fromtimestamp(run.start / 1e9).strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(*map(escape, (run.id, run.name, run.project, run.group, run.status, begun)))
    console.print(table)
