"""What of a run lies where: its folder, its columns and files, the forms of values, and what is declared to change."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from trackbridge import projection
from trackbridge.deviations import Reason
from trackbridge.names import Names, from_text, to_text
from trackbridge.projection import FileItem, Projection
from trackbridge.records import Status

STEPS = 2**48  # the largest step that the client takes
MEDIA_BYTES = 10 << 20  # of a value that the client shows
SAFE = 2**53  # integers up to here are the same in every reader of JSON


class Keys(Names):
    """SwanLab cuts blanks, dots and slashes off both ends of a key."""

    def encode(self, key: str) -> str:
        name = super().encode(key)
        return name[:-1] + self._hex(name[-1]) if name[-1] in " ./" else name


OF = "•"  # parts the key and the kind in the name of a column; escaped in keys
KEYS = Keys(rf"[^\x00-\x1f\x7f{OF}]", mark="·", max_length=480, reserved=r"[ ./]|__swanlab__")
PARTS = Names(r"[\w .,=+@()-]", mark="%", max_length=100, measure=lambda name: len(name.encode()), plain_path=True, fold_case=True)
IDS = Names(r"[A-Za-z0-9_.-]", mark="~", max_length=64)
FOLDER = re.compile(r"run-\d{8}_\d{6}-(.+)")

OURS = "trackbridge/"
"""Begin of the names of our entries of the configuration."""

ID, PROJECT, TAGS, SUMMARY, DIGEST, NAMES = (OURS + word for word in ("id", "project", "tags", "summary/", "sidecar", "names"))
CONFIG = Names(r"[\s\S]", mark="·", reserved=OURS)
LIMITS = {"name": 512, "notes": 1024, "group": 512, "job_type": 512}
"""Characters that SwanLab takes; what is longer is whole in the configuration."""

STATES = {Status.FINISHED: "RUN_STATE_FINISHED", Status.FAILED: "RUN_STATE_CRASHED", Status.CRASHED: "RUN_STATE_ABORTED"}

STRING = "string"
INLINE = {"counts": ("echarts", "json"), "rows": ("echarts", "json"), "text": ("text", "txt")}
"""Where a value that lies inline is shown, and the ending of its file."""

SHOWN = {
    **{(kind, format): "image" for kind in ("image", "figure") for format in ("png", "jpg", "jpeg", "bmp")},
    ("image", "gif"): "image",
    ("video", "gif"): "image",
    ("audio", "wav"): "audio",
    ("figure", "html"): "html",
}
"""The folder in ``media`` of contents that SwanLab shows; the others are saved files."""


def column(key: str, kind: str = "", repeat: int = 0) -> str:
    """The column of `key` that holds values of this kind, and of repeated steps the value number `repeat`."""
    suffix = " ".join([kind] * bool(kind) + [str(repeat + 1)] * bool(repeat))
    return KEYS.encode(key) + (OF + suffix if suffix else "")


def parts(name: str) -> tuple[str, str, int]:
    """The inverse of :func:`column`, but for the key, which stays encoded."""
    key, _, suffix = name.partition(OF)
    kind, _, number = suffix.rpartition(" ")
    return (key, kind, int(number) - 1) if number.isdecimal() else (key, suffix, 0)


def _by_reference(item: Any) -> bool:
    return isinstance(item, FileItem) and not item.digest


_STEP = "the client drops what has a negative step, or one beyond 2**48"
_CALL = "a value has a step"
PROJECTION = Projection(
    projection.drop("scalar", Reason.UNSUPPORTED, "None is not stored", "a value is a number or a text", projection.is_none),
    *projection.numbers_become_floats("a value of a column is a double"),
    projection.step_bounds(0, STEPS, _STEP),
    projection.step_from_call(_CALL),
    projection.step_bounds(0, STEPS, _STEP, "media"),
    projection.step_from_call(_CALL, "media"),
    projection.drop("artifact", Reason.BY_REFERENCE, "a file by reference is not listed", "a saved file is uploaded", _by_reference),
)


def shown(value: Any) -> Any:
    """`value` as the configuration holds it; as a text with JSON where JSON would not give it back, or where a text reads like JSON."""
    return to_text(value) if value is None or isinstance(value, str) or not plain(value) else value


def told(held: Any) -> Any:
    """The inverse of :func:`shown`."""
    return from_text(held) if isinstance(held, str) else held


def plain(value: Any) -> bool:
    """Whether every reader of JSON gives `value` back."""
    if isinstance(value, dict | list):
        return all(map(plain, value.values() if isinstance(value, dict) else value))
    if isinstance(value, int):
        return -SAFE <= value <= SAFE
    return not isinstance(value, float) or value - value == 0.0


def encoded(format: str, inline: Any) -> bytes:
    """What lies inline as the file that SwanLab shows: a text, its own table, or a chart of bars."""
    if format == "text":
        return str.encode(inline)
    if format == "rows":
        columns = inline["columns"]
        if len(set(columns)) < len(columns):
            raise ValueError("the table has two columns of one name")
        rows = [dict(zip(columns, map(shown, row), strict=True)) for row in inline["rows"]]
        return _json({"_swanLab": "table", "colDefs": [{"field": name} for name in columns], "rowData": rows})
    edges, counts = inline["edges"], inline["counts"]
    if len(edges) != len(counts) + 1:
        raise ValueError("a histogram has one edge more than counts")
    source = [list(row) for row in zip(edges, edges[1:], counts, strict=False)]
    bars = {"type": "bar", "encode": {"x": "from", "y": "count", "tooltip": ["from", "to", "count"]}, "barCategoryGap": "0%"}
    chart = {
        "dataset": {"dimensions": ["from", "to", "count"], "source": source},
        "xAxis": {"type": "category"},
        "yAxis": {},
        "series": [bars],
    }
    return _json(chart | {"tooltip": {}})


def decoded(format: str, data: bytes) -> Any:
    """The inverse of :func:`encoded`."""
    if format == "text":
        return data.decode()
    held = json.loads(data)
    if format == "rows":
        columns = [one["field"] for one in held["colDefs"]]
        return {"columns": columns, "rows": [[told(row[name]) for name in columns] for row in held["rowData"]]}
    source = held["dataset"]["source"]
    return {"edges": [*(row[0] for row in source), source[-1][1]] if source else [], "counts": [row[2] for row in source]}


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


def project_name(project: str) -> str:
    """A name that SwanLab takes; where it is another than `project`, the configuration tells that."""
    kept = re.sub(r"[^0-9a-zA-Z_+.-]", "_", project or "default")
    if kept == (project or "default") and len(kept) <= 100:
        return kept
    return f"{kept[:60]}-{hashlib.sha256(project.encode()).hexdigest()[:8]}"


def new_folder(location: Path, run_id: str, start: int) -> Path:
    return location / f"run-{datetime.fromtimestamp(start // 10**9, UTC):%Y%m%d_%H%M%S}-{IDS.encode(run_id)}"


def folders(location: Path) -> Iterator[tuple[Path, str]]:
    """(folder, id) of the runs below `location`."""
    for path in sorted(location.glob("run-*")):
        if (match := FOLDER.fullmatch(path.name)) and next(path.glob("run-*.swanlab"), None):
            yield path, match[1]


def find(location: Path, run_id: str) -> Path | None:
    return next((folder for folder, name in folders(location) if name == IDS.encode(run_id)), None)


@functools.cache
def client() -> SimpleNamespace:
    """SwanLab's store and messages, imported when they are first needed."""
    from swanlab.proto.swanlab.metric.column.v1 import column_pb2
    from swanlab.proto.swanlab.metric.data.v1 import data_pb2
    from swanlab.proto.swanlab.record.v1 import record_pb2
    from swanlab.proto.swanlab.run.v1 import run_pb2
    from swanlab.proto.swanlab.save.v1 import save_pb2
    from swanlab.sdk.internal.core_python import store
    from swanlab.sdk.internal.core_python.pkg import builder
    from swanlab.sdk.internal.pkg import adapter
    from swanlab.sdk.internal.run.components.config import revert_config, writer

    found: dict[str, Any] = {"builder": builder, "medium": adapter.medium, "revert_config": revert_config, "config": writer}
    for module in (column_pb2, data_pb2, record_pb2, run_pb2, save_pb2, store):
        found |= {name: item for name, item in vars(module).items() if name[:1].isupper()}
    return SimpleNamespace(**found)


def messages(folder: Path) -> Iterator[bytes]:
    """The whole messages of the run's log. A torn or damaged one ends it."""
    path = next(folder.glob("run-*.swanlab"), None)
    if path is None:
        return
    reader = client().DataStoreReader()
    try:
        reader.open(path)
        while (message := reader.scan()) is not None:
            yield message
    except (client().DataStoreError, AssertionError, IndexError, struct.error):
        return
    finally:
        if reader._fp is not None:
            reader.close()


def config(folder: Path) -> dict[str, Any]:
    import yaml

    path = folder / "files" / "config.yaml"
    found = yaml.safe_load(path.read_text("utf-8")) if path.is_file() else None
    return dict(client().revert_config(found or {}))
