"""What the commands share."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console

from trackbridge import settings
from trackbridge.errors import TrackBridgeError

console = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 10_000)
"""Where no terminal bounds it, nothing is cut: who reads a pipe searches it."""

messages = Console(stderr=True, soft_wrap=True)  # a command in a message must stay one line

PENDING = 1
"""Exit code: something is not delivered yet."""
FAILED = 2
"""Exit code: the command could not do what it was asked for."""
LOST = 3
"""Exit code: values were rejected, refused or damaged, or differ."""

Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
Where = Annotated[Path | None, typer.Argument(help="A run's folder, or a folder of runs; TRACKBRIDGE_DIR by default.")]


def print_json(value: Any) -> None:
    """For programs: never in colours, whatever the environment asks for."""
    typer.echo(msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=2))


def run_folders(where: Path | None) -> list[Path]:
    """The run folders that `where` means.

    Raises:
        typer.BadParameter: there is none.
    """
    place = (where or Path(settings.read().dir)).expanduser().absolute()
    if (place / "journal").is_dir():
        return [place]
    found = sorted(path.parent for path in place.glob("*/journal")) if place.is_dir() else []
    if not found:
        raise typer.BadParameter(f"{place} holds no run; give a run's folder, or set TRACKBRIDGE_DIR")
    return found


@contextlib.contextmanager
def told_errors() -> Iterator[None]:
    """Errors of ours end the command with their message alone: it names the remedy, and a traceback would hide it."""
    try:
        yield
    except TrackBridgeError as error:
        _tell(error)
        raise typer.Exit(FAILED) from error


def for_each_run(where: Path | None, action: Callable[[Path], None]) -> bool:
    """Do `action` for each run that `where` means: one that fails is told of, and the others are done all the same. Whether all went well."""
    with told_errors():
        folders = run_folders(where)
    well = True
    for path in folders:
        try:
            action(path)
        except (TrackBridgeError, OSError) as error:
            _tell(error if isinstance(error, TrackBridgeError) else TrackBridgeError(f"{path}: {error}"))
            well = False
    return well


def _tell(error: TrackBridgeError) -> None:
    messages.print(f"trackbridge: {error}", style="red", markup=False, highlight=False)
