"""W&B: what is special about it. The circle over all kinds of values is the conformance suite's."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

pytest.importorskip("wandb")

from trackbridge_adapters.wandb import adapter, client, layout
from trackbridge_adapters.wandb.projection import KEYS as NAMES
from trackbridge_adapters.wandb.projection import PROJECTION, artifact_name, artifact_type

from tests.adapters.fresh import add, found, sound
from tests.adapters.wandb_server import wandb_server
from trackbridge import normal, records
from trackbridge.adapters import Position, Target
from trackbridge.errors import Rejected, RunNotFound, Unavailable
from trackbridge.records import Artifact, Config, FileRef, Media, Metrics, Record, RunInfo, Summary
from trackbridge.testing import canon
from trackbridge.values import png

T0 = 1_700_000_000_123_456_789
KEYS = ["a", "a/b", "a.b", "a b", "a:b", "A", "", "a·b", "a·b7·b", "k" * 300, "../x", "_step", "_timestamp", "trackbridge/step", "nul\0"]
INFO = RunInfo(id="r-1", name="näme", project="p/q", group="g", job_type="train", notes="n\nn", tags=("t1", "x" * 100), start=T0)
SPECIAL = [math.nan, math.inf, -math.inf, -0.0, 0.1 + 0.2, 5e-324, 1e308, 2**53 + 1, -(2**63), 2**64 - 1, 2**70, 10**400, True, None, 1]
SPECIAL += [1.0, "", "NaN", "ünï 日本 \0\r\n", "x" * 10_000]
CONFIG = {"nan": math.nan, "big": 10**30, "none": None, "one": 1.0, "l": [1, 1.0, {"a": math.inf}], "e": {}, "n": {"a.b": {"c/d": 1}}}


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target("wandb", str(tmp_path / "logs"))


def shard(events, name="r0"):
    return [Record(name, number, event) for number, event in enumerate(events)]


def series(count: int, start: int = 0) -> list[Record]:
    return [Record("r0", n, Metrics(T0 + n, n, n, {"x": float(n), "y": n})) for n in range(start, start + count)]


def deliver(target: Target, run: RunInfo, batch, status="finished", size=300):
    out = adapter.writer(target)
    out.open(run, None)
    for start in range(0, len(batch), size):
        out.write(batch[start : start + size])
    out.flush()
    out.close(status, T0 + 10)


def points(read, key):
    return [record.event.values[key] for record in read if isinstance(record.event, Metrics) and key in record.event.values]


def local(target: Target, run_id: str = "r-1"):
    reader = adapter.reader(target)
    return next(info for info in reader.runs() if info.id == run_id), list(reader.read(run_id))


def hostile(run: Path) -> list[records.Event]:
    picture = png(bytes(range(192)), 8, 8, 3)
    events: list[records.Event] = [Config(T0, CONFIG), records.Define(T0, "val/*", "epoch", "max"), records.Define(T0, "*/x", None, "min")]
    steps = [0, 1, -5, 2, 2, None, 7, 2**62, 2**63 - 1, 2**63, -(2**70), 1, None]
    events += [Metrics(T0 + n * 1_000_000_007, n, step, dict.fromkeys(KEYS, n + 0.5)) for n, step in enumerate(steps)]
    events += [Metrics(T0 - n, 100 + n, n, {"mixed": value, f"alone/{n}": value}) for n, value in enumerate(SPECIAL)]
    events += [Metrics(T0, 200, 1, {f"wide/{n}": n * 1.1 for n in range(1000)}), Metrics(T0, 201, 1, {})]
    events += [Metrics(T0 + n, 202 + n, n, {"bulk": math.sin(n)}) for n in range(5000)]
    events += [
        Media(T0 + 1, 300, 3, "a", "image", "png", file=add(run, picture, "a.png"), meta={"caption": "c"}),
        Media(T0 + 1, 300, None, "a", "audio", "wav", file=add(run, sound(), "a.wav")),
        Media(T0 + 1, 300, 2**70, "../../../a", "video", "mp4", file=add(run, b"\0\0film", "../a.mp4")),
        Media(T0 + 1, 300, -3, "a", "histogram", "counts", {"edges": [0.0, 0.1, 0.3], "counts": [1, 2**60 + 1]}),
        Media(T0 + 1, 300, 3, "a", "table", "rows", {"columns": ["x", "y"], "rows": [[1, "ü"], [math.nan, None]]}),
        Media(T0 + 1, 300, 3, "a", "table", "rows", file=add(run, b"\x80" * 2_000_000, "t.msgpack")),
        Media(T0 + 1, 300, 3, "k" * 300, "text", "text", "# <b>ünï</b>"),
        Media(T0 + 1, 300, 3, "a", "figure", "html", file=add(run, b"<p>\r\n", "f.html")),
        Media(T0 + 1, 300, 3, "a", "image", "png", file=add(run, b"no picture", "b.png")),
        Media(T0 + 1, 300, 3, "", "file", "", file=FileRef("/outside", "", 3)),
        Artifact(T0 + 2, "../x", "model", [add(run, b"", "../empty"), add(run, bytes(1 << 20), "w/[m]*.bin"), add(run, b"1", "w")]),
        records.Summary(T0 + 3, {"best": 2**70, "acc": math.nan, "": 1}),
        records.Rewind(T0 + 4, 3),
        records.Heartbeat(T0 + 5),
        records.Deviations(T0 + 5, [["redacted", "config/key", 1, ""]]),
        records.Unknown(T0 + 5, ["newer", T0 + 5, 1]),
        Config(T0 + 6, {"one": "late"}),
        records.Tags(T0 + 6, ["t1", "late", "y" * 65]),
        records.End(T0 + 7, "finished"),
    ]
    return events


@pytest.mark.parametrize("status", ["finished", "failed", "crashed"])
def test_circle(tmp_path: Path, target: Target, status: str) -> None:
    batch = shard(hostile(tmp_path / "run"))
    deliver(target, msgspec.structs.replace(INFO, directory=tmp_path / "run"), batch, status)
    info, read = found(target, "r-1", tmp_path)
    wanted = normal.normal(batch, msgspec.structs.replace(INFO, tags=("t1", "late", "y" * 65), status=status))
    assert normal.compare(wanted, normal.normal(read, info), PROJECTION) == []
    assert (info.id, info.end is not None) == ("r-1", True)
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["wandb"]
    assert not [path for path in (tmp_path / "logs").rglob("files/**/*") if path.is_symlink()]


def test_the_client_itself_shows_it(tmp_path: Path, target: Target) -> None:
    """What was logged lies in the records of the log that the vendor's server is sent."""
    picture = png(bytes(range(192)), 8, 8, 3)
    run = tmp_path / "run"
    batch = shard(
        [
            Config(T0, {"lr": 3e-4, "n": 2**53 + 1, "nested": {"a": [1, "x"]}}),
            Metrics(T0, 0, 7, {"train/loss": 0.1 + 0.2, "flag": True, "word": "w", "n": 2**63 - 1, "none": None}),
            Metrics(T0 + 10**9, 1, 3, {"train/loss": math.inf}),
            Media(T0, 2, 3, "pic", "image", "png", file=add(run, picture, "a.png")),
            Media(T0, 3, 3, "dist", "histogram", "counts", {"edges": [0.0, 0.1, 0.3], "counts": [1, 2]}),
            records.Summary(T0, {"best": 0.5}),
            records.Tags(T0, ["t1", "t2"]),
        ]
    )
    deliver(target, msgspec.structs.replace(INFO, directory=run), batch, "failed")
    (part,) = layout.fragments(Path(target.location))
    others = [row for row in layout.entries(part.log) if not isinstance(row, layout.Row)]
    rows = [row.values for row in layout.entries(part.log) if isinstance(row, layout.Row)]
    first, second = (row for row in rows if "train/loss" in row)
    assert (first["train/loss"], first["flag"], first["word"], first["n"], first["none"]) == (0.1 + 0.2, True, "w", 2**63 - 1, None)
    assert (first["trackbridge/step"], first["_timestamp"], second["trackbridge/step"]) == (7, T0 / 1e9, 3)
    (image,) = (row["pic"] for row in rows if "pic" in row)
    assert image["_type"] == "image-file"
    assert (part.files / image["path"]).read_bytes() == picture
    (histogram,) = (row["dist"] for row in rows if "dist" in row)
    assert histogram == {"_type": "histogram", "values": [1, 2], "bins": [0.0, 0.1, 0.3]}
    config = {entry.key: json.loads(entry.value_json) for record in others for entry in record.config.update}
    assert config["lr"] == 3e-4
    assert config["nested"] == {"a": [1, "x"]}
    (start,) = [record.run for record in others if record.WhichOneof("record_type") == "run"][:1]
    assert (start.run_id, start.display_name, start.run_group, start.notes) == ("r-1", "näme", "g", "n\nn")
    assert list([record.run for record in others if record.WhichOneof("record_type") == "run"][-1].tags) == ["t1", "t2"]
    assert [record.exit.exit_code for record in others if record.WhichOneof("record_type") == "exit"] == [1]
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--summary", "--json", str(part.log)]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0, shown.stderr
    assert "train/loss" in shown.stdout


