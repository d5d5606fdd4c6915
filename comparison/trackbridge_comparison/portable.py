"""Texts without folders of this machine, addresses or control characters: what is reported must mean something elsewhere."""

from __future__ import annotations

import re
import site
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import trackbridge

_ADDRESS = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>)]*", re.IGNORECASE)
_FOLDER = re.compile(r"(?<![\w.~>])/(?:[\w.+@-]+/)+")
_CONTROL = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


def portable(text: str, places: Mapping[Path, str] | None = None) -> str:
    """`text` with known folders named (``<work>``, ``<packages>``), other absolute paths cut to their last part and addresses left out.

    Args:
        places: further folders and their names.
    """
    text = _CONTROL.sub("", text)
    known = {Path(folder): "<packages>" for folder in site.getsitepackages()}
    known |= {Path(sys.prefix): "<python>", Path(sys.base_prefix): "<python>", root(): "<repository>"}
    known |= {Path.home() / ".cache": "<cache>", Path(tempfile.gettempdir()): "<temporary>"} | dict(places or {})
    for folder, name in sorted(known.items(), key=lambda item: -len(str(item[0]))):
        if len(folder.parts) > 1:
            text = text.replace(str(folder), name)
    return _FOLDER.sub(".../", _ADDRESS.sub("<address>", text))


def excerpt(text: str, lines: int = 12, width: int = 300) -> str:
    """The last lines of a log, cut."""
    kept = [line.rstrip()[:width] for line in text.splitlines() if line.strip()]
    return "\n".join(kept[-lines:])


def root() -> Path:
    """The folder that the package ``trackbridge`` lies in: the repository, when it is used from there."""
    return Path(trackbridge.__file__).resolve().parent.parent
