"""TensorBoard: what is special about it. The circle over all kinds of values is the conformance suite's; here it runs over hostile ones."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import signal
import struct
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("tensorboard")

from trackbridge_adapters.tensorboard import adapter, events, layout

from tests.adapters.fresh import add, found, sound
from tests.adapters.servers import free_port
from trackbridge import normal, records
from trackbridge.adapters import Position, Target
from trackbridge.errors import Rejected, RunNotFound, Unavailable
from trackbridge.records import Artifact, Config, FileRef, Media, Metrics, Record, RunInfo
from trackbridge.testing import canon
from trackbridge.values import png

T0 = 1_700_000_000_123_456_789
SPECIAL = [
    math.nan,
    math.inf,
    -math.inf,
    -0.0,
    0.1 + 0.2,
    5e-324,
    1e308,
    1e-50,
    2**24 + 1,
    2**53 + 1,
    -(2**63),
    2**64,
    2**70,
    10**400,
    True,
]
SPECIAL += [False, None, 0, "", "NaN", "ünï 日本 \0", "x" * 10_000, 1, 1.0]
KEYS = [
    "a",
    "a/b",
    "a.b",
    "a b",
    "a:b",
    "A",
    "",
    "a·b",
    "a·b7·b",
    "k" * 300,
    "../x",
    "trackbridge/run",
    "_hparams_/x",
    "ünï",
    "%",
    "a·image.png",
    "a·string",
    "a·text",
]
CELLS = ["NaN", "1", '"', '"1"', "null", " true", "[1", "[" * 100_000, "9" * 5000, 10**400, [1, {"$": None}], -0.0, "a\nb|c", math.inf]
LARGE = msgspec.msgpack.encode({"columns": ["n", "x"], "rows": [[n, n / 7] for n in range(100_000)]})
INFO = RunInfo(id="r-1", name="../näme", project="p/../q", group="g", job_type="train", notes="n\nn", tags=("t1", "日本"), start=T0)


def shard(events, name="r0"):
    return [Record(name, number, event) for number, event in enumerate(events)]


def hostile(run: Path) -> list[records.Event]:
    """Every kind of record, and values that trackers change."""
    picture = png(bytes(range(192)), 8, 8, 3)
    config = {"lr": 3e-4, "nan": math.nan, "big": 10**30, "none": None, "flag": True, "l": [1, 2.0, None, {"a": math.inf}], "e": {}}
    events: list[records.Event] = [
        records.Start(T0, "r-1", "p/../q", "../näme", "g", "train", "n\nn"),
        records.Tags(T0, ["t1", "日本"]),
        Config(T0, config | {"nested": {"a/b": {"c~d": 1}, "x": "NaN"}, "long": "x" * 10_000}),
        records.Define(T0, "val/*", "epoch", "max"),
    ]
    steps = [0, 1, -5, 2, 2, None, 7, 2**62, 2**63 - 1, -(2**63), 1, None, 2**53 + 1]
    for call, step in enumerate(steps):
        events.append(Metrics(T0 + call * 1_000_000_007, call, step, dict.fromkeys(KEYS, call + 0.5)))
    for call, value in enumerate(SPECIAL):
        events.append(Metrics(T0 + call, 100 + call, call, {"mixed": value, f"alone/{call}": value}))
    events.append(Metrics(T0, 200, 1, {f"wide/{n}": n * 1.1 for n in range(1000)}))
    events += [Metrics(T0 - n, 201 + n, n, {"bulk": math.sin(n)}) for n in range(5000)]
    events += [
        Media(T0 + 1, 300, 3, "a", "image", "png", file=add(run, picture, "a.png"), meta={"caption": "c"}),
        Media(T0 + 1, 300, None, "a", "audio", "wav", file=add(run, sound(), "a.wav")),
        Media(T0 + 1, 300, 2**70, "a", "video", "mp4", file=add(run, b"\0\0film", "../a.mp4")),
        Media(T0 + 1, 300, -3, "a", "histogram", "counts", {"edges": [0.0, 0.1, 0.3], "counts": [1, 2**60 + 1]}),
        Media(T0 + 1, 300, 3, "a", "table", "rows", {"columns": ["x", "y"], "rows": [[1, "ü"], [math.nan, None]]}),
        Media(T0 + 1, 300, 3, "a", "table", "rows", file=add(run, LARGE, "t.msgpack")),
        Media(T0 + 1, 300, 3, "a", "text", "text", file=add(run, msgspec.msgpack.encode("ü" * 600_000), "t.msgpack")),
        Media(T0 + 1, 300, 3, "a", "video", "gif", file=add(run, canon.gif(), "a.gif")),
        Media(T0 + 1, 300, 3, "a", "text", "text", "# <b>ünï</b>"),
        Media(T0 + 1, 300, 3, "a", "figure", "html", file=add(run, b"<p>", "f.html")),
        Media(T0 + 1, 300, 3, "a", "image", "png", file=add(run, b"no picture", "b.png")),
        Media(T0 + 1, 300, 3, "a", "file", "", file=FileRef("/outside", "", 3)),
        Media(T0 + 1, 301, 4, "", "image", "png", file=add(run, picture, "a.png")),
        Media(T0 + 1, 301, 4, "empty", "histogram", "counts", {"edges": [0.0], "counts": []}),
        Media(T0 + 1, 301, 4, "empty", "histogram", "counts", {"edges": [], "counts": []}),
        Media(T0 + 1, 301, 4, "empty", "table", "rows", {"columns": [], "rows": []}),
        Media(T0 + 1, 301, 4, "ragged", "table", "rows", {"columns": ["x"], "rows": [[1], [1, 2]]}),
        Media(T0 + 1, 301, 4, "cells", "table", "rows", {"columns": ["1", ""], "rows": [[cell, 0] for cell in CELLS]}),
        Media(T0 + 1, 301, 4, "odd", "histogram", "counts", {"edges": [-math.inf, 0, 10**400], "counts": [math.nan, -0.0]}),
        Media(T0 + 1, 301, 4, "bins", "histogram", "counts", {"edges": list(range(60_001)), "counts": [1] * 60_000}),
        Artifact(T0 + 2, "../x", "model", [add(run, b"", "../empty"), add(run, random.Random(0).randbytes(1 << 20), "w/m.bin")]),
        Artifact(T0 + 2, "far", "data", [FileRef("d.bin", "", 5)], "s3://bucket/d"),
        Config(T0 + 3, {"lr": 1, "late": "x"}),
        records.Summary(T0 + 3, {"best": 2**70, "acc": math.nan, "note": "NaN"}),
        records.Rewind(T0 + 4, 3),
        Metrics(T0 + 5, 400, 3, {"bulk": 1.25}),
        records.Heartbeat(T0 + 5),
        records.Deviations(T0 + 5, []),
        records.Unknown(T0 + 5, ["newer", T0 + 5, 1]),
        records.Tags(T0 + 6, ["t1", "late"]),
        records.End(T0 + 7, "finished"),
    ]
    return events


def deliver(target: Target, run: RunInfo, batch, status="finished", size=500):
    writer = adapter.writer(target)
    writer.open(run, None)
    deviations = []
    for start in range(0, len(batch), size):
        deviations += writer.write(batch[start : start + size])
        writer.flush()
    writer.close(status, T0 + 10)
    return deviations


def compare(batch, info, read, status="finished"):
    original = normal.normal(batch)
    original.status = status
    projection = adapter.capabilities(Target("tensorboard")).projection
    assert normal.compare(original, normal.normal(read, info), projection) == []


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target("tensorboard", str(tmp_path / "logs"))


@pytest.mark.parametrize("status", ["finished", "failed", "crashed"])
def test_circle(tmp_path: Path, target: Target, status: str) -> None:
    run = tmp_path / "run"
    batch = shard(hostile(run))
    info = msgspec.structs.replace(INFO, directory=run)
    deviations = deliver(target, info, batch, status)
    assert {row.reason for row in deviations} == {"retyped", "step_changed", "timestamp", "unsupported"}
    seen, read = found(target, "r-1", tmp_path)
    compare(batch, seen, read, status)
    assert (seen.end, seen.start, seen.tags) == (T0 + 10, T0, ("t1", "late"))
    kinds = (records.Define, records.Rewind)
    assert [r.event for r in read if isinstance(r.event, kinds)] == [
        msgspec.structs.replace(r.event, time=round(r.event.time / 1e9 * 1e9)) for r in batch if isinstance(r.event, kinds)
    ]
    places = {path.relative_to(tmp_path / "logs").parts[0] for path in (tmp_path / "logs").rglob("*")}
    assert len(places) == 1
    assert not (tmp_path / "q").exists()


def points(read, key):
    return [record.event.values[key] for record in read if isinstance(record.event, Metrics) and key in record.event.values]


def series(count: int, start: int = 0, name: str = "r0") -> list[Record]:
    return [Record(name, n, Metrics(T0 + n, n, n, {"x": float(n), "y": n})) for n in range(start, start + count)]


def local(target: Target, run_id: str = "r-1"):
    reader = adapter.reader(target)
    return next(info for info in reader.runs() if info.id == run_id), list(reader.read(run_id))


def test_steps_beyond_64_bits_are_refused_and_told(tmp_path: Path, target: Target) -> None:
    batch = shard([Metrics(10**18, n, step, {"x": float(n), "y": n}) for n, step in enumerate([1, 2**63, -(2**63) - 1, 2])])
    deviations = deliver(target, INFO, batch)
    assert [(row.subject, row.count) for row in deviations if row.reason == "step_rejected"] == [("x", 2), ("y", 2)]
    assert [(row.subject, row.count) for row in deviations if row.reason == "retyped"] == [("y", 4)]
    _info, read = local(target)
    assert points(read, "x") == points(read, "y") == [0.0, 3.0]


def test_numbers_and_texts_of_a_key_keep_their_order(target: Target) -> None:
    """They have two tags; a clock that goes back, and equal times and steps, do not part them."""
    values = [1.5, "a", 2, "b", "c", None, True, "d"]
    deliver(target, INFO, shard([Metrics(T0 - n // 3 * 10**9, n, 1, {"x": value}) for n, value in enumerate(values)]))
    assert points(local(target)[1], "x") == [1.5, "a", 2.0, "b", "c", 1.0, "d"]


def vendors(target: Target) -> Iterator[Any]:
    """The events of all runs as they lie there, by the vendor's own loader and messages."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    for path in sorted(Path(target.location).rglob("*tfevents*")):
        yield from LegacyEventFileLoader(str(path)).Load()


