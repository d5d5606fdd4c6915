"""Keeps secrets out of the journal: what looks like one in configuration, tags, notes and text is replaced before anything is written.

Only strings of at least 8 characters are looked at, never metric keys or numbers, and names only as whole words, so that ``max_tokens`` and
``num_key_value_heads`` stay. What was replaced is a visible deviation.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

REPLACEMENT = "[redacted]"
SHORTEST = 8
_SECRET_NAME = re.compile(
    r"(?:^|.*[_\-./ ])(?:api_?key|access_?key|secret_?key|private_?key|password|passwd|secret|token|credentials?|authorization)$",
    re.IGNORECASE,
)
_SECRET_VARIABLE = re.compile(r".*(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD)$", re.IGNORECASE)
_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*://)(?:[^\s/?#]*:[^\s/?#]+|[^\s/?#:@]{20,})@")
"""User and password of a URL, to the last ``@`` of its authority; a user of such a length alone is a token."""


class Redactor:
    """Replaces secrets.

    Args:
        environ: values of variables named ``*KEY``, ``*TOKEN``, ``*SECRET``, ``*PASSWORD`` are secrets wherever they appear.
        enabled: False lets everything through.
    """

    def __init__(self, environ: Mapping[str, str] | None = None, enabled: bool = True) -> None:
        variables = os.environ if environ is None else environ
        secrets = {value for name, value in variables.items() if len(value) >= SHORTEST and _SECRET_VARIABLE.fullmatch(name)}
        longest_first = sorted(secrets, key=len, reverse=True)
        self._values = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
        self._enabled = enabled

    def text(self, text: str, name: str = "") -> str:
        """`text` without secrets; `name` is the name under which it is kept."""
        if not self._enabled or len(text) < SHORTEST:
            return text
        if name and _SECRET_NAME.fullmatch(name):
            return REPLACEMENT
        text = _USERINFO.sub(rf"\g<scheme>{REPLACEMENT}@", text) if "://" in text else text
        return self._values.sub(REPLACEMENT, text) if self._values else text

    def tree(self, value: Any, name: str = "") -> tuple[Any, list[str]]:
        """A structure of dicts, lists and scalars without secrets, and the paths of what was replaced."""
        if isinstance(value, str):
            clean = self.text(value, name.rpartition("/")[2])
            return clean, [name] if clean != value else []
        hits: list[str] = []
        if isinstance(value, dict):
            result: dict[str, Any] = {}
            for key, item in value.items():
                result[key], found = self.tree(item, f"{name}/{key}" if name else key)
                hits += found
            return result, hits
        if isinstance(value, list):
            items = []
            for item in value:
                clean_item, found = self.tree(item, name)
                items.append(clean_item)
                hits += found
            return items, hits
        return value, hits
