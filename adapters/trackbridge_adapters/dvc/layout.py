"""What of a run lies where: paths, cells of tables, texts that hold values, and what is declared to change."""

from __future__ import annotations

import csv
import io
import json
import math
import re
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from trackbridge.adapters import SIDECAR_FILE
from trackbridge.names import Names, from_text, to_text
from trackbridge.projection import Projection, step_from_call, time_to_milliseconds

BESIDE = "trackbridge"  # the folder of the runs in the repository, which git and DVC ignore
METRICS, IMAGES, CUSTOM, MEDIA, ARTIFACTS = "plots/metrics", "plots/images", "plots/custom", "media", "artifacts"
PARAMS, RUN, LATEST, SUMMARY, STAGES = "params.yaml", "run.yaml", "metrics.json", "summary.json", "dvc.yaml"
DIGEST = SIDECAR_FILE + ".sha256"
TABLES = {
    "media.tsv": ("time_ns", "step", "key", "kind", "format", "path", "meta"),
    "artifacts.tsv": ("time_ns", "artifact", "version", "type", "file", "bytes", "path", "uri", "metadata"),
}
"""Tables beside the metrics', and their columns."""

PICTURES = {
    *((kind, format) for kind in ("image", "figure") for format in ("png", "jpg", "jpeg", "gif", "svg")),
    ("video", "gif"),
}
"""Media that DVC's plots show."""

DESCRIPTION = ("id", "name", "project", "group", "job_type", "notes", "tags", "status")

PROJECTION = Projection(
    step_from_call("a row of DVCLive has a step, the axis of its plots"),
    time_to_milliseconds("DVCLive's timestamp is a whole number of milliseconds"),
)


class Paths(Names):
    """Keys as relative paths, encoded part by part: a file system limits, and git and DVC refuse parts."""

    def encode(self, key: str) -> str:
        name = "/".join(re.sub(r"\.(tsv|dvc)$", r"%2e%\1", Names.encode(self, part)) for part in key.split("/"))
        assert self.max_length is not None
        return name if self.measure(name) <= self.max_length else self.marked(key, name)

    def marked(self, key: str, name: str) -> str:
        """A name that ends in a digest of `key`, and therefore does not tell it."""
        return self._shorten(name, key)


def _length(name: str) -> int:
    """The length of the longest part in bytes; a path may be as long as eight parts."""
    data = name.encode()
    return max(*map(len, data.split(b"/")), len(data) // 8)


_CHARACTERS, _OURS = r"[\w .,=+()-]", r"\.|dvc\.(yaml|lock)$"
PATHS = Paths(_CHARACTERS, mark="%", max_length=180, measure=_length, plain_path=True, reserved=_OURS)
FOLDERS = Paths(
    _CHARACTERS,
    mark="%",
    max_length=180,
    measure=_length,
    plain_path=True,
    reserved=_OURS + r"|v[0-9]+$|(call )?-?[0-9]+( \([0-9]+\))?\.",
)
"""Of keys and artifacts that are folders: no part of their names is that of a version, or of a file of media, in them."""

RUNS = Names(r"[A-Za-z0-9_=+-]", mark="%", max_length=100)
MARKED = re.compile(r".*%-[0-9a-f]{16}", re.DOTALL)


class Places:
    """The paths of keys. No two share one, also where the file system does not tell cases apart.

    Args:
        paths: how keys are encoded.
        files: a path is that of a file, which therefore is no folder of another one.
    """

    def __init__(self, paths: Paths, files: bool = False) -> None:
        self._paths, self._files = paths, files
        self._taken: dict[str, tuple[str, bool]] = {}

    def claim(self, key: str) -> str:
        name = self._paths.encode(key)
        parts = name.split("/")
        heads = [("/".join(parts[:count]), self._files and count == len(parts)) for count in range(1, len(parts) + 1)]
        if all(self._taken.setdefault(unicodedata.normalize("NFC", head[0]).casefold(), head) == head for head in heads):
            return name
        return self._paths.marked(key, name.replace("/", "%2f%") if self._files else name)


def column(key: str, name: str) -> str:
    """The head of the values of `key`: its last part, as in DVCLive, or the whole key where the file's `name` does not tell it."""
    head = key if MARKED.fullmatch(name) else key.rpartition("/")[2]
    return f"%{head}" if head in ("", "step", "timestamp") or head.startswith("%") else head


def key(head: str, name: str) -> str:
    """The key of the file `name`, whose values have this `head`."""
    return head.removeprefix("%") if MARKED.fullmatch(name) else PATHS.decode(name)


_OTHER = re.compile(r'True|False|None|nan|-?inf|-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?|".*', re.DOTALL)
_WORDS = {"True": True, "False": False, "None": None}


def cell(value: Any) -> str:
    """A metric's value as DVCLive writes it; a text that looks like another value is in JSON's quotes.

    Raises:
        TypeError: it is none.
    """
    kind = type(value)
    if kind is str:
        text = json.dumps(value, ensure_ascii=False) if _OTHER.fullmatch(value) else value
        return quoted(text)
    if kind is float or kind is int or kind is bool or value is None:
        return repr(value)
    raise TypeError(f"{kind.__name__} is no value of a metric")


def value(text: str) -> Any:
    """The inverse of :func:`cell`, after the quotes of the table are gone."""
    if text in _WORDS:
        return _WORDS[text]
    if not _OTHER.fullmatch(text):
        return text
    if text[0] == '"':
        return json.loads(text)
    return int(text) if text.lstrip("-").isdigit() else float(text)


def quoted(text: str) -> str:
    """`text` as a cell of a table."""
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in '\t"\r\n') else text


