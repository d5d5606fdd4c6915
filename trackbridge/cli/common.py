"""What the commands share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from trackbridge import settings
from trackbridge.errors import TrackBridgeError

console = Console()
messages = Console(stderr=True, soft_wrap=True)  # a command in a message must stay one line

PENDING = 1
"""Exit code: something is not delivered yet."""
LOST = 3
"""Exit code: values were rejected, refused or damaged, or differ."""

Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]
Where = Annotated[Path | None, typer.Argument(help="A run's folder, or a folder of runs; TRACKBRIDGE_DIR by default.")]


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
        messages.print(f"trackbridge: {error}", style="red", markup=False, highlight=False)
        raise typer.Exit(2) from error
