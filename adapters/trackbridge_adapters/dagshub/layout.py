"""What of a run lies where: folders, tables, cells that hold values, and what is declared to change."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from trackbridge.adapters import SIDECAR_FILE
from trackbridge.files import reference
from trackbridge.names import Names, from_text, to_text
from trackbridge.projection import Projection, step_from_call, time_to_milliseconds
from trackbridge.records import FileRef, RunInfo
from trackbridge.times import from_iso
from trackbridge_adapters.dvc.layout import whole

KEYS = Names(r"(?s:.)")
NAMES = Names(r"[\w .,=+()-]", mark="%", max_length=100, measure=lambda name: len(name.encode()), reserved=r"\.")
IDS = Names(r"[A-Za-z0-9_=+-]", mark="%", max_length=100)
METRICS, PARAMS, DIGEST, ABOUT = "metrics.csv", "params.yml", SIDECAR_FILE + ".sha256", "trackbridge"
TABLES = {
    METRICS: ("Name", "Value", "Timestamp", "Step"),
    "media.csv": ("Timestamp_ns", "Step", "Name", "Kind", "Format", "Path", "Meta"),
    "artifacts.csv": ("Timestamp_ns", "Name", "Version", "Type", "File", "Bytes", "Path", "URI", "Metadata"),
}
DESCRIPTION = ("id", "name", "project", "group", "job_type", "notes")
SCALARS = frozenset({float, int, bool, str, type(None)})
OTHER = re.compile(r'|True|False|nan|-?inf|-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?|".*', re.DOTALL)
WORDS = {"True": True, "False": False, "": None}

NO_STEP = step_from_call("a row has a step, an integer, by which DAGsHub draws")
MILLISECONDS = time_to_milliseconds("the format's timestamp is a whole number of milliseconds")
PROJECTION = Projection(NO_STEP, MILLISECONDS)


def folders(root: Path, ending: str) -> Iterator[Path]:
    """The folders of runs that we wrote whose names end so."""
    found = sorted(path.parent for pattern in (ending, f"*/{ending}") for path in root.glob(f"{pattern}/{PARAMS}"))
    yield from (folder for folder in found if isinstance(params(folder).get(ABOUT), dict))


def find(root: Path, run_id: str) -> Path | None:
    """The folder of the run of this id."""
    return next((folder for folder in folders(root, f"*{IDS.encode(run_id)}") if params(folder)[ABOUT].get("id") == run_id), None)


def described(about: dict[str, Any]) -> RunInfo:
    return RunInfo(
        **{name: about[name] for name in DESCRIPTION},
        tags=tuple(about["tags"]),
        status=about["status"],
        start=from_iso(about["started"]),
        end=from_iso(about["ended"]) if about["ended"] else None,
        provenance=about["provenance"],
    )


def params(folder: Path) -> dict[str, Any]:
    """What params.yml holds; {} where there is none."""
    import yaml

    path = folder / PARAMS
    held = yaml.safe_load(path.read_bytes()) if path.is_file() else None
    return {**unlisted(held)} if isinstance(held, dict) else {}


def owned(key: str) -> bool:
    """Whether a key of the configuration looks like ours, so that ``_`` is added to it."""
    return re.fullmatch(ABOUT + "_*", key) is not None


def listed(value: Any) -> Any:
    """`value` for params.yml: lists become JSON, where DAGsHub's logger would write Python's text of them."""
    if isinstance(value, dict):
        return {key: listed(inner) for key, inner in value.items()}
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) or unlisted(value) is not value else value


def unlisted(value: Any) -> Any:
    """The inverse of :func:`listed`."""
    if isinstance(value, dict):
        return {key: unlisted(inner) for key, inner in value.items()}
    found = from_text(value) if isinstance(value, str) else value
    return found if isinstance(found, (list, dict, str)) else value


def cell(value: Any) -> Any:
    """A metric's value for :func:`table_text`; a text that looks like another value is in JSON's quotes."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) and OTHER.fullmatch(value) else value


def uncell(text: str) -> Any:
    """The value of a cell of metrics.csv."""
    if text in WORDS:
        return WORDS[text]
    if not OTHER.fullmatch(text):
        return text
    if text[0] == '"':
        return json.loads(text)
    return int(text) if text.lstrip("-").isdigit() else float(text)


def cells(inline: Any) -> list[list[str]]:
    """The head and the rows of a table as texts; [] for what is none, or has no columns."""
    table = [inline.get("columns") or [], *inline.get("rows", [])] if isinstance(inline, dict) else [[]]
    return [[to_text(one) for one in row] for row in table] if table[0] and all(len(row) == len(table[0]) for row in table) else []


def table_text(table: Iterable[Sequence[Any]]) -> str:
    """Rows as DAGsHub's logger writes them."""
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_NONNUMERIC).writerows(table)
    return out.getvalue()


def rows(path: Path) -> list[list[str]]:
    """The rows of one of our tables, without its head, and without a last one that is not whole."""
    csv.field_size_limit(sys.maxsize)
    if not path.exists():
        return []
    with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
        return list(csv.reader(whole(file)))[1:]


def content(folder: Path, path: str, format: str) -> dict[str, Any]:
    """What a file of media holds: its value inline, or a reference to it."""
    ending = path.rpartition(".")[2]
    if (format, ending) == ("text", "txt"):
        return {"inline": (folder / path).read_bytes().decode()}
    if (format, ending) == ("rows", "csv"):
        with (folder / path).open(encoding="utf-8", newline="") as file:
            head, *body = [[from_text(one) for one in row] for row in csv.reader(file)]
        return {"inline": {"columns": head, "rows": body}}
    if format in ("rows", "counts"):
        return {"inline": json.loads((folder / path).read_bytes())}
    return {"file": digested(folder, path, PurePosixPath(path).name, 0)}


def digested(folder: Path, path: str, name: str, size: int) -> FileRef:
    """A reference with the digest of the bytes that are there; "" where there are none, as of a file by reference."""
    place = folder / path
    return reference(place, name) if place.is_file() else FileRef(name, "", size)


def as_json(values: dict[str, Any]) -> str:
    return json.dumps(plain(values), ensure_ascii=False) if values else ""


def plain(value: Any) -> Any:
    """`value` itself, which YAML and JSON take. Raises TypeError when they do not."""
    if isinstance(value, (dict, list, tuple)):
        for inner in (*value, *value.values()) if isinstance(value, dict) else value:
            plain(inner)
    elif type(value) not in SCALARS:
        raise TypeError(f"{type(value).__name__} is no value of a configuration, summary or table")
    return value
