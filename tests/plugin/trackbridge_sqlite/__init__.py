"""A backend of a third party: every run in one SQLite file, which any SQL tool reads.

Points, configuration and summary are rows whose value is a readable text. Media and artifacts have no place; a time is a double of seconds.
Each `flush` commits the rows together with the position, so what is there and what is claimed never differ (recovery ``append``).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from trackbridge.adapters import Capabilities, Place, Position, Recovery, Requirements, Sidecar, Target
from trackbridge.deviations import Deviation, Ledger, Reason
from trackbridge.errors import Rejected, RunNotFound, Unavailable
from trackbridge.names import Names
from trackbridge.normal import flatten, unflatten
from trackbridge.projection import Point, Projection, deviation, drop, nanoseconds, seconds, time_to_float_seconds
from trackbridge.records import Artifact, Config, Deviations, Media, Metrics, Record, RunInfo, Summary, Tags

TABLES = """
CREATE TABLE IF NOT EXISTS runs (id TEXT PRIMARY KEY, name, project, "group", job_type, notes, tags, status, start INTEGER, end INTEGER, held, sidecar BLOB, digest);
CREATE TABLE IF NOT EXISTS points (run, key, step, time REAL, value);
CREATE TABLE IF NOT EXISTS entries (run, kind, key, value, PRIMARY KEY (run, kind, key));
"""
FIELDS = ("name", "project", "group", "job_type", "notes")
PROJECTION = Projection(
    time_to_float_seconds("the column of times is a double, as in most databases"),
    drop("media", Reason.UNSUPPORTED, "media are not stored", "a table of points has no place for files"),
    drop("artifact", Reason.UNSUPPORTED, "artifacts are not stored", "a table of points has no place for files"),
)


class Writer:
    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self, run: RunInfo, position: Position | None) -> Position:
        self._run = run
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(self._path, timeout=60)
            self._database.executescript(TABLES)
            columns = ", ".join(f'"{name}"' for name in ("id", *FIELDS, "tags", "status", "start", "held"))
            row = (run.id, *(getattr(run, name) for name in FIELDS), json.dumps(run.tags), "running", run.start, "{}")
            with self._database:
                self._database.execute(f"INSERT OR IGNORE INTO runs ({columns}) VALUES ({', '.join('?' * len(row))})", row)
            ((held,),) = self._database.execute("SELECT held FROM runs WHERE id = ?", (run.id,))
        except (OSError, sqlite3.OperationalError) as error:
            raise Unavailable(f"{self._path}: {error}") from error
        self._held = Position(json.loads(held))
        return self._held

    def write(self, batch: Sequence[Record]) -> Sequence[Deviation]:
        ledger = Ledger()
        for index, record in enumerate(batch):
            try:
                self._take(record.event, ledger)
            except (TypeError, ValueError) as error:
                self._database.rollback()  # nothing of a batch with a bad record is kept
                raise Rejected(str(error), index) from error
            except sqlite3.OperationalError as error:
                raise Unavailable(f"{self._path}: {error}") from error
        self._held = self._held.advanced(record for record in batch if record.shard)
        self._save("held", json.dumps(self._held.sequences))
        self._database.commit()
        return ledger.rows()

    def _take(self, event: Any, ledger: Ledger) -> None:
        if isinstance(event, Metrics):
            for key, value in event.values.items():
                for rule in PROJECTION.apply("scalar", Point(key, value, event.step, event.time))[1]:
                    ledger.add(deviation(rule, key, value))
            rows = [
                (self._run.id, key, json.dumps(event.step), seconds(event.time), json.dumps(value)) for key, value in event.values.items()
            ]
            self._database.executemany("INSERT INTO points VALUES (?, ?, ?, ?, ?)", rows)
        elif isinstance(event, Config):
            for top in event.values:
                path = next(iter(flatten({top: 0})))
                self._database.execute("DELETE FROM entries WHERE run = ? AND kind = 'config' AND (key = ? OR substr(key, 1, ?) = ?)",
                                       (self._run.id, path, len(path) + 1, path + "/"))  # fmt: skip
            self._entries("config", flatten(event.values))
        elif isinstance(event, Summary):
            self._entries("summary", event.values)
        elif isinstance(event, Tags):
            self._save("tags", json.dumps(event.values))
        elif isinstance(event, Deviations):
            self._entries("deviations", {"trackbridge": event.items})
        elif isinstance(event, Media | Artifact):
            ledger.add(Deviation(Reason.UNSUPPORTED, type(event).__name__.lower(), 1, "no place for files"))

    def _entries(self, kind: str, values: dict[str, Any]) -> None:
        rows = [(self._run.id, kind, key, json.dumps(value)) for key, value in values.items()]
        self._database.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)", rows)

    def _save(self, column: str, value: Any) -> None:
        self._database.execute(f'UPDATE runs SET "{column}" = ? WHERE id = ?', (value, self._run.id))

    def flush(self) -> Position:
        return self._held

    def attach(self, sidecar: bytes, digest: str) -> None:
        with self._database:
            self._save("sidecar", sidecar)
            self._save("digest", digest)

    def close(self, status: str, end: int) -> None:
        with self._database:
            self._save("status", str(status))
            self._save("end", end)
        self._database.close()

    def place(self) -> Place:
        return Place(self._run.id, str(self._path))


class Reader:
    def __init__(self, path: Path) -> None:
        self._path = path

    def runs(self) -> Iterator[RunInfo]:
        for row in self._query("SELECT * FROM runs ORDER BY start"):
            fields = {name: row[name] for name in (*FIELDS, "id", "status", "start", "end")}
            yield RunInfo(tags=tuple(json.loads(row["tags"])), **fields)

    def read(self, run_id: str) -> Iterator[Record]:
        info = next((info for info in self.runs() if info.id == run_id), None)
        if info is None:
            raise RunNotFound(f"no run {run_id!r} in {self._path}")
        events: list[Any] = []
        for row in self._query("SELECT * FROM points WHERE run = ? ORDER BY rowid", run_id):
            events.append(Metrics(nanoseconds(row["time"]), 0, json.loads(row["step"]), {row["key"]: json.loads(row["value"])}))
        for kind, make in (("config", unflatten), ("summary", dict)):
            rows = self._query("SELECT * FROM entries WHERE run = ? AND kind = ?", run_id, kind)
            held = make({row["key"]: json.loads(row["value"]) for row in rows})
            events.append((Config if kind == "config" else Summary)(info.start, held))
        yield from (Record("native", number, event) for number, event in enumerate(events))

    def sidecar(self, run_id: str) -> tuple[bytes, str] | None:
        for row in self._query("SELECT sidecar, digest FROM runs WHERE id = ? AND sidecar IS NOT NULL", run_id):
            return row["sidecar"], row["digest"]
        return None

    def _query(self, text: str, *values: Any) -> list[sqlite3.Row]:
        if not self._path.exists():
            return []
        database = sqlite3.connect(self._path, timeout=60)
        database.row_factory = sqlite3.Row
        try:
            return database.execute(text, values).fetchall()
        finally:
            database.close()


class SqliteAdapter:
    name: ClassVar[str] = "sqlite"
    requires: ClassVar[Requirements] = Requirements(extra="forward", distributions=("tenacity",))

    def resolve(self, target: Target, base: Path) -> Target:
        return target.in_folder(base, "runs.sqlite")

    def capabilities(self, target: Target, client_version: str = "") -> Capabilities:
        return Capabilities("sqlite", PROJECTION, Names(r"[\s\S]"), Recovery.APPEND, Sidecar.STORED)

    def writer(self, target: Target) -> Writer:
        return Writer(Path(target.location))

    def reader(self, target: Target) -> Reader:
        return Reader(Path(target.location))

    def ui(self, target: Target) -> list[str]:
        return []


adapter = SqliteAdapter()
