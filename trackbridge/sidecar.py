"""The sidecar: the run's journal, attached to the run in every tracker, so that nothing is lost to what the tracker cannot hold.

A value is taken from the sidecar only where the native value is what the declared deviation makes of the original, or where the declaration
says that it is dropped. Anything else was changed after it was logged: then the native value stands, and the change is listed as ``edited``.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from trackbridge.deviations import Deviation, Reason
from trackbridge.journal import blocks
from trackbridge.journal.reader import shards
from trackbridge.normal import Normal, expected, normal, ranked, unflatten
from trackbridge.projection import Point, Projection, same
from trackbridge.records import Config, Metrics, Record, RunInfo, Start, Summary

LARGEST = 1 << 30
RATIO = 200
"""A sidecar may unpack to `LARGEST` bytes, or to `RATIO` times its own: a journal is packed to a tenth of its size or so, and a hostile sidecar, which
can unpack to a thousand times its own, must not fill the memory."""


def build(run: Path, skip: Iterable[str] = ()) -> tuple[bytes, str]:
    """The sidecar of the run in folder `run`, and its SHA-256. `skip`: shards that were not routed to the tracker."""
    packer = zlib.compressobj(1)
    packed = []
    for shard in shards(run / "journal"):
        if shard not in set(skip):
            for path in sorted((run / "journal").glob(f"{shard}-*.tbj")):
                data = path.read_bytes()
                packed += [packer.compress(data[block.offset : block.end]) for block in blocks.scan(data)]
    whole = b"".join(packed) + packer.flush()
    return whole, hashlib.sha256(whole).hexdigest()


def read(data: bytes) -> list[Record]:
    """The records of a sidecar, marked as such; damaged blocks are passed.

    Raises:
        ValueError: it is torn, no sidecar, or unpacks to more than any journal does.
    """
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(data, max(LARGEST, RATIO * len(data)))
    except zlib.error as error:
        raise ValueError(f"the sidecar cannot be unpacked: {error}") from error
    if not unpacker.eof:
        raise ValueError(f"the sidecar is torn, or unpacks to more than {RATIO} times its size and {LARGEST:,} bytes")
    found: list[Record] = []
    shard, following, place = "", 0, 0
    for block in blocks.scan(raw):
        segment = blocks.segment(block)
        if segment is not None:
            shard, following = segment.shard, following if segment.shard == shard else 0
            place = segment.sequence
            continue
        first = blocks.full_sequence(block.low, place)
        records = blocks.read_records(block, shard, first) or []
        found += [msgspec.structs.replace(record, source="sidecar") for record in records if record.sequence >= following]
        place = first + len(records)
        following = max(following, place)
    return found


def restore(native: Iterable[Record], info: RunInfo, sidecar: bytes, projection: Projection) -> tuple[list[Record], list[Deviation]]:
    """The run as it was logged, from what the tracker holds and its sidecar.

    Args:
        native: what the tracker's own reader returns.
        info: the run's description, as the tracker tells it.
        sidecar: the bytes of :func:`build`.
        projection: what the tracker declares.

    Returns:
        The sidecar's records without the values that the tracker no longer holds as declared, followed by records of the values that it holds
        otherwise; and one deviation ``edited`` for each key concerned.

    Raises:
        ValueError: see :func:`read`.
    """
    records = read(sidecar)
    held = normal(native, info)
    original = normal(records)
    wanted = expected(original, projection)
    edited: list[Deviation] = []
    lost, extra = _points(original, wanted, held, projection, edited)
    kept = list(_without(records, lost)) + [Record("native", index, event) for index, event in enumerate(extra)]
    for name, event in (("config", Config), ("summary", Summary)):
        now, then = getattr(held, name), getattr(wanted, name)
        changed = {path: value for path, value in now.items() if path not in then or not same(value, then[path])}
        gone = [path for path in then if path not in now]
        edited.extend(Deviation(Reason.EDITED, f"{name}/{path}") for path in [*changed, *gone])
        if changed:
            values = unflatten(getattr(original, name) | changed) if name == "config" else changed
            kept.append(Record("native", len(extra) + (event is Summary), event(info.start, values)))
    return kept, edited


def _points(
    original: Normal, wanted: Normal, held: Normal, projection: Projection, edited: list[Deviation]
) -> tuple[Counter[Any], list[Metrics]]:
    """The original points that are no longer held as declared, and events of those that are held otherwise."""
    lost: Counter[Any] = Counter()
    extra: list[Metrics] = []
    for key in original.series.keys() | held.series.keys():
        then, now = Counter(map(_mark, wanted.series.get(key, []))), Counter(map(_mark, held.series.get(key, [])))
        if then == now:
            continue
        missing, found = then - now, now - then
        edited.append(Deviation(Reason.EDITED, key, max(missing.total(), found.total())))
        for point in original.series.get(key, []):
            after = projection.apply("scalar", point)[0]
            if after is not None and missing[_mark(after)] > 0:
                missing[_mark(after)] -= 1
                lost[_mark(point)] += 1
        for point in held.series.get(key, []):
            if found[_mark(point)] > 0:
                found[_mark(point)] -= 1
                extra.append(Metrics(point.time, point.call, point.step, {point.key: point.value}))
    return lost, extra


def _without(records: Iterable[Record], lost: Counter[Any]) -> Iterator[Record]:
    if not lost:
        yield from records
        return
    ranks: dict[str, int] = {}
    for record in records:
        event = record.event
        if isinstance(event, Start):
            ranks[record.shard] = event.rank
        if isinstance(event, Metrics):
            values = {}
            for key, value in event.values.items():
                mark = _mark(Point(ranked(key, ranks.get(record.shard, 0)), value, event.step, event.time))
                if lost[mark] > 0:
                    lost[mark] -= 1
                else:
                    values[key] = value
            record = msgspec.structs.replace(record, event=msgspec.structs.replace(event, values=values))
        yield record


def _mark(point: Point) -> tuple[Any, ...]:
    """A hashable form of a point in which equal means equal to the last bit."""
    value = point.value
    return point.key, type(value).__name__, value.hex() if isinstance(value, float) else value, point.step, point.time
