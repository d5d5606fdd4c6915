"""``trackbridge open``: the tracker's own UI."""

from __future__ import annotations

import shlex
import shutil
import socket
import subprocess
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from trackbridge import registry
from trackbridge.adapters import Target
from trackbridge.cli.common import FAILED, console, messages, told_errors
from trackbridge.errors import SettingsError


def open_ui(
    target: Annotated[str, typer.Argument(help="name[:location][#project], as in TRACKBRIDGE_BACKEND.")],
    host: Annotated[str, typer.Option(help="Where the UI listens: to this machine alone by default.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="On which port; a free one by default.")] = 0,
    only_print: Annotated[bool, typer.Option("--print", help="Print the command or address, and do nothing.")] = False,
) -> None:
    """Start the tracker's own UI on a target, or open its address."""
    with told_errors():
        parsed = Target.parse(target)
        adapter = registry.get(parsed.name)
        parsed = adapter.resolve(parsed, Path.cwd())
        environment = registry.home(parsed.name)
        bin = Path(sys.executable if environment is None else environment.interpreter).parent
        command = _command(adapter.ui(parsed), bin, host, str(port or _free_port(host)))
    if only_print:
        console.print(shlex.join(command) if command else parsed.location, soft_wrap=True, markup=False, highlight=False)
    elif command:
        messages.print(f"running {shlex.join(command)}; Ctrl-C ends it", markup=False, highlight=False)
        try:
            raise typer.Exit(subprocess.run(command, check=False).returncode)
        except KeyboardInterrupt:
            raise typer.Exit(0) from None
        except OSError as error:
            messages.print(
                f"{command[0]} cannot be started ({error.strerror}): trackbridge doctor {parsed.name}", style="red", markup=False
            )
            raise typer.Exit(FAILED) from error
    elif "://" in parsed.location:
        webbrowser.open(parsed.location)
    else:
        messages.print(f"{parsed.name} has no UI of its own here; its files are in {parsed.location}", markup=False, highlight=False)


def _command(given: list[str], bin: Path, host: str, port: str) -> list[str]:
    """The command of an adapter with host and port filled in, and its program by its path: that beside the interpreter of the client."""
    command = list(given)
    for index, word in enumerate(command):
        name, sign, value = word.rpartition("=")
        command[index] = name + sign + {"{host}": host, "{port}": port}.get(value, value)
    for index, word in enumerate(command):
        if word != "env" and "=" not in word:  # what `env` and its variables run
            command[index] = str(bin / word) if (bin / word).exists() else shutil.which(word) or word
            break
    return command


def _free_port(host: str) -> int:
    try:
        with socket.socket() as probe:
            probe.bind((host, 0))
            return int(probe.getsockname()[1])
    except OSError as error:
        raise SettingsError(f"{host} is no address of this machine: {error.strerror or error}; 127.0.0.1 is this machine alone") from error