WHAT_THE_LOG_HAS = {"header", "run", "config", "summary", "history", "metric", "files", "artifact", "exit", "telemetry"}
CELL = {"_type", "path", "sha256", "size", "format", "width", "height", "caption", "kind", "name", "values", "bins"}
CELL |= {"ncols", "nrows", "log_mode", "artifact_path", "_latest_artifact_path"}  # of a table
MINE = {"_step", "_timestamp", "_runtime", "_trackbridge", "trackbridge/step", "trackbridge/rewind"}


def test_no_stash(tmp_path: Path, target: Target) -> None:
    """The vendor's own tool reads the hostile run, and finds what was logged under names of what was logged, and nothing else."""
    run = canon.main(tmp_path, "canon")
    out = adapter.writer(target)
    out.open(run.opened, None)
    out.write(run.routed)
    out.flush()
    out.attach(b"sidecar", hashlib.sha256(b"sidecar").hexdigest())
    out.close("finished", run.info.end or 0)
    (part,) = layout.fragments(Path(target.location))
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(part.log)]
    lines = subprocess.run(command, capture_output=True, check=True, timeout=120).stdout.splitlines()
    form = normal.normal(run.records, run.info)
    metrics, media = ({NAMES.encode(key) for key in keys} for keys in (form.series, form.media))
    cells = {f"{key}.{field}" for key in media for field in CELL}
    artifacts = {artifact_name(name) for name, _ in form.artifacts}
    digests = {file.digest for record in run.records if isinstance(record.event, Artifact) for file in record.event.files}
    texts = {value for points in form.series.values() for point in points if isinstance(value := point.value, str)}
    seen: set[str] = set()
    for line in lines:
        record = json.loads(line)
        kind = record["type"]
        held = record.get(kind, {})
        seen.add(kind)
        if kind == "history":
            row = held["item"]
            assert row.keys() - metrics - cells <= MINE
            assert {value for key, value in row.items() if key in metrics - cells and isinstance(value, str)} <= texts | {
                "NaN",
                "Infinity",
                "-Infinity",
            }
            assert re.fullmatch(r'\["[\w-]*",\d+\]', row.get("_trackbridge", '["",0]'))
        elif kind == "config":
            top = {path.partition("/")[0].replace("~1", "/").replace("~0", "~") for path in form.config}
            assert held.get("update", {}).keys() <= {NAMES.encode(key) for key in top}
        elif kind == "summary":
            known = {"_runtime", "_wandb.runtime", "trackbridge/sidecar", "trackbridge/deviations/redacted/config/token"}
            assert held.get("update", {}).keys() - metrics - cells - {NAMES.encode(key) for key in form.summary} <= known | MINE
        elif kind == "metric":
            assert {held.get("name"), held.get("glob_name")} - {None} <= {"_trackbridge", "trackbridge/step", "*", "defined/*"}
        elif kind == "artifact" and held["type"] != "run_table":
            assert held["name"] in artifacts
            metadata = json.loads(held.get("metadata", "{}"))
            assert metadata.keys() <= {"trackbridge/name", "trackbridge/type", "framework", "größe", "version", "rows"}
            assert "description" not in held
            assert {Path(entry.get("local_path", "")).name for entry in held["manifest"]["contents"]} <= digests | {""}
    assert seen == WHAT_THE_LOG_HAS
    tables = {path.name for path in part.artifacts.iterdir()} - digests
    assert all(json.loads((part.artifacts / name).read_bytes())["_type"] == "table" for name in tables)
    kinds = {path.relative_to(part.files).parts[0] for path in part.files.rglob("*") if path.is_file()}
    assert kinds == {"media", "trackbridge"}
    assert [path.name for path in (part.files / "trackbridge").iterdir()] == ["journal.tbj.z"]


