"""What of a run lies where in trackio, in which form, and what is declared to change."""

from __future__ import annotations

import functools
import hashlib
import re
from typing import Any

from trackbridge import times
from trackbridge.deviations import Reason
from trackbridge.names import Names, from_text, to_text
from trackbridge.projection import (
    MediaItem,
    Projection,
    Rule,
    changed,
    drop,
    scalar_rule,
    sort_series,
    step_bounds,
    step_from_call,
    to_float,
)

KEYS = Names(r"[\s\S]", mark="·", reserved=r"_|trackbridge/|(project|run|timestamp|step|time|metrics)$")
PATHS = Names(r"[^\\\x00]", mark="·", plain_path=True, reserved="[A-Za-z]:")

GROUP, CREATED = "_Group", "_Created"
"""Entries of the configuration that trackio itself makes and shows."""

OURS = "trackbridge/"
"""Begin of the names of our entries of the configuration."""

PROJECT, STATUS, END, TAGS, SUMMARY, DIGEST = (OURS + word for word in ("project", "status", "end", "tags", "summary/", "sidecar"))
SIDECAR_TYPE = "trackbridge"

TYPES = {"image": "image", "figure": "image", "audio": "audio", "video": "video", "file": "file"}
"""trackio's types of media that are files; it has no ``file``, which its Files tab shows."""

INLINE = {"counts": "histogram", "rows": "table", "text": "markdown"}
"""trackio's types of what lies inline, by format."""

KINDS = {"histogram": ("histogram", "counts"), "table": ("table", "rows"), "markdown": ("text", "text")}
NUMBERS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
DEPTH = 100  # of a value, after which trackio's encoder of JSON may give up

RESERVED = re.compile(
    r"registry-|.+_(system|configs|traces|artifacts|artifact_versions|artifact_aliases|run_artifact_links|external_run_artifact_links)$"
)
"""Names of projects that trackio keeps for files of its own."""

UNSERVED = re.compile(r".*\.(db(-journal|-wal|-shm)?|sqlite3?)$", re.IGNORECASE)
"""Names of files that a dashboard gives to nobody."""


def in_range(step: int) -> bool:
    return -(2**63) <= step < 2**63


def fits(number: int) -> bool:
    return -(2**63) <= number < 2**64


def is_table(item: MediaItem) -> bool:
    """Whether `item`, if it is a table whose content is at hand, has a row, and no column twice."""
    if item.kind != "table" or not isinstance(item.content, dict):
        return True
    columns = item.content["columns"]
    return bool(item.content["rows"]) and len(set(columns)) == len(columns)


_STEP = "the column is a signed integer of 64 bits that is not null"
_VALUES = (
    scalar_rule(
        Reason.RETYPED,
        'the texts "NaN", "Infinity" and "-Infinity" become numbers',
        "trackio writes these numbers as these texts, and reads every such text as a number",
        lambda point: type(point.value) is str and point.value in NUMBERS,
        value=lambda point: NUMBERS[str(point.value)],
    ),
    scalar_rule(
        Reason.RETYPED,
        "an integer beyond 64 bits becomes a float",
        "trackio's encoder of JSON refuses it, and a chart draws numbers only",
        lambda point: type(point.value) is int and not fits(point.value),
        value=lambda point: to_float(point.value),
    ),
    step_bounds(-(2**63), 2**63 - 1, _STEP),
    step_from_call(_STEP),
    drop(
        "media",
        Reason.UNSUPPORTED,
        "a table without rows, or with two columns of one name, is not stored",
        "a table is a list of rows, each a mapping of its columns",
        lambda item: not is_table(item),
    ),
    step_from_call(_STEP, "media"),
)

PROJECTION = Projection(
    *_VALUES,
    sort_series("a history is sorted by time", "get_logs and get_metric_values have no other order", lambda point: point.time),
)

ARRIVAL = "the time is that of the arrival, and reads as 0"


def _arrival(on: str) -> Rule[Any]:
    why = "bulk_log of a server takes no time"
    return changed(on, Reason.TIMESTAMP, ARRIVAL, why, lambda item: item.time != 0, time=lambda item: 0)


SERVER = Projection(*_VALUES, _arrival("scalar"), _arrival("media"))
"""What a server keeps."""


@functools.lru_cache(1000)
def names(keys: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the keys of a call, which mostly come again."""
    return tuple(map(KEYS.encode, keys))


def label(text: str, allowed: str, refused: re.Pattern[str] | None = None, salt: str = "") -> str:
    """`text`, if it consists of `allowed` characters and names no folder's parent; else what is left of it, and a digest of all."""
    kept = "".join(char if re.fullmatch(allowed, char) else "_" for char in text)
    if not salt and kept == text and text.strip(". ") and len(text.encode()) <= 100 and not (refused and refused.match(text)):
        return text
    digest = hashlib.sha256(f"{text}\0{salt}".encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{kept.strip('. ')[:30] or '_'}-{digest}"


def project_name(project: str) -> str:
    """trackio names the file of a project by what it leaves of its name: a name that stays as it is."""
    return label(project or "default", r"[\w-]", RESERVED)


def file_name(name: str) -> str:
    return label(name, r"[\w .-]", UNSERVED)


def artifact_names(name: str, kind: str) -> tuple[str, str]:
    """The name of an artifact in trackio, and the one that it has if the first is taken by an artifact of another type."""
    return label(name, "[A-Za-z0-9._-]"), label(name, "[A-Za-z0-9._-]", salt=kind or "-")


def sidecar_name(run_id: str) -> str:
    return label(f"trackbridge-journal-{run_id}", "[A-Za-z0-9._-]")


def iso(time: int) -> str:
    """Nanoseconds as trackio writes a time, to the last digit."""
    return times.iso(time, "+00:00")


def shown(value: Any) -> Any:
    """`value` as JSON holds it; as a text with JSON where it would not come back from there, or is a text that reads like JSON."""
    return to_text(value) if isinstance(value, str) or not plain(value) else value


def told(held: Any) -> Any:
    """The inverse of :func:`shown`."""
    return from_text(held) if isinstance(held, str) else held


def plain(value: Any, depth: int = 0) -> bool:
    """Whether trackio's JSON gives `value` back."""
    if isinstance(value, dict | list):
        return depth < DEPTH and all(plain(item, depth + 1) for item in (value.values() if isinstance(value, dict) else value))
    if isinstance(value, int):
        return fits(value)
    return not isinstance(value, float) or value - value == 0.0
