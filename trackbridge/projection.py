"""What a tracker makes of a value: declared once, used by Writers, Readers, the conformance suite and the support matrix alike.

An adapter declares a :class:`Projection`, a list of :class:`Rule`. A rule is a function from an item to what the tracker will hold of it.
Writers apply the rules before they hand a value to the client, so what is declared is what is done; the suite applies them to what was
logged and compares with what the tracker's own reader returns, so that an undeclared change fails and so does a rule that no longer holds.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from trackbridge.deviations import Deviation, Ledger, Reason
from trackbridge.records import Media, Metrics, Scalar


class Point(msgspec.Struct, frozen=True, gc=False):
    """One value of one metric. `time` in nanoseconds; `call` is the number of the call of ``log`` in its process."""

    key: str
    value: Scalar
    step: int | None
    time: int
    call: int = 0
    attempt: int = 0


class Entry(msgspec.Struct, frozen=True):
    """One entry of the configuration (`key` is its path, joined by ``/``), of the summary, or of the run's description."""

    key: str
    value: Any


class MediaItem(msgspec.Struct, frozen=True):
    """One logged media value. `content`: the digest of its bytes, or for inline kinds the value itself."""

    key: str
    step: int | None
    time: int
    kind: str
    format: str
    content: Any
    call: int = 0
    meta: dict[str, Any] = {}

    @classmethod
    def of(cls, event: Media) -> MediaItem:
        """The item of `event`, as Writers meet it: what lies in a file is not looked at."""
        return cls(event.key, event.step, event.time, event.kind, event.format, event.inline, event.call)


class FileItem(msgspec.Struct, frozen=True):
    """One file of an artifact."""

    name: str
    type: str
    path: str
    digest: str


Item = TypeVar("Item")


@dataclass(frozen=True)
class Rule(Generic[Item]):
    """One declared deviation.

    Args:
        on: ``scalar series config summary tags field status media artifact``: which items it concerns. ``series`` gets the list of
            all points of a key, for what a tracker does to order and repeats; ``tags`` the frozen set of tags.
        reason: the word for it.
        what: what happens, for the support matrix: "+-inf become +-1.797e308".
        why: why no interface of the tracker avoids it.
        apply: the item -> what the tracker holds of it, None when it holds nothing. An item that the rule does not concern is
            returned itself (``is`` the argument).
    """

    on: str
    reason: Reason
    what: str
    why: str
    apply: Callable[[Item], Item | None]


SCALARS = frozenset({float, int, bool, str, type(None)})
"""The types that a value of a metric may have."""

SHARED = {Reason.TIMESTAMP: "time", Reason.STEP_CHANGED: "step"}
"""Deviations that concern all keys of a call alike, and the subject that they are counted for."""


class Projection:
    """The rules of one flavour of a tracker, applied in order."""

    def __init__(self, *rules: Rule[Any]) -> None:
        self.rules = rules
        self._by_kind: dict[str, tuple[Rule[Any], ...]] = {}
        for rule in rules:
            self._by_kind[rule.on] = (*self._by_kind.get(rule.on, ()), rule)

    def rules_on(self, on: str) -> tuple[Rule[Any], ...]:
        return self._by_kind.get(on, ())

    def apply(self, on: str, item: Item) -> tuple[Item | None, list[Rule[Any]]]:
        """What the tracker will hold of `item` (None: nothing), and the rules that changed it."""
        changed: list[Rule[Any]] = []
        result: Item | None = item
        for rule in self._by_kind.get(on, ()):
            if result is None:
                break
            after = rule.apply(result)
            if after is not result:
                changed.append(rule)
                result = after
        return result, changed

    def held(self, ledger: Ledger, on: str, item: Item, subject: str, original: object, *, shared: bool = True) -> Item | None:
        """:meth:`apply`, for Writers: the rules that changed `item` are counted in `ledger`, for `subject`.

        Args:
            shared: count the :data:`SHARED` ones too; False for a Writer that counts them once for a call.
        """
        result, changed = self.apply(on, item)
        for rule in changed:
            if shared or rule.reason not in SHARED:
                ledger.add(deviation(rule, subject, original))
        return result

    def scalar(self, ledger: Ledger, event: Metrics, key: str, value: Any, *, shared: bool = True) -> Point | None:
        """:meth:`held` for one value of `event`.

        Raises:
            TypeError: it is no value of a metric.
        """
        _check(key, value)
        return self.held(ledger, "scalar", Point(key, value, event.step, event.time, event.call), key, value, shared=shared)

    def scalars(self, ledger: Ledger, event: Metrics) -> dict[str, Any]:
        """What the rules leave of the values of `event`; nothing is counted when one of them is no value of a metric.

        Raises:
            TypeError: see :meth:`scalar`.
        """
        for key, value in event.values.items():
            _check(key, value)
        points = ((key, self.scalar(ledger, event, key, value)) for key, value in event.values.items())
        return {key: point.value for key, point in points if point is not None}

    def series(self, points: Sequence[Point]) -> list[Point]:
        """What the tracker will hold of one key: the scalar rules on each point, then the series rules on all."""
        kept = [after for point in points if (after := self.apply("scalar", point)[0]) is not None]
        result, _ = self.apply("series", kept)
        return result or []


def _check(key: str, value: object) -> None:
    if type(value) not in SCALARS:
        raise TypeError(f"{key!r} is a {type(value).__name__}, which is no value of a metric")


def deviation(rule: Rule[Any], subject: str, original: Any) -> Deviation:
    """The ledger's row for one application of `rule`; a changed time or step concerns all keys of a call alike."""
    return Deviation(rule.reason, SHARED.get(rule.reason, subject), 1, f"{original!r:.80}: {rule.what}")


