"""``trackbridge verify``: is what a tracker holds what was logged?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from trackbridge import registry
from trackbridge.adapters import Target
from trackbridge.cli.common import LOST, Json, console, run_folders, told_errors
from trackbridge.transfer.verify import verify as check


def verify(
    run: Annotated[Path, typer.Argument(help="The run's folder.")],
    target: Annotated[str, typer.Argument(help="Where it was delivered: name[:location][#project].")],
    as_json: Json = False,
) -> None:
    """Read a run back with the tracker's own reader and compare it with the journal, point by point. Exit code 3 on any difference."""
    with told_errors():
        parsed = Target.parse(target)
        parsed = registry.get(parsed.name).resolve(parsed, Path.cwd())
        result = check(run_folders(run)[0], parsed)
    if as_json:
        console.print_json(msgspec.json.encode(result, enc_hook=str).decode())
    else:
        console.print(str(result), markup=False, highlight=False)
    if not result.verified:
        raise typer.Exit(LOST)
