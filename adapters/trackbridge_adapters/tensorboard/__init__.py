"""TensorBoard: event files in a folder, read by its own server. Needs no TensorFlow and no torch.

A run is the folder ``LOCATION/PROJECT/NAME-ID``. What it holds is what its dashboards show, and nothing is hidden beside it:

- scalars: a tensor of the float32 that is drawn (``float_val``) and the float64 (``double_val``), both of which EventAccumulator returns;
  the texts of a metric are in the text dashboard, under ``KEY·string``;
- media under ``KEY·image.png``, ``KEY·figure.png``, ``KEY·audio.wav``, ``KEY·histogram``, ``KEY·table``, ``KEY·text``: images and sounds
  byte for byte, a cell of a table as its text, or as JSON where that would lose the type;
- description, configuration, summary and tags as JSON in the text dashboard, under ``trackbridge/run``, ``trackbridge/config`` ...: each
  text shows what was set then. The hparams dashboard shows the configuration that was known at the first point, and how the run ended.

What changes: numbers and bools become floats, None is dropped, a time is a double of seconds, an absent step becomes the number of the call, one
beyond 64 bits is refused. What no dashboard shows (artifacts, files, videos but GIF, sounds but WAV) lies in ``trackbridge/files`` in the
run's folder, and ``trackbridge/files`` in the text dashboard names it; it does not count as held. What is only drawn otherwise: a server samples
long series and many texts of one tag, and shows only the last of repeated steps.

One thread writes into one file, which is cut back to the last flush when a killed Writer is opened again (recovery ``truncate``): a log
message at each flush tells what is held.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import msgspec

from trackbridge.adapters import Capabilities, Recovery, Requirements, Sidecar, Target
from trackbridge.errors import SettingsError
from trackbridge_adapters.tensorboard.layout import FOLDERS, PROJECTION, TAGS
from trackbridge_adapters.tensorboard.reader import Reader
from trackbridge_adapters.tensorboard.writer import Writer


class TensorBoardAdapter:
    name: ClassVar[str] = "tensorboard"
    requires: ClassVar[Requirements] = Requirements(
        extra="tensorboard",
        distributions=("tensorboard>=2.21", "google-crc32c>=1.8", "tenacity"),
        tested={"tensorboard": "2.21.0", "google-crc32c": "1.9.0"},
    )

    def resolve(self, target: Target, base: Path) -> Target:
        if target.location and not target.is_path:
            raise SettingsError(
                f"tensorboard writes to a folder, not to {target.location!r}: mount it, or copy the folder there afterwards"
            )
        return msgspec.structs.replace(target, location=target.location or "tensorboard-logs").absolute(base)

    def capabilities(self, target: Target, client_version: str = "") -> Capabilities:
        return Capabilities("files", PROJECTION, TAGS, Recovery.TRUNCATE, Sidecar.BESIDE)

    def writer(self, target: Target) -> Writer:
        return Writer(self._location(target), target.project)

    def reader(self, target: Target) -> Reader:
        return Reader(self._location(target) / (FOLDERS.encode(target.project) if target.project else ""))

    def ui(self, target: Target) -> list[str]:
        return ["tensorboard", "--logdir", str(self._location(target)), "--host", "{host}", "--port", "{port}"]

    def _location(self, target: Target) -> Path:
        return Path(self.resolve(target, Path.cwd()).location)


adapter = TensorBoardAdapter()
