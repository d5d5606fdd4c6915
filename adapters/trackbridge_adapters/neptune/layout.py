"""What of a run lies where among Neptune's attributes, in which form, and what is declared to change."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import msgspec

from trackbridge import projection
from trackbridge.deviations import Reason
from trackbridge.names import Names, from_text, to_text
from trackbridge.projection import MediaItem, Projection, changed, drop, scalar_rule, step_bounds, step_from_call, to_float

OWN, CONFIG, SUMMARY, ARTIFACTS, METADATA = "trackbridge/", "config/", "summary/", "artifacts/", "artifact_metadata/"
RUN_ID, PROJECT, JOB_TYPE, STATUS, START, END, POSITION, DIGEST, DEVIATIONS, ORIGINAL, JOURNAL, PROVENANCE = (
    OWN + word
    for word in (
        "run_id", "project", "job_type", "status", "start", "end", "position", "sidecar", "deviations", "names/", "journal", "provenance/",
    )
)  # fmt: skip
NAME, NOTES, TAGS, GROUPS, FAILED = (f"sys/{word}" for word in ("name", "description", "tags", "group_tags", "failed"))
SOURCE = {"script": "source_code/entrypoint", "commit": "source_code/commit/commit_id", "dirty": "source_code/dirty"}
"""Names that Neptune's own clients give to what they record of the source."""

JOURNAL_FILE = "journal.tbj.z"
NOT_CONFIG = ("sys/", "source_code/", "monitoring/", "runtime/")
"""What Neptune's own clients write, among the values of a run that we did not write."""

_TAKEN = "|".join(space.rstrip("/") for space in (OWN, CONFIG, SUMMARY, ARTIFACTS, METADATA, *NOT_CONFIG))
_TEXT = r"[^\x00-\x1f\x7f\ud800-\udfff]"


def size(text: str) -> int:
    """Bytes in UTF-8, by which Neptune measures."""
    return len(text.encode("utf-8", "surrogatepass"))


KEYS = Names(_TEXT, mark="·", max_length=850, measure=size, plain_path=True, reserved=f"({_TAKEN})(/|$)")
ENTRIES = Names(_TEXT, mark="·", max_length=850, measure=size, plain_path=True)
PARTS = Names(rf"(?!/){_TEXT}", mark="·", max_length=300, measure=size, plain_path=True)
PATHS = Names(_TEXT, mark="·", max_length=380, measure=size, plain_path=True)
"""An attribute's name has at most 1,024 bytes. PARTS and PATHS: type or name of an artifact, and the path of one of its files."""

STRING = "string"  # the suffix of the texts of a metric, which have no place among its numbers
KINDS = ("image", "figure", "audio", "video", "file")
BINS = 513  # edges of a histogram that neptune-scale takes


class Stored(msgspec.Struct, frozen=True):
    """A file that an attribute holds: at `path`, or its `data`. Neither is there when the client has uploaded it."""

    name: str
    path: Path | None = None
    data: bytes = b""

    def read(self) -> bytes:
        return self.path.read_bytes() if self.path else self.data


class Sets(msgspec.Struct, frozen=True):
    """What is added to a set of texts, and what is taken away."""

    add: list[str]
    remove: list[str] = []


class Gone(msgspec.Struct, frozen=True):
    """The attribute was taken away."""


class Held(msgspec.Struct, frozen=True):
    """One value of an attribute: of a series, or assigned. `value`: bool, int, float, str, a histogram (dict), Stored, Sets or Gone."""

    path: str
    value: Any
    series: bool = False
    step: int | None = None
    time: int = 0


class Source(Protocol):
    """One run as it lies on the disk."""

    run_id: str
    project: str
    name: str
    start: int

    def held(self, series: bool = True) -> Iterator[Held]:
        """What its attributes hold, in order; without the points of metrics if not `series`."""


