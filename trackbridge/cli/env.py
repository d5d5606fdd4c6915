"""``trackbridge env``: isolated environments, one per tracker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.table import Table

from trackbridge import environments, registry
from trackbridge.cli.common import Json, console, messages, told_errors
from trackbridge.environments import Environment

app = typer.Typer(no_args_is_help=True, help="Isolated environments for trackers' clients, made with uv from pinned, hashed requirements.")
Backends = Annotated[list[str], typer.Argument(help="Names of backends; all: each that has requirements of its own.")]


@app.command("create")
def create(
    names: Backends, python: Annotated[str | None, typer.Option(help="Version of the interpreter, 3.11.")] = None, as_json: Json = False
) -> None:
    """Make the environments that are absent. TRACKBRIDGE_BACKEND uses them where the client is not installed beside training."""
    with told_errors():
        made = []
        for name in _chosen(names):
            messages.print(f"{name}: making its environment", highlight=False)
            made.append(environments.create(name, python))
        _show(made, as_json)


@app.command("list")
def listing(as_json: Json = False) -> None:
    """Show what there is: packages, megabytes, and the seconds that making it took."""
    _show(environments.listing(), as_json)


@app.command("remove")
def remove(names: Backends) -> None:
    """Remove environments, those of former requirements too."""
    with told_errors():
        for name in _chosen(names):
            for gone in environments.remove(name):
                console.print(f"removed {gone.path}", highlight=False, markup=False, soft_wrap=True)


@app.command("export")
def export(name: str, file: Annotated[Path | None, typer.Argument(help="NAME.tar.gz by default.")] = None) -> None:
    """Write an environment into one archive, for a machine without internet."""
    with told_errors():
        path = file or Path(f"{name}.tar.gz")
        environments.export(environments.create(name), path)
        console.print(f"{path}: take it to the other machine and run  trackbridge env import {path.name}", highlight=False, markup=False)


@app.command("import")
def take(file: Path) -> None:
    """Make an environment from an archive of export; needs no network."""
    with told_errors():
        _show([environments.take(file)], False)


def _chosen(names: list[str]) -> list[str]:
    every = [name for name in registry.names() if environments.requirements(name) is not None]
    return every if names == ["all"] else names


def _show(found: list[Environment], as_json: bool) -> None:
    if as_json:
        console.print_json(msgspec.json.encode(found).decode())
        return
    table = Table("backend", "python", "packages", "MB", "seconds", "where")
    for one in found:
        table.add_row(one.backend, one.python, str(len(one.versions)), f"{one.megabytes:.0f}", f"{one.seconds:.1f}", one.path)
    console.print(table)
