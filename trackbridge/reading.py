"""Reading a run, the same for a journal and for every tracker."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from trackbridge import settings
from trackbridge.deviations import Deviation, Ledger, Reason, unpack
from trackbridge.errors import RunNotFound, SettingsError
from trackbridge.normal import Normal, normal, ranked, unflatten
from trackbridge.records import Artifact, Define, Deviations, Media, Metrics, Record, Rewind, RunInfo, Start
from trackbridge.summary import Summarizer

if TYPE_CHECKING:
    import pandas
    import polars

JOURNAL = "journal"


class RunData:
    """A run as it was read.

    Args:
        info: id, name, project, group, status, start and end (nanoseconds since 1970).
        records: in order within each shard.
        edited: what was changed in the tracker after it was logged.
    """

    def __init__(self, info: RunInfo, records: list[Record], edited: list[Deviation] | None = None) -> None:
        self.info = info
        self._records = records
        self._edited = edited or []

    def records(self) -> Iterator[Record]:
        """The Records, with no extra installed."""
        return iter(self._records)

    @functools.cached_property
    def _normal(self) -> Normal:
        return normal(self._records)

    @property
    def config(self) -> dict[str, Any]:
        """The configuration, nested."""
        return unflatten(self._normal.config)

    @property
    def tags(self) -> set[str]:
        return set(self.info.tags) | set(self._normal.tags)

    @property
    def summary(self) -> dict[str, Any]:
        """Explicit values, else the rule of ``define_metric``, else the last value on the surviving branch; min and max skip NaN."""
        last: dict[str, Any] = {}
        by_rule = Summarizer()
        hidden: set[str] = set()
        for record in self._view("surviving"):
            by_rule.see(record.event)
            if isinstance(record.event, Define) and record.event.summary == "none":
                hidden.add(record.event.pattern)
        for row in self.rows():
            last[row["key"]] = row["value_any"]
        shown = {key: value for key, value in last.items() if not any(fnmatchcase(key, pattern) for pattern in hidden)}
        return shown | dict(by_rule.values()) | self._normal.summary

    @property
    def media(self) -> list[Media]:
        return [record.event for record in self._records if isinstance(record.event, Media)]

    @property
    def artifacts(self) -> list[Artifact]:
        return [record.event for record in self._records if isinstance(record.event, Artifact)]

    @property
    def deviations(self) -> list[Deviation]:
        """What changed before it was journaled, what was edited in the tracker afterwards, and what is damaged."""
        ledger = Ledger(self._edited)
        for record in self._records:
            if isinstance(record.event, Deviations):
                ledger.extend(unpack(record.event.items))
        return ledger.rows()

    def rows(self, attempts: str = "surviving") -> Iterator[dict[str, Any]]:
        """One dict per point, in order.

        Args:
            attempts: ``surviving`` drops what a later ``rewind`` took back; ``all`` keeps it.
        """
        if attempts not in ("surviving", "all"):
            raise SettingsError(f"attempts is {attempts!r}; it can be 'surviving' or 'all'")
        attempt: dict[str, int] = {}
        order: dict[str, int] = {}
        for record in self._view(attempts):
            event, shard = record.event, record.shard
            if isinstance(event, Rewind):
                attempt[shard] = attempt.get(shard, 0) + 1
            elif isinstance(event, Metrics):
                order[shard] = order.get(shard, -1) + 1
                for key, value in event.values.items():
                    yield {
                        "key": key,
                        "step": event.step,
                        "time": event.time,
                        "attempt": attempt.get(shard, 0),
                        "order": order[shard],
                        "shard": shard,
                        "kind": type(value).__name__,
                        "value_any": value,
                        "source": record.source,
                    }

    def _view(self, attempts: str) -> Iterator[Record]:
        """The records without the points that ``surviving`` drops; the keys of points of other ranks than 0 name their rank."""
        cuts = self._cuts() if attempts == "surviving" else {}
        ranks: dict[str, int] = {}
        for record in self._records:
            event, shard = record.event, record.shard
            if isinstance(event, Start):
                ranks[shard] = event.rank
            elif isinstance(event, Metrics):
                if event.step is not None and any(event.step >= step for place, step in cuts.get(shard, ()) if record.sequence < place):
                    continue
                if ranks.get(shard, 0):
                    values = {ranked(key, ranks[shard]): value for key, value in event.values.items()}
                    record = msgspec.structs.replace(record, event=msgspec.structs.replace(event, values=values))
            yield record

    def _cuts(self) -> dict[str, list[tuple[int, int]]]:
        """Per shard (sequence, step) of each rewind; one in a later shard cuts the earlier ones of its rank as a whole."""
        shards = list(dict.fromkeys(record.shard for record in self._records))
        ranks = {record.shard: record.event.rank for record in self._records if isinstance(record.event, Start)}
        cuts: dict[str, list[tuple[int, int]]] = {}
        for record in self._records:
            if isinstance(record.event, Rewind):
                cuts.setdefault(record.shard, []).append((record.sequence, record.event.step))
                for earlier in shards[: shards.index(record.shard)]:
                    if ranks.get(earlier, 0) == ranks.get(record.shard, 0):
                        cuts.setdefault(earlier, []).append((2**63, record.event.step))
        return cuts

    @property
    def metrics(self) -> polars.DataFrame:
        """All points: key, step, time (ns), attempt, order, shard, kind, value (f64), int_value (i64), text, source.

        Raises:
            SettingsError: polars is not installed; the message names the command.
        """
        return self.frame("all")

    def frame(self, attempts: str = "surviving") -> polars.DataFrame:
        """Like :attr:`metrics`, for a choice of attempts."""
        frames = _polars()
        columns: dict[str, list[Any]] = {name: [] for name in _SCHEMA}
        for row in self.rows(attempts):
            value = row.pop("value_any")
            number = isinstance(value, (int, float))
            row["value"] = _float(value) if number else None
            row["int_value"] = int(value) if isinstance(value, int) and -(2**63) <= value < 2**63 else None
            row["text"] = value if isinstance(value, str) else str(value) if isinstance(value, int) and row["int_value"] is None else None
            for name, column in columns.items():
                column.append(row[name])
        return frames.DataFrame(columns, schema={name: getattr(frames, kind) for name, kind in _SCHEMA.items()})

    def wide(self) -> polars.DataFrame:
        """The surviving branch, one row per step and one column per key; of repeats the last stands. The column of the steps is ``step``, or
        ``_step`` where that is a key."""
        numbers = self.frame()
        index = "_step" if "step" in numbers["key"] else "step"
        return numbers.rename({"step": index}).pivot(on="key", index=index, values="value", aggregate_function="last").sort(index)

    def pandas(self) -> pandas.DataFrame:
        """The columns of :attr:`metrics` as a pandas frame, without polars.

        Raises:
            SettingsError: pandas is not installed; the message names the command.
        """
        try:
            import pandas
        except ImportError:
            raise SettingsError("a pandas frame needs pandas: pip install 'trackbridge[pandas]'") from None
        rows = []
        for row in self.rows("all"):
            value = row.pop("value_any")
            rows.append(
                row
                | {"value": _float(value) if isinstance(value, (int, float)) else None, "text": value if isinstance(value, str) else None}
            )
        return pandas.DataFrame(rows)


_SCHEMA = {
    "key": "String",
    "step": "Int64",
    "time": "Int64",
    "attempt": "Int32",
    "order": "Int64",
    "shard": "String",
    "kind": "String",
    "value": "Float64",
    "int_value": "Int64",
    "text": "String",
    "source": "String",
}


def read(run_id: str | Path, source: str | None = None, *, sidecar: bool = True) -> RunData:
    """Read a run from its journal, or back from a tracker.

    Args:
        run_id: the run's id, or the path of its folder.
        source: None for the journal in ``TRACKBRIDGE_DIR``; ``journal:DIR``; else a target such as ``mlflow:sqlite:////data/m.db#project``.
        sidecar: take what the tracker could not hold from the run's sidecar; False shows what the tracker holds natively.

    Raises:
        RunNotFound: it is not there.
        BackendError: the tracker's client is not installed here.
    """
    if source is None or source == JOURNAL or source.startswith(f"{JOURNAL}:"):
        return _journal(run_id, source)
    from trackbridge import registry
    from trackbridge.adapters import Target
    from trackbridge.sidecar import restore

    adapter = registry.get(Target.parse(source).name)
    target = adapter.resolve(Target.parse(source), Path.cwd())
    reader = registry.reader(target)
    name = str(run_id)
    found = next((info for info in reader.runs() if info.id == name), None)
    if found is None:
        raise RunNotFound(f"no run {name} in {target}; trackbridge.runs({str(target)!r}) lists those that are there")
    records = list(reader.read(name))
    attached = reader.sidecar(name) if sidecar else None
    if attached is None:
        return RunData(found, records)
    try:
        restored, edited = restore(records, found, attached[0], adapter.capabilities(target).projection)
    except ValueError as error:
        return RunData(found, records, [Deviation(Reason.DAMAGED, "sidecar", 1, str(error))])
    return RunData(found, restored, edited)


def runs(source: str | None = None) -> Iterator[RunInfo]:
    """The runs in a source, as in :func:`read`, oldest first."""
    if source is None or source == JOURNAL or source.startswith(f"{JOURNAL}:"):
        from trackbridge.journal import reader

        yield from reader.runs(_directory(source))
        return
    from trackbridge import registry
    from trackbridge.adapters import Target

    adapter = registry.get(Target.parse(source).name)
    yield from registry.reader(adapter.resolve(Target.parse(source), Path.cwd())).runs()


def _directory(source: str | None) -> Path:
    place = (source or "").partition(":")[2] or settings.read().dir
    return Path(place).expanduser().absolute()


def _journal(run_id: str | Path, source: str | None) -> RunData:
    from trackbridge.journal import reader

    path = Path(run_id) if Path(run_id).joinpath("journal").is_dir() else _directory(source) / run_id
    if not (path / "journal").is_dir():
        raise RunNotFound(f"no run {run_id} in {path.parent}: set TRACKBRIDGE_DIR, or give the path of the run's folder")
    journal = reader.JournalReader(path)
    records = list(journal)
    lost = [("journal", journal.damaged, "bytes that cannot be read"), ("records", journal.missing, "accepted, and in no readable block")]
    return RunData(reader.info(path), records, [Deviation(Reason.DAMAGED, what, count, how) for what, count, how in lost if count])


def _float(value: int | float) -> float:
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _polars() -> Any:
    try:
        import polars
    except ImportError:
        raise SettingsError("frames need polars: pip install 'trackbridge[read]'; records() and rows() need nothing") from None
    return polars
