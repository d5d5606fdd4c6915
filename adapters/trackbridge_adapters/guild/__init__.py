"""Guild AI (https://guild.ai): a folder for each run, with attributes in YAML and TensorBoard's event files, compared by ``guild``.

Where it lies: ``guild:HOME`` is a Guild home; ``guild`` takes the one that Guild itself would: ``GUILD_HOME``, ``.guild`` of the active environment, or
the nearest ``.guild`` above the working directory, else ``~/.guild``. A run is ``HOME/runs/ID`` with our id. **Under** ``guild run`` it is the run that
Guild has begun (``RUN_DIR``): its flags are read into the configuration, ours are added, and its beginning and end stay Guild's own. The journal is then in the run's folder too, as
all that a script writes where Guild starts it, unless ``TRACKBRIDGE_DIR`` names another.

What it keeps: the points of a metric as float64 with their steps and times; the configuration as flags ``a/b``; name, tags, notes and how it ended as
Guild's label, tags, comments and exit status; summary, project, group and job type as attributes, which ``guild runs info`` and ``guild view`` show, exact
as YAML. Media are files below ``media``, artifacts below ``artifacts``, which ``guild ls`` and ``guild view`` show; tables are CSV, histograms JSON. A
text ``KEY·media`` (``NAME·artifact``) tells key, step, time and kind of each, and the texts of a metric are ``KEY·string``; ``guild tensorboard`` shows them.

What changes: numbers become floats, None is dropped, a time is a double of seconds, an absent step is the number of the call, one beyond 64 bits is
refused. Guild's own tables show the first, last, least and greatest value of a metric.

One thread appends to one event file, which is cut back to the last flush when a killed Writer is opened again (recovery ``truncate``). Guild 0.9 runs on
Python up to 3.11.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

import msgspec

from trackbridge.adapters import Capabilities, Recovery, Requirements, Sidecar, Target
from trackbridge.errors import SettingsError
from trackbridge_adapters.guild.layout import KEYS, PROJECTION
from trackbridge_adapters.guild.reader import Reader
from trackbridge_adapters.guild.writer import Writer


class GuildAdapter:
    name: ClassVar[str] = "guild"
    requires: ClassVar[Requirements] = Requirements(
        extra="guild",
        distributions=("guildai>=0.9", "google-crc32c>=1.8", "tenacity>=9"),
        tested={"guildai": "0.9.0", "google-crc32c": "1.9.0"},
        python=(11, 12),
        pins=("setuptools<81", "pandas<3"),
    )

    def resolve(self, target: Target, base: Path) -> Target:
        if target.location and not target.is_path:
            raise SettingsError(f"guild writes to a Guild home, not to {target.location!r}: copy the run there with guild push")
        return msgspec.structs.replace(target, location=target.location or str(_home(base))).absolute(base)

    def capabilities(self, target: Target, client_version: str = "") -> Capabilities:
        return Capabilities("files", PROJECTION, KEYS, Recovery.TRUNCATE, Sidecar.STORED)

    def writer(self, target: Target) -> Writer:
        return Writer(self._folder(target), target.project)

    def reader(self, target: Target) -> Reader:
        return Reader(self._folder(target), target.project)

    def ui(self, target: Target) -> list[str]:
        return ["guild", "-H", str(self._folder(target)), "view", "--host", "{host}", "--port", "{port}"]

    def _folder(self, target: Target) -> Path:
        return Path(self.resolve(target, Path.cwd()).location)


def _home(base: Path) -> Path:
    """Guild's home: that of the run which ``guild run`` has begun, else where Guild itself looks."""
    run = Path(os.environ.get("RUN_DIR", ""))
    if run.name == os.environ.get("RUN_ID") and run.parent.name == "runs" and (run / ".guild").is_dir():
        return run.parent.parent
    if home := os.environ.get("GUILD_HOME"):
        return Path(home)
    user = Path.home()
    environment = os.environ.get("CONDA_PREFIX") or os.environ.get("VIRTUAL_ENV")
    above = [folder for folder in (base.absolute(), *base.absolute().parents) if user in (folder, *folder.parents)]
    places = [Path(environment) / ".guild"] if environment else []
    return next((place for place in [*places, *(folder / ".guild" for folder in above)] if place.is_dir()), user / ".guild")


adapter = GuildAdapter()
