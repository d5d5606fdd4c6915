"""Named points at which a test lets this process die. ``TRACKBRIDGE_FAILPOINT=after_write:exit`` kills it with SIGKILL at the first pass;
``after_write:exit:3`` at the third. Nothing happens when the variable is not set."""

from __future__ import annotations

import os
import signal

_NAME, _, _REST = os.environ.get("TRACKBRIDGE_FAILPOINT", "").partition(":")
_left = int(_REST.partition(":")[2] or 1)


def hit(name: str) -> None:
    """Pass the point `name`: ``after_open after_write after_flush before_cursor after_cursor before_close after_close``."""
    global _left
    if name == _NAME:
        _left -= 1
        if _left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
