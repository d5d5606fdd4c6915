"""What of a run lies where: folders, tags and dashboards, texts that hold values, and what is declared to change."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from trackbridge import projection
from trackbridge.deviations import Reason
from trackbridge.names import Names, from_text, to_text
from trackbridge.normal import content
from trackbridge.projection import MediaItem, Projection, to_float
from trackbridge.records import Config, Define, Deviations, Media, Rewind, RunInfo, Summary, Tags
from trackbridge_adapters.tensorboard.events import OURS, frames, protobuf

TAGS = Names(allowed=r"[\s\S]", mark="·", reserved="(trackbridge|_hparams_)/")  # no tag of a metric looks like `key·text`, one of another
FOLDERS = Names(allowed=r"[\w .,=+@()-]", mark="%", max_length=100, measure=lambda name: len(name.encode()), plain_path=True)
BESIDE = "trackbridge"  # our folder in the run's, which TensorBoard does not take for a run, and the first part of our own tags

DASHBOARDS = {
    **{
        f"{kind}.{format}": ("images", kind, format)
        for kind in ("image", "figure")
        for format in ("png", "jpg", "jpeg", "gif", "webp", "bmp")
    },
    "video.gif": ("images", "video", "gif"),
    "audio.wav": ("audio", "audio", "wav"),
    "histogram": ("histograms", "histogram", "counts"),
    "table": ("text", "table", "rows"),
    "text": ("text", "text", "text"),
}
"""Media of `key` have the tag ``key·<this>``: the dashboard that shows them, their kind and their format."""

SUFFIXES = {(kind, format): suffix for suffix, (_, kind, format) in DASHBOARDS.items()}
STRING = "string"  # the suffix of the texts of a metric, which have no place among its numbers

TEXTS: dict[str, type[Config | Summary | Tags | Define | Rewind | Deviations]] = {
    "config": Config,
    "summary": Summary,
    "tags": Tags,
    "define": Define,
    "rewind": Rewind,
    "deviations": Deviations,
}
"""Records that are shown as JSON in the text dashboard, under the tag ``trackbridge/<this>``."""


def in_range(step: int | None) -> bool:
    return step is None or -(2**63) <= step < 2**63


def bins(inline: Any) -> list[float]:
    """Left edge, right edge and count of each bin; [] for what is no histogram, or has no bin."""
    edges, counts = (inline.get(name) or () for name in ("edges", "counts")) if isinstance(inline, dict) else ((), ())
    if len(edges) != len(counts) + 1:
        return []
    return [to_float(number) for row in zip(edges, edges[1:], counts, strict=False) for number in row]


def histogram(numbers: Any) -> dict[str, list[float]]:
    """The inverse of :func:`bins`."""
    return {"edges": [*numbers[::3], numbers[-2]], "counts": list(numbers[2::3])}


def cells(inline: Any) -> list[list[str]]:
    """The head and the rows of a table as texts; [] for what is none, or has no columns."""
    rows = [inline.get("columns") or [], *inline.get("rows", [])] if isinstance(inline, dict) else [[]]
    if not rows[0] or any(len(row) != len(rows[0]) for row in rows):
        return []
    return [[to_text(cell) for cell in row] for row in rows]


def table(texts: list[str], width: int) -> dict[str, list[Any]]:
    """The inverse of :func:`cells`, from all cells in order."""
    values = [from_text(text) for text in texts]
    head, *rows = (values[start : start + width] for start in range(0, len(values), width))
    return {"columns": head, "rows": rows}


def fenced(value: Any) -> bytes:
    """`value` as JSON that the text dashboard shows as it is."""
    return f"```json\n{json.dumps(value, indent=2, ensure_ascii=False)}\n```".encode()


def unfenced(text: bytes) -> Any:
    """The inverse of :func:`fenced`."""
    return json.loads(text.decode().removeprefix("```json").removesuffix("```"))


def shown(item: MediaItem) -> bool:
    """Whether a dashboard has a place for `item`, whose content is a digest where it lies in a file."""
    suffix = SUFFIXES.get((item.kind, item.format))
    if suffix is None or not in_range(item.step):
        return False
    if suffix == "histogram":
        return bool(bins(item.content))
    if suffix == "table" and isinstance(item.content, dict):
        return bool(cells(item.content))
    return isinstance(item.content, str) and (item.content != "" or suffix == "text")


def _floats(item: MediaItem) -> Any:
    return content(Media(0, 0, None, "", item.kind, item.format, histogram(bins(item.content))))


_STEP = "an event has a step, a 64-bit integer, by which dashboards order"
TIME = projection.time_to_float_seconds("the time of an event is a double")
NO_DASHBOARD = projection.drop(
    "media",
    Reason.UNSUPPORTED,
    "videos other than GIF, sounds other than WAV, HTML figures, files, histograms and tables without a column, histograms over 1 MiB, files "
    "over 64 MiB, and what has a step beyond 64 bits: a text names it, and the file lies in trackbridge/files in the run's folder",
    "no dashboard shows it",
    lambda item: not shown(item),
)
PROJECTION = Projection(
    projection.drop("scalar", Reason.UNSUPPORTED, "None is not stored", "a scalar is a tensor of one number", projection.is_none),
    *projection.numbers_become_floats("the tensor of a scalar holds a float32, which is drawn, and a float64"),
    projection.step_bounds(-(2**63), 2**63 - 1, _STEP),
    projection.step_from_call(_STEP),
    TIME,
    NO_DASHBOARD,
    projection.changed(
        "media",
        Reason.RETYPED,
        "edges and counts of a histogram become floats",
        "the histograms dashboard takes a tensor of float64",
        lambda item: item.kind == "histogram" and any(type(n) is not float for part in item.content.values() for n in part),
        content=_floats,
    ),
    projection.step_from_call(_STEP, "media"),
    projection.time_to_float_seconds(TIME.why, "media"),
    projection.drop(
        "artifact",
        Reason.UNSUPPORTED,
        "a text names the artifact, and its files lie in trackbridge/files in the run's folder",
        "TensorBoard has no artifacts",
    ),
)


def texts(folder: Path, *names: str) -> Iterator[tuple[str, Any]]:
    """What the text dashboard shows under the tags ``trackbridge/<name>``, without reading the points."""
    wanted = {f"trackbridge/{name}": name for name in names}
    for path in sorted(folder.iterdir()):
        for _, data in frames(path) if OURS.fullmatch(path.name) else ():
            if b"trackbridge/" in data:
                for value in protobuf().Event.FromString(data).summary.value:
                    if value.tag in wanted:
                        yield wanted[value.tag], unfenced(value.tensor.string_val[0])


def info(folder: Path) -> RunInfo | None:
    """The run that the texts in `folder` describe; None where there are none."""
    found = dict(texts(folder, "run", "tags"))
    if "run" not in found:
        return None
    run = msgspec.convert(found["run"], RunInfo)
    return msgspec.structs.replace(run, tags=tuple(found.get("tags", run.tags)))


def folders(location: Path) -> Iterator[Path]:
    """The folders below `location` that TensorBoard takes for runs."""
    for folder, below, files in os.walk(location):
        below[:] = sorted(name for name in below if name != BESIDE)
        if any("tfevents" in name for name in files):
            yield Path(folder)


def find(location: Path, run_id: str) -> tuple[Path, RunInfo] | None:
    """The folder of a run that we wrote, and its description."""
    for pattern in ("*", "*/*"):
        for folder in sorted(location.glob(f"{pattern}-{FOLDERS.encode(run_id)}")):
            found = info(folder)
            if found is not None and found.id == run_id:
                return folder, found
    return None