def shown(target: Target, run_id: str = "r-1") -> dict[str, object]:
    """The summary as the vendor's server makes it from the log: the last value of a key, wherever it comes from."""
    summary: dict[str, object] = {}
    for part in layout.fragments(Path(target.location), run_id):
        for entry in layout.entries(part.log):
            if not isinstance(entry, layout.Row):
                for item in entry.summary.update:
                    summary["/".join([item.key, *item.nested_key]).strip("/")] = json.loads(item.value_json)
    return summary


def test_what_was_set_in_the_summary_stands_and_the_rest_is_not_taken_for_it(target: Target) -> None:
    """Also where a metric of that key has later values, and where another process continues the run."""
    position = None
    for part, status in enumerate(("crashed", "finished")):
        out = adapter.writer(target)
        position = out.open(INFO, position)
        events = [Metrics(T0, 10 * part, 0, {"acc": 0.25, "loss": 1.0})]
        events[:0] = [] if part else [Summary(T0, {"acc": 0.9, "whole": 1.0})]
        first = position.sequences.get("r0", 0)
        out.write([Record("r0", first + n, event) for n, event in enumerate(events)])
        position = out.flush()
        assert shown(target)["acc"] == 0.25
        out.close(status, T0)
        assert shown(target)["acc"] == 0.9
        assert normal.normal(local(target)[1]).summary == {"acc": 0.9, "whole": 1.0}


