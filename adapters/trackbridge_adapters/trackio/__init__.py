"""trackio (https://github.com/gradio-app/trackio): a SQLite file for each project in a folder, and a dashboard.

Where it lies: ``trackio`` takes ``TRACKIO_DIR``, else ``./trackio-runs``; ``trackio:DIR`` is such a folder. A run has our id.

What it keeps: each call of ``log`` is a row of JSON with its step and its time to the nanosecond. Images, sounds, videos and HTML lie verbatim in the
media folder, files in the Files tab; histograms, tables and texts are trackio's own values; artifacts are versions. trackio has no summary, tags,
notes or status: they are entries ``trackbridge/...`` of the configuration, which the page of a run and the command line show as JSON. What JSON
cannot hold there (NaN, integers beyond 64 bits), and a text that reads like JSON, is a text with JSON.

What changes: integers beyond 64 bits become floats, the texts "NaN" and "Infinity" numbers; an absent step is the number of the call; a history is
sorted by time. A table without rows has no place. Names of projects and artifacts that trackio does not take are shortened; the original is shown as
``trackbridge/project``, or as the artifact's description. An artifact that is logged again as it was before is one version.

Everything is written by its bulk interface, rows and configuration in one transaction, each row with an id that the table holds only once: what is
sent again changes nothing. ``trackio show`` serves the same folder; sending it to a server elsewhere is left to ``trackio sync``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

import msgspec

from trackbridge.adapters import Capabilities, Recovery, Requirements, Sidecar, Target
from trackbridge.errors import SettingsError
from trackbridge_adapters.trackio.layout import KEYS, PROJECTION
from trackbridge_adapters.trackio.reader import Reader
from trackbridge_adapters.trackio.writer import Writer


class TrackioAdapter:
    name: ClassVar[str] = "trackio"
    requires: ClassVar[Requirements] = Requirements(
        extra="trackio", distributions=("trackio>=0.43", "tenacity>=9"), tested={"trackio": "0.43.0"}
    )

    def resolve(self, target: Target, base: Path) -> Target:
        if target.location and not target.is_path:
            raise SettingsError(f"trackio writes to a folder, not to {target.location!r}: upload it afterwards with trackio sync")
        location = target.location or os.environ.get("TRACKIO_DIR") or "trackio-runs"
        return msgspec.structs.replace(target, location=location).absolute(base)

    def capabilities(self, target: Target, client_version: str = "") -> Capabilities:
        return Capabilities("sqlite", PROJECTION, KEYS, Recovery.APPEND, Sidecar.STORED)

    def writer(self, target: Target) -> Writer:
        return Writer(self._folder(target), target.project)

    def reader(self, target: Target) -> Reader:
        return Reader(self._folder(target), target.project)

    def ui(self, target: Target) -> list[str]:
        return ["env", f"TRACKIO_DIR={self._folder(target)}", "GRADIO_SERVER_PORT={port}", "trackio", "show", "--host", "{host}"]

    def _folder(self, target: Target) -> Path:
        return Path(self.resolve(target, Path.cwd()).location)


adapter = TrackioAdapter()
