"""Which machine this is, and whether a process on it lives."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path


def name() -> str:
    import socket

    return socket.gethostname()


@lru_cache(maxsize=1)
def identity() -> str:
    """This host and its process namespace, so that a process id of another container is never taken for one of ours."""
    try:
        namespace = f"/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        namespace = ""
    return name() + namespace


def started(pid: int) -> int | None:
    """When process `pid` was started, in clock ticks since boot; None where the system does not tell, 0 when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return 0 if Path("/proc/self/stat").exists() else None
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return 0 if fields[0] in "ZX" else int(fields[19])


def own_ticks() -> int:
    """When this process was started, as :func:`is_dead` takes it."""
    return started(os.getpid()) or 0


def alive(pid: int) -> bool:
    """Whether a process of this id runs here. A zombie does not."""
    ticks = started(pid)
    if ticks is not None:
        return ticks > 0
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def is_dead(host: str, pid: int, since: int, ticks: int = 0) -> bool:
    """Whether process `pid` of `host`, which ran at `since` (nanoseconds since 1970), is known to be dead.

    False when it runs on another host, where nobody here can tell. A process of the same id that was started at another time than `ticks` is
    another one; where these are not known (0), one that was started later than `since`, which a clock that was set meanwhile makes wrong.
    """
    if host != identity():
        return False
    now = started(pid)
    if now is None:
        return not alive(pid)
    if now == 0:
        return True
    if ticks:
        return now != ticks
    return _boot_time() + now / os.sysconf("SC_CLK_TCK") > since / 1e9 + 2.0


@lru_cache(maxsize=1)
def _boot_time() -> float:
    """Seconds since 1970 at which the system was booted."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return 0.0