def test_the_last_fragment_of_a_continued_run_shows_the_whole(target: Target) -> None:
    out = adapter.writer(target)
    out.open(INFO, None)
    config = {"one": 1.0, "empty": {}, "big": 2**70, "deep": {"zero": -0.0}}
    out.write(shard([Config(T0, config), records.Tags(T0, ["late"]), Summary(T0, {"best": 1.0}), *[record.event for record in series(3)]]))
    position = out.flush()
    out = adapter.writer(target)
    assert out.open(INFO, position).sequences == {"r0": 6}
    out.write([Record("r0", 6, records.Tags(T0, ["later"])), Record("r0", 7, Metrics(T0, 3, 3, {"y": 3}))])
    out.flush()
    held = layout.held(layout.fragments(Path(target.location))[-1:])
    out.close("finished", T0)
    assert normal.compare(normal.Normal(config=held.values("config")), normal.Normal(config=config), PROJECTION) == []
    assert (held.values("summary"), list(held.run.tags), held.run.display_name) == ({"best": 1.0}, ["later"], INFO.name)
    assert points(local(target)[1], "y") == [0, 1, 2, 3]


def test_records_without_a_row_are_held_once(tmp_path: Path, target: Target) -> None:
    """A position is told also where the last thing that was written is no row, and from the log alone."""
    run = msgspec.structs.replace(INFO, directory=tmp_path / "run")
    batch = shard([Artifact(T0, "a", "t", [add(tmp_path / "run", b"one", "1.bin")]), Config(T0, {"a": 1})])
    out = adapter.writer(target)
    out.open(run, None)
    out.write(batch)
    assert out.flush().sequences == {"r0": 2}
    out = adapter.writer(target)
    assert out.open(run, Position({}, {})).sequences == {"r0": 2}
    out.write(batch)
    out.close("finished", T0)
    assert [type(record.event) for record in local(target)[1]].count(Artifact) == 1


