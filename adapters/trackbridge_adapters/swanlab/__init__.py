"""SwanLab (https://swanlab.cn), offline: one log in a folder for each run, which ``swanlab sync`` uploads.

Where it lies: ``swanlab`` takes ``SWANLAB_LOG_DIR``, else ``./swanlog``; ``swanlab:DIR`` is such a folder. A run is ``run-TIME-ID`` in it, with the log
``run-ID.swanlab``, ``files`` and ``media``.

What it keeps: each value is a record of a column with its step and its time to the nanosecond. A column has one type, and one value at each step, so
what else a key holds has columns of its own, ``KEY•image``, ``KEY•string`` (texts of a metric), ``KEY•2`` (the second value of a step). Images, GIFs,
sounds (WAV) and HTML lie verbatim in ``media``; a histogram is a chart, a table SwanLab's own table, both as JSON; other contents and artifacts lie in
``files`` and are announced as saved files. Name, project, group, job type, notes, tags and status are those of the run. The summary and what does not
fit there are entries ``trackbridge/...`` of the configuration. What JSON cannot hold in it, and a text that reads like JSON, is a text with JSON.

What changes: numbers and bools become floats, None is dropped; an absent step is the number of the call, a negative one or one beyond 2**48 is
refused. A file by reference is not listed. When it is uploaded, SwanLab's server is told of infinities as of NaN.

The client's ``init`` leaves threads behind, loses the last seconds at a kill, and never opens a log again. Two of its threads write to the log
without a lock: at 60,000 points a second the record of one lay within that of the other in 2 of 9 runs of a million points (0.10.3), and its own
reader ends there. So the log is written from one thread by the client's own store, whose file is handed to the system at each flush, and copied up to
the last flush when a killed Writer is opened again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

import msgspec

from trackbridge.adapters import Capabilities, Recovery, Requirements, Sidecar, Target
from trackbridge.errors import SettingsError
from trackbridge_adapters.swanlab.layout import KEYS, PROJECTION
from trackbridge_adapters.swanlab.reader import Reader
from trackbridge_adapters.swanlab.writer import Writer


class SwanlabAdapter:
    name: ClassVar[str] = "swanlab"
    requires: ClassVar[Requirements] = Requirements(
        extra="swanlab", distributions=("swanlab>=0.10.3", "tenacity>=9"), tested={"swanlab": "0.10.3"}
    )

    def resolve(self, target: Target, base: Path) -> Target:
        if target.location and not target.is_path:
            raise SettingsError(f"swanlab writes to a folder, not to {target.location!r}: upload it afterwards with swanlab sync")
        location = target.location or os.environ.get("SWANLAB_LOG_DIR") or "swanlog"
        return msgspec.structs.replace(target, location=location).absolute(base)

    def capabilities(self, target: Target, client_version: str = "") -> Capabilities:
        return Capabilities("offline", PROJECTION, KEYS, Recovery.TRUNCATE, Sidecar.STORED)

    def writer(self, target: Target) -> Writer:
        return Writer(self._folder(target), target.project)

    def reader(self, target: Target) -> Reader:
        return Reader(self._folder(target), target.project)

    def ui(self, target: Target) -> list[str]:
        """None: the local board shows no run that was written offline."""
        return []

    def _folder(self, target: Target) -> Path:
        return Path(self.resolve(target, Path.cwd()).location)


adapter = SwanlabAdapter()
