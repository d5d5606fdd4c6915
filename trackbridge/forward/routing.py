"""What of a journal is for a tracker. Needs no extra: the command line asks it too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from trackbridge.adapters import Position
from trackbridge.journal.reader import JournalReader
from trackbridge.normal import ranked
from trackbridge.records import Artifact, Media, Metrics, Record, Start


class Router:
    """What of a journal is for a tracker, and under which keys. `starts`: the beginning of each shard that was seen."""

    def __init__(self) -> None:
        self.starts: dict[str, Start] = {}

    def route(self, record: Record) -> Record | None:
        """`record` with the keys of other ranks prefixed; None when it is not for a tracker."""
        event = record.event
        if isinstance(event, Start):
            self.starts[record.shard] = event
        start = self.starts.get(record.shard)
        if start is None or start.forked:
            return None
        if not start.rank:
            return record
        if isinstance(event, Metrics):
            event = msgspec.structs.replace(event, values={ranked(key, start.rank): value for key, value in event.values.items()})
        elif isinstance(event, Media):
            event = msgspec.structs.replace(event, key=ranked(event.key, start.rank))
        elif not isinstance(event, Artifact):
            return None  # configuration, tags and status are rank 0's
        return msgspec.structs.replace(record, event=event)

    def unrouted(self) -> list[str]:
        """The shards of which nothing goes to a tracker: those of forked data workers."""
        return [shard for shard, start in self.starts.items() if start.forked]

    def is_main(self, shard: str) -> bool:
        """Whether the run's status is told by `shard`."""
        start = self.starts.get(shard)
        return start is not None and start.rank == 0 and not start.forked


def routed(records: Iterable[Record]) -> Iterator[Record]:
    """Those of `records` that are for a tracker, as a Writer gets them."""
    router = Router()
    for record in records:
        ours = router.route(record)
        if ours is not None:
            yield ours


def news(run: Path, position: Position) -> bool:
    """Whether the journal in folder `run` holds records for a tracker beyond `position`."""
    return any(not position.holds(record) for record in routed(JournalReader(run)))