def test_rows_that_an_earlier_process_wrote_late_are_not_twice(target: Target) -> None:
    """The client's own process outlives its parent for a moment: it may write what the next process sends again."""
    out = adapter.writer(target)
    out.open(INFO, None)
    out.write(series(2000))
    position = out.flush()
    (part,) = layout.fragments(Path(target.location))
    whole = part.log.read_bytes()
    part.log.write_bytes(whole[: len(whole) // 2])
    out = adapter.writer(target)
    held = out.open(INFO, position).sequences["r0"]
    assert 0 < held < 1500
    out.write(series(2010 - held, held))
    out.close("finished", T0)
    part.log.write_bytes(whole)
    assert points(local(target)[1], "y") == list(range(2010))


def test_deviations_before_a_record_that_is_refused_are_counted_once(target: Target) -> None:
    out = adapter.writer(target)
    out.open(INFO, None)
    batch = shard([Metrics(1763870000 * 10**9, 0, None, {"y": 0.5}), Metrics(T0, 1, 1, {"y": []})])  # type: ignore[dict-item]
    with pytest.raises(Rejected) as refused:
        out.write(batch)
    assert refused.value.index == 1
    assert [(str(row.reason), row.count) for row in out.write(batch[:1])] == [("step_changed", 1)]
    out.close("finished", T0)


def test_what_the_server_has_is_left_out_of_the_log_that_is_uploaded(target: Target) -> None:
    """Records of all lengths, also those that end where a block of the log does."""
    lengths = [layout.BLOCK - over for over in range(40, 400, 9)] + [70_000, 0, 200_000]
    deliver(target, INFO, shard([Metrics(T0 + n, n, n, {"y": n, "text": "x" * length}) for n, length in enumerate(lengths)]))
    (part,) = layout.fragments(Path(target.location))
    whole = list(layout.entries(part.log))
    rows = [entry for entry in whole if isinstance(entry, layout.Row)]
    for count in (0, 1, 7, len(rows) - 1, len(rows)):
        last = rows[count - 1].values if count else {"_step": -1, "_timestamp": 0.0}
        assert layout.rows_until([part.log], last) == [count]
        with layout.rest(part.log, count) as log:
            left = list(layout.entries(log))
        assert [entry for entry in left if isinstance(entry, layout.Row)] == rows[count:]
        assert [entry for entry in left if not isinstance(entry, layout.Row)] == [
            entry for entry in whole if not isinstance(entry, layout.Row)
        ]
    assert sorted(path.name for path in part.log.parent.glob("*.wandb*")) == [part.log.name]


def test_what_the_server_would_refuse_is_shown_short_and_held_whole(target: Target) -> None:
    info = msgspec.structs.replace(INFO, id="i" * 128, name="n" * 200, project="p/" * 100, group="g" * 200, job_type="j" * 100)
    deliver(target, info, series(1))
    (part,) = layout.fragments(Path(target.location))
    run = layout.held([part]).run
    assert [len(text) for text in (run.display_name, run.project, run.run_group, run.job_type)] == [128, 128, 128, 64]
    found, read = local(target, info.id)
    wanted = normal.normal(shard([record.event for record in series(1)]), msgspec.structs.replace(info, status="finished"))
    assert normal.compare(wanted, normal.normal(read, found), PROJECTION) == []


def test_artifact_names_stay_apart() -> None:
    names = ["a b", "a_b", "a/b", "", ".", "..", "x" * 129, "x" * 130, "wandb-x", "_wandb-x", "job", "code", "model-v1.2", "run_table"]
    for make in (artifact_name, artifact_type):
        made = [make(name) for name in names]
        made += [make(name) for name in made if name not in names]  # what looks like one of ours
        assert len(set(made)) == len(made)
        assert all(re.fullmatch(r"[A-Za-z0-9_.-]{1,128}", name) and name.strip(".") for name in made)
    assert [artifact_name(name) for name in ("a_b", "model-v1.2", "job")] == ["a_b", "model-v1.2", "job"]
    assert not artifact_type("wandb-x").startswith("wandb-")
    assert artifact_type("job") != "job"


def test_a_moved_folder_keeps_its_artifacts(tmp_path: Path, target: Target) -> None:
    run = tmp_path / "run"
    deliver(target, msgspec.structs.replace(INFO, directory=run), shard([Artifact(T0, "a", "t", [add(run, b"one", "1.bin")])]))
    moved = Path(target.location).rename(tmp_path / "moved")
    (artifact,) = [record.event for record in local(Target("wandb", str(moved)))[1] if isinstance(record.event, Artifact)]
    assert [file.digest for file in artifact.files] == [hashlib.sha256(b"one").hexdigest()]


def test_tables_and_histograms_of_any_size(tmp_path: Path, target: Target) -> None:
    """The client cuts a table at 10,000 rows, and refuses a histogram of more than 512 bins."""
    rows = {"columns": ["n"], "rows": [[n] for n in range(30_000)]}
    bins = {"edges": [n / 2 + 0.25 for n in range(1001)], "counts": list(range(1000))}
    deliver(target, INFO, shard([Media(T0, 0, 1, "t", "table", "rows", rows), Media(T0, 0, 1, "h", "histogram", "counts", bins)]))
    read = {record.event.key: record.event for record in local(target)[1] if isinstance(record.event, Media)}
    assert (read["t"].inline, read["h"].inline, read["h"].kind, read["h"].format) == (rows, bins, "histogram", "counts")


KILLED = """
import os, signal, subprocess, sys
import msgspec
from trackbridge.adapters import Target
from trackbridge.records import Metrics, Record, RunInfo
from trackbridge_adapters.wandb import adapter
from trackbridge.testing.drive import descendants
writer = adapter.writer(Target("wandb", sys.argv[1]))
batch = [Record("r0", n, Metrics(n, n, n, {"x": float(n), "y": n})) for n in range(3000)]
writer.open(RunInfo(id="r-1", start=1), None)
writer.write(batch[:1500])
sys.stdout.buffer.write(msgspec.json.encode(writer.flush()) + b"\\n")
sys.stdout.flush()
if sys.argv[2] == "written":
    writer.write(batch[1500:])
for process in [*descendants(os.getpid()), os.getpid()]:
    os.kill(process, signal.SIGKILL)
"""


@pytest.mark.parametrize("what", ["flushed", "written", "lost"])
def test_kill_9_of_both_processes(tmp_path: Path, target: Target, what: str) -> None:
    """What `flush` confirmed is there at once, and whoever continues leaves nothing out and nothing twice, not even in the logs."""
    command = [sys.executable, "-c", KILLED, target.location, what]
    killed = subprocess.run(command, stdout=subprocess.PIPE, timeout=120)
    assert killed.returncode == -signal.SIGKILL
    position = msgspec.json.decode(killed.stdout, type=Position)
    assert position.sequences == {"r0": 1500}
    assert points(local(target)[1], "y")[:1500] == list(range(1500))
    out = adapter.writer(target)
    held = out.open(RunInfo(id="r-1", start=1), None if what == "lost" else position)
    batch = [Record("r0", n, Metrics(n, n, n, {"x": float(n), "y": n})) for n in range(held.sequences.get("r0", 0), 3000)]
    out.write(batch[:700])
    out.write(batch[600:])
    hint = out.place().hint
    out.close("finished", 9)
    info, read = found(target, "r-1", tmp_path)
    assert points(read, "y") == list(range(3000))
    assert info.status == "finished"
    parts = layout.fragments(Path(target.location))
    assert hint.split()[:2] == ["wandb", "sync"]
    assert hint.split()[2:] == [str(part.log.parent) for part in parts]
    rows = [row.values["y"] for part in parts for row in layout.entries(part.log) if isinstance(row, layout.Row) and "y" in row.values]
    assert rows == list(range(3000)), "a row that the vendor's sync would upload twice"


def test_death_of_the_clients_own_process_is_an_outage(target: Target) -> None:
    from trackbridge.testing.drive import descendants

    out = adapter.writer(target)
    out.open(INFO, None)
    out.write(series(10))
    position = out.flush()
    for process in descendants(os.getpid()):
        if b"wandb-core" in Path(f"/proc/{process}/cmdline").read_bytes():
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
    with pytest.raises(Unavailable):
        out.write(series(5000, 10))
    out = adapter.writer(target)
    assert out.open(INFO, position).sequences == {"r0": 10}
    out.write(series(10, 10))
    out.close("finished", T0)
    assert points(local(target)[1], "y") == list(range(20))


def test_the_client_does_not_end_the_forwarder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where its own process was killed it exits with that code, if it sees the end before the broken connection: the moment cannot be made."""
    import wandb

    monkeypatch.setattr(wandb, "teardown", lambda exit_code: sys.exit(-signal.SIGKILL))
    client.forget()


def test_full_disk_is_an_outage(target: Target) -> None:
    """The client swallows what its own process cannot write; `flush` does not."""
    script = """
import os, resource, sys
from trackbridge.adapters import Target
from trackbridge.errors import Unavailable
from trackbridge.records import Metrics, Record, RunInfo
from trackbridge_adapters.wandb import adapter, writer
writer.FLUSH_SECONDS = 3
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
out = adapter.writer(Target("wandb", sys.argv[1]))
out.open(RunInfo(id="r-1", start=1), None)
out.write([Record("r0", 0, Metrics(0, 0, 0, {"y": 0}))])
out.flush()
try:
    out.write([Record("r0", n, Metrics(n, n, n, {"y": n})) for n in range(1, 3000)])
    print(out.flush())
except Unavailable as error:
    print("unavailable", error)
sys.stdout.flush()
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", script, target.location], capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("unavailable"), (done.stdout, done.stderr)
    kept = points(local(target)[1], "y")
    assert kept == list(range(len(kept)))
    assert 0 < len(kept) < 3000


def test_a_writer_that_was_given_up_does_not_block_the_next(target: Target) -> None:
    position = None
    for part in range(3):  # none of them is closed
        out = adapter.writer(target)
        position = out.open(INFO, position)
        out.write(series(10, part * 10))
        position = out.flush()
    out.close("finished", T0)
    assert points(local(target)[1], "y") == list(range(30))


def test_refused_server_is_an_outage_in_bounded_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "1")
    target = Target("wandb", "http://127.0.0.1:9", options={"dir": str(tmp_path)})
    assert adapter.capabilities(target).flavour == "online"
    for _ in range(2):  # the second finds the client usable
        with pytest.raises(Unavailable):
            adapter.writer(target).open(INFO, None)
    assert layout.fragments(tmp_path) == []
    monkeypatch.delenv("WANDB_API_KEY")
    deliver(Target("wandb", str(tmp_path)), INFO, series(3))


@pytest.mark.server
def test_online(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With a key the client uploads; what `flush` confirms is in its log, and read from there."""
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    with wandb_server() as server:
        target = Target("wandb", server.url, options={"dir": str(tmp_path / "logs")})
        out = adapter.writer(target)
        out.open(INFO, None)
        place = out.place()
        assert (place.mode, place.url.startswith(server.url)) == ("online", True)
        out.write(series(50))
        assert out.flush().sequences == {"r0": 50}
        assert points(local(target)[1], "y") == list(range(50))
        out.attach(b"sidecar", hashlib.sha256(b"sidecar").hexdigest())
        out.close("failed", T0)
    assert [row["y"] for row in server.rows("r-1") if "y" in row] == list(range(50))
    assert [row["trackbridge/step"] for row in server.rows("r-1") if "y" in row] == list(range(50))
    assert server.exit_codes == [1]
    assert server.files["trackbridge/journal.tbj.z"] == b"sidecar"
    info, read = local(target)
    assert (info.status, points(read, "y")) == ("failed", list(range(50)))


def test_mode_is_what_the_client_would_choose(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def flavour(text: str = "wandb") -> str:
        return adapter.capabilities(Target.parse(text)).flavour

    assert flavour() == "offline"
    assert flavour("wandb:https://user:key@wandb.example") == "online"
    (tmp_path / "netrc").write_text("machine wandb.example login user password key\n")
    assert flavour() == "offline"
    assert flavour("wandb:https://wandb.example") == "online"
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "settings").write_text("[default]\nbase_url = https://wandb.example\n")
    assert flavour() == "online"
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert flavour("wandb:https://user:key@wandb.example") == "offline"
    assert flavour("wandb:?mode=online") == "online"


def test_targets_are_resolved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert adapter.resolve(Target("wandb"), tmp_path).location == str(tmp_path)
    assert adapter.resolve(Target("wandb", "sub"), tmp_path).location == str(tmp_path / "sub")
    assert adapter.resolve(Target("wandb", "http://127.0.0.1:9"), tmp_path).options == {"dir": str(tmp_path)}
    monkeypatch.setenv("WANDB_DIR", "elsewhere")
    assert adapter.resolve(Target("wandb"), tmp_path).location == str(tmp_path / "elsewhere")
    resolved = adapter.resolve(Target("wandb"), tmp_path)
    assert adapter.resolve(resolved, Path("/")) == resolved


def test_import_is_light_and_hooks_stay(tmp_path: Path) -> None:
    script = """
import sys
from trackbridge.adapters import Target
from trackbridge.records import RunInfo
from trackbridge_adapters.wandb import adapter
target = Target("wandb", sys.argv[1])
adapter.resolve(target, __import__("pathlib").Path.cwd()), adapter.capabilities(target), adapter.reader(target), adapter.ui(target)
assert "wandb" not in sys.modules and "numpy" not in sys.modules
before = sys.excepthook, sys.exit
writer = adapter.writer(target)
writer.open(RunInfo(id="a"), None)
import wandb
assert (sys.excepthook, sys.exit) == before and wandb.run is None
writer.close("finished", 1)
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "logs")], check=True, timeout=120)