def fields(message: Any) -> set[str]:
    return {field.name for field, _ in message.ListFields()}


def allowed(plugin: str, tensor: Any) -> bool:
    """Whether `tensor` holds what a dashboard shows, and nothing else."""
    shape = [dim.size for dim in tensor.tensor_shape.dim]
    if plugin == "scalars":  # the drawn number, and the same number as a float64
        if fields(tensor) != {"dtype", "tensor_shape", "float_val", "double_val"} or shape or len(tensor.double_val) != 1:
            return False
        exact = tensor.double_val[0]
        drawn = struct.unpack("f", struct.pack("f", exact))[0] if not abs(exact) > 3.4028235e38 else math.copysign(math.inf, exact)
        return list(map(repr, tensor.float_val)) == [repr(drawn)]
    if plugin == "histograms":
        return fields(tensor) - {"double_val"} == {"dtype", "tensor_shape"} and shape == [len(tensor.double_val) // 3, 3]
    if fields(tensor) != {"dtype", "tensor_shape", "string_val"} or len(tensor.string_val) != math.prod(shape):
        return False
    if plugin == "images":
        return shape == [3] and all(side.isdigit() for side in tensor.string_val[:2])
    if plugin == "audio":
        return shape == [1, 2] and tensor.string_val[0][:4] == b"RIFF" and tensor.string_val[1] == b""
    return plugin == "text" and len(shape) in (0, 2) and all(text.decode() is not None for text in tensor.string_val)


def test_nothing_is_hidden(tmp_path: Path, target: Target) -> None:
    """What lies in the files is what a dashboard shows, the position of each flush, and the sidecar."""
    run = canon.main(tmp_path / "journal", "canon")
    writer = adapter.writer(target)
    writer.open(run.opened, None)
    writer.write(run.routed)
    writer.attach(b"sidecar", hashlib.sha256(b"sidecar").hexdigest())
    writer.close("finished", run.info.end or 0)
    deliver(target, msgspec.structs.replace(INFO, directory=tmp_path / "run"), shard(hostile(tmp_path / "run")))
    plugins: dict[str, str] = {}
    for event in vendors(target):
        what = fields(event) - {"wall_time", "step"}
        assert len(what) <= 1
        assert what <= {"file_version", "log_message", "summary"}
        if event.log_message.message:
            assert event.log_message.message.startswith("trackbridge position {")
            assert set(map(type, json.loads(event.log_message.message[21:]).values())) <= {int}
        for value in event.summary.value:
            assert fields(value) - {"metadata"} <= {"tag", "tensor"}
            assert fields(value.metadata) <= {"plugin_data"}
            plugin = plugins.setdefault(value.tag, value.metadata.plugin_data.plugin_name)
            if plugin == "hparams":
                assert (value.tag, fields(value.tensor)) in [(f"_hparams_/session_{part}_info", set()) for part in ("start", "end")]
            else:
                assert value.metadata.plugin_data.content == b"" or plugin == "audio"
                assert allowed(plugin, value.tensor), (value.tag, str(value)[:300])
    assert set(plugins.values()) == {"scalars", "text", "images", "audio", "histograms", "hparams"}
    beside = [path.relative_to(target.location).parts for path in Path(target.location).rglob("*") if path.is_file()]
    assert {parts[2] if len(parts) == 3 else "/".join(parts[2:4]) for parts in beside if "tfevents" not in parts[-1]} == {
        "trackbridge/files",
        "trackbridge/journal.tbj.z",
    }


def test_the_dashboards_tell_all_of_it(tmp_path: Path, target: Target) -> None:
    """Description, configuration, tables and float64 numbers, by TensorBoard's EventAccumulator alone."""
    from tensorboard.backend.event_processing.event_accumulator import STORE_EVERYTHING_SIZE_GUIDANCE, EventAccumulator

    config = {"long": "x" * 100_000, "nan": math.nan, "big": 10**30, "looks": {"$": "NaN"}, "fence": "```\n```"}
    deliver(
        target,
        msgspec.structs.replace(INFO, directory=tmp_path / "run", project="p", name="n"),
        shard(
            [
                Config(T0, config),
                records.Rewind(T0, 0),
                Config(T0, {"lr": 1}),
                Metrics(T0, 0, None, {"x": 0.1, "n": 2**53 + 1}),
                Metrics(T0, 7, None, {"x": 1e308, "n": "word"}),
                Media(T0, 8, 3, "tab", "table", "rows", {"columns": ["x", "1"], "rows": [["1", 1], ["ü", None]]}),
            ]
        ),
    )
    shown = EventAccumulator(f"{target.location}/p/n-r-1", size_guidance=STORE_EVERYTHING_SIZE_GUIDANCE).Reload()

    def texts(tag: str) -> list[Any]:
        assert shown.SummaryMetadata(tag).plugin_data.plugin_name == "text"
        return [json.loads(e.tensor_proto.string_val[0][8:-4]) for e in shown.Tensors(tag)]

    first, second = texts("trackbridge/config")
    assert repr((first, second)) == repr((config, {"lr": 1}))
    begun, ended = texts("trackbridge/run")
    assert (begun["status"], ended["status"], ended["end"]) == ("running", "finished", T0 + 10)
    assert (ended["name"], ended["notes"], ended["group"], ended["job_type"]) == ("n", "n\nn", "g", "train")
    assert [(e.step, e.wall_time, e.tensor_proto.double_val[0]) for e in shown.Tensors("x")] == [(0, T0 / 1e9, 0.1), (7, T0 / 1e9, 1e308)]
    assert [e.tensor_proto.double_val[0] for e in shown.Tensors("n")] == [2.0**53]
    assert [e.tensor_proto.string_val[0] for e in shown.Tensors("n·string")] == [b"word"]
    (table,) = shown.Tensors("tab·table")
    assert list(table.tensor_proto.string_val) == [b"x", b'"1"', b'"1"', b"1", "ü".encode(), b"null"]


KILLED = """
import os, signal, sys
from trackbridge.adapters import Target
from trackbridge.records import Metrics, Record, RunInfo
from trackbridge_adapters.tensorboard import adapter
import msgspec
writer = adapter.writer(Target("tensorboard", sys.argv[1]))
batch = [Record("r0", n, Metrics(n, n, n, {"x": float(n), "y": n})) for n in range(3000)]
writer.open(RunInfo(id="r-1", start=1), None)
writer.write(batch[:1500])
sys.stdout.buffer.write(msgspec.json.encode(writer.flush()) + b"\\n")
sys.stdout.flush()
writer.write(batch[1500:])  # part of this reaches the file, none of it is promised
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("cursor", ["kept", "lost", "torn", "flipped"])
def test_kill_9_after_write(tmp_path: Path, target: Target, cursor: str) -> None:
    """Everything flushed is there, and whoever continues from the position leaves nothing out and nothing twice."""
    killed = subprocess.run([sys.executable, "-c", KILLED, target.location], stdout=subprocess.PIPE, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    position = msgspec.json.decode(killed.stdout, type=Position)
    assert position.sequences == {"r0": 1500}
    assert points(local(target)[1], "x")[:1500] == [float(n) for n in range(1500)]
    (file,) = Path(target.location).rglob("*tfevents*")
    assert file.stat().st_size > position.token["files"][file.name], "the kill came too late to test anything"
    if cursor == "lost":
        given, kept = None, 1500
    elif cursor == "torn":  # a power loss took what the cursor counts on: the file tells its own, older position
        os.truncate(file, position.token["files"][file.name] - 1)
        given, kept = position, 0
    elif cursor == "flipped":
        with file.open("r+b") as damaged:
            damaged.seek(position.token["files"][file.name] + 30)
            damaged.write(b"\xff" * 8)
        given, kept = None, 1500
    else:
        given, kept = position, 1500
    writer = adapter.writer(target)
    held = writer.open(RunInfo(id="r-1", start=1), given)
    assert held.sequences.get("r0", 0) == (kept if given else 0)
    batch = [Record("r0", n, Metrics(n, n, n, {"x": float(n), "y": n})) for n in range(held.sequences.get("r0", 0), 3000)]
    writer.write(batch[:700])
    writer.write(batch[600:])  # what it has already is not taken twice
    writer.close("finished", 9)
    info, read = found(target, "r-1", tmp_path)
    assert points(read, "x") == [float(n) for n in range(3000)]
    assert points(read, "y") == list(range(3000))
    assert info.status == "finished"


def test_clean_reopen_continues_one_file(target: Target) -> None:
    position = None
    for part in range(3):
        writer = adapter.writer(target)
        position = writer.open(INFO, position)
        writer.write(series(10, part * 10))
        position = writer.flush()
        assert position.sequences == {"r0": part * 10 + 10}
    assert writer.flush() == position
    assert len(list(Path(target.location).rglob("*tfevents*"))) == 1
    info, read = local(target)
    assert (points(read, "y"), info.status) == (list(range(30)), "running")


def test_full_disk_is_an_outage(tmp_path: Path, target: Target) -> None:
    script = """
import resource, signal, sys
from trackbridge.adapters import Target
from trackbridge.errors import Unavailable
from trackbridge.records import Metrics, Record, RunInfo
from trackbridge_adapters.tensorboard import adapter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
batch = [Record("r0", n, Metrics(n, n, n, {"x": float(n), "y": n})) for n in range(3000)]
writer = adapter.writer(Target("tensorboard", sys.argv[1]))
position = writer.open(RunInfo(id="r-1", start=1), None)
writer.write(batch[:100])
position = writer.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    writer.write(batch[100:])
    writer.flush()
    raise SystemExit("not refused")
except Unavailable:
    pass
assert writer.flush() == position
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
position = writer.open(RunInfo(id="r-1", start=1), position)
assert position.sequences == {"r0": 100}, position
writer.write(batch[100:])
writer.close("finished", 9)
"""
    subprocess.run([sys.executable, "-c", script, target.location], check=True, timeout=120)
    assert points(local(target)[1], "y") == list(range(3000))


def test_unwritable_folder_is_an_outage(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unavailable):
        adapter.writer(Target("tensorboard", str(tmp_path / "file"))).open(INFO, None)


def test_missing_content_is_rejected_alone(tmp_path: Path, target: Target) -> None:
    run = tmp_path / "run"
    info = msgspec.structs.replace(INFO, directory=run)
    lost = FileRef("gone.bin", "0" * 64, 5)
    events = [Metrics(T0, 0, 0, {"y": 0}), Artifact(T0, "a", "model", [lost]), Metrics(T0, 1, 1, {"y": 1})]
    batch = shard(events)
    writer = adapter.writer(target)
    writer.open(info, None)
    with pytest.raises(Rejected) as rejected:
        writer.write(batch)
    assert rejected.value.index == 1
    writer.write([batch[0], batch[2]])  # the same again without the record that went to the dead letter
    writer.close("finished", T0)
    assert points(local(target)[1], "y") == [0, 1]


def test_what_no_dashboard_shows_lies_beside(tmp_path: Path, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, named in a text, and its bytes are there; it is not reported as held."""
    monkeypatch.setattr("trackbridge_adapters.tensorboard.writer.NATIVE_LIMIT", 100)
    contents = [b"film", b"<p>", b"", b"weights", png(bytes(range(192)), 8, 8, 3), b"w" * 101]
    film, page, empty, weights, picture, wave = (add(tmp_path / "run", data, f"../{n}") for n, data in enumerate(contents))
    assert picture.size > 100
    batch = shard(
        [
            Media(10**18, 0, 0, "film", "video", "mp4", file=film),
            Media(10**18, 0, 0, "page", "figure", "html", file=page),
            Media(10**18, 0, 0, "pic", "image", "png", file=picture),
            Media(10**18, 0, 0, "snd", "audio", "wav", file=wave),
            Media(10**18, 0, 2**70, "step", "text", "text", "late"),
            Media(10**18, 0, 0, "rows", "table", "rows", {"columns": [], "rows": []}),
            Artifact(10**18, "net", "model", [weights, empty], metadata={"a": 1}),
            Artifact(10**18, "far", "data", [FileRef("d.bin", "", 5)], "s3://bucket/d"),
        ]
    )
    deviations = deliver(target, msgspec.structs.replace(INFO, directory=tmp_path / "run"), batch)
    subjects = ["artifact/far", "artifact/net", "film", "page", "pic", "rows", "snd", "step"]
    assert [(row.reason, row.subject) for row in deviations] == [("unsupported", subject) for subject in subjects]
    assert not [record.event for record in local(target)[1] if isinstance(record.event, Media | Artifact)]
    (folder,) = layout.folders(Path(target.location))
    assert {path.read_bytes() for path in (folder / "trackbridge" / "files").iterdir()} == set(contents)
    notes = [note for _, note in layout.texts(folder, "files")]
    assert [note.get("media") or note.get("artifact") for note in notes] == ["film", "page", "pic", "snd", "step", "rows", "net", "far"]
    assert [(folder / note["files"][0]["where"]).read_bytes() for note in notes[:4]] == [b"film", b"<p>", contents[4], contents[5]]
    assert (notes[4]["step"], notes[4]["value"], notes[5]["value"]) == (2**70, "late", {"columns": [], "rows": []})
    assert (notes[6]["files"][0]["name"], notes[6]["metadata"], notes[7]["uri"]) == ("../3", {"a": 1}, "s3://bucket/d")


def test_content_that_changed_is_told(tmp_path: Path, target: Target) -> None:
    """The digest of a picture is that of the bytes that the dashboard shows."""
    picture = canon.png(4, 3)
    batch = shard([Media(T0, 0, 0, "pic", "image", "png", file=add(tmp_path / "run", picture, "a.png"))])
    deliver(target, msgspec.structs.replace(INFO, directory=tmp_path / "run"), batch)
    (path,) = Path(target.location).rglob("*tfevents*")
    edited = b"".join(events.frame(data.replace(picture, picture[:-1] + b"!")) for _, data in events.frames(path))
    path.write_bytes(edited)
    (media,) = [record.event for record in local(target)[1] if isinstance(record.event, Media)]
    assert media.file is not None
    assert media.file.digest == hashlib.sha256(picture[:-1] + b"!").hexdigest()


@pytest.mark.parametrize("data", [b"\xc1", msgspec.msgpack.encode({"columns": []}), msgspec.msgpack.encode([1])])
@pytest.mark.parametrize("format", ["rows", "text"])
def test_a_file_that_holds_no_such_value_is_rejected(tmp_path: Path, target: Target, data: bytes, format: str) -> None:
    kind = {"rows": "table", "text": "text"}[format]
    writer = adapter.writer(target)
    writer.open(msgspec.structs.replace(INFO, directory=tmp_path / "run"), None)
    with pytest.raises(Rejected):
        writer.write(shard([Media(T0, 0, 0, "a", kind, format, file=add(tmp_path / "run", data, "a.msgpack"))]))
    assert writer.write(shard([Metrics(10**18, 0, 0, {"x": 1.0})])) == []


def test_sidecar(tmp_path: Path, target: Target) -> None:
    reader = adapter.reader(target)
    writer = adapter.writer(target)
    writer.open(INFO, None)
    writer.write(series(3))
    assert reader.sidecar("r-1") is None
    for sidecar in (b"first", b"second"):
        writer.attach(sidecar, hashlib.sha256(sidecar).hexdigest())
    assert reader.sidecar("r-1") == (b"second", hashlib.sha256(b"second").hexdigest())
    assert len(list(Path(target.location).rglob("journal*"))) == 1
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer

    shown = EventMultiplexer()
    shown.AddRunsFromDirectory(target.location)
    assert len(shown.Runs()) == 1, "the folder of the sidecar must not be taken for a run"


@pytest.mark.parametrize("project", ["", "..", "a/b", "/etc", "p", "ü" * 200, "con"])
@pytest.mark.parametrize("name", ["", ".", "../../x", "n" * 500])
def test_folders_stay_inside(tmp_path: Path, project: str, name: str) -> None:
    target = Target("tensorboard", str(tmp_path / "logs"))
    for run_id in ("i", "a-i", "../i"):
        deliver(target, RunInfo(id=run_id, name=name, project=project, start=T0), series(2))
    assert {path.name for path in tmp_path.iterdir()} == {"logs"}
    reader = adapter.reader(target)
    assert {info.id for info in reader.runs()} == {"i", "a-i", "../i"}
    assert all((info.name, info.project) == (name, project) for info in reader.runs())
    assert points(list(reader.read("i")), "y") == [0, 1]


def test_what_others_wrote_is_read(target: Target) -> None:
    from tensorboard.summary import Writer

    native = Writer(target.location + "/exp/theirs")
    for step in range(5):
        native.add_scalar("loss", step * 0.5, step, wall_time=T0 / 1e9)
    native.close()
    _info, read = local(target, "exp/theirs")
    assert points(read, "loss") == [0.0, 0.5, 1.0, 1.5, 2.0]
    with pytest.raises(RunNotFound):
        list(adapter.reader(target).read("exp"))


def test_the_older_form_of_others_is_read(target: Target) -> None:
    """``simple_value``, as torch and TensorFlow 1 write it, and a tag that looks like an escape of ours."""
    from tensorboard.compat.proto import event_pb2, summary_pb2
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(target.location + "/theirs")
    for step in range(3):
        value = summary_pb2.Summary.Value(tag="a·62·", simple_value=step * 0.5)
        writer.add_event(event_pb2.Event(wall_time=1.5, step=step, summary=summary_pb2.Summary(value=[value])))
    writer.close()
    _info, read = local(target, "theirs")
    found = [record.event for record in read if isinstance(record.event, Metrics)]
    assert [(event.time, event.step, event.values) for event in found] == [(1_500_000_000, n, {"a·62·": n * 0.5}) for n in range(3)]


def get(url: str, data: bytes | None = None):
    headers = {"content-type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=30) as answer:
        return answer.read()


@pytest.mark.server
@pytest.mark.parametrize("fast", ["true", "false"])
def test_the_server_shows_it(tmp_path: Path, target: Target, fast: str) -> None:
    """TensorBoard's own server, with both of its loaders, draws what was logged."""
    run = tmp_path / "run"
    picture = png(bytes(range(192)), 8, 8, 3)
    events: list[records.Event] = [
        Config(T0, {"lr": 3e-4, "nan": math.nan, "l": [1, 2], "nested": {"a": True}, "big": 10**30}),
        Artifact(T0, "net", "model", [add(run, b"w", "beside.bin")]),
        *[Metrics(T0 + n * 10**9, n, n, {"train/loss": n * 1.1, "flag": n % 2 == 0, "n": n, "word": f"w{n}"}) for n in range(5)],
        Metrics(T0 + 9 * 10**9, 9, None, {"none": 2.5}),
        Metrics(T0 + 9 * 10**9, 10, 3, {"mixed": 1.5}),
        Metrics(T0 + 9 * 10**9, 10, 4, {"mixed": None}),
        Media(T0, 11, 3, "pic", "image", "png", file=add(run, picture, "a.png")),
        Media(T0, 11, 3, "snd", "audio", "wav", file=add(run, sound(), "a.wav")),
        Media(T0, 11, 3, "dist", "histogram", "counts", {"edges": [0.0, 0.1, 0.3], "counts": [1, 2]}),
        Media(T0, 11, 3, "tab", "table", "rows", {"columns": ["x", "y"], "rows": [[1, "cell ü"]]}),
    ]
    deliver(target, msgspec.structs.replace(INFO, directory=run, project="p", name="n"), shard(events))
    port = free_port()
    base = f"http://127.0.0.1:{port}/data/plugin"
    command = ["-m", "tensorboard.main", "--logdir", target.location, "--host", "127.0.0.1", "--port", str(port), f"--load_fast={fast}"]
    with (tmp_path / "server.log").open("wb") as log:
        server = subprocess.Popen([sys.executable, *command], stdout=log, stderr=log)
    try:
        tags: dict = {}
        for _ in range(240):
            try:
                tags = json.loads(get(f"{base}/scalars/tags"))
            except OSError:
                assert server.poll() is None, (tmp_path / "server.log").read_text()
            if tags and "mixed" in tags.get("p/n-r-1", {}):
                break
            time.sleep(0.25)
        assert set(tags["p/n-r-1"]) == {"train/loss", "flag", "n", "none", "mixed"}

        def shown(tag: str, plugin: str = "scalars", what: str = "scalars") -> list:
            query = urllib.parse.urlencode({"run": "p/n-r-1", "tag": tag})
            return json.loads(get(f"{base}/{plugin}/{what}?{query}"))

        assert [(step, round(value, 5)) for _, step, value in shown("train/loss")] == [(n, round(n * 1.1, 5)) for n in range(5)]
        assert [value for *_, value in shown("flag")] == [1.0, 0.0, 1.0, 0.0, 1.0]
        assert [value for *_, value in shown("n")] == [0.0, 1.0, 2.0, 3.0, 4.0]
        assert [(step, value) for _, step, value in shown("none")] == [(9, 2.5)]
        assert [value for *_, value in shown("mixed")] == [1.5]
        (image,) = shown("pic·image.png", "images", "images")
        assert get(f"{base}/images/individualImage?{image['query']}") == picture
        (audio,) = shown("snd·audio.wav", "audio", "audio")
        assert get(f"{base}/audio/individualAudio?{audio['query']}") == sound()
        assert [bins[2][0][:3] for bins in shown("dist·histogram", "histograms", "histograms")] == [[0.0, 0.1, 1.0]]
        assert "cell ü" in str(shown("tab·table", "text", "text"))
        assert ["w0" in str(entry) for entry in shown("word·string", "text", "text")] == [True, False, False, False, False]
        assert "0.0003" in str(shown("trackbridge/config", "text", "text"))
        assert "beside.bin" in str(shown("trackbridge/files", "text", "text"))
        query = {"experimentName": "", "allowedStatuses": ["STATUS_SUCCESS"], "colParams": [], "startIndex": 0, "sliceSize": 10}
        (group,) = json.loads(get(f"{base}/hparams/session_groups", json.dumps(query).encode()))["sessionGroups"]
        assert group["hparams"] == {"lr": 3e-4, "nan": "NaN", "l": "[1, 2]", "nested/a": True, "big": str(10**30)}
        assert [session["status"] for session in group["sessions"]] == ["STATUS_SUCCESS"]
    finally:
        server.terminate()
        server.wait(30)
