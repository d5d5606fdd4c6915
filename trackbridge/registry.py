"""Names to adapters. Built-in and third-party adapters alike come from the entry point group ``trackbridge.adapters``."""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from importlib import metadata

from trackbridge.adapters import Adapter, Reader, Requirements, Target
from trackbridge.errors import BackendError

GROUP = "trackbridge.adapters"


@lru_cache(maxsize=1)
def _entry_points() -> dict[str, metadata.EntryPoint]:
    return {point.name: point for point in metadata.entry_points(group=GROUP)}


def names() -> list[str]:
    """The backends that are known here, installed or not."""
    return sorted(_entry_points())


def get(name: str) -> Adapter:
    """The adapter of this name.

    Raises:
        BackendError: no adapter has this name; the message lists those that exist.
    """
    point = _entry_points().get(name)
    if point is None:
        known = ", ".join(names()) or "none (is trackbridge installed? `pip install trackbridge`)"
        raise BackendError(f"unknown backend {name!r}; known backends: {known}")
    adapter: Adapter = point.load()
    return adapter


def missing(requires: Requirements) -> list[str]:
    """What of `requires` this interpreter lacks, each with the version that is there, if one is."""
    low, high = requires.python
    lacking = []
    if not (3, low) <= sys.version_info[:2] < (3, high):
        lacking.append(f"Python 3.{low} to 3.{high - 1}")
    for wanted in requires.distributions:
        distribution, _, floor = wanted.partition(">=")
        try:
            found = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            lacking.append(wanted)
        else:
            if floor and _release(found) < _release(floor):
                lacking.append(f"{wanted} (found {found})")
    return lacking


def check(name: str) -> Adapter:
    """The adapter of this name, whose client is importable here.

    Raises:
        BackendError: unknown, or its client is missing; the message names the command that installs it.
    """
    adapter = get(name)
    lacking = missing(adapter.requires)
    if lacking:
        raise BackendError(f"backend {name!r} needs {', '.join(lacking)}: run  {_remedy(adapter)}")
    return adapter


def command(name: str, module: str) -> list[str]:
    """The beginning of a command that runs `module` of this library where the client of this backend is: here, else in its environment.

    Raises:
        BackendError: unknown, or its client is in neither; the message names the commands that install it.
    """
    adapter = get(name)
    lacking = missing(adapter.requires)
    if not lacking:
        return [sys.executable, "-I", "-m", module]
    from trackbridge import environments

    environment = environments.find(name)
    if environment is not None:
        return environment.command(module)
    raise BackendError(f"backend {name!r} needs {', '.join(lacking)}: run  {_remedy(adapter)}")


def reader(target: Target) -> Reader:
    """A Reader of `target`, whose work is done where its client is.

    Raises:
        BackendError: see :func:`command`.
    """
    adapter = get(target.name)
    if not missing(adapter.requires):
        return adapter.reader(target)
    from trackbridge import remote

    return remote.RemoteReader(target, command(target.name, remote.__name__))


def _remedy(adapter: Adapter) -> str:
    from trackbridge import environments

    install = f"pip install 'trackbridge[{adapter.requires.extra}]'"
    return f"{install}  or  trackbridge env create {adapter.name}" if environments.requirements(adapter.name) else install


def versions(requires: Requirements) -> dict[str, str]:
    """The installed versions of the distributions of `requires`; those that are absent are left out."""
    found = {}
    for wanted in requires.distributions:
        distribution = wanted.partition(">=")[0]
        try:
            found[distribution] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return found


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3])
