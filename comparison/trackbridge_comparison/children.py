"""Child processes: each in a process group of its own, with a time limit, and ended when the comparison ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from trackbridge_comparison import tools


class ChildFailed(Exception):
    """A child ended with an error; the message is what it printed."""


class OutOfTime(Exception):
    """A child was ended because its time was over; the message says how long it had."""


class TooLong(Exception):
    """A child was ended because it took longer than what is measured allows; the message says how long it had."""


_alive: set[subprocess.Popen[bytes]] = set()
_lock = threading.Lock()
_stopping = threading.Event()


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's variables without what would lead a tracker elsewhere, and `extra`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(tools.prefixes()) and name != "PYTHONPATH"}
    return kept | {"PYTHONUNBUFFERED": "1"} | dict(extra or {})


def start(
    command: Sequence[str], work: Path, extra: Mapping[str, str] | None = None, log: Path | None = None, pass_fds: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start a child in the folder `work`; its output goes to `log`.

    Raises:
        OutOfTime: the comparison is ending.
    """
    if _stopping.is_set():
        raise OutOfTime("the comparison was stopped")
    work.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(log.open("ab")) if log else subprocess.DEVNULL
        child = subprocess.Popen(
            list(command),
            cwd=work,
            env=environment(extra),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=tuple(pass_fds),
            process_group=0,
        )
    with _lock:
        _alive.add(child)
    return child


def run(command: Sequence[str], work: Path, seconds: float, extra: Mapping[str, str] | None = None) -> str:
    """Run a child to its end and return what it printed.

    Args:
        seconds: after these it is ended with all that it started.

    Raises:
        ChildFailed: it ended with an error.
        OutOfTime: it did not end in time.
    """
    work.mkdir(parents=True, exist_ok=True)
    log = work / f".log-{time.monotonic_ns()}"
    child = start(command, work, extra, log)
    try:
        code = child.wait(max(0.0, seconds))
    except subprocess.TimeoutExpired:
        raise OutOfTime(f"ended after {seconds:.0f} s: its time was over") from None
    finally:
        end(child)
    printed = log.read_text("utf-8", "replace")
    log.unlink(missing_ok=True)
    if code:
        if _stopping.is_set():
            raise OutOfTime("the comparison was stopped")
        raise ChildFailed(f"exit code {code}\n{printed}")
    return printed


def end(child: subprocess.Popen[bytes]) -> None:
    """SIGKILL the child, its process group, and what has left the group; reap the child."""
    _kill(child)
    child.wait()
    with _lock:
        _alive.discard(child)


def end_all() -> None:
    """End every child that is alive, and start none any more."""
    _stopping.set()
    with _lock:
        children = list(_alive)
    for child in children:
        _kill(child)


def _kill(child: subprocess.Popen[bytes]) -> None:
    everyone = descendants(child.pid) if child.poll() is None else []
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    for process in everyone:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGKILL)


def stopping() -> bool:
    """Whether :func:`end_all` was called."""
    return _stopping.is_set()


def restart() -> None:
    """Allow children again."""
    _stopping.clear()


def end_left(folder: Path) -> None:
    """SIGKILL what still works in `folder`, and wait until it is gone: a comparison that was killed could not end its children. Where the system
    has no ``/proc``, nothing is ended.
    """
    inside = folder.resolve()
    while left := [int(cwd.parent.name) for cwd in Path("/proc").glob("[0-9]*/cwd") if _lies_in(cwd, inside)]:
        for process in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.01)


def _lies_in(link: Path, folder: Path) -> bool:
    try:
        return link.readlink().is_relative_to(folder)
    except OSError:  # it has ended, or is another user's
        return False


def descendants(process: int) -> list[int]:
    """The processes that `process` started, and theirs."""
    listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=False).stdout
    children: dict[int, list[int]] = {}
    for line in listing.splitlines():
        pid, parent = map(int, line.split())
        children.setdefault(parent, []).append(pid)
    found, todo = [], [process]
    while todo:
        for child in children.get(todo.pop(), []):
            found.append(child)
            todo.append(child)
    return found
