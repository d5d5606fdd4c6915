"""Names to adapters. Built-in and third-party adapters alike come from the entry point group ``trackbridge.adapters``."""

from __future__ import annotations

import contextlib
import re
import site
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib import metadata
from typing import TYPE_CHECKING

from trackbridge.adapters import Adapter, Reader, Requirements, Target
from trackbridge.errors import BackendError, TrackBridgeError

if TYPE_CHECKING:
    from trackbridge.environments import Environment
    from trackbridge.records import Record, RunInfo

GROUP = "trackbridge.adapters"


@lru_cache(maxsize=1)
def _entry_points() -> dict[str, metadata.EntryPoint]:
    return {point.name: point for point in metadata.entry_points(group=GROUP)}


def names() -> list[str]:
    """The backends that are known here, installed or not."""
    return sorted(_entry_points())


def point(name: str) -> metadata.EntryPoint:
    """The entry point of the adapter of this name.

    Raises:
        BackendError: no adapter has this name; the message lists those that exist.
    """
    found = _entry_points().get(name)
    if found is None:
        known = ", ".join(names()) or "none (is trackbridge installed? `pip install trackbridge`)"
        raise BackendError(f"unknown backend {name!r}; known backends: {known}")
    return found


def get(name: str) -> Adapter:
    """The adapter of this name.

    Raises:
        BackendError: see :func:`point`.
    """
    adapter: Adapter = point(name).load()
    return adapter


def missing(requires: Requirements, path: list[str] | None = None) -> list[str]:
    """What of `requires` this interpreter lacks, each with the version that is there, if one is. `path`: where to look, ``sys.path`` by default."""
    low, high = requires.python
    lacking = []
    if not (3, low) <= sys.version_info[:2] < (3, high):
        lacking.append(f"Python 3.{low} to 3.{high - 1}")
    for wanted in requires.distributions:
        distribution, _, floor = wanted.partition(">=")
        found = next(iter(metadata.distributions(name=distribution, path=sys.path if path is None else path)), None)
        if found is None:
            lacking.append(wanted)
        elif floor and _release(found.version) < _release(floor):
            lacking.append(f"{wanted} (found {found.version})")
    return lacking


def check(name: str) -> Adapter:
    """The adapter of this name, whose client is importable here.

    Raises:
        BackendError: unknown, or its client is missing; the message names the command that installs it.
    """
    adapter = get(name)
    lacking = missing(adapter.requires)
    if lacking:
        raise _absent(adapter, lacking)
    return adapter


def home(name: str) -> Environment | None:
    """Where the client of this backend is: None for this interpreter, else its environment. What is in ``PYTHONPATH`` alone, where ``guild run``
    puts Guild, is not here: the processes that work with a client are isolated, and do not find it.

    Raises:
        BackendError: unknown, or its client is in neither; the message names the commands that install it.
    """
    adapter = get(name)
    lacking = missing(adapter.requires, site.getsitepackages()) and (
        missing(adapter.requires, sys.path) or missing(adapter.requires, _isolated())
    )
    if not lacking:
        return None
    from trackbridge import environments

    environment = environments.find(name)
    if environment is None:
        raise _absent(adapter, lacking)
    return environment


@lru_cache(maxsize=1)
def _isolated() -> list[str]:
    """``sys.path`` of an isolated process of this interpreter: also what ``.pth`` files add to it."""
    told = subprocess.run(
        [sys.executable, "-I", "-c", "import sys; print(*sys.path, sep='\\0', end='')"], capture_output=True, text=True, check=True
    )
    return told.stdout.split("\0")


def command(name: str, module: str) -> list[str]:
    """The beginning of a command that runs `module` of this library where the client of this backend is.

    Raises:
        BackendError: see :func:`home`.
    """
    environment = home(name)
    return [sys.executable, "-I", "-m", module] if environment is None else environment.command(module)


def reader(target: Target) -> Reader:
    """A Reader of `target`, whose work is done where its client is.

    Raises:
        BackendError: see :func:`home`; or, here and from what it returns, the client cannot read.
    """
    if home(target.name) is None:
        return ToldReader(target)
    from trackbridge import remote

    return remote.RemoteReader(target)


class ToldReader:
    """An adapter's Reader, whose client's errors are told as ours: they are of a dozen kinds, and none of them names the target."""

    def __init__(self, target: Target) -> None:
        self._target = target
        with self._told():
            self._reader = get(target.name).reader(target)

    def runs(self) -> Iterator[RunInfo]:
        with self._told():
            yield from self._reader.runs()

    def read(self, run_id: str) -> Iterator[Record]:
        with self._told():
            yield from self._reader.read(run_id)

    def sidecar(self, run_id: str) -> tuple[bytes, str] | None:
        with self._told():
            return self._reader.sidecar(run_id)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except TrackBridgeError:
            raise
        except Exception as error:
            words = (str(error).strip().splitlines() or [""])[0]
            raise BackendError(f"{self._target} cannot be read: {type(error).__name__}: {words}") from error


def _absent(adapter: Adapter, lacking: list[str]) -> BackendError:
    from trackbridge import environments

    install = f"pip install 'trackbridge[{adapter.requires.extra}]'"
    if environments.requirements(adapter.name):
        install += f"  or  trackbridge env create {adapter.name}"
    return BackendError(f"backend {adapter.name!r} needs {', '.join(lacking)}", install)


def versions(requires: Requirements) -> dict[str, str]:
    """The installed versions of the distributions of `requires`; those that are absent are left out."""
    found = {}
    for distribution in requires.names:
        try:
            found[distribution] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return found


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3])
