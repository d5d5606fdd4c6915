"""The normal form of a run, in which two copies of it are compared point by point.

Per key the ordered points, the configuration by path, tags, summary, description, status, media and artifacts by digest. How records were
cut into calls and batches is not part of it, since no tracker keeps that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from trackbridge.projection import Entry, FileItem, MediaItem, Point, Projection, same
from trackbridge.records import (
    Artifact,
    Config,
    End,
    Media,
    Metrics,
    Record,
    Rewind,
    RunInfo,
    Start,
    Status,
    Summary,
    Tags,
    big_integers,
)

INLINE_BYTES = 1 << 20
FIELDS = ("name", "project", "group", "job_type", "notes")


class Normal(msgspec.Struct):
    series: dict[str, list[Point]] = {}
    config: dict[str, Any] = {}
    summary: dict[str, Any] = {}
    tags: frozenset[str] = frozenset()
    fields: dict[str, str] = {}
    status: str = Status.RUNNING
    media: dict[str, list[MediaItem]] = {}
    artifacts: dict[tuple[str, str], FileItem] = {}

    def points(self) -> int:
        return sum(map(len, self.series.values()))


class Difference(msgspec.Struct, frozen=True):
    """One place where a tracker does not hold what its declaration says. `expected` and `found` are None where nothing is."""

    what: str  # series config summary tags field status media artifact
    key: str
    expected: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.what} {self.key!r}: expected {self.expected!r:.300}, found {self.found!r:.300}"


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested mapping as {path: leaf}. Paths join keys by ``/``; ``~`` and ``/`` inside a key are written ``~0`` and ``~1``
    (RFC 6901), so no two places share a path. Lists and empty mappings are leaves."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        path = prefix + key.replace("~", "~0").replace("/", "~1")
        if isinstance(value, dict) and value:
            flat.update(flatten(value, path + "/"))
        else:
            flat[path] = value
    return flat


def top_level(values: Mapping[str, Any]) -> set[str]:
    """The first parts of the paths of `values`: an entry of a configuration that is set again replaces all that was below it."""
    return {path.partition("/")[0] for path in flatten(dict.fromkeys(values))}


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of :func:`flatten`."""
    nested: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")]
        place = nested
        for parent in parents:
            below = place.setdefault(parent, {})
            if not isinstance(below, dict):
                below = place[parent] = {}
            place = below
        place[last] = value
    return nested


def ranked(key: str, rank: int) -> str:
    """The key under which a value of this rank is shown: ``rank3/loss``; rank 0 keeps its keys."""
    return f"rank{rank}/{key}" if rank else key


def normal(records: Iterable[Record], info: RunInfo | None = None) -> Normal:
    """The normal form of `records`, which are in order within each shard. `info`: description and status that a Reader told apart.

    As forwarders deliver a run: forked processes are left out, configuration, summary, tags and status are rank 0's, the status that of the
    process of rank 0 that began last.
    """
    form = Normal()
    config: dict[str, Any] = {}
    ranks: dict[str, int] = {}
    attempts: dict[str, int] = {}
    forked: set[str] = set()
    main: str | None = None
    for record in records:
        event, shard = record.event, record.shard
        rank = ranks.get(shard, 0)
        if shard in forked:
            continue
        if isinstance(event, Metrics):
            attempt = attempts.get(shard, 0)
            for key, value in event.values.items():
                point = Point(ranked(key, rank), value, event.step, event.time, event.call, attempt)
                form.series.setdefault(point.key, []).append(point)
        elif isinstance(event, Media):
            key = ranked(event.key, rank)
            item = MediaItem(key, event.step, event.time, event.kind, event.format, content(event), event.call, event.meta)
            form.media.setdefault(key, []).append(item)
        elif isinstance(event, Start):
            ranks[shard] = event.rank
            if event.forked:
                forked.add(shard)
            elif event.rank == 0:
                if main is None:
                    form.fields = _fields(event, event.run_id)
                main, form.status = shard, Status.RUNNING
        elif isinstance(event, Artifact):
            for file in event.files:
                form.artifacts[event.name, file.path] = FileItem(event.name, event.type, file.path, file.digest)
        elif isinstance(event, Rewind):
            attempts[shard] = attempts.get(shard, 0) + 1
        elif rank:
            continue
        elif isinstance(event, Config):
            config.update(event.values)
        elif isinstance(event, Summary):
            form.summary.update(event.values)
        elif isinstance(event, Tags):
            form.tags = frozenset(event.values)
        elif isinstance(event, End) and shard == main:
            form.status = event.status
    form.config = flatten(config)
    if info is not None:
        form.fields = _fields(info, info.id)
        form.status = info.status
        form.tags = frozenset(info.tags)
    return form


