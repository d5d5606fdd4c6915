"""``trackbridge open``: the tracker's own UI."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from trackbridge import registry
from trackbridge.adapters import Target
from trackbridge.cli.common import console, messages, told_errors


def open_ui(
    target: Annotated[str, typer.Argument(help="name[:location][#project], as in TRACKBRIDGE_BACKEND.")],
    only_print: Annotated[bool, typer.Option("--print", help="Print the command or address, and do nothing.")] = False,
) -> None:
    """Start the tracker's own UI on a target, or open its address."""
    with told_errors():
        parsed = Target.parse(target)
        adapter = registry.get(parsed.name)
        parsed = adapter.resolve(parsed, Path.cwd())
        command = adapter.ui(parsed)
        environment = registry.home(parsed.name)
    if command:
        interpreter = Path(sys.executable) if environment is None else environment.interpreter
        beside = interpreter.with_name(command[0])
        command = [str(beside) if beside.exists() else shutil.which(command[0]) or command[0], *command[1:]]
    if only_print:
        console.print(shlex.join(command) if command else parsed.location, soft_wrap=True, markup=False, highlight=False)
    elif command:
        messages.print(f"running {shlex.join(command)}; Ctrl-C ends it", markup=False, highlight=False)
        try:
            raise typer.Exit(subprocess.run(command, check=False).returncode)
        except KeyboardInterrupt:
            raise typer.Exit(0) from None
    elif "://" in parsed.location:
        webbrowser.open(parsed.location)
    else:
        messages.print(f"{parsed.name} has no UI of its own here; its files are in {parsed.location}", markup=False, highlight=False)
