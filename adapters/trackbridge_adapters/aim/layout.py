"""What of a run lies where in Aim, in which form, and what is declared to change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trackbridge.deviations import Reason
from trackbridge.names import Names
from trackbridge.projection import (
    FileItem,
    MediaItem,
    Projection,
    bools_become_integers,
    changed,
    drop,
    is_none,
    merge_repeats,
    scalar_rule,
    sort_series,
    step_bounds,
    step_from_call,
    time_to_float_seconds,
    to_float,
)

OURS, SUMMARY = "trackbridge", "summary"  # parameters
KEYS = Names(r"[\s\S]", mark="·", reserved=rf"__|({OURS}|{SUMMARY})$")  # Aim cannot read an empty key; `__...` are its own
NESTED = Names(r"[\s\S]", mark="·")
SYSTEM = {
    "system/cpu_utilization_percentage": "__system__cpu",
    "system/system_memory_usage_percentage": "__system__memory_percent",
    "system/disk_usage_percentage": "__system__disk_percent",
}
"""System metrics that Aim's tab System shows, and the names that it knows them by; it shows no others."""

_SYSTEM_KEYS = {name: key for key, name in SYSTEM.items()}


class Sequences(Names):
    """Names of sequences: those of Aim's own where it has one."""

    def encode(self, key: str) -> str:
        return SYSTEM.get(key) or super().encode(key)

    def decode(self, name: str, originals: Mapping[str, str] | None = None) -> str:
        return _SYSTEM_KEYS.get(name) or super().decode(name, originals)


SEQUENCES = Sequences(KEYS.allowed, KEYS.mark, reserved=KEYS.reserved)
PARTS = Names(r"[\w .,=+@()-]", mark="%", max_length=100, measure=lambda name: len(name.encode()), plain_path=True, fold_case=True)
ARTIFACTS = Path(".aim", "artifacts")
JSON = "json:"
"""Begins the text of what a parameter cannot hold, and of a text that begins so."""

TEXT, STRING = "text", "string"
OBJECTS = ("images", "audios", "texts", "distributions")
"""Aim's types of sequences of objects."""

TEXTS = {"histogram.json": ("histogram", "counts"), "table.json": ("table", "rows")}
"""Types of texts of JSON: what Aim has no object for."""

BINS = 512  # of a distribution


def in_range(number: int) -> bool:
    return -(2**63) <= number < 2**63


def run_hash(run_id: str) -> str:
    """Aim makes up the hash of a run: 24 hexadecimal digits. Ours are those that come again for the same run."""
    return hashlib.sha256(run_id.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def context(kind: str = "", repeat: int = 0) -> dict[str, Any]:
    """What tells sequences of one name apart: the type of what it holds, and for repeated steps the number of the repeat."""
    return ({"type": kind} if kind else {}) | ({"repeat": repeat} if repeat else {})


def is_even(edges: Any) -> bool:
    """Whether all bins are of one width: Aim knows only the first and the last edge."""
    width = (edges[-1] - edges[0]) / (len(edges) - 1)
    return all(edge == number * width + edges[0] for number, edge in enumerate(edges[:-1]))


def is_distribution(inline: Any) -> bool:
    """Whether Aim's distribution gives the histogram `inline` back, but for the type of its edges."""
    edges, counts = inline["edges"], inline["counts"]
    if len(edges) != len(counts) + 1 or not 1 <= len(counts) <= BINS:
        return False
    kinds = set(map(type, counts))
    return (kinds == {float} or (kinds == {int} and all(map(in_range, counts)))) and is_even(edges)


def _integer_edges(item: MediaItem) -> bool:
    inline = item.content
    if item.kind != "histogram" or not isinstance(inline, dict) or not is_distribution(inline):
        return False
    return any(type(edge) is not float for edge in inline["edges"])


_STEP = "a step is an integer of 64 bits"
_TIME = "a time is a double"
_RULES = (
    drop("scalar", Reason.UNSUPPORTED, "None is not stored", "a value is a number or an object", is_none),
    bools_become_integers("its tracker makes an integer of it"),
    scalar_rule(
        Reason.RETYPED,
        "an integer beyond 64 bits becomes a float",
        "its encoding of an integer has 64 bits",
        lambda point: type(point.value) is int and not in_range(point.value),
        value=lambda point: to_float(point.value),
    ),
    step_bounds(-(2**63), 2**63 - 1, _STEP),
    step_from_call(_STEP),
    time_to_float_seconds(_TIME),
    merge_repeats(
        "equal points of one step and time are one",
        "Aim has no order of points but the step: a point is known by step, time and value",
        lambda point: (point.step, point.time, type(point.value), repr(point.value)),
    ),
    sort_series(
        "a history is sorted by step and time", "Aim stores points by a hash of their step", lambda point: (point.step, point.time)
    ),
    changed(
        "media",
        Reason.RETYPED,
        "integer edges of an even histogram become floats",
        "a distribution has the first and the last edge alone",
        _integer_edges,
        content=lambda item: item.content | {"edges": list(map(float, item.content["edges"]))},
    ),
    step_from_call(_STEP, "media"),
    time_to_float_seconds(_TIME, "media"),
)
PROJECTION = Projection(
    *_RULES,
    drop(
        "artifact",
        Reason.BY_REFERENCE,
        "a file by reference is not listed",
        "an artifact is a file in the artifact store",
        lambda item: isinstance(item, FileItem) and not item.digest,
    ),
)

INLINE = {"counts", "rows", "text"}
PICTURES = ("image", "figure", "video"), ("png", "jpeg", "jpg", "gif", "webp", "bmp", "tiff")
SOUNDS = ("audio",), ("mp3", "wav", "flac")
_FILES = "a server of Aim takes no files: artifacts go to a store that each client reaches by itself"


def is_object(item: MediaItem) -> bool:
    """Whether Aim has an object for `item`."""
    return item.format in INLINE or any(item.kind in kinds and item.format in formats for kinds, formats in (PICTURES, SOUNDS))


SERVER = Projection(
    *_RULES,
    drop(
        "media",
        Reason.UNSUPPORTED,
        "what is no picture, sound, histogram, table or text is not stored",
        _FILES,
        lambda item: not is_object(item),
    ),
    drop("artifact", Reason.UNSUPPORTED, "artifacts are not stored", _FILES),
)
"""What a server keeps."""


def shown(value: Any) -> Any:
    """`value` as a parameter holds it."""
    if isinstance(value, dict):
        return {NESTED.encode(key): shown(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shown(item) for item in value]
    if (isinstance(value, int) and not in_range(value)) or (isinstance(value, str) and value.startswith(JSON)):
        return JSON + json.dumps(value, ensure_ascii=False)
    return value


def told(held: Any) -> Any:
    """The inverse of :func:`shown`."""
    if isinstance(held, dict):
        return {NESTED.decode(key): told(item) for key, item in held.items()}
    if isinstance(held, list | tuple):
        return [told(item) for item in held]
    return json.loads(held.removeprefix(JSON)) if isinstance(held, str) and held.startswith(JSON) else held
