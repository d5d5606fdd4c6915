"""One module per axis. Each has ``AXIS``, ``TITLE``, ``METHOD`` (for the report) and ``jobs(bench)``."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

from trackbridge_comparison.bench import Bench, Job
from trackbridge_comparison.probes import durability, fidelity, leaving, outage, overhead, scalability, setup, storage

PROBES: tuple[ModuleType, ...] = (fidelity, durability, overhead, storage, setup, leaving, scalability, outage)
"""In the order of the report, and of what is measured first when time is short."""


def jobs(bench: Bench) -> Iterator[Job]:
    for probe in PROBES:
        yield from probe.jobs(bench)
