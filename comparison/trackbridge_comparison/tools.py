"""The tools of the comparison, from ``tools.toml``: what each is, how it is kept offline and silent, and what it cannot be asked for."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

import msgspec

from trackbridge_comparison.schema import Kind, Spec, Status, Tool

FILE = Path(__file__).with_name("tools.toml")
COMPATIBILITY = frozenset({"fidelity", "durability", "experiments"})
"""Axes that an emulator of a service can be asked about: they hold no time, size or scale of the service."""


class Entry(Tool, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the file: a Tool, and how it is run here.

    Args:
        options: of the target through TrackBridge.
        variables: that keep its client on this machine and silent.
        prefixes: variables of the user that begin with one of these do not reach it: they would lead it elsewhere.
        emulator: the module of ``emulators/`` that stands in for its service.
        flush: the interval in seconds after which its documentation has everything written; 0 where it names none.
        promise: what its documentation says of that, in words.
        lacks: what it cannot be asked for: ``axis/quantity`` with ``*`` -> why.
        ended: the same, for what ended with its service.
    """

    options: dict[str, str] = {}
    variables: dict[str, str] = {}
    prefixes: list[str] = []
    emulator: str = ""
    flush: float = 0.0
    promise: str = ""
    lacks: dict[str, str] = {}
    ended: dict[str, str] = {}

    @property
    def tool(self) -> Tool:
        return msgspec.convert({name: getattr(self, name) for name in Tool.__struct_fields__}, Tool)

    def standing(self, spec: Spec) -> tuple[Status, str]:
        """The status that a value of this cell has here, or the one that it has without being measured, and then why."""
        for status, places in ((Status.ENDED, self.ended), (Status.UNSUPPORTED, self.lacks)):
            for pattern, why in places.items():
                if fnmatchcase(f"{spec.axis}/{spec.quantity}", pattern):
                    return status, why
        of_client = spec.axis == "setup" and spec.quantity != "first_metric"
        if of_client or self.kind in (Kind.STORE, Kind.REFERENCE):
            return Status.MEASURED, ""
        if self.kind is Kind.SPOOL:
            return Status.OFFLINE, ""
        if spec.axis in COMPATIBILITY and spec.unit != "s":
            return Status.EMULATED, ""
        return Status.NEEDS_ACCOUNT, "an emulator tells nothing of the service's times, sizes and scale; " + "; ".join(self.account)


@cache
def entries() -> dict[str, Entry]:
    """All tools by backend, in the order of the file.

    Raises:
        msgspec.ValidationError: a table has an unknown or a missing field.
    """
    tables = tomllib.loads(FILE.read_text("utf-8"))
    return {name: msgspec.convert({"backend": name} | table, Entry) for name, table in tables.items()}


def entry(backend: str) -> Entry:
    """The entry of `backend`; a plain one for an adapter that the file does not know, which is then never ranked."""
    return entries().get(backend) or Entry(backend=backend, title=backend, lecture="", kind=Kind.REFERENCE, mode="as its adapter has it")


def prefixes() -> tuple[str, ...]:
    return ("TRACKBRIDGE_", *(prefix for one in entries().values() for prefix in one.prefixes))


def variables(backends: Iterable[str], folder: Path) -> dict[str, str]:
    """What the processes of these backends need in their environment, when they work in `folder`."""
    return {name: text.replace("{}", str(folder)) for backend in backends for name, text in entry(backend).variables.items()}
