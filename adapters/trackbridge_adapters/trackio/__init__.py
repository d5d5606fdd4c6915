"""trackio (https://github.com/gradio-app/trackio): a SQLite file for each project in a folder, and a dashboard.

Where it lies: ``trackio`` takes the server of ``TRACKIO_SERVER_URL``, the folder of ``TRACKIO_DIR``, else ``./trackio-runs``; ``trackio:DIR`` is such a
folder, ``trackio:http://HOST:PORT`` a server (``trackio show``). A server wants a token: that of ``TRACKIO_SERVER_URL``, the URL that ``trackio show``
prints, or ``TRACKIO_WRITE_TOKEN``. A run has our id.

What it keeps: each call of ``log`` is a row of JSON with its step and its time to the nanosecond. Images, sounds, videos and HTML lie verbatim in the
media folder, files in the Files tab; histograms, tables and texts are trackio's own values; artifacts are versions. trackio has no summary, tags,
notes or status: they are entries ``trackbridge/...`` of the configuration, which the page of a run and the command line show as JSON. What JSON
cannot hold there (NaN, integers beyond 64 bits), and a text that reads like JSON, is a text with JSON.

What changes: integers beyond 64 bits become floats, the texts "NaN" and "Infinity" numbers; an absent step is the number of the call; a history is
sorted by time. A table without rows has no place. Names of projects and artifacts that trackio does not take are shortened; the original is shown as
``trackbridge/project``, or as the artifact's description. An artifact that is logged again as it was before is one version.

On a server the time of a row is that of its arrival, since its interface takes none; of our runs it reads as 0, and a history has the order of arrival.

Everything is written by its bulk interface, rows and configuration in one transaction, each row with an id that the table holds only once: what is
sent again changes nothing. A server that could not write says yes all the same, so a flush asks it whether the last row is there. ``trackio show``
serves a folder; sending one to a Space of Hugging Face is left to ``trackio sync``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

import msgspec

from trackbridge.adapters import Capabilities, Recovery, Requirements, Sidecar, Target
from trackbridge.errors import SettingsError
from trackbridge_adapters.trackio.folder import Folder, Store
from trackbridge_adapters.trackio.layout import KEYS, PROJECTION, SERVER
from trackbridge_adapters.trackio.reader import Reader
from trackbridge_adapters.trackio.server import Server, configured, with_token
from trackbridge_adapters.trackio.writer import Writer


class TrackioAdapter:
    name: ClassVar[str] = "trackio"
    requires: ClassVar[Requirements] = Requirements(
        extra="trackio",
        distributions=("trackio>=0.43", "tenacity>=9"),
        tested={"trackio": "0.43.0"},
        credentials=("TRACKIO_SERVER_URL", "TRACKIO_WRITE_TOKEN"),
    )
    flavours: ClassVar[tuple[str, ...]] = ("trackio-runs", "http://127.0.0.1:7860")

    def resolve(self, target: Target, base: Path) -> Target:
        server = configured()
        if not target.location and server.location:
            if server.is_path:
                raise SettingsError(f"TRACKIO_SERVER_URL is {server.location!r}, which is no URL")
            target = msgspec.structs.replace(server, project=target.project)
        if target.is_path or not target.location:
            location = target.location or os.environ.get("TRACKIO_DIR") or "trackio-runs"
            return msgspec.structs.replace(target, location=location).absolute(base)
        if not target.location.startswith(("http://", "https://")):
            raise SettingsError(f"trackio writes to a folder or to http://HOST:PORT, not to {target.location!r}")
        return with_token(target.without_credentials())

    def capabilities(self, target: Target, client_version: str = "") -> Capabilities:
        flavour, projection = ("sqlite", PROJECTION) if target.is_path else ("server", SERVER)
        return Capabilities(flavour, projection, KEYS, Recovery.APPEND, Sidecar.STORED)

    def writer(self, target: Target) -> Writer:
        return Writer(self._store(target), target.project)

    def reader(self, target: Target) -> Reader:
        return Reader(self._store(target), target.project)

    def ui(self, target: Target) -> list[str]:
        target = self.resolve(target, Path.cwd())
        if not target.is_path:
            return []
        return ["env", f"TRACKIO_DIR={target.location}", "GRADIO_SERVER_PORT={port}", "trackio", "show", "--host", "{host}"]

    def _store(self, target: Target) -> Store:
        target = self.resolve(target, Path.cwd())
        return Folder(Path(target.location)) if target.is_path else Server(target)


adapter = TrackioAdapter()
