"""Writes a run: attributes whole whenever one changed, points and what tells of files into one event file."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from trackbridge import files, projection
from trackbridge.adapters import SIDECAR_FILE, Place, Position
from trackbridge.deviations import Deviation, Ledger, Reason, unpack
from trackbridge.errors import Rejected, Unavailable
from trackbridge.files import outage, put
from trackbridge.names import to_text
from trackbridge.normal import flatten
from trackbridge.records import AnyEvent, Artifact, Config, Deviations, Media, Metrics, Record, RunInfo, Status, Summary, Tags
from trackbridge.times import iso
from trackbridge_adapters.guild import layout
from trackbridge_adapters.guild.layout import ARTIFACT, EXITS, FOLDERS, KEYS, MEDIA, OWN, PROJECTION, STRING
from trackbridge_adapters.tensorboard.events import EventFiles, protobuf

FLOAT = frozenset({float})
OUTPUT = ("output", "output.index")
"""What Guild catches of a script's output, and asks for in each run: of ours it caught nothing."""


class Writer:
    """Writes one run, or adds to the one that ``guild run`` has begun."""

    def __init__(self, home: Path, project: str) -> None:
        self._home, self._chosen = home, project

    def open(self, run: RunInfo, position: Position | None) -> Position:
        self._run, self._lib, self._proto, self._ledger = run, layout.library(), protobuf(), Ledger()
        self._slots: dict[str, tuple[Any, Any]] = {}  # by key: the protobuf value of a series, made once, and its tensor
        self._described: set[str] = set()  # tags whose dashboard was named
        self._changed: dict[str, bytes] = {}
        self._guild = layout.run_at(self._home, run.id)
        self._folder = Path(self._guild.path)
        with self._outage():
            self._begin()
            self._flags: dict[str, Any] = dict(self._guild.get("flags") or {})
            self._summary: dict[str, Any] = dict(self._guild.get("summary") or {})
            self._log = EventFiles(self._folder, run.start, position)
            self._clean()
        held = self.flush()
        return held if position is not None else Position({}, held.token)  # without a cursor all comes again; what is held is skipped

    def _begin(self) -> None:
        """Make the run, or adopt it; describe it once. It is described before Guild sees it: else what is left of a kill looks like Guild's own."""
        run, guild, operation = self._run, self._guild, self._folder / ".guild" / "opref"
        self._own: dict[str, Any] = dict(guild.get(OWN) or {})
        if not self._own:
            self._own = {"adopted": operation.exists()} | ({"tags": guild.get("tags")} if guild.get("tags") else {})
            guild.init_skel()
            self._describe()
            self._write_attributes()
        if self._adopted:
            return
        guild.del_attr("exit_status")
        guild.del_attr("stopped")
        for name in OUTPUT:
            Path(guild.guild_path(name)).touch()
        if not operation.exists():
            name = Path(str(run.provenance.get("script") or "")).name or run.job_type or "run"
            guild.write_opref(self._lib.OpRef("import", "trackbridge", "", self._project, name))
        self._lib.write_lock(os.getpid(), guild)

    @property
    def _project(self) -> str:
        return self._chosen or self._run.project

    @property
    def _adopted(self) -> bool:
        return bool(self._own["adopted"])

    def _describe(self) -> None:
        run = self._run
        attributes: dict[str, Any] = {"project": self._project, "group": run.group, "job_type": run.job_type, "label": run.name}
        if run.notes:
            comment = {"user": layout.AUTHOR, "host": str(run.provenance.get("host", "")), "time": run.start // 1000, "body": run.notes}
            others = [one for one in self._guild.get("comments") or [] if one.get("user") != layout.AUTHOR]
            attributes["comments"] = [*others, comment]
        if not self._adopted:
            commit, dirty = run.provenance.get("commit"), run.provenance.get("dirty")
            attributes |= {"started": run.start // 1000, "host": run.provenance.get("host")}
            attributes |= {"vcs_commit": f"{commit}{'*' if dirty else ''}" if commit else None}
            self._set("flags", {})
        for name, value in attributes.items():
            if value:
                self._set(name, value)
        if run.tags:
            self._retag(run.tags)
        self._set(OWN, self._own | ({"provenance": run.provenance} if run.provenance else {}))

    def _clean(self) -> None:
        """Count the media that are told of; files of others are left of a kill."""
        told = {entry["file"] for entry in layout.texts(self._folder, MEDIA)}
        self._media_count = len(told)
        for path in (self._folder / "media").glob("*/*"):
            if path.relative_to(self._folder).as_posix() not in told:
                path.unlink()

    @contextlib.contextmanager
    def _outage(self) -> Iterator[None]:
        with outage(self._folder):
            yield

    # -- records ---------------------------------------------------------------------------------------------------------------------

    def write(self, batch: Sequence[Record]) -> Sequence[Deviation]:
        held = self._log.held
        for index, record in enumerate(batch):
            if record.shard and record.sequence < held.get(record.shard, 0):
                continue
            try:
                self._take(record.event)
            except (TypeError, ValueError, LookupError, AttributeError, OverflowError, RecursionError) as error:
                raise Rejected(f"{type(error).__name__}: {error}"[:500], index) from error
            except (NotADirectoryError, IsADirectoryError, FileExistsError) as error:  # a file of the artifact has the name of a folder
                raise Rejected(str(error), index) from error
            except OSError as error:
                raise Unavailable(f"{self._folder}: {error.strerror or error}") from error
            if record.shard:  # what the forwarder adds at the end has no identity
                held = self._log.held
                held[record.shard] = record.sequence + 1
        deviations, self._ledger = self._ledger.rows(), Ledger()
        return deviations

    def _take(self, event: AnyEvent) -> None:
        if isinstance(event, Metrics):
            self._metrics(event)
        elif isinstance(event, Media):
            self._media(event)
        elif isinstance(event, Artifact):
            self._artifact(event)
        elif isinstance(event, Config):
            values = flatten(event.values)
            top = set(flatten(dict.fromkeys(event.values)))
            kept = {path: value for path, value in self._flags.items() if path.partition("/")[0] not in top}
            self._set("flags", kept | values)
            self._flags = kept | values
        elif isinstance(event, Summary):
            self._set("summary", self._summary | event.values)
            self._summary |= event.values
        elif isinstance(event, Tags):
            self._retag(event.values)
        elif isinstance(event, Deviations):
            self._set(OWN, self._own | {"deviations": Ledger(unpack(event.items)).by_reason()})

    def _retag(self, tags: Iterable[str]) -> None:
        """Ours; those that ``guild run`` was given stay."""
        self._set("tags", list(dict.fromkeys([*self._own.get("tags", []), *tags])))

    def _set(self, name: str, value: Any) -> None:
        try:
            self._changed[name] = self._lib.encode(value, strict=True).encode() + b"\n"
        except self._lib.YAMLError as error:
            raise ValueError(str(error)) from error
        if name == OWN:
            self._own = value

    def _metrics(self, event: Metrics) -> None:
        wall_time, step, given = projection.seconds(event.time), event.step, event.values
        if layout.is_scalar(step) and FLOAT.issuperset(map(type, given.values())):
            if projection.nanoseconds(wall_time) != event.time:
                self._ledger.add(Deviation(Reason.TIMESTAMP, "time", len(given), "rounded to a double of seconds"))
        else:
            given = PROJECTION.scalars(self._ledger, event)
            step = event.call if step is None else step
        if not given:
            return
        message = self._proto.Event(wall_time=wall_time, step=step)
        values, slots = message.summary.value, self._slots
        for key, value in given.items():
            if type(value) is str:
                values.append(self._text(f"{KEYS.encode(key)}·{STRING}", value))
                continue
            known = slots.get(key)
            slot, tensor = known or self._slot(key)
            tensor.double_val[0] = value
            values.append(slot)
            if known is None:
                values[-1].metadata.plugin_data.plugin_name = "scalars"
        self._log.append(message)

    def _slot(self, key: str) -> tuple[Any, Any]:
        slot = self._proto.Value(tag=KEYS.encode(key))
        tensor = slot.tensor
        tensor.dtype = self._proto.DT_DOUBLE
        tensor.tensor_shape.SetInParent()
        tensor.double_val.append(0.0)
        self._slots[key] = slot, tensor
        return slot, tensor

    def _text(self, tag: str, text: str) -> Any:
        value = self._proto.Value(tag=tag)
        value.tensor.dtype = self._proto.DT_STRING
        value.tensor.tensor_shape.SetInParent()
        value.tensor.string_val.append(text.encode())
        if tag not in self._described:
            self._described.add(tag)
            value.metadata.plugin_data.plugin_name = "text"
        return value

    def _about(self, tag: str, event: Media | Artifact, step: int | None, about: dict[str, Any]) -> None:
        """A text for people, which the Reader reads too."""
        summary = self._proto.Summary(value=[self._text(tag, json.dumps(about, ensure_ascii=False))])
        step = step if layout.is_scalar(step) else 0
        self._log.append(self._proto.Event(wall_time=projection.seconds(event.time), step=step, summary=summary))

    def _media(self, event: Media) -> None:
        made: Path | bytes
        if event.kind in INLINE:
            made, name = INLINE[event.kind](self._run.inline(event)), f"{event.kind}.{layout.SUFFIXES[event.kind]}"
        elif event.kind in layout.FILES and event.file is not None:
            made, name = self._run.content(event.file), layout.file_name(event.file.path)
        else:
            raise ValueError(f"{event.kind!r} is no kind of value that there is a file for")
        place = f"media/{FOLDERS.encode(event.key)}/{self._media_count:06}-{name}"
        about: dict[str, Any] = {
            "key": event.key,
            "kind": event.kind,
            "format": event.format,
            "step": event.step,
            "time": iso(event.time),
        }
        about |= {"file": place} | ({"meta": event.meta} if event.meta else {})
        json.dumps(about).encode()
        self._put(place, made)
        self._media_count += 1
        self._about(f"{KEYS.encode(event.key)}·{MEDIA}", event, event.call if event.step is None else event.step, about)

    def _artifact(self, event: Artifact) -> None:
        contents = [self._run.content(ref) if ref.digest else None for ref in event.files]
        entries = []
        for ref, content in zip(event.files, contents, strict=True):
            entry: dict[str, Any] = {"path": ref.path, "bytes": ref.size}
            if content is None:
                entry["uri"] = event.uri or ref.path
            else:
                entry["file"] = f"artifacts/{FOLDERS.encode(event.name)}/{files.safe_name(ref.path)}"
                self._put(entry["file"], content)
            entries.append(entry)
        about: dict[str, Any] = {"name": event.name, "type": event.type, "time": iso(event.time), "files": entries}
        about |= {"metadata": event.metadata} if event.metadata else {}
        self._about(f"{KEYS.encode(event.name)}·{ARTIFACT}", event, None, about)

    def _put(self, place: str, content: Path | bytes) -> None:
        path = self._folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(".part")
        try:
            put(partial, content)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)

    # -- what is held ----------------------------------------------------------------------------------------------------------------

    def flush(self) -> Position:
        """Attributes first: the position says that they are held."""
        with self._outage():
            self._write_attributes()
        return self._log.flush()

    def _write_attributes(self) -> None:
        for name, encoded in self._changed.items():
            files.replace(self._folder / ".guild" / "attrs" / name, encoded, sync=False)
        self._changed = {}

    def attach(self, sidecar: bytes, digest: str) -> None:
        self.flush()
        with self._outage():
            (self._folder / SIDECAR_FILE).parent.mkdir(exist_ok=True)
            files.replace(self._folder / SIDECAR_FILE, sidecar)
        self._set(OWN, self._own | {"sidecar": digest})
        self.flush()

    def close(self, status: str, end: int) -> None:
        if not self._adopted:
            self._set("exit_status", EXITS.get(Status(status), 1))
            self._set("stopped", end // 1000)
        self.flush()
        self._log.close()
        if not self._adopted:
            self._lib.delete_lock(self._guild)

    def place(self) -> Place:
        return Place(self._run.id, str(self._folder), hint=f"guild -H {shlex.quote(str(self._home))} view")


def _table(value: dict[str, Any]) -> bytes:
    rows = [value["columns"], *value["rows"]]
    if any(len(row) != len(rows[0]) for row in rows):
        raise ValueError("a row of the table has another length than its head")
    text = io.StringIO(newline="")
    csv.writer(text).writerows([to_text(cell) for cell in row] for row in rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


def _histogram(value: dict[str, Any]) -> bytes:
    if len(value["edges"]) != len(value["counts"]) + 1:
        raise ValueError("a histogram has one edge more than counts")
    return json.dumps({"edges": value["edges"], "counts": value["counts"]}).encode()


INLINE: dict[str, Callable[[Any], bytes]] = {
    "table": _table,
    "histogram": _histogram,
    "text": lambda value: value.encode("utf-8", "surrogatepass"),
}
