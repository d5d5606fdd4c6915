"""A grid of options: every combination is a task, and a task is one run of an example."""

import hashlib
import itertools
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """One run of an example: the options that its sweep varies, and words that all of its tasks have."""

    example: str
    varied: tuple[tuple[str, str], ...]
    fixed: tuple[str, ...] = ()

    @property
    def options(self) -> list[str]:
        """What the example's command line gets."""
        return [*self.fixed, *(word for name, value in self.varied for word in (f"--{name}", *value.split()))]

    @property
    def key(self) -> str:
        """The same for the same options, in whatever order they are varied."""
        content = json.dumps([self.example, sorted(self.varied), self.fixed])
        return f"{self.example}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"

    def new_run_id(self) -> str:
        """An id for an attempt at this task, whose key ``key_of`` gives back."""
        return f"{self.key}-{secrets.token_hex(3)}"

    def __str__(self) -> str:
        return " ".join(f"{name}={value}" for name, value in self.varied)


def key_of(run_id: str) -> str:
    """The key of the task whose attempt has this run id."""
    return run_id.rpartition("-")[0]


def parse_grid(words: Sequence[str]) -> dict[str, list[str]]:
    """The values of each option in words like ``p=0.5,0.9``; a value of several words is one like ``p='0.1 texture=0.9'``.

    Raises:
        ValueError: a word is of another form, or says something twice.
    """
    grid: dict[str, list[str]] = {}
    for word in words:
        name, equals, text = word.partition("=")
        values = [value.strip() for value in text.split(",")]
        if not (name and equals and all(values)):
            raise ValueError(f"{word!r} is no part of a grid; one is NAME=VALUE,VALUE, like seed=1,2,3")
        if name in grid:
            raise ValueError(f"{name} is given twice; give all of its values at once: {name}={','.join(grid[name] + values)}")
        if len(set(values)) < len(values):
            raise ValueError(f"{word!r} names a value twice, and a run would be made twice")
        grid[name] = values
    return grid


def make_tasks(example: str, grid: Mapping[str, Sequence[str]], fixed: Sequence[str] = ()) -> list[Task]:
    """A task for every combination of the grid's values."""
    return [Task(example, tuple(zip(grid, values, strict=True)), tuple(fixed)) for values in itertools.product(*grid.values())]
