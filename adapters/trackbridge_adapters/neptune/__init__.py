"""Neptune (https://neptune.ai), whose service ended in March 2026: what its clients write offline, which stays readable.

Where it lies: ``neptune`` takes ``NEPTUNE_LOG_DIRECTORY`` (``NEPTUNE_DATA_DIRECTORY``), else ``./.neptune``; ``neptune:DIR`` is such a folder. By
default a run is written as neptune-scale, the client of Neptune 3, writes it: a SQLite file. ``?client=neptune`` writes the log of neptune 1.x, the client
of Neptune 2, in ``DIR/offline``. Both are read, and so are the Parquet files that Neptune's exporter left (``neptune:exports``). There is nothing to upload
to; a server, and ``?mode=online``, are refused.

What it keeps, as attributes: the points of a metric under its key, texts of a metric as ``KEY·string``; media as ``KEY·image.png``, ``KEY·text``,
``KEY·histogram``, ``KEY·table.csv``; ``config/``, ``summary/``, ``artifacts/TYPE/NAME/PATH``; name, description, tags and group where Neptune has them
(``sys/``), the rest under ``trackbridge/``. A value that Neptune has no type for is a text with JSON, one that is too long for an attribute lies in a file.
In neptune 1.x only images are a series; another file has an attribute of its own, with its step and time beside it, and no attribute lies below another:
``node`` and ``node/child`` are ``node`` and ``node··/child``.

What changes: numbers become floats, None is dropped. neptune-scale refuses steps below 0 and from 10**12, and wants one for media. neptune 1.x drops NaN and
infinities, cuts the texts of a metric at 1,000 characters, and has times as doubles of seconds. Neptune's server, where there was one, wanted the steps
of a series to increase; the files keep them as they are.

neptune-scale: each transaction ends with what it holds (recovery ``append``). neptune 1.x: the log is cut back to the last flush (``truncate``).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

import msgspec

from trackbridge.adapters import Capabilities, Recovery, Requirements, Sidecar, Target
from trackbridge.errors import SettingsError
from trackbridge_adapters.neptune import classic, scale
from trackbridge_adapters.neptune.layout import CLASSIC, KEYS, SCALE
from trackbridge_adapters.neptune.reader import Reader
from trackbridge_adapters.neptune.writer import Writer

CLIENTS = ("neptune-scale", "neptune")
ENDED = "Neptune's service ended in March 2026, there is nothing to upload to"


class NeptuneAdapter:
    name: ClassVar[str] = "neptune"
    requires: ClassVar[Requirements] = Requirements(
        extra="neptune",
        distributions=("neptune-scale>=0.30", "tenacity>=9"),
        tested={"neptune-scale": "0.30.0"},
        pins=("neptune==1.14.0.post2", "pyarrow>=18", "setuptools<81"),
        notice=f"{ENDED}: runs stay in files, which TrackBridge reads and takes elsewhere",
    )
    flavours: ClassVar[tuple[str, ...]] = ("?client=neptune-scale", "?client=neptune")

    def resolve(self, target: Target, base: Path) -> Target:
        if (target.location and not target.is_path) or target.options.get("mode", "offline") != "offline":
            raise SettingsError(f"{ENDED}: give a folder (neptune:DIR), which stays readable, or another backend")
        if _client(target) not in CLIENTS:
            raise SettingsError(f"?client={target.options['client']} is no client of Neptune: it can be {' or '.join(CLIENTS)}")
        variable = "NEPTUNE_DATA_DIRECTORY" if _client(target) == "neptune" else "NEPTUNE_LOG_DIRECTORY"
        return msgspec.structs.replace(target, location=target.location or os.environ.get(variable) or ".neptune").absolute(base)

    def capabilities(self, target: Target, client_version: str = "") -> Capabilities:
        if _client(target) == "neptune":
            return Capabilities("1.x offline", CLASSIC, KEYS, Recovery.TRUNCATE, Sidecar.STORED)
        return Capabilities("scale offline", SCALE, KEYS, Recovery.APPEND, Sidecar.STORED)

    def writer(self, target: Target) -> Writer:
        return Writer(self._folder(target), target.project, classic if _client(target) == "neptune" else scale, ENDED)

    def reader(self, target: Target) -> Reader:
        return Reader(self._folder(target))

    def ui(self, target: Target) -> list[str]:
        return []

    def _folder(self, target: Target) -> Path:
        return Path(self.resolve(target, Path.cwd()).location)


def _client(target: Target) -> str:
    return target.options.get("client", CLIENTS[0])


adapter = NeptuneAdapter()
