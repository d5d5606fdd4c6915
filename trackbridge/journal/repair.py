"""Offline repair of a journal. The only code that changes a segment after it was written."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from trackbridge.errors import JournalError
from trackbridge.journal import blocks
from trackbridge.journal.reader import SEGMENT_NAME, JournalReader


def repair(run: Path) -> list[str]:
    """Cut the torn tail off each segment of the run in folder `run`, after a copy of the segment was kept as ``.broken``.

    A tail is torn where it is the begin of a block, which nobody was told is kept. All other damage is reported and left, since it is the evidence
    of what was lost: readers pass it, and what stands around it stays readable.

    Returns:
        One line for people for each damaged place.

    Raises:
        JournalError: a process still writes to this run.
        RunNotFound: there is no journal.
    """
    reader = JournalReader(run)
    for _ in reader:
        pass
    live = [shard for shard in reader.readers if not reader.over(shard)]
    if live:
        raise JournalError(f"run {run.name} is being written by {', '.join(live)}: repair it when that process has ended")
    lines = []
    for path in sorted((run / "journal").iterdir()):
        if SEGMENT_NAME.fullmatch(path.name):
            lines += _repair_segment(path)
    return lines


def _repair_segment(path: Path) -> list[str]:
    data = path.read_bytes()
    lines, whole = [], 0
    for block in blocks.scan(data):
        if block.offset > whole:
            lines.append(f"{path.name}: bytes {whole} to {block.offset} are damaged; readers pass them")
        whole = block.end
    if whole < len(data) and blocks.needed(data, whole) <= len(data) - whole:
        lines.append(f"{path.name}: bytes {whole} to {len(data)} are damaged; readers pass them")
    elif whole < len(data):
        broken = _keep(path, data)
        with path.open("r+b") as file:
            file.truncate(whole)
            os.fsync(file.fileno())
        lines.append(f"{path.name}: {len(data) - whole} torn bytes after {whole} were cut off; the file as it was is {broken.name}")
    return lines


def _keep(path: Path, data: bytes) -> Path:
    """Write `data` beside `path`, under a name that is free, to the disk."""
    for number in itertools.count():
        broken = path.with_name(f"{path.name}.broken{number or ''}")
        try:
            descriptor = os.open(broken, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return broken
    raise AssertionError("unreachable")
