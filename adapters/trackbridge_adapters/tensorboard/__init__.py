"""TensorBoard: event files in a folder, read by its own server. Needs no TensorFlow and no torch.

A run is the folder ``LOCATION/PROJECT/NAME-ID``. Scalars go to the scalars dashboard, the configuration to hparams, images, sounds,
histograms, texts and tables to theirs. Dashboards draw float32; the same tensors hold what was logged in fields that no dashboard reads:

- a point: ``double_val`` the float64; ``int64_val`` its type, the nanoseconds that the event's time lacks, the number of its record, and
  an integer; ``string_val`` a text, or an integer beyond 64 bits. So numbers, bools, None, texts, times and absent steps come back exactly;
- any other record: its msgpack form in ``variant_val``. Images and sounds lie verbatim where their dashboard wants them, other files in
  ``trackbridge/files`` in the run's folder, which TensorBoard does not take for a run. The Reader hashes what it finds.

What changes: a step beyond 64 bits is refused. What is only drawn differently: a None or a text is a gap in a chart, the hparams table
shows the configuration that was known at the first point, and the data server shows only the last of repeated steps.

One thread writes into one file, which is cut back to the last flush when a killed Writer is opened again (recovery ``truncate``).
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
        return ["tensorboard", "--logdir", str(self._location(target))]

    def _location(self, target: Target) -> Path:
        return Path(self.resolve(target, Path.cwd()).location)


adapter = TensorBoardAdapter()
