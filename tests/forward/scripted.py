"""A backend whose failures are written down beforehand, over the memory adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from trackbridge_adapters.memory import MemoryAdapter, MemoryWriter

from trackbridge import registry
from trackbridge.adapters import Place, Position, Target
from trackbridge.deviations import Deviation
from trackbridge.records import Metrics, Record, RunInfo

Act = Callable[["ScriptedWriter", Sequence[Record]], None]


class ScriptedWriter(MemoryWriter):
    """Does the next act of the script at each `write`; an act may raise, or write a part first. None: nothing unusual."""

    def __init__(self, folder: Path, script: Iterator[Act | None], refuse: Callable[[Record], Exception | None]) -> None:
        super().__init__(folder)
        self._script, self._refuse = script, refuse

    def write(self, batch: Sequence[Record]) -> Sequence[Deviation]:
        act = next(self._script, None)
        if act is not None:
            act(self, batch)
        for record in batch:
            error = self._refuse(record)
            if error is not None:
                raise error
        return super().write(batch)

    def write_quietly(self, batch: Sequence[Record]) -> None:
        super().write(batch)


class ScriptedAdapter(MemoryAdapter):
    """`script`: what happens at each write; `refuse`: an error for a record that is never taken; `on_open`: called at each open."""

    def __init__(
        self,
        script: Sequence[Act | None] = (),
        refuse: Callable[[Record], Exception | None] = lambda record: None,
        on_open: Callable[[], None] = lambda: None,
    ) -> None:
        self._script, self._refuse, self.on_open, self.opens = iter(script), refuse, on_open, 0

    def writer(self, target: Target) -> ScriptedWriter:
        adapter = self

        class Counting(ScriptedWriter):
            def open(self, run: RunInfo, position: Position | None) -> Position:
                adapter.opens += 1
                adapter.on_open()
                return super().open(run, position)

            def place(self) -> Place:
                return super().place()

        return Counting(Path(target.location), self._script, self._refuse)


def install(monkeypatch: pytest.MonkeyPatch, **adapters: ScriptedAdapter) -> None:
    """Make these adapters known under their names, in this process."""

    class Point:
        def __init__(self, adapter: ScriptedAdapter) -> None:
            self.adapter = adapter

        def load(self) -> ScriptedAdapter:
            return self.adapter

    known: dict[str, Any] = {**registry._entry_points(), **{name: Point(adapter) for name, adapter in adapters.items()}}
    monkeypatch.setattr(registry, "_entry_points", lambda: known)


def steps(records: Iterator[Record]) -> list[int | None]:
    return [record.event.step for record in records if isinstance(record.event, Metrics)]
