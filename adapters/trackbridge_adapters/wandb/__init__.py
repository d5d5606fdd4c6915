"""Weights & Biases, online or offline.

A run is one run there; where its process was killed, or it was continued later, it is several folders of one id ("fragments"), which
``wandb sync`` and our Reader join. Each call of ``log`` is one row: ``step`` is never passed to the client, which drops rows of an earlier
step and merges those of the same; the charts' axis is the column ``trackbridge/step`` (or what ``define_metric`` says).

W&B holds floats with NaN, infinities and -0.0, integers of 64 bits, bools, None and texts as they are. Two hidden columns hold what it
does not: the nanoseconds of a time, an absent step, integers beyond 64 bits, and for each record that is no call of ``log`` its msgpack form
(a configuration there has no NaN, a tag at most 64 characters, a project's name no ``/``). Images, sounds and films lie verbatim where the
client puts media; other contents and artifacts' files lie in the run's own folder and are announced to the client. The Reader hashes what it finds.
So nothing changes. What is only shown differently: a step that is absent is the number of the call, an integer beyond 64 bits is a float.

The client's ``log`` returns before its own process has written anything: `flush` reads the log until the last row is in it. That log is on
this disk, online too: the client uploads some seconds later and tells nobody what has arrived. If it was killed in between, ``wandb sync``
uploads the rest from the folder that `place` names.
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
from trackbridge.projection import Projection
from trackbridge_adapters.wandb.layout import KEYS
from trackbridge_adapters.wandb.reader import Reader
from trackbridge_adapters.wandb.writer import Writer

HOSTS = ("api.wandb.ai", "api.forge.coreweave.com")


class WandbAdapter:
    name: ClassVar[str] = "wandb"
    requires: ClassVar[Requirements] = Requirements(extra="wandb", distributions=("wandb>=0.31", "tenacity"), tested={"wandb": "0.31.0"})

    def resolve(self, target: Target, base: Path) -> Target:
        """The location is the folder in which the client makes its folder ``wandb``, or the URL of a server; then ``?dir=`` is the folder."""
        folder = target.options.get("dir") or os.environ.get("WANDB_DIR") or ""
        if target.location and not target.is_path:
            options = target.options | {"dir": os.path.abspath(base / Path(folder).expanduser())}
            return msgspec.structs.replace(target, options=options)
        return msgspec.structs.replace(target, location=target.location or folder or ".").absolute(base)

    def capabilities(self, target: Target, client_version: str = "") -> Capabilities:
        flavour = "online" if _online(target) else "offline"
        return Capabilities(flavour, Projection(), KEYS, Recovery.FRAGMENTS, Sidecar.STORED, Concurrency.SERIAL)

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
