"""Comet (https://www.comet.com): an offline archive in a folder, or an experiment on its server.

Where it lies: ``comet`` takes ``./comet-runs``; ``comet:DIR`` is such a folder. Offline a run is an archive ``KEY.zip`` there, a folder ``KEY`` while it
is written, in the form of the client's OfflineExperiment, and ``comet upload`` sends it. With a key (``COMET_API_KEY``, ``~/.comet.config``) everything is
sent to the server as it comes, and the archive is written beside; ``?mode=offline`` or ``COMET_OFFLINE=1`` leaves the server out. The project is Comet's,
``?workspace=`` its workspace. An experiment's key is our run id where Comet takes it, else the id's letters and a digest of it.

What it keeps: metrics with their steps, also absent ones; parameters; the description, status and summary under Other, the summary as
``summary/KEY``; tags; images, sounds, videos and texts as Comet's own, bytes unchanged; a histogram as Comet draws it, and its edges and counts as JSON;
a table as CSV; other files, and artifacts, as assets. Values that Comet has no type for are JSON there; what is longer than Comet's 1,000 characters is
whole in an asset. What kind a file is, its step and time, and where a name was changed the original, is in the metadata that Comet shows beside it.

What changes: bools become 1 and 0, None among metrics is dropped, a text of a metric is cut at 1,000 characters, a time is in milliseconds. Comet's
server keeps 15,000 points of a metric for certain, and ``comet upload`` sends no more, unless ``COMET_OFFLINE_SAMPLING_SIZE`` says so.

The messages are the client's, in a file that we append to: after a kill it is cut back to the last flush (recovery ``truncate``), which an entry
``trackbridge/position`` under Other tells. A run that goes on after it was closed is a second archive, ``KEY-000001.zip``.
"""

from __future__ import annotations

import configparser
import os
from pathlib import Path
from typing import ClassVar

from trackbridge.adapters import Capabilities, Concurrency, Recovery, Requirements, Sidecar, Target
from trackbridge.errors import SettingsError
from trackbridge_adapters.comet.layout import KEYS, PROJECTION
from trackbridge_adapters.comet.reader import Reader
from trackbridge_adapters.comet.writer import Writer

YES, NO = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


class CometAdapter:
    name: ClassVar[str] = "comet"
    requires: ClassVar[Requirements] = Requirements(
        extra="comet",
        distributions=("comet-ml>=3.58", "tenacity>=9"),
        tested={"comet-ml": "3.58.8"},
        credentials=("COMET_API_KEY", "~/.comet.config"),
    )
    flavours: ClassVar[tuple[str, ...]] = ("?mode=offline",)

    def resolve(self, target: Target, base: Path) -> Target:
        if target.location and not target.is_path:
            raise SettingsError(f"comet writes to a folder, not to {target.location!r}: the server is COMET_URL_OVERRIDE")
        return target.in_folder(base, "comet-runs")

    def capabilities(self, target: Target, client_version: str = "") -> Capabilities:
        online = _online(target)
        runs = Concurrency.SERIAL if online else Concurrency.CONCURRENT  # a process of the client has one experiment
        return Capabilities("online" if online else "offline", PROJECTION, KEYS, Recovery.TRUNCATE, Sidecar.STORED, runs)

    def writer(self, target: Target) -> Writer:
        workspace = target.options.get("workspace") or os.environ.get("COMET_WORKSPACE")
        return Writer(self._folder(target), target.project, workspace, _online(target))

    def reader(self, target: Target) -> Reader:
        return Reader(self._folder(target))

    def ui(self, target: Target) -> list[str]:
        return []

    def _folder(self, target: Target) -> Path:
        return Path(self.resolve(target, Path.cwd()).location)


def _online(target: Target) -> bool:
    """As the client itself decides, but that it asks for a key where it has none."""
    if mode := target.options.get("mode"):
        return mode == "online"
    if os.environ.get("COMET_OFFLINE", "").lower() in YES or os.environ.get("COMET_START_ONLINE", "").lower() in NO:
        return False
    if os.environ.get("COMET_API_KEY"):
        return True
    path = Path(os.environ.get("COMET_CONFIG") or "~/.comet.config").expanduser()
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(path / ".comet.config" if path.is_dir() else path)
    except (configparser.Error, OSError):
        return False
    return bool(parser.get("comet", "api_key", fallback=""))


adapter = CometAdapter()