def test_folder_that_cannot_be_written_is_an_outage(tmp_path: Path) -> None:
    """The client would silently write to a temporary folder."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Unavailable):
        adapter.writer(Target("wandb", str(tmp_path / "file"))).open(INFO, None)


def test_what_cannot_be_taken_is_rejected_alone(tmp_path: Path, target: Target) -> None:
    lost = FileRef("gone.bin", "0" * 64, 5)
    good = [Metrics(T0 + n, n, n, {"y": n}) for n in range(4)]
    bad = [Artifact(T0, "a", "model", [lost]), Metrics(T0, 9, 9, {"bytes": b"\xff"}), Media(T0, 9, 9, "k", "image", "png", file=lost)]
    batch = shard([good[0], bad[0], good[1], bad[1], good[2], bad[2], good[3]])
    out = adapter.writer(target)
    out.open(msgspec.structs.replace(INFO, directory=tmp_path), None)
    for place in (1, 2, 3):
        with pytest.raises(Rejected) as rejected:
            out.write(batch)
        assert rejected.value.index == place
        del batch[place]
    out.write(batch)
    out.close("finished", T0)
    assert points(local(target)[1], "y") == [0, 1, 2, 3]


def test_sidecar_is_one_file_of_the_newest_fragment(target: Target) -> None:
    reader = adapter.reader(target)
    position = None
    for number in range(2):
        out = adapter.writer(target)
        position = out.open(INFO, position)
        out.write(series(3, 3 * number))
        position = out.flush()
        for text in (b"early", b"late"):
            sidecar = text + bytes([number])
            out.attach(sidecar, hashlib.sha256(sidecar).hexdigest())
            assert reader.sidecar("r-1") == (sidecar, hashlib.sha256(sidecar).hexdigest())
    out.close("finished", T0)
    files = list(Path(target.location).rglob("journal*"))
    assert len(files) == 2
    assert not any(path.is_symlink() for path in files)


def test_edited_content_is_not_reported_as_held(tmp_path: Path, target: Target) -> None:
    run = tmp_path / "run"
    first, second = add(run, b"one", "1.bin"), add(run, b"two", "2.bin")
    deliver(target, msgspec.structs.replace(INFO, directory=run), shard([Artifact(T0, "a", "t", [first, second])]))
    (part,) = layout.fragments(Path(target.location))
    (part.artifacts / first.digest).unlink()
    (part.artifacts / second.digest).write_bytes(b"edited")
    (artifact,) = [record.event for record in local(target)[1] if isinstance(record.event, Artifact)]
    assert [file.digest for file in artifact.files] == [hashlib.sha256(b"edited").hexdigest()]


def test_torn_and_damaged_logs(target: Target) -> None:
    deliver(target, INFO, series(3000))
    (part,) = layout.fragments(Path(target.location))
    whole = part.log.read_bytes()
    for size in (0, 6, 7, 100, 32768, 32775, len(whole) // 2, len(whole) - 1):
        part.log.write_bytes(whole[:size])
        values = [row.values["y"] for row in layout.entries(part.log) if isinstance(row, layout.Row) and "y" in row.values]
        assert values == list(range(len(values)))
    part.log.write_bytes(whole[: len(whole) // 2] + b"\xff" + whole[len(whole) // 2 + 1 :])
    values = [row.values["y"] for row in layout.entries(part.log) if isinstance(row, layout.Row) and "y" in row.values]
    assert 1000 < len(values) < 3000
    out = adapter.writer(target)  # what the damaged log lost is sent again
    held = out.open(INFO, Position({"r0": 3000}, {"rows": {"r0": 3000}}))
    assert held.sequences == {"r0": len(values)}
    out.write(series(3000 - len(values), len(values)))
    out.close("finished", T0)
    assert points(local(target)[1], "y") == list(range(3000))


def test_log_is_read_while_it_grows(tmp_path: Path, target: Target) -> None:
    deliver(target, INFO, series(2000))
    (part,) = layout.fragments(Path(target.location))
    whole, growing = part.log.read_bytes(), tmp_path / "growing"
    log, found = layout.Log(growing), []
    assert list(log.new()) == []
    for size in [*range(0, len(whole), 9973), len(whole)]:
        growing.write_bytes(whole[:size])
        found += log.new()
    assert found == list(layout.Log(part.log).new())


def test_log_tells_when_a_row_is_whole(tmp_path: Path, target: Target) -> None:
    """At every length of the file: not before its last byte, and also where a mark lies across two blocks."""
    shards = [series(300), [msgspec.structs.replace(record, shard="r1") for record in series(300)]]
    deliver(target, INFO, [record for pair in zip(*shards, strict=True) for record in pair])  # in turns, so that each row has a mark
    (part,) = layout.fragments(Path(target.location))
    whole, growing = part.log.read_bytes(), tmp_path / "growing"
    marks = [f'["{shard}",{n}]'.encode() for n in range(300) for shard in ("r0", "r1")]
    ends: dict[bytes, int] = {}
    reader = layout.Log(part.log)
    for payload in reader.new():
        ends |= {mark: reader._offset for mark in marks if mark in payload}
    assert len(ends) == 600
    for mark, end in list(ends.items())[::7] + [(mark, end) for mark, end in ends.items() if end % layout.BLOCK < 3000]:
        log = layout.Log(growing)
        for size, there in ((max(0, end - 5000), False), (end - 1, False), (end, True)):
            growing.write_bytes(whole[:size])
            assert log.holds(mark) is there


def test_what_others_wrote_is_read(target: Target) -> None:
    script = """
