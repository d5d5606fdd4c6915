"""The canonical workload: one hostile run and a few small ones, the same in every process and on every day.

The main run is cut into :class:`Trait` s, each with keys of its own, so that the support matrix can say of each what a tracker does to it.
"""

from __future__ import annotations

import hashlib
import io
import struct
import wave
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from trackbridge.forward.routing import routed
from trackbridge.journal import blocks
from trackbridge.records import (
    AnyEvent,
    Artifact,
    Config,
    Define,
    Deviations,
    End,
    FileRef,
    Heartbeat,
    Media,
    Metrics,
    Record,
    Rewind,
    RunInfo,
    Start,
    Status,
    Summary,
    Tags,
    Unknown,
    encode,
)

RUN, FAILED, CRASHED, EMPTY = "canon", "canon-failed", "canon-crashed", "canon-empty"
FIRST, RESUMED, THIRD, FORKED = "r0-host-11-a1", "r0-host-12-b2", "r3-host-13-c3", "r0-host-14-d4"
START = 1_763_870_000_123_456_789
TICK = 1_000_007
"""Nanoseconds between two events: over a millisecond, and never a whole microsecond."""

NAME, PROJECT = "Läufer 🏃 «1»", "canon: Prüfung/☃"
TAGS = ("baseline", "große Läufe", "a,b", "k:v", "x" * 100, "🏷")
INF, NAN = float("inf"), float("nan")
LONGEST = 20_000
"""Steps of the longest series."""