def same(left: Any, right: Any) -> bool:
    """Exact equality: NaN equals NaN, 0.0 is not -0.0, 1 is not 1.0 and not True."""
    if type(left) is not type(right):
        return isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)) and _same_items(left, right)
    if isinstance(left, float):
        return (left == right and struct.pack("d", left) == struct.pack("d", right)) or (left != left and right != right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
    if isinstance(left, (list, tuple)):
        return _same_items(left, right)
    if isinstance(left, msgspec.Struct):
        return all(same(getattr(left, name), getattr(right, name)) for name in left.__struct_fields__)
    return bool(left == right)


def _same_items(left: Sequence[Any], right: Sequence[Any]) -> bool:
    return len(left) == len(right) and all(map(same, left, right))


# --- rules that several trackers share -------------------------------------------------------------------------------------------


def changed(on: str, reason: Reason, what: str, why: str, when: Callable[[Any], bool], **change: Callable[[Any], Any]) -> Rule[Any]:
    """A rule that replaces fields of the items for which `when` holds; without `change` it drops them."""

    def apply(item: Any) -> Any:
        if not when(item):
            return item
        return msgspec.structs.replace(item, **{name: make(item) for name, make in change.items()}) if change else None

    return Rule(on, reason, what, why, apply)


def scalar_rule(reason: Reason, what: str, why: str, when: Callable[[Point], bool], **change: Callable[[Point], Any]) -> Rule[Point]:
    """:func:`changed` on the points of metrics."""
    return changed("scalar", reason, what, why, when, **change)


def is_text(point: Point) -> bool:
    return type(point.value) is str


def is_none(point: Point) -> bool:
    return point.value is None


def is_bool(point: Point) -> bool:
    return type(point.value) is bool


def is_int(point: Point) -> bool:
    return type(point.value) is int


def to_float(value: Any) -> float:
    """`value` as the nearest double; an integer beyond the range of doubles becomes an infinity."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def drop(on: str, reason: Reason, what: str, why: str, when: Callable[[Any], bool] = lambda item: True) -> Rule[Any]:
    """The tracker holds nothing of the items for which `when` holds."""
    return changed(on, reason, what, why, when)


def step_from_call(why: str, on: str = "scalar") -> Rule[Any]:
    """A point (or a media value: `on`) without a step gets the number of its call of ``log``."""
    return changed(on, Reason.STEP_CHANGED, "no step -> the number of the call", why, lambda p: p.step is None, step=lambda p: p.call)


def step_bounds(low: int, high: int, why: str, on: str = "scalar") -> Rule[Any]:
    """Points (or media values: `on`) whose step is outside `low`..`high` are dropped."""
    return changed(
        on,
        Reason.STEP_REJECTED,
        f"a step outside {low}..{high} is refused",
        why,
        lambda p: p.step is not None and not low <= p.step <= high,
    )


def numbers_become_floats(why: str) -> tuple[Rule[Point], Rule[Point]]:
    """bool and int come back as float: exact below 2**53, rounded beyond."""
    return (
        scalar_rule(Reason.RETYPED, "bool -> float", why, is_bool, value=lambda p: to_float(p.value)),
        scalar_rule(Reason.RETYPED, "int -> float (rounded beyond 2**53)", why, is_int, value=lambda p: to_float(p.value)),
    )


def bools_become_integers(why: str) -> Rule[Point]:
    return scalar_rule(Reason.RETYPED, "bool -> int", why, is_bool, value=lambda p: 1 if p.value else 0)


def time_to_milliseconds(why: str) -> Rule[Point]:
    return scalar_rule(
        Reason.TIMESTAMP, "time cut to milliseconds", why, lambda p: p.time % 1_000_000 != 0, time=lambda p: p.time - p.time % 1_000_000
    )


def seconds(time_ns: int) -> float:
    """Nanoseconds as a double of seconds, the form in which several trackers hold a time."""
    return time_ns / 1e9


def nanoseconds(time_s: float) -> int:
    """The inverse of :func:`seconds`, up to the rounding that :func:`time_to_float_seconds` declares."""
    return round(time_s * 1e9)


def time_to_float_seconds(why: str, on: str = "scalar") -> Rule[Any]:
    """The time of a point (or of a media value: `on`) is a double of seconds."""
    what = "time rounded to a double of seconds (about 0.2 us)"
    return changed(on, Reason.TIMESTAMP, what, why, lambda p: _rounded(p.time) != p.time, time=lambda p: _rounded(p.time))


def _rounded(time_ns: int) -> int:
    return nanoseconds(seconds(time_ns))


def merge_repeats(
    what: str, why: str, identity: Callable[[Point], Any], reason: Reason = Reason.MERGED, keep_last: bool = True
) -> Rule[list[Point]]:
    """Of the points of a key with equal `identity` one is kept, the last or the first, at the place of the first."""

    def apply(points: list[Point]) -> list[Point]:
        kept: dict[Any, Point] = {}
        for point in points:
            mark = identity(point)
            if keep_last or mark not in kept:
                kept[mark] = point
        return points if len(kept) == len(points) else list(kept.values())

    return Rule("series", reason, what, why, apply)


def sort_series(what: str, why: str, key: Callable[[Point], Any]) -> Rule[list[Point]]:
    """The tracker returns the points of a key in this order."""

    def apply(points: list[Point]) -> list[Point]:
        ordered = sorted(points, key=key)
        return points if ordered == points or all(a is b for a, b in zip(ordered, points, strict=True)) else ordered

    return Rule("series", Reason.REORDERED, what, why, apply)


def matrix_words(rules: Iterable[Rule[Any]]) -> str:
    """The cell of the support matrix for an item that these rules changed."""
    return ", ".join(dict.fromkeys(str(rule.reason) for rule in rules)) or "exact"
