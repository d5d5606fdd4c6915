"""``trackbridge verify``: is what a tracker holds what was logged?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trackbridge import registry
from trackbridge.adapters import Target
from trackbridge.cli.common import FAILED, LOST, Json, console, for_each_run, print_json, told_errors
from trackbridge.transfer.verify import Verification
from trackbridge.transfer.verify import verify as check


def verify(
    run: Annotated[Path, typer.Argument(help="A run's folder, or a folder of runs.")],
    target: Annotated[str, typer.Argument(help="Where it was delivered: name[:location][#project].")],
    as_json: Json = False,
) -> None:
    """Read a run back with the tracker's own reader and compare it with the journal, point by point. Exit code 3 on any difference, 2 when a run
    cannot be read there."""
    with told_errors():
        parsed = Target.parse(target)
        parsed = registry.get(parsed.name).resolve(parsed, Path.cwd())
    found: list[Verification] = []

    def one(path: Path) -> None:
        found.append(check(path, parsed))
        if not as_json:
            console.print(str(found[-1]), markup=False, highlight=False)

    well = for_each_run(run, one)
    if as_json:
        single = len(found) == 1 and (run / "journal").is_dir()
        print_json(found[0] if single else found)
    if not all(result.verified for result in found):
        raise typer.Exit(LOST)
    if not well:
        raise typer.Exit(FAILED)
