"""What of a run lies where in a ClearML session, in which form, and what is declared to change."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from trackbridge import projection
from trackbridge.deviations import Reason
from trackbridge.names import Names, from_text, to_text
from trackbridge.projection import Projection, changed, to_float

KEYS = Names(r"[^\x00-\x1f\x7f»]", mark="·", plain_path=True, reserved=r":|Summary(/[^/]*)?$")
"""Names of metrics. The client puts its single values into a graph ``Summary``, and its own measurements into those with a colon."""

PARAMETERS = Names(r"[^\x00-\x1f\x7f]", mark="·")
FORMATS = Names("[0-9A-Za-z]", mark="_")

TASK, EVENTS, DATA = "task.json", "metrics.jsonl", "data"
"""Files and folder of a session, as the client names them."""

CONFIG, SUMMARY, PROPERTIES, OURS = "General", "Summary", "properties", "trackbridge"
"""Sections of hyperparameters. The client puts a connected configuration into ``General``, and its UI shows ``properties`` as the user's own."""

ARGUMENTS = "Args"
"""Section into which the client puts the arguments of a script."""

RUN_ID, POSITION, DEVIATIONS, SERVER = "run_id", "position", "deviations", "task"
"""Names of entries there: our id, what is held, what changed, and the id of the task on the server."""

SIDECAR = "trackbridge-journal"
"""Key of an artifact; those of the user have a slash."""

SINGLE = -(2**31)
"""The iteration that the client gives single values."""

OTHER = " » value"
"""End of the series in which the values of a metric stand that no graph draws. No name of a metric has such a sign."""

PROJECT = "TrackBridge"
"""Project of runs that have none."""

STATUS = {"running": "in_progress", "finished": "completed", "failed": "failed", "crashed": "stopped"}
MEDIA = ("image", "figure", "audio", "video", "text", "file")
_AXIS = "graphs are drawn over the iteration, a 64-bit integer"


def _milliseconds(on: str) -> Any:
    return changed(
        on,
        Reason.TIMESTAMP,
        "time cut to milliseconds",
        "an event has whole milliseconds",
        lambda item: item.time % 1_000_000 != 0,
        time=lambda item: item.time - item.time % 1_000_000,
    )


PROJECTION = Projection(
    projection.bools_become_integers("a scalar is a number"),
    projection.step_bounds(-(2**63), 2**63 - 1, _AXIS),
    *(rule for on in ("scalar", "media") for rule in (projection.step_from_call(_AXIS, on), _milliseconds(on))),
)


def in_range(step: int) -> bool:
    return -(2**63) <= step < 2**63


def drawn(value: Any) -> bool:
    """Whether a graph has a point for `value`: a number that is finite as a double."""
    number = to_float(value) if type(value) in (int, float) else float("nan")
    return number - number == 0.0


def split(name: str) -> tuple[str, str]:
    """Graph and series of a metric: the last part of its name is the series. A graph of one series bears its name."""
    title, _, series = name.rpartition("/")
    return (title, series) if title and title != series else (name, name)


def join(title: str, series: str) -> str:
    """The inverse of :func:`split`."""
    return title if title == series else f"{title}/{series}"


TASK_ID = re.compile("[0-9a-f]{32}")
"""The id of a task on the server."""


def task_id(run_id: str) -> str:
    return f"offline-{hashlib.sha256(run_id.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def label(text: str, other: str) -> str:
    """`text` as the name of a task or project, which has three characters or more."""
    return text if len(text.strip()) >= 3 else f"{text.strip()} {other}".strip()


def slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")[-60:] or "x"


def artifact_key(name: str, path: str) -> str:
    return name.replace("~", "~0").replace("/", "~1") + "/" + path


def artifact_name(key: str) -> tuple[str, str]:
    """The inverse of :func:`artifact_key`."""
    name, _, path = key.partition("/")
    return name.replace("~1", "/").replace("~0", "~"), path


