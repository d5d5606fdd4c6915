"""ClearML (https://clear.ml): a session in a folder, that its client imports into a server; or a task on the server.

Where it lies: ``clearml`` takes ``./clearml-runs``; ``clearml:DIR`` is such a folder. A run is a session of the client's offline mode there: a folder
``offline-ID`` while it is written, ``offline-ID.zip`` afterwards, which ``clearml-task --import-offline-session`` takes. With credentials (``CLEARML_API_ACCESS_KEY`` and
``CLEARML_API_SECRET_KEY``, ``~/clearml.conf``) everything is also sent to the server as it comes; ``?mode=offline`` or ``CLEARML_OFFLINE_MODE=1`` leaves
it out. After an outage the server may get once more what came since the last flush. The project is ClearML's.

Under ClearML's agent (``CLEARML_TASK_ID``) it is the task that the agent runs: its hyperparameters are read into the configuration, ours are added, and
its name, project and script stay.

What it keeps: metrics as scalars, the last part of a key is the series, the rest the graph; the configuration as hyperparameters; the summary as
hyperparameters of a section ``Summary``, numbers also as the client's single values; tags, notes as the comment; the rest of the description and
the status as the task's properties; images, sounds, videos, texts and files as debug samples, bytes unchanged; tables and histograms as plots;
artifacts file by file. What no graph can draw of a metric (texts, None, NaN, infinities, integers beyond the range of doubles) is a plot of its own, a
table of one cell, with the same iteration: the client would make 0.0 of it. Values of other types than text are JSON in a hyperparameter or a cell.

What changes: bools become 1 and 0, an absent step is the number of the call, a step beyond 64 bits is refused, a time is in milliseconds.

The events are the client's, in the files that its offline mode writes, but not by its tasks: those start a second process with threads, take 600 points a
second, and may hang when they are closed. After a kill the file of events is cut back to the last flush (recovery ``truncate``), or to the last change
of the task's description, where an entry ``trackbridge/position`` tells what is held. A run that goes on after it was closed is unpacked, and packed again.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import ClassVar

from trackbridge.adapters import Capabilities, Recovery, Requirements, Sidecar, Target
from trackbridge.errors import SettingsError
from trackbridge_adapters.clearml.layout import KEYS, PROJECTION
from trackbridge_adapters.clearml.reader import Reader
from trackbridge_adapters.clearml.writer import Writer


class ClearmlAdapter:
    name: ClassVar[str] = "clearml"
    requires: ClassVar[Requirements] = Requirements(
        extra="clearml",
        distributions=("clearml>=2.1", "tenacity>=9"),
        tested={"clearml": "2.1.12"},
        credentials=("CLEARML_API_ACCESS_KEY", "CLEARML_API_SECRET_KEY", "~/clearml.conf"),
    )
    flavours: ClassVar[tuple[str, ...]] = ("?mode=offline",)

    def resolve(self, target: Target, base: Path) -> Target:
        if target.location and not target.is_path:
            raise SettingsError(f"clearml writes to a folder, not to {target.location!r}: the server is CLEARML_API_HOST")
        return target.in_folder(base, "clearml-runs")

    def capabilities(self, target: Target, client_version: str = "") -> Capabilities:
        return Capabilities("online" if _online(target) else "offline", PROJECTION, KEYS, Recovery.TRUNCATE, Sidecar.STORED)

    def writer(self, target: Target) -> Writer:
        return Writer(self._folder(target), target.project, _online(target))

    def reader(self, target: Target) -> Reader:
        return Reader(self._folder(target), _online(target))

    def ui(self, target: Target) -> list[str]:
        return []

    def _folder(self, target: Target) -> Path:
        return Path(self.resolve(target, Path.cwd()).location)


def _online(target: Target) -> bool:
    """As the client itself decides, but that it fails where it has no credentials."""
    if mode := target.options.get("mode"):
        return mode == "online"
    if _variable("OFFLINE_MODE").lower() in ("1", "true", "yes", "on"):
        return False
    if _variable("API_ACCESS_KEY") and _variable("API_SECRET_KEY"):
        return True
    named = _variable("CONFIG_FILE")
    for path in [named] if named else ["~/clearml.conf", "~/trains.conf"]:
        try:
            text = Path(path).expanduser().read_text("utf-8", "replace")
        except OSError:
            continue
        return bool(re.search(r"""^[^#\n]*access_key"?\s*[=:]\s*"?[^\s"}]""", text, re.MULTILINE))
    return False


def _variable(name: str) -> str:
    """The client takes its variables under its former name too."""
    return os.environ.get(f"CLEARML_{name}") or os.environ.get(f"TRAINS_{name}") or ""


adapter = ClearmlAdapter()