KEYS: dict[str, tuple[str, ...]] = {
    "separators": ("loss.train", "loss/train", "loss train", "loss:train", "loss-train", "loss_train"),
    "leaf and parent": ("node", "node/child", "node/child/grandchild"),
    "case only": ("case/loss", "Case/loss", "CASE/LOSS"),
    "escaped character only": ("timing(s)/gen", "timings/gen", "timing:28:s:29:/gen", "timing%28s%29/gen", "timing_s_/gen"),
    "empty": ("",),
    "300 characters": ("k" * 300, "k" * 299 + "l", "long/" + "m" * 295),
    "300 unicode characters": ("Ä" * 300, "Ä" * 299 + "Ö"),
    "unicode": ("größe/🎯", "caf\u00e9", "cafe\u0301", "損失"),
    "path": ("../escape", "double//slash", "/lead", "trail/", ".", "..", "./here", "up/../down", "/", "//"),
    "white space": (" lead space", "trail space ", "line\nbreak", "tab\tkey", " "),
    "punctuation": ('q"uote', "q'uote", "back\\slash", "hash#tag", "per%20cent", "a@b=c;d,e", "$", "<b>&amp;", "nul\x00byte"),
    "a tracker's own words": ("_step", "_timestamp", "_runtime", "step", "time", "system/cpu", "trackbridge/sequence", "con", "native"),
}
SCALARS: dict[str, tuple[Any, ...]] = {
    "float": (0.1 + 0.2, 1 / 3, 3.141592653589793, -1e-7, 123456.789),
    "float single precision": (0.5, -2.0, 0.15625),
    "zero and negative zero": (0.0, -0.0, 0.0),
    "subnormal": (5e-324, -5e-324, 1.1e-308),
    "near the largest double": (1e308, -1.7976931348623157e308, 1e300),
    "beyond single precision": (1e39, -1e39, 1e-60),
    "NaN": (0.5, NAN, 0.25, NAN),
    "infinity": (0.5, INF, 0.25),
    "negative infinity": (0.5, -INF, 0.25),
    "int": (0, 1, -1, 7, 2**31, 2**53),
    "int beyond 2**53": (2**53 + 1, -(2**53) - 1, 2**62 + 1),
    "int of 64 bits": (2**63 - 1, -(2**63), 2**64 - 1),
    "int beyond 64 bits": (2**70, -(2**70), 2**70 + 1),
    "int beyond the range of doubles": (10**400, -(10**400)),
    "bool": (True, False, True),
    "None": (None, None),
    "int, float and bool of one value": (1, 1.0, True, 0, 0.0, False),
    "string": ("warm-up", "cosine", "done"),
    "string that looks like a number": ("NaN", "Infinity", "1.0", "1", "True", "None", "null", "-0", "1e5", " 1"),
    "string empty": ("", " "),
    "string unicode": ("größer 🚀", "cafe\u0301", "\u202eabc", "日本語"),
    "string with line breaks": ("one\ntwo\r\nthree\rfour\ttab", "\n", "quote\" and 'quote' \\n"),
    "string with a NUL": ("a\x00b",),
    "string of 10,000 characters": ("x" * 10_000, "ü" * 10_000),
    "kinds mixed in one key": (1, 2.5, "three", True, None, NAN, 7),
}
STEPS: dict[str, tuple[int | None, ...]] = {
    "present": (0, 1, 2, 3),
    "absent": (None, None, None),
    "absent and present": (None, 5, None, 6),
    "negative": (-3, -2, -1, 0),
    "repeated": (4, 4, 4, 5, 5),
    "backwards": (9, 3, 7, 1, 8),
    "with gaps": (0, 1000, 1001, 5_000_000),
    "beyond 32 bits": (2**31 - 1, 2**31, 2**40, 2**53, 2**53 + 1),
    "2**62": (2**62, 2**62 + 1, 2**63 - 1),
    "2**63": (1, 2**63, 2**63 + 1, 2**64 - 1, 2),
    "beyond 64 bits": (1, 2**70, -(2**70), 2),
}
TIMES: dict[str, tuple[tuple[float, int, int], ...]] = {  # (value, step, nanoseconds after the first)
    "nanoseconds": ((0.5, 0, 0), (0.25, 1, 1), (0.125, 2, 2)),
    "one millisecond, several steps": ((0.5, 3, 100), (0.25, 4, 200), (0.125, 5, 300)),
    "one step and time, several values": ((0.5, 3, 0), (0.25, 3, 0), (0.75, 3, 0)),
    "the same point again": ((0.5, 3, 0), (0.5, 3, 0), (0.5, 3, 0)),
    "a clock that goes back": ((0.5, 0, 9 * 10**9), (0.25, 1, 10**9), (0.125, 2, 5 * 10**9)),
}
CONFIG: dict[str, dict[str, Any]] = {
    "numbers": {"lr": 3e-3, "third": 1 / 3, "epochs": 90, "negative zero": -0.0, "whole float": 1.0, "tiny": 5e-324, "large": 1e308},
    "int beyond 2**53": {"seed": 2**53 + 1, "mask": 2**64 - 1},
    "int beyond 64 bits": {"big": 2**70, "negative": -(2**70)},
    "NaN and infinity": {"nan": NAN, "inf": INF, "-inf": -INF, "in a list": [NAN, INF]},
    "bool": {"amp": True, "ema": False},
    "None": {"clip": None},
    "string": {"optimizer": "adam", "unicode": "größe 🎯", "empty": "", "lines": "a\r\nb\n"},
    "string that looks like another kind": {"one": "1", "nan": "NaN", "true": "true", "null": "null", "none": "None", "list": "[1]"},
    "string of 10,000 characters": {"long": "p" * 10_000},
    "nested": {"model": {"depth": 4, "stem": {"kind": "conv", "width": 24.0}}},
    "deeply nested": {"d": {"e": {"f": {"g": {"h": {"i": {"j": {"k": {"l": {"m": 1}}}}}}}}}},
    "lists": {"betas": [0.9, 0.999], "mixed": [1, 1.0, True, None, "x", [2, []], {"in": {"list": 1}}], "empty": []},
    "empty dict": {"nothing": {}, "beside": {"empty": {}, "full": 1}},
    "keys with / and ~": {"a/b": 1, "a~b": 2, "a~1b": 3, "/": 4, "~": 5, "p": {"q/r": 6, "q": {"r": 7}}},
    "keys of every sort": {"": 1, "a.b": 2, "a b": 3, "ключ 🔑": 4, "k" * 300: 5, "Case": 6, "case": 7, "../up": 8, "$": 9, "a:b": 10},
    "a dict that looks like an encoding": {"$": "NaN", "deep": {"$": {"$": "NaN"}}, "_type": {"_type": "table"}},
    "300 entries": {f"entry{i:03}": i for i in range(300)},
}
SUMMARY: dict[str, dict[str, Any]] = {
    "numbers": {"accuracy": 0.91, "whole": 1.0, "count": 12, "-0": -0.0, "third": 1 / 3},
    "int beyond 2**53": {"big": 2**53 + 1},
    "int beyond 64 bits": {"huge": 2**70},
    "NaN and infinity": {"nan": NAN, "inf": INF, "-inf": -INF},
    "bool and None": {"yes": True, "no": False, "none": None},
    "string": {"best": "épreuve 🥇", "nan": "NaN", "empty": "", "long": "s" * 10_000, "lines": "a\r\nb"},
    "keys": {"a.b": 1, "a/b": 2, "a b": 3, "Ab": 4, "ab": 5, "": 6, "l" * 300: 7, "../up": 8},
}
HOSTILE_ARTIFACTS = ("../escape", "../../escape", "..", ".", "/trackbridge-escape", "C:\\escape", "..\\escape", "a/../../../b", "~/e", "")
HOSTILE_FILES = (
    "../escape.bin",
    "a/../../../../escape.bin",
    "/trackbridge-escape/x.bin",
    "..\\x.bin",
    "C:\\x.bin",
    "~/x.bin",
    "..",
    ".",
    "",
)


