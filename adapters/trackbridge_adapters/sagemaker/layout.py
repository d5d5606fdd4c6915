"""What of a run lies where in SageMaker and S3, in which form, and what is declared to change."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable
from typing import Any

from trackbridge import projection
from trackbridge.deviations import Reason
from trackbridge.names import Names, from_text, to_text
from trackbridge.projection import Point, Projection, scalar_rule

METRICS, QUERIES, PARAMETERS, ARTIFACTS = 10, 100, 300, 60
"""How many the service takes: metrics and queries of a call, parameters and output artifacts of a component."""

NAME_LENGTH, TEXT_LENGTH, POINTER_KEY, POINTER, LAST_STEP = 255, 2500, 128, 2048, 2**31 - 1
OLDEST, NEWEST = 14 * 86_400, 2 * 3600
"""Seconds in the past and the future from which the service takes the time of a metric."""

_ODD = r"\x00-\x1f\x7f\x85\u2028\u2029\ud800-\udfff"
ODD = re.compile(f"[{_ODD}]")
"""Characters that end a line, which the service's patterns refuse, or that are none."""


def units(text: str) -> int:
    """The length of `text` in units of UTF-16."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _bytes(text: str) -> int:
    return len(text.encode())


KEYS = Names(f"[^{_ODD}]", mark="·", max_length=NAME_LENGTH, measure=units)
ENTRIES = Names(f"[^{_ODD}]", mark="·", max_length=NAME_LENGTH, measure=units, reserved="(summary|trackbridge)/")
SUMMARY, SUMMARIES = "summary/", Names(f"[^{_ODD}]", mark="·", max_length=NAME_LENGTH - len("summary/"), measure=units)
PARTS = Names(r"[\w .()-]", mark="~", max_length=150, measure=_bytes, plain_path=True)
PATHS = Names(r"[\w/ .()-]", mark="~", max_length=500, measure=_bytes, plain_path=True)
ENCODINGS = (KEYS, ENTRIES, SUMMARIES, PARTS, PATHS)

OWN = "trackbridge/"
RUN_ID, TAGS, DIGEST, DEVIATIONS, ORIGINAL = (OWN + word for word in ("run_id", "tags", "sidecar", "deviations", "key/"))
FIELDS = ("name", "project", "group", "job_type", "notes")
STATUS = {"running": "InProgress", "finished": "Completed", "failed": "Failed", "crashed": "Stopped"}

REST, JOURNAL = "parameters.json", "journal.tbj.z"
MEDIA, FILES, REFERENCES = "media/", "artifacts/", "references/"
"""Folders below the run's own in S3: media, files of artifacts, and the addresses of those that were logged by reference."""

INLINE = {"histogram": ("counts", "json"), "table": ("rows", "json"), "text": ("text", "txt")}
"""Kinds that are not files: the format, and how the object's name ends."""

KINDS = {*INLINE, "image", "figure", "audio", "video", "file"}

_DOUBLE = "the value of a metric is a double"
_AXIS = "batch_get_metrics answers by step"


def _nonfinite(point: Point) -> bool:
    return type(point.value) is float and not math.isfinite(point.value)


PROJECTION = Projection(
    projection.drop("scalar", Reason.UNSUPPORTED, "None is not stored", _DOUBLE, projection.is_none),
    projection.drop("scalar", Reason.UNSUPPORTED, "text is not stored as a metric", _DOUBLE, projection.is_text),
    *projection.numbers_become_floats(_DOUBLE),
    projection.drop(
        "scalar",
        Reason.NONFINITE,
        "NaN and infinities are not stored",
        "a request is JSON, which has none; the vendor's SDK drops them too",
        _nonfinite,
    ),
    projection.step_bounds(0, LAST_STEP, "a step is an integer of 32 bits that is not negative"),
    projection.step_from_call(f"{_AXIS}, and a metric without one is not among them"),
    scalar_rule(
        Reason.TIMESTAMP,
        "the time of a point is not told again: it reads as 0",
        f"{_AXIS}, without times",
        lambda point: point.time != 0,
        time=lambda point: 0,
    ),
    projection.merge_repeats(
        "of the values of a step the last one counts", _AXIS + ", with one statistic of its values", lambda point: point.step
    ),
    projection.sort_series("a history is sorted by step", _AXIS, lambda point: point.step),
)


def entity(text: str, salt: str = "") -> str:
    """A name for SageMaker: letters, digits and dashes. `text` itself where it is one, else what is left of it, and a digest."""
    kept = re.sub("[^A-Za-z0-9]+", "-", text).strip("-")
    if kept == text and 0 < len(text) <= 120 and not salt:
        return text
    digest = hashlib.sha256(f"{text}\0{salt}".encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{kept[:100].strip('-')}-{digest}".strip("-")


def component(run_id: str) -> str:
    """The trial component of a run. Metrics are put only under a name in lower case."""
    return run_id if entity(run_id) == run_id.lower() else entity(run_id.lower(), run_id)


def trial(project: str, group: str) -> str:
    """The trial of a group, whose name is unique in the account; that of the SDK for runs without one."""
    return entity(f"{project} {group}", "group") if group else f"Default-Run-Group-{entity(project)}"[:120].rstrip("-")


def text(value: Any) -> str:
    """`value` for people, on one line: a plain text as it is, else as JSON."""
    found = to_text(value)
    return json.dumps(value).replace("\x7f", "\\u007f") if ODD.search(found) else found


def parameter(value: Any) -> dict[str, Any] | None:
    """`value` as a parameter, from which it comes back; None where it is too long for one. A whole number is an int, so a whole float is a text."""
    if type(value) is int and abs(value) <= 2**53:
        return {"NumberValue": float(value)}
    if type(value) is float and math.isfinite(value) and not value.is_integer():
        return {"NumberValue": value}
    found = text(value)
    return {"StringValue": found} if units(found) <= TEXT_LENGTH else None


def told(held: dict[str, Any]) -> Any:
    """The inverse of :func:`parameter`."""
    if "StringValue" in held:
        return from_text(held["StringValue"])
    number = held["NumberValue"]
    return int(number) if number.is_integer() else number


def fitting(entries: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """`entries` as the parameters that a component has room for, and those that are left, which go to a file."""
    parameters, rest = dict[str, Any](), dict[str, Any]()
    for name, value in entries.items():
        form = parameter(value) if len(parameters) < PARAMETERS else None
        if form is None:
            rest[name] = value
        else:
            parameters[name] = form
    return parameters, rest


def mark(key: str) -> str:
    """The name under which the original of a shortened name is told."""
    return ORIGINAL + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def originals(keys: Iterable[str]) -> dict[str, str]:
    """The keys of the names that had to be shortened."""
    return {encoding.encode(key): key for key in keys for encoding in ENCODINGS}