def row(cells: Iterable[Any]) -> str:
    """A row of a table; None is an empty cell."""
    out = io.StringIO()
    csv.writer(out, delimiter="\t", lineterminator="\n").writerow(cells)
    return out.getvalue()


def rows(path: Path) -> Iterator[list[str]]:
    """The rows of a table that are whole, its head first."""
    csv.field_size_limit(sys.maxsize)
    if path.exists():
        with path.open(encoding="utf-8", errors="replace", newline="\n") as file:
            yield from csv.reader(whole(file), delimiter="\t")


def whole(lines: Iterable[str]) -> Iterator[str]:
    """The rows of a table, each with all the lines within its quotes; a last one that is not whole is left out."""
    waiting = ""
    for line in lines:
        waiting += line
        if waiting.endswith("\n") and waiting.count('"') % 2 == 0:
            yield waiting
            waiting = ""


def shown(value: Any) -> Any:
    """A summary's value for JSON: numbers and texts as they are, the rest as JSON in a text, since `dvc metrics` shows nothing else."""
    return value if type(value) in (int, bool) or (type(value) is float and math.isfinite(value)) else to_text(value)


def unshown(value: Any) -> Any:
    """The inverse of :func:`shown`."""
    return from_text(value) if isinstance(value, str) else value


def points(inline: Any) -> Any:
    """A table or a histogram as the list of points that DVC's plots take, itself where that would lose something."""
    if not isinstance(inline, dict):
        return inline
    if inline.keys() == {"columns", "rows"}:
        head, body = inline["columns"], inline["rows"]
        plain = all(type(name) is str for name in head) and len(set(head)) == len(head)
        return (
            [dict(zip(head, cells, strict=True)) for cells in body]
            if plain and all(len(cells) == len(head) for cells in body) and body
            else inline
        )
    if inline.keys() == {"edges", "counts"}:
        edges, counts = inline["edges"], inline["counts"]
        if counts and len(edges) == len(counts) + 1:
            return [{"left": left, "right": right, "count": count} for left, right, count in zip(edges, edges[1:], counts, strict=False)]
    return inline


def unpoints(held: Any, format: str) -> Any:
    """The inverse of :func:`points`."""
    if not isinstance(held, list):
        return held
    if format == "counts":
        return {"edges": [*(one["left"] for one in held), held[-1]["right"]], "counts": [one["count"] for one in held]}
    return {"columns": list(held[0]), "rows": [list(one.values()) for one in held]}


def params(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration for params.yaml. DVC joins keys by dots and refuses two that become one, so then dots in keys are escaped."""
    paths = list(_paths(config))
    return config if len(set(paths)) == len(paths) and not any("%" in path for path in paths) else _renamed(config, _DOTS.encode)


def unparams(held: dict[str, Any]) -> dict[str, Any]:
    """The inverse of :func:`params`."""
    return {**_renamed(held, _DOTS.decode)}


_DOTS = Names(r"[^.]", mark="%")


def _paths(values: dict[str, Any], head: str = "") -> Iterator[str]:
    for name, inner in values.items():
        if isinstance(inner, dict) and inner:
            yield from _paths(inner, f"{head}{name}.")
        else:
            yield head + name


def _renamed(values: Any, rename: Any) -> Any:
    if isinstance(values, dict):
        return {rename(name) if name else name: _renamed(inner, rename) for name, inner in values.items()}
    return [_renamed(inner, rename) for inner in values] if isinstance(values, list) else values


def tables(folder: Path) -> list[Path]:
    """The tables of a run that grow."""
    ours = (path for path in (folder / name for name in TABLES) if path.exists())
    return [*ours, *sorted((folder / METRICS).rglob("*.tsv"))]


def about(text: str) -> dict[str, Any]:
    """What run.yaml says; {} where it is none of ours."""
    from dvc.utils.serialize import loads_yaml

    found = loads_yaml(text)
    return found if isinstance(found, dict) and found.keys() >= set(DESCRIPTION) else {}


def md5(pointer: Path) -> str:
    """Which content a ``.dvc`` file stands for."""
    from dvc.utils.serialize import loads_yaml

    return str(loads_yaml(pointer.read_text("utf-8"))["outs"][0]["md5"])


def folders(runs: Path, ending: str = "") -> dict[Path, dict[str, Any]]:
    """The folders whose names end so, and what their run.yaml says."""
    found = {path.parent: about(path.read_text("utf-8")) for path in sorted(runs.glob(f"*{ending}/{RUN}"))}
    return {folder: told for folder, told in found.items() if told}
