"""What of a run lies where in its folder, and in which form."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import math
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from trackbridge.names import Names, from_text, to_text

SERIES, CONFIG, SUMMARY, LATEST, ABOUT = "series.csv", "config.json", "summary.json", "metrics.json", "description.json"
PAGE, TEXT = "page.html", "description.md"
MEDIA, ARTIFACTS = "media/index.csv", "artifacts/index.csv"
TABLES = {
    SERIES: ("time_ns", "step", "key", "value"),
    MEDIA: ("time_ns", "step", "key", "kind", "format", "path", "meta"),
    ARTIFACTS: ("time_ns", "artifact", "version", "type", "file", "bytes", "path", "uri", "metadata"),
}
"""The files that grow, and their columns."""

UNFINISHED, SCRATCH, COMPONENT, RUN, OUTPUT = "unfinished", ".trackbridge", "trackbridge", "run", "executor_output.json"
DESCRIPTION = ("id", "name", "project", "group", "job_type", "notes", "tags", "status")
DIGEST, DEVIATIONS, STARTED, ENDED = "sidecar", "deviations", "started", "ended"


def _bytes(text: str) -> int:
    return len(text.encode())


PARTS = Names(r"[\w .()-]", mark="~", max_length=120, measure=_bytes, plain_path=True, fold_case=True, reserved=r"index\.csv")


def path(name: str) -> str:
    """A relative path that file systems take, part by part."""
    return "/".join(map(PARTS.encode, name.split("/")))


def cell(value: Any) -> str:
    """A metric's value as JSON, a text as it is unless it reads like JSON.

    Raises:
        TypeError: it is none.
    """
    if type(value) not in (float, int, bool, str) and value is not None:
        raise TypeError(f"{type(value).__name__} is no value of a metric")
    return quoted(to_text(value))


def quoted(text: str) -> str:
    """`text` as a cell of a table."""
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\r\n') else text


def row(cells: Iterable[Any]) -> str:
    """A row of a table; None is an empty cell."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()


def rows(path: Path) -> Iterator[list[str]]:
    """The rows of a table after its head; a last one that is not whole is left out."""
    csv.field_size_limit(sys.maxsize)
    if not path.exists():
        return
    with path.open(encoding="utf-8", newline="\n") as file, contextlib.suppress(csv.Error):
        found = csv.reader((line for line in file if line.endswith("\n")), strict=True)
        next(found, None)
        yield from found


def shown(value: Any) -> Any:
    """`value` for strict JSON: as it is where it comes back from there, else as a text with JSON, as is a text that reads like JSON.

    Raises:
        TypeError: JSON has no form for it.
    """
    if isinstance(value, dict):
        return {name: shown(inner) for name, inner in value.items()}
    return value if not isinstance(value, str) and _strict(value) else to_text(value)


def told(held: Any) -> Any:
    """The inverse of :func:`shown`."""
    if isinstance(held, dict):
        return {name: told(inner) for name, inner in held.items()}
    return from_text(held) if isinstance(held, str) else held


def _strict(value: Any) -> bool:
    if isinstance(value, dict | list | tuple):
        return all(map(_strict, value.values() if isinstance(value, dict) else value))
    return value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))


def dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False).encode()


def load(path: Path) -> Any:
    """What a file of JSON holds; {} where there is none."""
    return json.loads(path.read_bytes()) if path.is_file() else {}


def metadata(value: Any) -> Any:
    """`value` as the metadata of an artifact, which are doubles, texts and bools: one NaN there makes all outputs of a task unreadable."""
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) <= 2**53) or (isinstance(value, float) and math.isfinite(value)):
        return value
    return value if isinstance(value, str) else to_text(value)


def inline(kind: str, value: Any) -> tuple[bytes, str]:
    """The file of what is no file, and how its name ends.

    Raises:
        ValueError: it is not what its kind says.
    """
    if kind == "text":
        return value.encode(), "txt"
    if kind == "histogram":
        if len(value["edges"]) != len(value["counts"]) + 1:
            raise ValueError("a histogram has one edge more than counts")
        return dump(shown({"edges": value["edges"], "counts": value["counts"]})), "json"
    if kind != "table":
        raise ValueError(f"{kind!r} is no kind of value that we know")
    table = [value["columns"], *value["rows"]]
    if any(len(cells) != len(table[0]) for cells in table):
        raise ValueError("a row of the table has another length than its head")
    return "".join(row(map(to_text, cells)) for cells in table).encode(), "csv"


def outline(kind: str, data: bytes) -> Any:
    """The inverse of :func:`inline`."""
    if kind == "text":
        return data.decode()
    if kind == "histogram":
        return told(json.loads(data))
    csv.field_size_limit(sys.maxsize)
    head, *body = csv.reader(io.StringIO(data.decode(), newline=""))
    return {"columns": list(map(from_text, head)), "rows": [list(map(from_text, cells)) for cells in body]}


def tasks(root: Path, name: str) -> list[Path]:
    """The folders of the tasks of our component that put out the run in the folder `name`, or were about to, the oldest first."""
    return [path.parents[2] for path in sorted(root.glob(f"{COMPONENT}-*/{COMPONENT}/{RUN}/{name}/{ABOUT}"))]


def finished(root: Path) -> Iterator[Path]:
    """The folders of runs in outputs of tasks below a pipeline root, the oldest first.

    The outputs are told by KFP; where the root was moved, they are beside its file.
    """
    files = sorted(root.glob(f"*/*/{OUTPUT}"))
    if not files:
        return
    from google.protobuf.json_format import ParseError
    from kfp.local.executor_output_utils import load_executor_output

    for file in files:
        try:
            outputs = load_executor_output(str(file))
        except ParseError:  # KFP itself cannot read the outputs of this task
            continue
        for name, found in outputs.artifacts.items():
            for artifact in found.artifacts:
                place = Path(artifact.uri) if Path(artifact.uri).exists() else file.parent / name
                yield from (about.parent for about in sorted(place.glob(f"*/{ABOUT}")))


def folders(root: Path) -> dict[str, Path]:
    """The folders of the runs by their ids: those that grow, here or in a pipeline root, before the outputs of tasks."""
    found = {str(load(folder / ABOUT)["id"]): folder for folder in finished(root)}
    for pattern in (f"*/{ABOUT}", f"{UNFINISHED}/*/{ABOUT}"):
        found |= {str(load(path)["id"]): path.parent for path in sorted(root.glob(pattern))}
    return found
