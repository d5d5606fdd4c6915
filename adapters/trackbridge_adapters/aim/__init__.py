"""Aim (https://aimstack.io): a repository in a folder (RocksDB and SQLite), and a server that shows it. Python 3.12 at most; no Windows.

Where it lies: ``aim`` is ``./aim-runs``, ``aim:DIR`` a folder with ``.aim`` in it, ``aim:aim://HOST:PORT`` the repository of a server (``aim server``).
The project is Aim's experiment; a run's hash comes from our id.

What it keeps: numbers as float64 or integers of 64 bits; parameters as a typed tree; name, description and tags. The shares of processor, memory and
disk among the system metrics have Aim's own names, ``__system__cpu`` ..., which its tab System shows. A context tells apart what shares a
key: ``type`` is ``string`` (texts of a metric), ``image``, ``histogram`` ...; ``repeat`` counts the points of one step, of which Aim holds one in each
context. Images and sounds are stored as they were logged; an even histogram is a distribution, another one and a table are texts of JSON. Artifacts,
and what Aim has no object for (films, files), lie in ``.aim/artifacts`` and are listed as the run's artifacts. The summary is the parameter
``summary``; status, group, job type and the like are the parameter ``trackbridge``. What parameters cannot hold (integers beyond 64 bits) is a text
that begins with ``json:``.

What changes: bools become integers, integers beyond 64 bits floats; None is dropped; an absent step is the number of the call; a time is a double of
seconds. A history comes back sorted by step and time, and equal points of one step and time are one. A file by reference is not listed.

A point that is sent again is found by its step, time and value, so nothing is there twice. Points go to Aim's storage in batches: its own ``track``
takes several times as long, and neither takes a time. A flush indexes the run, without which neither Aim's reader nor its server sees it.

A server takes no files: pictures, sounds, histograms, tables and texts are objects, artifacts and other files are declared as not stored. Everything goes
through the client's own requests, but in the Writer's thread: the client's queue waits for ever when the server is gone. It takes some thousand points a
second, and gives back no more: the client sends each part of a point by itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from trackbridge.adapters import Capabilities, Recovery, Requirements, Sidecar, Target
from trackbridge.errors import SettingsError
from trackbridge_adapters.aim.folder import Folder, Store
from trackbridge_adapters.aim.layout import PROJECTION, SEQUENCES, SERVER
from trackbridge_adapters.aim.reader import Reader
from trackbridge_adapters.aim.server import Server
from trackbridge_adapters.aim.writer import Writer

REMOTE = "aim://"


class AimAdapter:
    name: ClassVar[str] = "aim"
    requires: ClassVar[Requirements] = Requirements(
        extra="aim", distributions=("aim>=3.29", "tenacity>=9"), tested={"aim": "3.29.1"}, python=(11, 13), pins=("boto3>=1.34",)
    )
    flavours: ClassVar[tuple[str, ...]] = ("aim-runs", "aim://127.0.0.1:53800")

    def resolve(self, target: Target, base: Path) -> Target:
        if target.location.startswith(REMOTE):
            return target
        if target.location and not target.is_path:
            raise SettingsError(f"aim writes to a folder or to aim://HOST:PORT, not to {target.location!r}")
        found = target.in_folder(base, "aim-runs")
        if "#" in found.location or "?" in found.location:
            raise SettingsError(f"aim cannot keep artifacts below {found.location!r}: a path with # or ? is no address of a file for it")
        return found

    def capabilities(self, target: Target, client_version: str = "") -> Capabilities:
        flavour, projection = ("server", SERVER) if target.location.startswith(REMOTE) else ("local", PROJECTION)
        return Capabilities(flavour, projection, SEQUENCES, Recovery.APPEND, Sidecar.STORED)

    def writer(self, target: Target) -> Writer:
        return Writer(self._store(target), target.project)

    def reader(self, target: Target) -> Reader:
        return Reader(self._store(target), target.project)

    def ui(self, target: Target) -> list[str]:
        if target.location.startswith(REMOTE):
            return []
        folder = self.resolve(target, Path.cwd()).location
        return ["env", "AIM_UI_TELEMETRY_ENABLED=0", "aim", "up", "--repo", folder, "--host", "{host}", "--port", "{port}"]

    def _store(self, target: Target) -> Store:
        location = self.resolve(target, Path.cwd()).location
        return Server(location) if location.startswith(REMOTE) else Folder(Path(location))


adapter = AimAdapter()
