"""What a tracker, or TrackBridge itself, changed of what was logged, and the words for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from typing import Any

import msgspec


class Reason(StrEnum):
    """Why a value is not stored exactly. The words are part of the interface: reports and tags use them."""

    RENAMED = "renamed"  # the key was changed
    RETYPED = "retyped"  # bool -> 1.0, int -> float, value -> text
    ROUNDED = "rounded"  # precision lost
    NONFINITE = "nonfinite"  # NaN or an infinity changed or lost
    TRUNCATED = "truncated"  # cut
    UNSUPPORTED = "unsupported"  # the tracker has no place for it
    STEP_REJECTED = "step_rejected"  # the point was dropped for its step
    STEP_CHANGED = "step_changed"  # the step was replaced
    MERGED = "merged"  # repeats collapsed into one
    REORDERED = "reordered"
    TIMESTAMP = "timestamp"  # not the given time
    SAMPLED = "sampled"
    BINNED = "binned"  # histogram edges or counts changed
    REENCODED = "re-encoded"  # same content, other bytes
    BY_REFERENCE = "by_reference"  # the file was not copied
    REJECTED = "rejected"  # the tracker refused it: dead letter
    REDACTED = "redacted"  # a secret was replaced before anything was written
    REFUSED = "refused"  # the journal's bound was reached, or the disk was full
    EDITED = "edited"  # changed in the tracker after it was logged
    DAMAGED = "damaged"  # journal bytes that no reader can use


class Deviation(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`count` values of `subject` (a metric key, or a field such as ``config/lr``) deviate for one reason."""

    reason: str
    subject: str
    count: int = 1
    example: str = ""


class Ledger:
    """Adds deviations up, one row for each (reason, subject); at most `limit` subjects are told apart per reason.

    The limit protects memory: a run with 100,000 keys must not grow a ledger of 100,000 rows; the rest is counted under ``*``.
    """

    def __init__(self, rows: Iterable[Deviation] = (), limit: int = 1000) -> None:
        self._rows: dict[tuple[str, str], Deviation] = {}
        self._subjects: dict[str, int] = {}
        self._limit = limit
        self.extend(rows)

    def add(self, deviation: Deviation) -> bool:
        """Count `deviation`; True when its (reason, subject) is new, so that a warning is due once."""
        reason, subject = deviation.reason, deviation.subject
        known = self._rows.get((reason, subject))
        if known is None:
            seen = self._subjects.get(reason, 0)
            if seen >= self._limit:
                subject = "*"
                known = self._rows.get((reason, subject))
            else:
                self._subjects[reason] = seen + 1
        count = deviation.count + (known.count if known else 0)
        example = known.example if known and known.example else deviation.example
        self._rows[reason, subject] = Deviation(reason, subject, count, example)
        return known is None

    def extend(self, deviations: Iterable[Deviation]) -> None:
        for deviation in deviations:
            self.add(deviation)

    def rows(self) -> list[Deviation]:
        return sorted(self._rows.values(), key=lambda row: (row.reason, row.subject))

    def by_reason(self) -> dict[str, int]:
        totals: dict[str, int] = {}
        for row in self._rows.values():
            totals[row.reason] = totals.get(row.reason, 0) + row.count
        return dict(sorted(totals.items()))


def unpack(items: Iterable[Any]) -> Iterator[Deviation]:
    """The rows of a record ``deviations``, which has them as plain arrays."""
    return (msgspec.convert(item, Deviation) for item in items)


def words(totals: Mapping[str, int]) -> str:
    """``retyped 3, rounded 1``"""
    return ", ".join(f"{reason} {count}" for reason, count in totals.items())