@dataclass(frozen=True)
class Trait:
    """One property of the workload, named ``group: what``; `events` belong to the shard `shard`."""

    group: str  # scalar key step time series config summary tags field status media artifact flow
    what: str
    shard: str
    events: tuple[AnyEvent, ...]

    @property
    def name(self) -> str:
        return f"{self.group}: {self.what}"


@dataclass(frozen=True)
class Workload:
    """One run: its final description, its Records in order, and the traits that they were cut from."""

    info: RunInfo
    records: list[Record]
    traits: list[Trait] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """The run's folder, as a journal has it."""
        assert self.info.directory is not None
        return self.info.directory

    @property
    def routed(self) -> list[Record]:
        """The records as a forwarder hands them to a Writer: keys of other ranks prefixed, without their description, and without forks."""
        return list(routed(self.records))

    def write_journal(self, count: int | None = None) -> None:
        """Write the first `count` records to the run's folder, as the processes would that logged them: one segment for each shard."""
        (self.folder / "journal").mkdir(exist_ok=True)
        shards: dict[str, list[Record]] = {}
        for record in self.records[:count]:
            shards.setdefault(record.shard, []).append(record)
        for shard, records in shards.items():
            content = blocks.segment_header(self.info.id, shard, 0, 0, records[0].event.time)
            for batch in batches(records, 100):
                content += blocks.frame(encode([record.event for record in batch]), batch[0].sequence)
            (self.folder / "journal" / f"{shard}-000000.tbj").write_bytes(content)

    @property
    def opened(self) -> RunInfo:
        """The description when the run begins: running, without an end, and without tags, which come as Records."""
        return msgspec.structs.replace(self.info, status=Status.RUNNING, end=None, tags=())


