"""Which jobs fit into the time that is left. A pure function, and the memory of how long each took on this machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec


def choose(estimates: Sequence[tuple[str, float]], seconds: float) -> list[str]:
    """Of jobs in order of importance those that fit: each is taken unless it no longer fits beside the more important ones.

    Args:
        estimates: (name, seconds) of each job.
        seconds: the time that is left.
    """
    chosen = []
    for name, estimate in estimates:
        if estimate <= seconds:
            chosen.append(name)
            seconds -= estimate
    return chosen


class Memory:
    """Seconds of each job when it last ran here, by mode, in one file."""

    def __init__(self, path: Path, mode: str) -> None:
        self._path, self._mode = path, mode
        try:
            self._known = msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, float]])
        except (OSError, msgspec.DecodeError):
            self._known = {}

    def estimate(self, name: str, guess: float) -> float:
        """What the job took last time, with a margin for the load of the machine; the guess if it is not known."""
        known = self._known.get(self._mode, {}).get(name)
        return guess if known is None else 1.15 * known

    def learn(self, seconds: Mapping[str, float]) -> None:
        """Note how long jobs took. A folder that cannot be written only costs the next estimate its precision."""
        self._known.setdefault(self._mode, {}).update(seconds)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            scratch = self._path.with_suffix(".tmp")
            scratch.write_bytes(msgspec.json.encode(self._known))
            scratch.replace(self._path)
        except OSError:
            pass


def matches(id: str, pattern: str) -> bool:
    """Whether ``--only pattern`` means the cell `id` (``backend/axis/quantity``).

    A pattern is a whole id, or some of its parts in order: ``overhead``, ``mlflow``, ``mlflow/overhead``; ``*`` stands for any text.
    ``experiments/NAME`` means both cells of that experiment for every backend.
    """
    from fnmatch import fnmatchcase

    backend, axis, quantity = id.split("/", 2)
    names = {id, backend, axis, f"{backend}/{axis}", f"{axis}/{quantity}"}
    if axis == "experiments":
        experiment = quantity.rpartition("_")[0]
        names |= {f"{axis}/{experiment}", f"{backend}/{axis}/{experiment}"}
    return any(fnmatchcase(name, pattern) for name in names)


def any_match(id: str, patterns: Iterable[str]) -> bool:
    return any(matches(id, pattern) for pattern in patterns)
