"""What W&B makes of a run: the names that it takes, and the rules of what changes."""

from __future__ import annotations

import hashlib
import math
import re
from typing import Any

from trackbridge.deviations import Reason
from trackbridge.names import Names
from trackbridge.projection import Projection, Rule, changed, is_int, scalar_rule, step_from_call, time_to_float_seconds, to_float

STEP = "trackbridge/step"
"""Column that the charts use as their axis."""

KEYS = Names(r"[\s\S]", mark="·", reserved="_|trackbridge/|wandb_version$")  # the client drops an empty key and keeps `_...` for itself
PARTS = Names(r"[\w ,=+@()/.-]", "·", 120, lambda name: len(name.encode()), plain_path=True)  # of the names of the files of media
PROJECTS = Names(r"[^/\\#?%:\x00-\x1f]", mark="~", max_length=128)
PATHS = Names(r"[^\\:\x00-\x1f]", mark="~", plain_path=True)  # in an artifact
LENGTHS = {"project": 128, "name": 128, "group": 128, "job_type": 64}
"""Characters of a run's description that the server takes; a longer one is whole in the configuration."""

TAG_LENGTH = 64
LARGEST = 1.7976931348623157e308
_JSON = "the client writes JSON without it"


def artifact_name(name: str, reserved: str = "$.") -> str:
    """`name` itself where W&B takes it as the name or type of an artifact; else, and where it looks like one of ours, with ``_`` for what
    is refused and a digest, so that no two become one."""
    clean = re.sub(r"[^A-Za-z0-9_.-]|^(?=wandb-)", "_", name)[:100]
    if clean == name and not re.fullmatch(rf"\.*|.*-[0-9a-f]{{12}}|{reserved}", name):
        return name
    return f"{clean}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def artifact_type(name: str) -> str:
    return artifact_name(name, "job|run_table|code")


def is_big(value: Any) -> bool:
    """Whether an integer is beyond 64 bits."""
    return not -(2**63) <= value < 2**63


def column_step(step: int) -> int | float:
    """What the column holds of a step."""
    return max(-LARGEST, min(LARGEST, to_float(step))) if is_big(step) else step


def _is_big_step(item: Any) -> bool:
    return item.step is not None and int(column_step(item.step)) != item.step


def _big_steps(on: str) -> Rule[Any]:
    return changed(
        on,
        Reason.STEP_CHANGED,
        "a step beyond 64 bits is rounded to a double",
        "the client's own process reads such a number as a double",
        _is_big_step,
        step=lambda item: int(column_step(item.step)),
    )


def _nulls(value: Any) -> Any:
    """`value` with None for each NaN."""
    if isinstance(value, dict):
        return {key: _nulls(item) for key, item in value.items()}
    if isinstance(value, list):
        return list(map(_nulls, value))
    return None if value != value else value


def _has_nan(value: Any) -> bool:
    if isinstance(value, dict | list):
        return any(map(_has_nan, value.values() if isinstance(value, dict) else value))
    return isinstance(value, float) and math.isnan(value)


def _nan(on: str) -> Rule[Any]:
    return changed(on, Reason.NONFINITE, "NaN becomes null", _JSON, lambda entry: _has_nan(entry.value), value=lambda e: _nulls(e.value))


def histogram(content: dict[str, Any]) -> dict[str, Any]:
    """Edges and counts as they are read from the JSON of the client's own process."""
    return {"edges": list(map(to_float, content["edges"])), "counts": list(map(_count, content["counts"]))}


def _count(value: Any) -> int | float:
    if isinstance(value, float):
        return int(value) if value.is_integer() and not is_big(value) else value
    return to_float(value) if is_big(value) else int(value)


def _changes(item: Any) -> bool:
    if item.kind != "histogram" or not isinstance(item.content, dict):
        return False
    return repr(histogram(item.content)) != repr({"edges": item.content["edges"], "counts": item.content["counts"]})


def _tags(tags: frozenset[str]) -> frozenset[str]:
    return frozenset(tag[:TAG_LENGTH] for tag in tags if tag)


BIG_INTEGER = scalar_rule(
    Reason.RETYPED,
    "an integer beyond 64 bits becomes a float",
    "the client's own process reads such a number as a double",
    lambda point: is_int(point) and is_big(point.value),
    value=lambda point: to_float(point.value),
)
NO_STEP = step_from_call("a row without the column of the charts' axis is in no chart")
BIG_STEP = _big_steps("scalar")
TIME = time_to_float_seconds("the column _timestamp is a double of seconds")
TAGS: Rule[frozenset[str]] = Rule(
    "tags",
    Reason.TRUNCATED,
    f"a tag is cut at {TAG_LENGTH} characters, an empty one left out",
    "the server refuses a run that has another",
    lambda tags: tags if _tags(tags) == tags else _tags(tags),
)
PROJECTION = Projection(
    BIG_INTEGER,
    NO_STEP,
    BIG_STEP,
    TIME,
    _nan("config"),
    _nan("summary"),
    TAGS,
    step_from_call("a row without the column of the charts' axis is in no chart", "media"),
    time_to_float_seconds("the column _timestamp is a double of seconds", "media"),
    changed(
        "media",
        Reason.RETYPED,
        "a histogram's edges become floats, its whole counts integers (floats beyond 64 bits)",
        "the client's own process writes 1.0 as 1 in a list",
        _changes,
        content=lambda item: histogram(item.content),
    ),
)