def table(columns: list[Any], rows: list[list[Any]]) -> dict[str, Any]:
    """A table as ClearML plots it, which is by columns."""
    if any(len(row) != len(columns) for row in rows) or (rows and not columns):
        raise ValueError("a row of the table has another length than its head")
    cells = [[to_text(row[column]) for row in rows] for column in range(len(columns))]
    return {"data": [{"type": "table", "header": {"values": list(map(to_text, columns))}, "cells": {"values": cells}}], "layout": {}}


def histogram(edges: list[Any], counts: list[Any]) -> dict[str, Any]:
    """Steps from edge to edge, as high as the counts, over nothing."""
    if len(edges) != len(counts) + 1 or not all(map(drawn, [*edges, *counts])):
        raise ValueError("a histogram has one edge more than counts, and finite numbers")
    steps = {"type": "scatter", "mode": "lines", "line": {"shape": "hv"}, "fill": "tozeroy", "x": edges, "y": [*counts, 0]}
    return {"data": [steps], "layout": {}}


def plotted(plot: dict[str, Any]) -> tuple[str, str, Any] | None:
    """Kind, format and value of a plot; None for one that we do not make."""
    (shown, *_) = plot.get("data") or [{}]
    if shown.get("type") == "table":
        columns = [from_text(text) for text in shown["header"]["values"]]
        cells = [[from_text(text) for text in column] for column in shown["cells"]["values"]]
        return "table", "rows", {"columns": columns, "rows": [list(row) for row in zip(*cells, strict=True)]}
    if shown.get("line", {}).get("shape") == "hv" and shown.get("fill") == "tozeroy":
        return "histogram", "counts", {"edges": shown["x"], "counts": shown["y"][:-1]}
    return None


class Session:
    """A session: a folder, or a ZIP file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @functools.cached_property
    def _archive(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(self.path)

    def open(self, name: str) -> IO[bytes]:
        """A file of it.

        Raises:
            LookupError: it has none of this name.
        """
        try:
            if ".." in Path(name).parts:
                raise FileNotFoundError(name)
            return (self.path / name).open("rb") if self.path.is_dir() else self._archive.open(name)
        except OSError as error:
            raise LookupError(f"{name} is not in {self.path}") from error

    def content(self, name: str) -> bytes:
        with self.open(name) as file:
            return file.read()

    @functools.cached_property
    def task(self) -> dict[str, Any]:
        return dict(json.loads(self.content(TASK)))

    def section(self, name: str) -> dict[str, str]:
        """The values of a section of hyperparameters, by name."""
        return {item["name"]: item.get("value", "") for item in ((self.task.get("hyperparams") or {}).get(name) or {}).values()}

    @property
    def artifacts(self) -> list[dict[str, Any]]:
        return list((self.task.get("execution") or {}).get("artifacts") or [])

    def place(self, uri: str) -> str | None:
        """The file of the session that has this address; None if it lies elsewhere."""
        begin = f"{self.task.get('offline_folder', '')}/{DATA}/"
        return f"{DATA}/{uri.removeprefix(begin)}" if uri.startswith(begin) else None

    def position(self) -> tuple[dict[str, int], int]:
        """What it says is held: sequences, and bytes of its events."""
        held, length = json.loads(self.section(OURS).get(POSITION, "[{}, 0]"))
        return held, length

    def events(self) -> Iterator[dict[str, Any]]:
        with contextlib.suppress(LookupError), self.open(EVENTS) as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield from json.loads(line)

    @property
    def run_id(self) -> str:
        return self.section(PROPERTIES).get(RUN_ID) or str(self.task["id"])


def sessions(location: Path, only: str = "*") -> Iterator[Session]:
    """The sessions in `location`; that of the task `only`, if it is given. A folder goes before the archive that was made of it."""
    folders = {path.parent.name: path.parent for path in location.glob(f"{only}/{TASK}")}
    archives = {path.stem: path for path in location.glob(f"{only}.zip")}
    for name, path in sorted((archives | folders).items()):
        if name.startswith("."):  # on its way to become one, or away
            continue
        session = Session(path)
        with contextlib.suppress(LookupError, ValueError, zipfile.BadZipFile):
            assert session.task
            yield session
