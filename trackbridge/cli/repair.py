"""``trackbridge repair``: what is damaged in a journal, and cutting torn tails off."""

from __future__ import annotations

from pathlib import Path

import typer

from trackbridge.cli.common import FAILED, LOST, Where, console, for_each_run
from trackbridge.journal.repair import repair as mend


def repair(where: Where = None) -> None:
    """Cut torn tails off the journals of runs that are over, keeping what is cut as .broken. Exit code 3 when anything was damaged, 2 when a run
    goes on: it is left as it is."""
    lines: list[str] = []

    def one(path: Path) -> None:
        for line in mend(path):
            lines.append(line)
            console.print(line, markup=False, highlight=False)

    well = for_each_run(where, one)
    if lines or not well:
        raise typer.Exit(LOST if lines else FAILED)
    console.print("no damage")
