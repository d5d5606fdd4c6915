"""``trackbridge doctor`` and ``trackbridge backends``: which backends can be used here, why not, and the command that mends it."""

from __future__ import annotations

import os
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
import typer
from rich.markup import escape
from rich.table import Table

from trackbridge import environments, registry, settings
from trackbridge.adapters import Target
from trackbridge.cli.common import PENDING, Json, console, print_json, told_errors
from trackbridge.errors import BackendError

CONNECT_SECONDS = 3.0
PORTS = {"https": 443, "http": 80, "postgresql": 5432, "mysql": 3306, "aim": 53800}
"""Of addresses that name none; of others only the host's name is looked up."""


class Diagnosis(msgspec.Struct, kw_only=True):
    """One backend.

    Args:
        target: what it would write to: that of TRACKBRIDGE_BACKEND, else the default.
        usable: whether a run could be delivered now.
        client: ``here``, ``environment``, or "" where it is in neither.
        versions: of the client's distributions where it is.
        reachable: whether the address answers, or the folder can be written.
        credentials: the variables and files in which the client would find some; their contents are never read.
        problem, remedy: why not, and what to run.
        notice: what to know before choosing it.
    """

    backend: str
    target: str
    usable: bool
    client: str
    versions: dict[str, str]
    reachable: bool
    credentials: list[str]
    problem: str = ""
    remedy: str = ""
    notice: str = ""


def doctor(
    names: Annotated[list[str] | None, typer.Argument(help="Backends, or targets; all by default.")] = None, as_json: Json = False
) -> None:
    """Tell for each backend whether it can be used, and why not. Exit code 1 when one that was named, here or in TRACKBRIDGE_BACKEND, cannot."""
    with told_errors():
        configured = Target.parse_all(settings.read().backend)
        wanted = _asked(names, configured) if names else list(configured)
        others = [] if names else [name for name in registry.names() if name not in {"memory", *(target.name for target in wanted)}]
        found = [diagnose(target) for target in (*wanted, *map(Target, others))]
    if as_json:
        print_json(found)
    else:
        _show(found)
    if not all(one.usable for one in found[: len(wanted)]):
        raise typer.Exit(PENDING)


def _asked(names: Sequence[str], configured: Sequence[Target]) -> list[Target]:
    """The targets that are meant: a backend's bare name means those of TRACKBRIDGE_BACKEND where that has some."""
    targets: list[Target] = []
    for name in names:
        targets += [target for target in configured if target.name == name] or [Target.parse(name)]
    return targets


def backends(as_json: Json = False) -> None:
    """List the backends that TRACKBRIDGE_BACKEND takes."""
    rows = []
    for name in registry.names():
        adapter = registry.get(name)
        able = adapter.capabilities(adapter.resolve(Target(name), Path.cwd()))
        rows.append({"backend": name, "flavour": able.flavour, "recovery": able.recovery, "sidecar": able.sidecar, "runs": able.runs})
    if as_json:
        print_json(rows)
        return
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*map(str, row.values()))
    console.print(table)


def diagnose(target: Target) -> Diagnosis:
    """Look at one target; nothing that is written there stays.

    Raises:
        BackendError: no adapter has this name.
    """
    adapter = registry.get(target.name)
    target = adapter.resolve(target, Path.cwd())
    client, versions, problem, remedy = "", dict[str, str](), "", ""
    try:
        environment = registry.home(target.name)
    except BackendError as error:
        problem, remedy = error.problem, error.remedy
    else:
        client = "here" if environment is None else "environment"
        found = registry.versions(adapter.requires) if environment is None else environment.versions
        versions = {name: found[name] for name in adapter.requires.names if name in found}
    trouble, advice = _trouble(target)
    return Diagnosis(
        backend=target.name,
        target=str(target),
        usable=not problem and not trouble,
        client=client,
        versions=versions,
        reachable=not trouble,
        credentials=[place for place in adapter.requires.credentials if _exists(place)],
        problem="; ".join(filter(None, (problem, trouble))),
        remedy=remedy or advice,
        notice=adapter.requires.notice,
    )


def _trouble(target: Target) -> tuple[str, str]:
    """Why the target's place cannot be used, and what to do; empty where it can."""
    try:
        parts = urlsplit(target.location)
        port = parts.port or PORTS.get(parts.scheme.partition("+")[0])
    except ValueError as error:
        return f"{target} is no address ({error})", f"give it as TRACKBRIDGE_BACKEND={target.name}:http://HOST:PORT"
    if parts.hostname:
        try:
            if port is None:
                socket.getaddrinfo(parts.hostname, None)
            else:
                socket.create_connection((parts.hostname, port), CONNECT_SECONDS).close()
        except OSError as error:
            address = parts.hostname if port is None else f"{parts.hostname}:{port}"
            return f"{address} does not answer ({error.strerror or error})", "start the server, or correct the address"
        return "", ""
    place = Path(parts.path if parts.scheme and "://" in target.location else target.location)
    place = place.parent if place.is_file() else place
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        tempfile.TemporaryFile(dir=place).close()
    except OSError as error:
        return f"{place} cannot be written ({error.strerror})", f"give another folder: TRACKBRIDGE_BACKEND={target.name}:FOLDER"
    return "", ""


def _exists(place: str) -> bool:
    """Whether the variable is set, or the file is there."""
    return Path(place).expanduser().exists() if place.startswith(("~", "/")) else bool(os.environ.get(place))


def _show(found: list[Diagnosis]) -> None:
    table = Table("backend", "usable", "client", "version", "target", "credentials", "what is wrong, and the remedy; notice")
    for one in found:
        version = ", ".join(f"{name} {number}" for name, number in one.versions.items() if name != "tenacity")
        wrong = "\n".join(filter(None, (one.problem, one.remedy, one.notice)))
        table.add_row(
            *map(escape, (one.backend, "yes" if one.usable else "no", one.client, version, one.target, ", ".join(one.credentials), wrong))
        )
    console.print(table)
    console.print(f"Python {sys.version.split()[0]}, environments in {environments.root()}", highlight=False, markup=False, soft_wrap=True)