import sys, wandb
run = wandb.init(mode="offline", dir=sys.argv[1], id="theirs", project="p", name="n", tags=["t"], config={"lr": 0.5},
                 settings=wandb.Settings(silent=True, x_history_value_encoding="json,typed", x_disable_stats=True))
for step in range(5):
    run.log({"loss": step * 0.5, "n": step})
run.finish(exit_code=3)
"""
    Path(target.location).mkdir()
    subprocess.run([sys.executable, "-c", script, target.location], check=True, timeout=120)
    info, read = local(target, "theirs")
    assert points(read, "loss") == [0.0, 0.5, 1.0, 1.5, 2.0]
    assert [record.event.step for record in read if isinstance(record.event, Metrics)] == [0, 1, 2, 3, 4]
    assert (info.project, info.name, info.tags, info.status) == ("p", "n", ("t",), "failed")
    assert normal.normal(read, info).config == {"lr": 0.5}
    with pytest.raises(RunNotFound):
        list(adapter.reader(target).read("their"))


def test_rows_without_a_mark_stand_for_the_records_that_follow(target: Target) -> None:
    """Sequences with gaps, as rejected records leave them, and two shards: each row is told apart, and what is sent again is dropped."""
    some = [record for record in series(40) if record.sequence not in (7, 8, 20)]
    others = [msgspec.structs.replace(record, shard="r1") for record in some]
    batch = [*some[:10], *others[:5], *some[10:], *others[5:]]
    out = adapter.writer(target)
    out.open(INFO, None)
    out.write(batch)
    assert out.flush().sequences == {"r0": 40, "r1": 40}
    held = layout.held(layout.fragments(Path(target.location)))
    assert held.next == {"r0": 40, "r1": 40}
    rows = [
        entry for part in layout.fragments(Path(target.location)) for entry in layout.entries(part.log) if isinstance(entry, layout.Row)
    ]
    assert 0 < sum(bool(row.mark) for row in rows) < 12
    again = adapter.writer(target)  # from an older cursor, in another fragment
    again.open(INFO, None)
    again.write(batch[:30])
    again.flush()
    again.close("finished", T0 + 10)
    _, found = local(target)
    assert points(found, "x") == [float(record.sequence) for record in batch]