class Files:
    """The journal's ``files`` folder: each content once, under its digest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "files").mkdir(parents=True, exist_ok=True)

    def add(self, path: str, content: bytes) -> FileRef:
        digest = hashlib.sha256(content).hexdigest()
        (self.folder / "files" / digest).write_bytes(content)
        return FileRef(path, digest, len(content))


class Recorder:
    """Makes the events of one run: numbers the calls and sequences of each shard, and reads a clock that only events advance."""

    def __init__(self, files: Files, start: int = START) -> None:
        self.files = files
        self.now = start
        self.shard = FIRST
        self.records: list[Record] = []
        self.traits: list[Trait] = []
        self._calls: dict[str, int] = {}
        self._sequences: dict[str, int] = {}

    def tick(self) -> int:
        self.now += TICK
        return self.now

    def add(self, event: AnyEvent) -> None:
        sequence = self._sequences.get(self.shard, 0)
        self._sequences[self.shard] = sequence + 1
        self.records.append(Record(self.shard, sequence, event))

    def call(self) -> int:
        number = self._calls.get(self.shard, 0)
        self._calls[self.shard] = number + 1
        return number

    def log(self, values: dict[str, Any], step: int | None = None, time: int | None = None) -> None:
        self.add(Metrics(self.tick() if time is None else time, self.call(), step, values))

    def media(self, key: str, kind: str, format: str, content: Any, step: int | None = None, name: str = "", **meta: Any) -> None:
        """`content`: bytes become a file, anything else lies inline."""
        file = self.files.add(name or f"{kind}.{format}", content) if isinstance(content, bytes) else None
        inline = None if file else content
        self.add(Media(self.tick(), self.call(), step, key, kind, format, inline, file, meta))

    def artifact(self, name: str, files: dict[str, bytes], type: str = "data", **metadata: Any) -> None:
        refs = [self.files.add(path, content) for path, content in files.items()]
        self.add(Artifact(self.tick(), name, type, refs, metadata=metadata))

    def begin(self, info: RunInfo, rank: int = 0, world_size: int = 1, forked: bool = False) -> None:
        self.add(
            Start(
                self.tick(),
                run_id=info.id,
                project=info.project,
                name=info.name,
                group=info.group,
                job_type=info.job_type,
                notes=info.notes,
                rank=rank,
                world_size=world_size,
                host="host",
                pid=int(self.shard.split("-")[2]),
                forked=forked,
                provenance={"script": "train.py", "python": "3.11.7"},
            )
        )

    @contextmanager
    def trait(self, group: str, what: str) -> Iterator[None]:
        """The events that are made inside are one trait."""
        before = len(self.records)
        yield
        self.traits.append(Trait(group, what, self.shard, tuple(record.event for record in self.records[before:])))


def build(folder: Path) -> dict[str, Workload]:
    """The canonical runs by id; the files of each are written to `folder`/<run id>/files."""
    runs = [
        main(folder, RUN),
        _short(Files(folder / FAILED), FAILED, Status.FAILED),
        _short(Files(folder / CRASHED), CRASHED, Status.CRASHED),
        _empty(Files(folder / EMPTY)),
    ]
    return {run.info.id: run for run in runs}


def main(folder: Path, run_id: str, steps: int = LONGEST) -> Workload:
    """The hostile run, whose longest series has so many `steps`."""
    files = Files(folder / run_id)
    info = RunInfo(
        id=run_id,
        name=NAME,
        project=PROJECT,
        group="Gruppe ζ",
        job_type="train",
        notes="First line.\r\nSecond: größer, 🚀, <b>&amp;</b>, 'quoted', \"double\".\n\n* list\n",
        tags=TAGS,
        status=Status.FINISHED,
        start=START + TICK,
        directory=files.folder,
    )
    to = Recorder(files)
    with to.trait("field", "name, project, group, job type, notes"):
        to.begin(info)
    for part in (_config, _scalars, _keys, _steps, _times, partial(_series, steps=steps), _media, _artifacts, _description):
        part(to)
    _flow(to, info)
    with to.trait("status", "finished"):
        to.add(End(to.tick(), Status.FINISHED))
    return Workload(msgspec.structs.replace(info, end=to.now), to.records, to.traits)


def _short(files: Files, run_id: str, status: Status) -> Workload:
    """A run that fails, or is killed: then it has no end record."""
    info = RunInfo(id=run_id, name=run_id, project=PROJECT, status=status, start=START + TICK, directory=files.folder)
    to = Recorder(files)
    to.begin(info)
    to.add(Config(to.tick(), {"lr": 0.1}))
    for step in range(5):
        to.log({"short/loss": 1 / (step + 1)}, step)
    with to.trait("status", str(status)):
        if status != Status.CRASHED:
            to.add(End(to.tick(), status, "ValueError: größer"))
    return Workload(msgspec.structs.replace(info, end=to.now), to.records, to.traits)


def _empty(files: Files) -> Workload:
    info = RunInfo(id=EMPTY, name="nothing was logged", project=PROJECT, status=Status.FINISHED, start=START + TICK, directory=files.folder)
    to = Recorder(files)
    to.begin(info)
    to.add(End(to.tick(), Status.FINISHED))
    return Workload(msgspec.structs.replace(info, end=to.now), to.records)


def steady(folder: Path, run_id: str) -> Workload:
    """A short run with nothing hostile in it, of two ranks, for what is asked of delivery: some 70 records."""
    files = Files(folder)
    info = RunInfo(
        id=run_id, name=run_id, project="steady", tags=("a", "b"), status=Status.FINISHED, start=START + TICK, directory=files.folder
    )
    to = Recorder(files)
    to.begin(info)
    to.add(Config(to.tick(), {"lr": 0.5, "model": {"depth": 4}}))
    to.shard = THIRD
    to.begin(info, rank=3, world_size=4)
    for step in range(25):
        to.shard = FIRST
        to.log({"loss": 1 / 2 ** (step % 10), "accuracy": step / 32}, step)
        if step % 6 == 3:
            to.media("note", "text", "text", f"at {step}", step)
            to.media("sample", "image", "png", png(4, 3, bytes([step])), step)
        if step == 10:
            to.artifact("checkpoint", {"w.bin": noise("steady", 500)}, "model")
            to.add(Summary(to.tick(), {"best": 0.25}))
        to.shard = THIRD
        to.log({"loss": step + 0.5}, step)
    to.shard = FIRST
    to.add(Tags(to.tick(), ["a", "b"]))
    to.add(Summary(to.tick(), {"best": 0.5}))
    to.shard = THIRD
    to.add(End(to.tick(), Status.FINISHED))
    to.shard = FIRST
    to.add(End(to.tick(), Status.FINISHED))
    return Workload(msgspec.structs.replace(info, end=to.now), to.records)


def poisoned(folder: Path, run_id: str) -> tuple[Workload, set[str]]:
    """The steady run with records that a Writer cannot take as they are among the others, and the keys of these."""
    run = steady(folder, run_id)
    gone = FileRef("gone.bin", "0" * 64, 5)
    values: list[AnyEvent] = [
        Metrics(START, 0, 1, {"poison/ext": msgspec.msgpack.Ext(77, b"?")}),
        Metrics(START, 0, 1, {"poison/bytes": b"\xff", "poison/list": [1, 2]}),
        Media(START, 0, 1, "poison/kind", "hologram", "holo", {"a": 1}),
        Media(START, 0, 1, "poison/gone", "image", "png", None, gone),
        Media(START, 0, 1, "poison/histogram", "histogram", "counts", {"edges": [], "counts": [1]}),
        Media(START, 0, 1, "poison/table", "table", "rows", {"columns": ["a"], "rows": [[1, 2]]}),
        Artifact(START, "poison artifact", "data", [gone]),
    ]
    records = list(run.records)
    for number, event in enumerate(values):
        records.insert(8 + 4 * number, Record(FIRST, 0, event))
    sequences: dict[str, int] = {}
    for index, record in enumerate(records):
        records[index] = Record(record.shard, sequences.get(record.shard, 0), record.event)
        sequences[record.shard] = records[index].sequence + 1
    keys = {
        "poison artifact",
        *(key for event in values for key in (event.values if isinstance(event, Metrics) else [getattr(event, "key", "")])),
    }
    return Workload(run.info, records), keys - {""}


def _scalars(to: Recorder) -> None:
    for number, (what, values) in enumerate(SCALARS.items()):
        with to.trait("scalar", what):
            for step, value in enumerate(values):
                to.log({f"scalar/{number:02}": value}, step)


def _keys(to: Recorder) -> None:
    for what, keys in KEYS.items():
        with to.trait("key", what):
            to.log({key: 0.5 + number for number, key in enumerate(keys)}, 0)  # all in one call ...
            for number, key in enumerate(keys):
                to.log({key: 0.25 + number}, 1)  # ... and each alone


def _steps(to: Recorder) -> None:
    for index, (what, steps) in enumerate(STEPS.items()):
        with to.trait("step", what):
            for number, step in enumerate(steps):
                to.log({f"step/{index:02}": number / 8}, step)


def _times(to: Recorder) -> None:
    for number, (what, points) in enumerate(TIMES.items()):
        with to.trait("time", what):
            base = to.tick()
            for value, step, after in points:
                to.log({f"time/{number}": value}, step, base + after)


def _series(to: Recorder, steps: int) -> None:
    with to.trait("series", "1,000 keys in a call"):
        for step in range(3):
            to.log({f"wide/{column:04}": column + step / 4 for column in range(1000)}, step)
    with to.trait("series", f"{steps:,} steps"):
        for step in range(steps):
            to.log({"long/loss": 1 / (step + 1)}, step)
    with to.trait("series", "kinds together in a call"):
        for step in range(10):
            to.log({"together/a": step * 0.5, "together/b": step, "together/c": f"s{step}", "together/d": step > 4}, step)
    with to.trait("series", "a call without values"):
        to.log({}, 3)


def _config(to: Recorder) -> None:
    for number, (what, values) in enumerate(CONFIG.items()):
        with to.trait("config", what):
            to.add(Config(to.tick(), {f"c{number:02}": values}))
    with to.trait("config", "keys at the top"):
        to.add(Config(to.tick(), {"lr": 0.1, "": "empty key", "top/slash": 1, "top~tilde": 2, "Top": 3, "top": 4}))
    with to.trait("config", "set again"):
        to.add(Config(to.tick(), {"changed": 1, "nested then not": {"a": 1, "b": 2}, "not then nested": 5}))
        to.add(Config(to.tick(), {"changed": "two", "nested then not": 3, "not then nested": {"a": {"b": 6}}}))


def _description(to: Recorder) -> None:
    for number, (what, values) in enumerate(SUMMARY.items()):
        with to.trait("summary", what):
            to.add(Summary(to.tick(), {f"s{number}/{key}": value for key, value in values.items()}))
    with to.trait("summary", "set again, or beside a metric of that key"):
        to.add(Summary(to.tick(), {"again": 1}))
        to.add(Summary(to.tick(), {"again": "last", "long/loss": 0.25, "": 1}))
    with to.trait("tags", "set again, unicode, punctuation, 100 characters"):
        to.add(Tags(to.tick(), ["draft", *TAGS[:2]]))
        to.add(Tags(to.tick(), list(TAGS)))


def _media(to: Recorder) -> None:
    small, large = png(4, 3), png(64, 48, b"large")

    def add(kind: str, what: str, format: str, *contents: Any, **meta: Any) -> None:
        with to.trait("media", f"{kind}, {what}" if what else kind):
            for number, content in enumerate(contents):
                to.media(f"media/{kind} {what}", kind, format, content, number, **meta)

    rows = [[1, "größe", True, None, 0.1 + 0.2], [2**53 + 1, "", False, "x\ny", NAN], [-3, "NaN", None, [1, 2], INF]]
    bins = {"edges": [i / 64 for i in range(513)], "counts": [i * i % 97 for i in range(512)]}
    add("image", "", "png", small, large, caption="größe 🎯")
    add("audio", "", "wav", wav(8000, 0.05), wav(16_000, 0.1), rate=8000)
    add("video", "gif", "gif", gif())
    add("video", "mp4", "mp4", b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom" + noise("mp4", 3000))
    add("video", "webm", "webm", b"\x1a\x45\xdf\xa3" + noise("webm", 3000))
    add("histogram", "", "counts", {"edges": [-1.5, -0.5, 0.1 + 0.2, 1e3], "counts": [3, 0, 12]}, {"edges": [0.0, 1.0], "counts": [10**6]})
    add("histogram", "512 bins", "counts", bins)
    add("histogram", "integer edges, fractions", "counts", {"edges": [0, 1, 2], "counts": [0.5, 1.5]})
    add("table", "", "rows", {"columns": ["id", "näme", "ok", "any/thing", "value"], "rows": rows})
    add("table", "empty", "rows", {"columns": ["a", "b"], "rows": []})
    add("text", "", "text", "größer 🚀\r\n<b>&amp;</b>\n", "NaN", "two\nlines")
    add("text", "empty", "text", "")
    add("text", "100,000 characters", "text", "täglich " * 12_500)
    add("figure", "", "png", png(16, 16, b"figure"))
    with to.trait("media", "file"):
        to.media("media/file", "file", "", noise("file", 1000), 1, name="notizen ü.txt")
    with to.trait("media", "file of zero bytes"):
        to.media("media/file zero", "file", "", b"", 1, name="empty.bin")
    with to.trait("media", "file of 1 MB"):
        to.media("media/file 1 MB", "file", "", noise("megabyte", 1_000_000), 1, name="model.bin")
    with to.trait("media", "table over 1 MiB"):
        content = {"columns": ["name", "value"], "rows": [[f"row {i}", i / 7] for i in range(60_000)]}
        to.media("media/table large", "table", "rows", msgspec.msgpack.encode(content), 1, name="table.msgpack")
    with to.trait("media", "several at one step"):
        for image in (small, large, small):
            to.media("media/repeated", "image", "png", image, 5)
    with to.trait("media", "step absent, backwards, negative"):
        for step in (None, 7, 3, -1, None):
            to.media("media/steps", "image", "png", small, step)
            to.media("media/steps text", "text", "text", f"step {step}", step)
    with to.trait("media", "hostile keys"):
        for key in ("media/a/b", "media/a.b", "media/A/b", "../media", "/media", "media//x", "m" * 300, "größe 🎯", "", "C:\\m", "media:x"):
            to.media(key, "image", "png", small, 1)
    with to.trait("media", "hostile file names"):
        for name in HOSTILE_FILES:
            to.media("media/names", "image", "png", small, 1, name=name)
    with to.trait("media", "key of a metric"):
        to.log({"media/shared key": 0.5}, 1)
        to.media("media/shared key", "image", "png", small, 1)


def _artifacts(to: Recorder) -> None:
    with to.trait("artifact", "folder"):
        tree = {"model.bin": noise("model", 4000), "config/a.json": b'{"a": 1}', "config/b/c.txt": b"c", "ünï 🗂.txt": b"u"}
        to.artifact("run files", tree, "model", framework="none", größe=1)
    with to.trait("artifact", "of 1 MB and of zero bytes"):
        to.artifact("sizes", {"1MB": noise("sizes", 1_000_000), "zero": b""})
    with to.trait("artifact", "logged again"):
        to.artifact("weights", {"w.bin": noise("v0", 100), "same.txt": b"same"}, "model")
        to.artifact("weights", {"w.bin": noise("v1", 120), "same.txt": b"same"}, "model", version=1)
    with to.trait("artifact", "hostile names"):
        for number, name in enumerate(HOSTILE_ARTIFACTS):
            to.artifact(name, {"file.bin": noise(f"name {number}", 10)})
    with to.trait("artifact", "hostile file names"):
        for number, path in enumerate(HOSTILE_FILES):
            to.artifact(f"hostile {number}", {path: noise(f"path {number}", 10)})
    with to.trait("artifact", "names alike"):
        for number, name in enumerate(("alike/a", "alike.a", "alike a", "Alike/a", "alike:a", "alike/a/b")):
            to.artifact(name, {"b/file.bin": noise(f"alike {number}", 10), "B/FILE.bin": b"case"})
    with to.trait("artifact", "300-character and unicode names"):
        to.artifact("a" * 300, {"f" * 300: b"f", "größe 🎯": b"g"})
    with to.trait("artifact", "by reference"):
        file = FileRef("data.parquet", "", 123_456_789)
        to.add(Artifact(to.tick(), "dataset", "dataset", [file], "s3://bucket/data.parquet", {"rows": 5}))


def _flow(to: Recorder, info: RunInfo) -> None:
    with to.trait("flow", "events without a value"):
        to.add(Define(to.tick(), "defined/*", step="epoch", summary="min"))
        to.add(Deviations(to.tick(), [["redacted", "config/token", 1, ""]]))
        to.add(Unknown(to.tick(), ["hologram", to.now, 1, {"a": 2}]))  # of a newer schema
        to.add(Heartbeat(to.tick()))
    with to.trait("flow", "rewind"):
        for step in range(6):
            to.log({"flow/rewound": step / 4}, step)
        to.add(Rewind(to.tick(), 3))
        for step in range(3, 8):
            to.log({"flow/rewound": step / 8}, step)
    with to.trait("flow", "a process that is killed"):
        for step in range(4):
            to.log({"flow/resumed": step / 2}, step)
    to.shard = THIRD
    with to.trait("flow", "rank 3"):
        to.begin(info, rank=3, world_size=4)
        for step in range(4):
            to.log({"loss": step / 2, "loss/train": step, "rank3/loss": 0.5}, step)
        to.media("media/rank", "text", "text", "of rank 3", 1)
        to.artifact("of rank 3", {"shard.bin": noise("rank 3", 10)})
        to.add(Config(to.tick(), {"lr": "of rank 3"}))
        to.add(Summary(to.tick(), {"again": "of rank 3"}))
        to.add(Tags(to.tick(), ["of rank 3"]))
        to.add(End(to.tick(), Status.FAILED))
    to.shard = FORKED
    with to.trait("flow", "a forked process"):
        to.begin(info, forked=True)
        to.log({"flow/forked": 0.5}, 1)
        to.add(Config(to.tick(), {"lr": "of a fork"}))
        to.add(End(to.tick(), Status.FAILED))
    to.shard = RESUMED
    to.begin(info)
    with to.trait("flow", "resumed by another process"):
        for step in range(2, 6):
            to.log({"flow/resumed": step / 4}, step)
        to.add(Config(to.tick(), {"resumed": True}))


def noise(seed: str, size: int) -> bytes:
    """`size` bytes that look random and are always the same."""
    return hashlib.shake_128(seed.encode()).digest(size)


def png(width: int, height: int, seed: bytes = b"png") -> bytes:
    """A valid RGB image."""
    pixels = hashlib.shake_128(seed).digest(width * height * 3)
    rows = b"".join(b"\x00" + pixels[row * width * 3 : (row + 1) * width * 3] for row in range(height))

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def wav(rate: int, seconds: float) -> bytes:
    """A valid mono file of 16-bit samples."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(noise("wav", 2 * int(rate * seconds)))
    return buffer.getvalue()


def gif() -> bytes:
    """A valid animation of two frames of 2 x 2 pixels."""
    palette = bytes([0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 255])
    control = b"\x21\xf9\x04\x00\x0a\x00\x00\x00"
    frame = b"\x2c\x00\x00\x00\x00\x02\x00\x02\x00\x00\x02\x03"
    frames = b"".join(control + frame + data + b"\x00" for data in (b"\x44\x02\x05", b"\x8c\x53\x05"))
    return b"GIF89a\x02\x00\x02\x00\x91\x00\x00" + palette + frames + b"\x3b"


def batches(records: Sequence[Record], size: int = 400) -> Iterator[Sequence[Record]]:
    for first in range(0, len(records), size):
        yield records[first : first + size]