def shown(value: Any, bits: int, finite: bool) -> Any:
    """`value` as Neptune's own type where it has one, else as a text with JSON. `bits` of an integer; `finite`: only such floats."""
    if type(value) is int:
        plain = -(2 ** (bits - 1)) <= value < 2 ** (bits - 1)
    else:
        plain = type(value) is bool or (type(value) is float and (not finite or math.isfinite(value)))
    return value if plain else to_text(value)


def whole_text(held: Any) -> Any:
    """`held`; where it was too long for an attribute, and lies in a file, its text."""
    return held.read().decode("utf-8", "surrogatepass") if isinstance(held, Stored) else held


def told(held: Any) -> Any:
    """The inverse of :func:`shown`."""
    held = whole_text(held)
    return from_text(held) if isinstance(held, str) else held


def whole(step: float | None) -> int | None:
    """A step of a run that others wrote may be a fraction, which no Record has."""
    return None if step is None or step != int(step) else int(step)


def file_name(name: str) -> str:
    """The last part of `name` without what file systems refuse."""
    return re.sub(r"[^\w .-]", "_", name.rpartition("/")[2])[-60:].strip(" .") or "file"


def suffix(kind: str, format: str) -> str:
    """The end of the name of an attribute that holds media in files, by which the Reader knows them."""
    if kind not in KINDS or not re.fullmatch(r"\w*", format):
        raise ValueError(f"{kind!r} with the format {format!r} is no value that Neptune has a place for")
    return f"{kind}.{format}" if format else kind


def bins(content: Any) -> tuple[list[float], list[Any]] | None:
    """Edges and counts (floats, if one is no integer) of what neptune-scale takes as a histogram."""
    if not isinstance(content, dict) or not 1 <= len(content["edges"]) <= BINS:
        return None
    counts = content["counts"]
    fit = all(type(count) is int and -(2**63) <= count < 2**63 for count in counts)
    return [to_float(edge) for edge in content["edges"]], list(counts) if fit else [to_float(count) for count in counts]


def as_json(histogram: Any) -> bytes:
    return json.dumps({"edges": histogram["edges"], "counts": histogram["counts"]}).encode()


def _floats(item: MediaItem) -> dict[str, list[Any]]:
    edges, counts = bins(item.content) or ([], [])
    return {"edges": edges, "counts": counts}


def _not_floats(item: MediaItem) -> bool:
    return item.kind == "histogram" and bins(item.content) is not None and not projection.same(_floats(item), item.content)


_NONE = drop("scalar", Reason.UNSUPPORTED, "None is not stored", "a series is of numbers or of texts", projection.is_none)
_NUMBERS = projection.numbers_become_floats("the client makes every number of a series a float")
STEPS = (0, 10**12 - 1)
_STEPS = "the client raises ValueError"

SCALE = Projection(
    _NONE,
    *_NUMBERS,
    step_bounds(*STEPS, _STEPS),
    step_from_call("a series of files, texts or histograms wants a step", "media"),
    step_bounds(*STEPS, _STEPS, "media"),
    changed(
        "media",
        Reason.RETYPED,
        "edges of a histogram become floats, and counts of which one is no integer densities",
        "a histogram has double edges and either whole counts or double densities",
        _not_floats,
        content=_floats,
    ),
)
"""neptune-scale, the client of Neptune 3."""

STRING_LIMIT = 1000
CLASSIC = Projection(
    _NONE,
    *_NUMBERS,
    drop(
        "scalar",
        Reason.NONFINITE,
        "NaN and infinities are not stored",
        "the client leaves them out of a series",
        lambda point: type(point.value) is float and point.value - point.value != 0.0,
    ),
    scalar_rule(
        Reason.TRUNCATED,
        f"a text is cut at {STRING_LIMIT} characters",
        "the client's limit for a value of a series",
        lambda point: type(point.value) is str and len(point.value) > STRING_LIMIT,
        value=lambda point: str(point.value)[:STRING_LIMIT],
    ),
    projection.time_to_float_seconds("the client writes a double of seconds"),
    projection.time_to_float_seconds("the client writes a double of seconds", "media"),
)
"""neptune 1.x, the client of Neptune 2."""
