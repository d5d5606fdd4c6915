"""Runs as bytes, to pass them between processes: msgpack of ``[info, directory, [[shard, sequence, source], ...], [[event], ...]]``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from trackbridge import records
from trackbridge.records import Record, RunInfo, Unknown


def dump(info: RunInfo, rows: Iterable[Record]) -> bytes:
    """One run. Integers of any size in the events are kept."""
    rows = list(rows)
    identities = [(row.shard, row.sequence, row.source) for row in rows]
    directory = None if info.directory is None else str(info.directory)
    return msgspec.msgpack.encode((msgspec.structs.replace(info, directory=None), directory, identities, [_event(row) for row in rows]))


def load(data: bytes) -> tuple[RunInfo, list[Record]]:
    """The inverse of :func:`dump`.

    Raises:
        msgspec.DecodeError: `data` is not what `dump` made.
    """
    kind = tuple[RunInfo, str | None, list[tuple[str, int, str]], list[msgspec.Raw]]
    info, directory, identities, events = msgspec.msgpack.decode(data, type=kind)
    rows = [
        Record(shard, sequence, records.decode(bytes(event))[0], source)
        for (shard, sequence, source), event in zip(identities, events, strict=True)
    ]
    return msgspec.structs.replace(info, directory=Path(directory) if directory is not None else None), rows


def _event(row: Record) -> msgspec.Raw:
    if isinstance(row.event, Unknown):
        return msgspec.Raw(msgspec.msgpack.encode([records.big_integers(row.event.fields)]))
    return msgspec.Raw(records.encode([row.event]))
