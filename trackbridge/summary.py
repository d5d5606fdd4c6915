"""The summary values that follow from ``define_metric``: for trackers, which do not know our rules, they are computed here."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from trackbridge.records import Define, Event, Metrics, Record, Summary

RULES = ("min", "max", "mean", "first", "last", "none")


class Summarizer:
    """Sees events in order, and keeps for each key with a rule its value. NaN is skipped by min, max and mean."""

    def __init__(self) -> None:
        self._rules: dict[str, str] = {}
        self._keys: dict[str, str | None] = {}
        self._values: dict[str, Any] = {}
        self._counts: dict[str, int] = {}
        self._explicit: set[str] = set()

    def see(self, event: Event) -> None:
        if isinstance(event, Define) and event.summary is not None:
            self._rules[event.pattern] = event.summary
            self._keys.clear()
        elif isinstance(event, Summary):
            self._explicit.update(event.values)
        elif isinstance(event, Metrics) and self._rules:
            for key, value in event.values.items():
                rule = self._rule(key)
                if rule is not None:
                    self._add(key, value, rule)

    def values(self) -> Mapping[str, Any]:
        """The values by rule of the keys that have no explicit one."""
        return {key: value for key, value in self._values.items() if key not in self._explicit}

    def record(self, time: int) -> Record | None:
        """Those values as a Record for a Writer, which has no identity of its own."""
        values = dict(self.values())
        return Record("", 0, Summary(time, values)) if values else None

    def _rule(self, key: str) -> str | None:
        if key not in self._keys:
            matching = [rule for pattern, rule in self._rules.items() if fnmatchcase(key, pattern)]
            self._keys[key] = matching[-1] if matching and matching[-1] != "none" else None
        return self._keys[key]

    def _add(self, key: str, value: Any, rule: str) -> None:
        if rule == "last" or (rule == "first" and key not in self._values):
            self._values[key] = value
            return
        if rule == "first" or isinstance(value, (str, bool)) or value is None or value != value:
            return
        known = self._values.get(key)
        if rule == "mean":
            count = self._counts[key] = self._counts.get(key, 0) + 1
            with contextlib.suppress(OverflowError):  # of an integer that no float holds
                self._values[key] = value if known is None else known + (value - known) / count
        elif known is None or (value < known if rule == "min" else value > known):
            self._values[key] = value
