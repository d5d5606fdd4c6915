"""Injective, reversible encoding of metric keys for trackers that restrict names.

No two keys may ever become one in a tracker (``timing(s)/gen`` and ``timings/gen`` must stay apart), and a Reader must be able to give
the original back. A character that the tracker refuses becomes ``<mark><hex>~``-like escapes built only from characters that it takes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Names:
    """How keys are written in one tracker.

    Args:
        allowed: a regular expression class of the characters that the tracker takes, such as ``[\\w/. -]``.
        mark: an allowed character that begins and ends an escape: ``:`` makes ``a@b`` into ``a:40:b``. It is itself always escaped.
        max_length: the longest name that the tracker takes, counted by `measure`.
        measure: the length of a name as the tracker counts it (characters by default; bytes for file names).
        plain_path: the name must equal its normalised POSIX path: no leading, trailing or double ``/``, no ``.`` or ``..`` parts.
        fold_case: the tracker does not tell cases apart (keys are file names on macOS): capitals are escaped.
        reserved: a regular expression of names that belong to the tracker; they are escaped at their first character.
    """

    allowed: str
    mark: str = ":"
    max_length: int | None = None
    measure: Callable[[str], int] = len
    plain_path: bool = False
    fold_case: bool = False
    reserved: str | None = None
    _allowed: re.Pattern[str] = field(init=False, repr=False, compare=False)
    _escape: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_allowed", re.compile(self.allowed))
        mark = re.escape(self.mark)
        object.__setattr__(self, "_escape", re.compile(f"{mark}([0-9a-f]*){mark}"))

    def encode(self, key: str) -> str:
        """The name under which `key` is stored. A name over `max_length` ends in a digest of the key: keep the original beside it."""
        if key == "":
            return self.mark * 2
        name = "".join(map(self._character, key))
        if self.reserved and re.match(self.reserved, name):
            name = self._hex(name[0]) + name[1:]
        if self.plain_path:
            name = self._path(name)
        if self.max_length is not None and self.measure(name) > self.max_length:
            return self._shorten(name, key)
        return name

    def decode(self, name: str, originals: Mapping[str, str] | None = None) -> str:
        """The key of `name`; `originals` maps the shortened names to their keys."""
        if originals and name in originals:
            return originals[name]
        return self._escape.sub(_unescaped, name)

    def shortened(self, key: str) -> bool:
        """Whether the name of `key` cannot be decoded without its original."""
        return self.decode(self.encode(key)) != key

    def _hex(self, character: str) -> str:
        return f"{self.mark}{ord(character):x}{self.mark}"

    def _character(self, character: str) -> str:
        refused = character == self.mark or not self._allowed.fullmatch(character)
        return self._hex(character) if refused or (self.fold_case and character != character.lower()) else character

    def _path(self, name: str) -> str:
        parts = name.split("/")
        return "/".join(self._part(part, index, len(parts)) for index, part in enumerate(parts))

    def _part(self, part: str, index: int, count: int) -> str:
        if part in (".", ".."):
            return self._hex(".") + part[1:]
        return part or (self.mark * 2 if count > 1 else part)

    def _shorten(self, name: str, key: str) -> str:
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        tail = f"{self.mark}-{digest}"
        assert self.max_length is not None
        head = name
        while self.measure(head + tail) > self.max_length:
            head = head[: -max(1, (self.measure(head + tail) - self.max_length) // 4)]
        return head.rstrip("/ .") + tail


def _unescaped(escape: re.Match[str]) -> str:
    """What an escape stands for; one that nobody of ours wrote stands for itself."""
    code = int(escape[1] or "0", 16)
    return escape[0] if code > 0x10FFFF else chr(code) if escape[1] else ""


def to_text(value: Any) -> str:
    """A text that people read, from which the value comes back: a plain string as it is; everything else, a string that reads like JSON, and
    one with a NUL, which databases refuse, as JSON."""
    return value if isinstance(value, str) and "\0" not in value and from_text(value) is value else json.dumps(value, ensure_ascii=False)


def from_text(text: str) -> Any:
    """The inverse of :func:`to_text`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