def _fields(described: Start | RunInfo, run_id: str) -> dict[str, str]:
    """Trackers show a run without a name by its id, so the two are one."""
    fields = {name: getattr(described, name) for name in FIELDS}
    return fields | ({"name": ""} if described.name == run_id else {})


def content(event: Media) -> Any:
    """What identifies the content of `event`: the digest of its bytes, or the value itself where it lies inline. A value that a journal
    keeps in a file for its size (msgpack over 1 MiB) has its digest also when a Reader gives it inline."""
    if event.file is not None:
        return event.file.digest
    packed = msgspec.msgpack.encode(big_integers(event.inline))
    return hashlib.sha256(packed).hexdigest() if len(packed) > INLINE_BYTES else event.inline


def expected(form: Normal, projection: Projection) -> Normal:
    """What a tracker with this projection will hold of `form`."""
    result = Normal(status=_value(projection.apply("status", Entry("status", form.status))[0]) or "")
    for key, points in form.series.items():
        kept = projection.series(points)
        if kept:
            result.series[key] = kept
    for name in ("config", "summary"):
        for key, value in getattr(form, name).items():
            entry, _ = projection.apply(name, Entry(key, value))
            if entry is not None:
                getattr(result, name)[entry.key] = entry.value
    result.tags = projection.apply("tags", form.tags)[0] or frozenset()
    for key, value in form.fields.items():
        result.fields[key] = _value(projection.apply("field", Entry(key, value))[0]) or ""
    for key, items in form.media.items():
        kept_items = [after for item in items if (after := projection.apply("media", item)[0]) is not None]
        if kept_items:
            result.media[key] = kept_items
    for place, file in form.artifacts.items():
        held, _ = projection.apply("artifact", file)
        if held is not None:
            result.artifacts[place] = held
    return result


def compare(original: Normal, found: Normal, projection: Projection, native: bool = True) -> list[Difference]:
    """Where `found` is not what `projection` makes of `original`; an empty projection asks for equality.

    Args:
        native: leave out of a point what only the journal knows, the number of its call and its attempt.
    """
    wanted = expected(original, projection)
    differences: list[Difference] = []
    for key in sorted(wanted.series.keys() | found.series.keys()):
        left, right = (list(map(_native, form.series.get(key, []))) if native else form.series.get(key, []) for form in (wanted, found))
        differences.extend(_series(key, left, right))
    for what in ("config", "summary", "fields"):
        left_map, right_map = getattr(wanted, what), getattr(found, what)
        for key in sorted(left_map.keys() | right_map.keys()):
            if (key in left_map) != (key in right_map) or not same(left_map[key], right_map[key]):
                differences.append(Difference(what.rstrip("s"), key, left_map.get(key), right_map.get(key)))
    if wanted.tags != found.tags:
        differences.append(Difference("tags", "", sorted(wanted.tags), sorted(found.tags)))
    if wanted.status != found.status:
        differences.append(Difference("status", "", wanted.status, found.status))
    for key in sorted(wanted.media.keys() | found.media.keys()):
        then, now = (list(map(_bare, form.media.get(key, []))) for form in (wanted, found))
        if not same(then, now):
            differences.append(Difference("media", key, then, now))
    for place in sorted(wanted.artifacts.keys() | found.artifacts.keys()):
        if wanted.artifacts.get(place) != found.artifacts.get(place):
            differences.append(Difference("artifact", "/".join(place), wanted.artifacts.get(place), found.artifacts.get(place)))
    return differences


def _value(entry: Entry | None) -> Any:
    return None if entry is None else entry.value


def _native(point: Point) -> Point:
    return Point(point.key, point.value, point.step, point.time)


def _bare(item: MediaItem) -> MediaItem:
    """Without what only the journal keeps: number of the call, caption and the like."""
    return msgspec.structs.replace(item, call=0, meta={})


def _series(key: str, wanted: list[Point], found: list[Point]) -> list[Difference]:
    if len(wanted) != len(found):
        return [Difference("series", key, f"{len(wanted)} points: {wanted[:3]}", f"{len(found)} points: {found[:3]}")]
    for left, right in zip(wanted, found, strict=True):
        if not same(left, right):
            return [Difference("series", key, left, right)]
    return []
