"""Times as texts that people read: nanoseconds since 1970 in ISO 8601, to the last digit."""

from __future__ import annotations

import calendar
import functools
import re
from datetime import UTC, datetime


@functools.lru_cache(8)  # the calls of a second follow each other
def _second(whole: int) -> str:
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}"


def iso(time: int, zone: str = "Z") -> str:
    """``2025-11-23T03:53:20.123456789Z``; `zone` is how UTC is written.

    Raises:
        ValueError, OverflowError: no calendar has this time.
    """
    whole, rest = divmod(time, 10**9)
    return f"{_second(whole)}.{rest:09}{zone}"


def from_iso(text: str) -> int:
    """The inverse of :func:`iso`; of a text with another zone, or fewer digits, too.

    Raises:
        ValueError: it is no such time.
    """
    fraction = re.search(r"\.(\d+)", text)
    whole = calendar.timegm(datetime.fromisoformat(text).utctimetuple())
    return whole * 10**9 + (int(fraction[1][:9].ljust(9, "0")) if fraction else 0)
