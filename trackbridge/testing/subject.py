"""The adapter under test, and where it writes."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trackbridge import registry
from trackbridge.adapters import Adapter, Capabilities, Target


@dataclass(frozen=True)
class Subject:
    """One flavour of one adapter.

    Args:
        name: a name of the registry, or ``module:attribute`` for an adapter that no entry point names. Other processes import it too.
        location: the target's location, with ``{}`` for a fresh folder: ``{}/runs``, ``sqlite:///{}/mlflow.db``, ``http://127.0.0.1:5000``.
        options: the target's options.
        light: its client starts in a moment, so that properties can be tested with many random runs.
        once: its client is imported once for all processes, which fork from the one that did: quicker, where the import leaves nothing that
            two processes must not share, such as a thread or a temporary folder.
        environment: variables that its processes need.
        clean: called with the fresh folder when all is done, to stop what was started there.
    """

    name: str
    location: str = "{}/target"
    options: tuple[tuple[str, str], ...] = ()
    light: bool = False
    once: bool = False
    environment: tuple[tuple[str, str], ...] = ()
    clean: Callable[[Path], Any] | None = None

    def adapter(self) -> Adapter:
        return load(self.name)

    def target(self, folder: Path) -> Target:
        adapter = self.adapter()
        target = Target(adapter.name, self.location.replace("{}", str(folder)), "", dict(self.options))
        return adapter.resolve(target, folder)

    def capabilities(self, folder: Path) -> Capabilities:
        adapter = self.adapter()
        versions = registry.versions(adapter.requires)
        return adapter.capabilities(self.target(folder), next(iter(versions.values()), ""))

    def __str__(self) -> str:
        return self.name if self.location == Subject.location else f"{self.name}:{self.location}"


def load(name: str) -> Adapter:
    """The adapter of this name of the registry, or of ``module:attribute``.

    Raises:
        BackendError: unknown.
    """
    if ":" not in name:
        return registry.get(name)
    module, _, attribute = name.partition(":")
    found = getattr(importlib.import_module(module), attribute)
    adapter: Adapter = found() if isinstance(found, type) else found
    return adapter
