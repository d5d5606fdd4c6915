"""Weights & Biases, online or offline.

A run is one run there; where its process was killed, or it was continued later, it is several folders of one id ("fragments"), which
``wandb sync`` and our Reader join. Each call of ``log`` is one row, and so is each media value. ``step`` is never passed to the client, which
drops rows of an earlier step and merges those of the same: the charts' axis is the column ``trackbridge/step`` (or what ``define_metric``
says), the time is ``_timestamp``.

What it keeps, all of it where W&B itself shows it: values of metrics with their types, configuration and summary as JSON, tags and description
in the record of the run, the status as exit code. Images, sounds, films, HTML, text (as HTML), tables and histograms are the client's own
types, bytes unchanged; other contents are files of the run, with a cell that names kind, format and path. Artifacts are W&B's, with the files
that they list in the run's folder; what their names cannot hold is in their metadata, and a description that is too long is in the
configuration, as ``trackbridge/name``. What is set in the summary is sent again at the end, so that it stands and not a metric's last value.

What changes: integers and steps beyond 64 bits become doubles, times doubles of seconds, an absent step the number of the call, NaN in
configuration and summary null, a tag has 64 characters. The one hidden column, ``_trackbridge``, names the record that a row stands for: whoever
continues a run after a kill knows from it what is held.

The client's ``log`` returns before its own process has written anything: `flush` reads the log until the last row is in it. That log is on
this disk, online too, and the client uploads some seconds later. Whether it has, it tells at the end alone: `close` waits for that as long as
something moves, and a log that was not uploaded whole, since a process was killed, an outage went on, or the key was refused, is uploaded by what
``wandb sync`` does before the run is opened again, without the rows that the server has: the command by itself repeats them.

In a process that a W&B agent started, the run is the agent's: its id, its project, its sweep, and the hyper-parameters that the search chose.
"""

from __future__ import annotations

import configparser
import netrc
import os
from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

import msgspec

from trackbridge.adapters import Capabilities, Concurrency, Recovery, Requirements, Sidecar, Target
from trackbridge_adapters.wandb.projection import KEYS, PROJECTION
from trackbridge_adapters.wandb.reader import Reader
from trackbridge_adapters.wandb.writer import Writer

HOSTS = ("api.wandb.ai", "api.forge.coreweave.com")


class WandbAdapter:
    name: ClassVar[str] = "wandb"
    requires: ClassVar[Requirements] = Requirements(
        extra="wandb",
        distributions=("wandb>=0.31", "tenacity"),
        tested={"wandb": "0.31.0"},
        credentials=("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "~/.netrc"),
    )
    flavours: ClassVar[tuple[str, ...]] = ("?mode=offline",)

    def resolve(self, target: Target, base: Path) -> Target:
        """The location is the folder in which the client makes its folder ``wandb``, or the URL of a server; then ``?dir=`` is the folder."""
        folder = target.options.get("dir") or os.environ.get("WANDB_DIR") or ""
        if target.location and not target.is_path:
            options = target.options | {"dir": os.path.abspath(base / Path(folder).expanduser())}
            return msgspec.structs.replace(target, options=options)
        return msgspec.structs.replace(target, location=target.location or folder or ".").absolute(base)

    def capabilities(self, target: Target, client_version: str = "") -> Capabilities:
        flavour = "online" if _online(target) else "offline"
        return Capabilities(flavour, PROJECTION, KEYS, Recovery.FRAGMENTS, Sidecar.STORED, Concurrency.SERIAL)

    def writer(self, target: Target) -> Writer:
        options = {name: value for name, value in target.options.items() if name == "entity"}
        if target.location and not target.is_path:
            options["base_url"] = target.location
        if target.credentials:
            options["api_key"] = target.credentials.rpartition(":")[2]
        return Writer(_folder(self.resolve(target, Path.cwd())), target.project, _online(target), options)

    def reader(self, target: Target) -> Reader:
        return Reader(_folder(self.resolve(target, Path.cwd())))

    def ui(self, target: Target) -> list[str]:
        return [] if _online(target) else ["wandb", "leet", str(_folder(self.resolve(target, Path.cwd())) / "wandb")]


def _folder(target: Target) -> Path:
    return Path(target.location if target.is_path else target.options["dir"])


def _online(target: Target) -> bool:
    """As the client itself decides: by ``WANDB_MODE``, else by whether it has a key for the server."""
    mode = target.options.get("mode") or os.environ.get("WANDB_MODE") or _setting("mode")
    if mode:
        return mode in ("online", "shared")
    if target.credentials or os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    server = target.location if "://" in target.location else os.environ.get("WANDB_BASE_URL") or _setting("base_url")
    hosts = [urlsplit(server).hostname or ""] if server else HOSTS
    path = Path(os.environ.get("NETRC") or "~/.netrc").expanduser()
    try:
        return any(netrc.netrc(path).authenticators(host) for host in hosts)
    except (OSError, netrc.NetrcParseError):
        return False


def _setting(name: str) -> str:
    """What ``wandb login`` and ``wandb offline`` wrote to the client's settings."""
    folder = Path(os.environ.get("WANDB_CONFIG_DIR") or "~/.config/wandb").expanduser()
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(folder / "settings")
        return parser.get("default", name, fallback="")
    except configparser.Error:
        return ""


adapter = WandbAdapter()
