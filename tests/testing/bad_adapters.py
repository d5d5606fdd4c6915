"""Adapters with one fault each, made from the reference adapter (or from jsonl, for faults of files). `FAULTS`: which checks must find it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import msgspec
from trackbridge_adapters import jsonl
from trackbridge_adapters.jsonl import JsonlAdapter, JsonlWriter
from trackbridge_adapters.memory import Held, MemoryAdapter, MemoryReader, MemoryWriter, path

from trackbridge.adapters import Capabilities, Position, Recovery, Target
from trackbridge.deviations import Deviation, Reason
from trackbridge.errors import Rejected
from trackbridge.names import Names
from trackbridge.projection import Projection, Rule, drop, is_bool, scalar_rule, to_float
from trackbridge.records import Artifact, Media, Metrics, Record, RunInfo
from trackbridge.testing.checks import CHECKS, KILL_CHECKS

FAULTS: dict[str, set[str]] = {}
Values = dict[str, Any]


class Bad(MemoryAdapter):
    """The reference adapter with its parts exchanged by the subclasses."""

    Writer: ClassVar[type[MemoryWriter]] = MemoryWriter
    Reader: ClassVar[type[MemoryReader]] = MemoryReader
    rules: ClassVar[tuple[Rule[Any], ...]] = ()

    def capabilities(self, target: Target, client_version: str = "") -> Capabilities:
        return replace(super().capabilities(target), projection=Projection(*self.rules))

    def writer(self, target: Target) -> MemoryWriter:
        return self.Writer(Path(target.location))

    def reader(self, target: Target) -> MemoryReader:
        return self.Reader(Path(target.location))


def found_by(*checks: str) -> Callable[[type], type]:
    """The checks that must fail; all others must pass."""
    assert set(checks) <= {*CHECKS, *KILL_CHECKS}

    def register(fault: type) -> type:
        FAULTS[fault.__name__] = set(checks)
        return fault

    return register


class ChangesMetrics(MemoryWriter):
    """Writes what :meth:`change` makes of the values of a call."""

    def change(self, values: Values) -> Values:
        raise NotImplementedError

    def write(self, batch: Sequence[Record]) -> Sequence[Deviation]:
        return super().write([self._changed(record) for record in batch])

    def _changed(self, record: Record) -> Record:
        if not isinstance(record.event, Metrics):
            return record
        return msgspec.structs.replace(record, event=msgspec.structs.replace(record.event, values=self.change(record.event.values)))


def single(value: Any) -> Any:
    return struct.unpack("f", struct.pack("f", value))[0] if type(value) is float and abs(value) < 1e38 else value


# --- values ----------------------------------------------------------------------------------------------------------------------


@found_by("native", "restored")
class DropsAPoint(Bad):
    """One point of 20,000 is missing, and the sidecar is whole."""

    class Reader(MemoryReader):
        def read(self, run_id: str) -> Iterator[Record]:
            return (record for record in super().read(run_id) if not is_step(record, 12_345))


def is_step(record: Record, step: int) -> bool:
    return isinstance(record.event, Metrics) and record.event.step == step


@found_by("native", "restored", "poison", "resumed", "together", "held", "killed")
class Reorders(Bad):
    class Reader(MemoryReader):
        def read(self, run_id: str) -> Iterator[Record]:
            return iter(sorted(super().read(run_id), key=lambda record: (record.sequence % 4 == 3, record.sequence)))


@found_by("native", "restored")
class RoundsToSinglePrecision(Bad):
    class Writer(ChangesMetrics):
        def change(self, values: Values) -> Values:
            return {key: single(value) for key, value in values.items()}


@found_by("native", "restored")
class MergesKeys(Bad):
    class Writer(ChangesMetrics):
        def change(self, values: Values) -> Values:
            return {key.replace(".", "/"): value for key, value in values.items()}


@found_by("native", "restored")
class RetypesBool(Bad):
    class Writer(ChangesMetrics):
        def change(self, values: Values) -> Values:
            return {key: float(value) if type(value) is bool else value for key, value in values.items()}


@found_by("native", "restored")
class ForgetsTheLastConfiguration(Bad):
    """A configuration entry that is set twice keeps its first value."""

    class Writer(MemoryWriter):
        def write(self, batch: Sequence[Record]) -> Sequence[Deviation]:
            kept = [
                record for record in batch if "changed" not in getattr(record.event, "values", ()) or record.event.values["changed"] == 1
            ]
            return super().write(kept)


@found_by("native")
class IgnoresTheStatus(Bad):
    class Writer(MemoryWriter):
        def close(self, status: str, end: int) -> None:
            super().close("finished", end)


# --- declarations ----------------------------------------------------------------------------------------------------------------

BOOL_TO_FLOAT = scalar_rule(Reason.RETYPED, "bool -> float", "for the test", is_bool, value=lambda point: to_float(point.value))


@found_by("native", "reported", "restored")
class DeclaresWhatDoesNotHappen(Bad):
    rules = (BOOL_TO_FLOAT,)


@found_by("declared")
class DeclaresWhatNeverFires(Bad):
    rules = (drop("artifact", Reason.UNSUPPORTED, "artifacts named ?? are refused", "for the test", lambda file: file.name == "??"),)


@found_by("reported")
class ReportsNothing(Bad):
    """What changes is declared, and `write` does not tell."""

    rules = (BOOL_TO_FLOAT,)

    class Writer(ChangesMetrics):
        def change(self, values: Values) -> Values:
            return {key: float(value) if type(value) is bool else value for key, value in values.items()}


@found_by("reported")
class ReportsWhatIsNotDeclared(Bad):
    class Writer(MemoryWriter):
        def write(self, batch: Sequence[Record]) -> Sequence[Deviation]:
            return [*super().write(batch), Deviation(Reason.ROUNDED, "loss")]


@found_by("contract")
class HasNoFlavour(Bad):
    def capabilities(self, target: Target, client_version: str = "") -> Capabilities:
        return replace(super().capabilities(target), flavour="")


@found_by("names")
class NamesKeysAlike(Bad):
    class Lower(Names):
        def encode(self, key: str) -> str:
            return super().encode(key).lower()

    def capabilities(self, target: Target, client_version: str = "") -> Capabilities:
        return replace(super().capabilities(target), names=self.Lower(r"(?s:.)"))


# --- runs, files, sidecar --------------------------------------------------------------------------------------------------------


@found_by("outside")
class WritesArtifactsWhereTheirNamesSay(Bad):
    class Writer(MemoryWriter):
        def _copy(self, event: Media | Artifact, index: int) -> None:
            super()._copy(event, index)
            if isinstance(event, Artifact) and event.name.endswith("../escape"):
                (self._folder / event.name).write_bytes(b"")


@found_by("native", "restored", "resumed", "together", "poison", "held", "killed", "sidecar")
class LinksFilesInsteadOfCopying(Bad):
    class Writer(MemoryWriter):
        def _copy(self, event: Media | Artifact, index: int) -> None:
            super()._copy(event, index)
            for file in event.files if isinstance(event, Artifact) else [event.file]:
                if file is not None and file.digest:
                    link = self._folder / "files" / file.digest
                    link.unlink()
                    link.symlink_to(self._source.content(file))


@found_by("sidecar", "restored")
class KeepsTheFirstSidecar(Bad):
    class Writer(MemoryWriter):
        def attach(self, sidecar: bytes, digest: str) -> None:
            if self._held.sidecar is None:
                super().attach(sidecar, digest)


@found_by("listed", "resumed", "together", "killed")
class NamesARunTwice(Bad):
    class Reader(MemoryReader):
        def runs(self) -> Iterator[RunInfo]:
            for run in super().runs():
                yield from (run, run)


@found_by("listed")
class KnowsEveryRun(Bad):
    class Reader(MemoryReader):
        def read(self, run_id: str) -> Iterator[Record]:
            return super().read(run_id) if run_id != "no-such-run" else iter(())


@found_by("together")
class MixesRuns(Bad):
    """What is written goes to the run that was opened last."""

    class Writer(MemoryWriter):
        last: ClassVar[list[MemoryWriter]] = []

        def open(self, run: RunInfo, position: Position | None) -> Position:
            opened = super().open(run, position)
            self.last[:] = [self]
            return opened

        def write(self, batch: Sequence[Record]) -> Sequence[Deviation]:
            return MemoryWriter.write(self.last[0], batch)


# --- rejection -------------------------------------------------------------------------------------------------------------------


@found_by("poison")
class RaisesWhatItsClientRaises(Bad):
    class Writer(MemoryWriter):
        def write(self, batch: Sequence[Record]) -> Sequence[Deviation]:
            try:
                return super().write(batch)
            except Rejected as rejected:
                raise ValueError(rejected.reason) from rejected


@found_by("poison")
class TakesAPartOfWhatItRejects(Bad):
    class Writer(MemoryWriter):
        def write(self, batch: Sequence[Record]) -> Sequence[Deviation]:
            for index, record in enumerate(batch):
                try:
                    super().write([record])
                except Rejected as rejected:
                    raise Rejected(rejected.reason, index) from rejected
            return []


# --- delivery --------------------------------------------------------------------------------------------------------------------


@found_by("killed", "held")
class MovesThePositionOnWrite(Bad):
    """`write` notes the position on the disk, before `flush` writes the values."""

    class Writer(MemoryWriter):
        def open(self, run: RunInfo, position: Position | None) -> Position:
            opened = super().open(run, position)
            self._note = self._path.with_suffix(".position")
            return msgspec.json.decode(self._note.read_bytes(), type=Position) if self._note.exists() else opened

        def write(self, batch: Sequence[Record]) -> Sequence[Deviation]:
            noted = msgspec.json.decode(self._note.read_bytes(), type=Position) if self._note.exists() else Position()
            self._note.write_bytes(msgspec.json.encode(noted.advanced(batch)))
            return super().write(batch)


@found_by("killed", "held", "resumed")
class ClaimsMoreThanIsHeld(Bad):
    class Writer(MemoryWriter):
        def open(self, run: RunInfo, position: Position | None) -> Position:
            return Position({shard: count + 2 for shard, count in super().open(run, position).sequences.items()})


@found_by("held")
class ConfirmsBeforeItWrites(Bad):
    """Nothing is on the disk before `close`."""

    class Writer(MemoryWriter):
        def open(self, run: RunInfo, position: Position | None) -> Position:
            self._late = True
            return super().open(run, position)

        def flush(self) -> Position:
            path = self._path
            if self._late:
                self._path = path.with_suffix(".late")
            try:
                return super().flush()
            finally:
                self._path = path

        def close(self, status: str, end: int) -> None:
            self._late = False
            super().close(status, end)


@found_by("held", "killed", "poison")
class HoldsTheLastBatchBack(Bad):
    """The last batch is written with the next one, or at the end; `flush` confirms it."""

    class Writer(MemoryWriter):
        def open(self, run: RunInfo, position: Position | None) -> Position:
            self._last: Sequence[Record] = []
            opened = super().open(run, position)
            return position or opened

        def write(self, batch: Sequence[Record]) -> Sequence[Deviation]:
            super().write(self._last)
            self._last = batch
            return []

        def flush(self) -> Position:
            return super().flush().advanced(self._last)

        def close(self, status: str, end: int) -> None:
            super().write(self._last)
            super().close(status, end)


@found_by("recovered")
class DeclaresAnotherRecovery(Bad):
    def capabilities(self, target: Target, client_version: str = "") -> Capabilities:
        return replace(super().capabilities(target), recovery=Recovery.TRUNCATE)


@found_by("killed", "held")
class RepeatsAfterAKill(JsonlAdapter):
    """Its files are not cut back."""

    class Writer(JsonlWriter):
        def _confirmed(self, position: Position | None) -> jsonl.Held:
            held = super()._confirmed(position)
            paths = {name: self._folder / name for name in held.bytes}
            return jsonl.Held(held.sequences, {name: path.stat().st_size if path.exists() else 0 for name, path in paths.items()})

    def writer(self, target: Target) -> JsonlWriter:
        return self.Writer(target)


class Repeats(RepeatsAfterAKill):
    """The same under the name of its entry point."""

    name: ClassVar[str] = "repeats"


repeats = Repeats()


# --- correct adapters of other habits, which must pass -----------------------------------------------------------------------------

CORRECT: list[str] = []


def correct(adapter: type) -> type:
    CORRECT.append(adapter.__name__)
    return adapter


@correct
class RejectsWithoutSayingWhich(Bad):
    class Writer(MemoryWriter):
        def write(self, batch: Sequence[Record]) -> Sequence[Deviation]:
            try:
                return super().write(batch)
            except Rejected as rejected:
                raise Rejected(rejected.reason) from rejected


@correct
class WritesTheRunAgainAfterAKill(Bad):
    """Recovery ``replay``."""

    class Writer(MemoryWriter):
        def open(self, run: RunInfo, position: Position | None) -> Position:
            path(self._folder, run.id).unlink(missing_ok=True)
            return super().open(run, position)

    def capabilities(self, target: Target, client_version: str = "") -> Capabilities:
        return replace(super().capabilities(target), recovery=Recovery.REPLAY)


@correct
class TakesARunOnlyWhole(Bad):
    """Recovery ``at_end``: nothing is there before `close`, and `flush` confirms nothing."""

    class Writer(MemoryWriter):
        def open(self, run: RunInfo, position: Position | None) -> Position:
            self._whole = False
            (self._folder / "files").mkdir(parents=True, exist_ok=True)
            self._path, self._source, self._held = path(self._folder, run.id), run, Held(msgspec.structs.replace(run, directory=None))
            return Position()

        def flush(self) -> Position:
            return super().flush() if self._whole else Position()

        def close(self, status: str, end: int) -> None:
            self._whole = True
            super().close(status, end)

    def capabilities(self, target: Target, client_version: str = "") -> Capabilities:
        return replace(super().capabilities(target), recovery=Recovery.AT_END)
