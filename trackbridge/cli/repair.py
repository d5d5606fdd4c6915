"""``trackbridge repair``: what is damaged in a journal, and cutting torn tails off."""

from __future__ import annotations

import typer

from trackbridge.cli.common import LOST, Where, console, run_folders, told_errors
from trackbridge.journal.repair import repair as mend


def repair(where: Where = None) -> None:
    """Cut torn tails off the journals of runs that are over, keeping what is cut as .broken. Exit code 3 when anything was damaged."""
    damaged = False
    with told_errors():
        for path in run_folders(where):
            for line in mend(path):
                damaged = True
                console.print(line, markup=False, highlight=False)
    if damaged:
        raise typer.Exit(LOST)
    console.print("no damage")
