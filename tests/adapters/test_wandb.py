"""W&B: what is special about it. The circle over all kinds of values is the conformance suite's."""

from __future__ import annotations

import hashlib
import http.server
import json
import math
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

pytest.importorskip("wandb")

from trackbridge_adapters.wandb import adapter, layout, writer

from tests.adapters.fresh import add, found, sound
from trackbridge import normal, records
from trackbridge.adapters import Position, Target
from trackbridge.errors import Rejected, RunNotFound, Unavailable
from trackbridge.projection import Projection
from trackbridge.records import Artifact, Config, FileRef, Media, Metrics, Record, RunInfo
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
        assert out.write(batch[start : start + size]) == []
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
    assert normal.compare(wanted, normal.normal(read, info), Projection()) == []
    assert (info.start, info.end) == (T0, T0 + 10)
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["wandb"]
    assert not [path for path in (tmp_path / "logs").rglob("files/**/*") if path.is_symlink()]


def test_the_client_itself_shows_it(tmp_path: Path, target: Target) -> None:
    """The vendor's own tool reads the log, and what it shows is what was logged: the hidden columns are not all there is."""
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
    others = [row for row in layout.rows(part.log) if not isinstance(row, layout.Row)]
    rows = [row.values for row in layout.rows(part.log) if isinstance(row, layout.Row)]
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
    rows = [row.values["y"] for part in parts for row in layout.rows(part.log) if isinstance(row, layout.Row) and "y" in row.values]
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
    monkeypatch.setattr(writer, "INIT_SECONDS", 1.0)
    target = Target("wandb", "http://127.0.0.1:9", options={"dir": str(tmp_path)})
    assert adapter.capabilities(target).flavour == "online"
    for _ in range(2):  # the second finds the client usable
        with pytest.raises(Unavailable):
            adapter.writer(target).open(INFO, None)
    assert layout.fragments(tmp_path) == []
    monkeypatch.delenv("WANDB_API_KEY")
    deliver(Target("wandb", str(tmp_path)), INFO, series(3))


class Server(http.server.BaseHTTPRequestHandler):
    """As much of a W&B server as the client asks for while it uploads a run."""

    protocol_version = "HTTP/1.1"
    calls: ClassVar[list[str]] = []
    rows: ClassVar[list[dict]] = []
    files: ClassVar[dict[str, bytes]] = {}
    exit_codes: ClassVar[list[int]] = []

    def log_message(self, *arguments: object) -> None: ...

    def do_PUT(self) -> None:
        self.files[self.path.removeprefix("/upload/")] = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer({})

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.calls.append(self.path)
        if self.path != "/graphql":
            for line in sent.get("files", {}).get("wandb-history.jsonl", {}).get("content", []):
                self.rows.append(json.loads(line))
            if sent.get("complete"):
                self.exit_codes.append(sent["exitcode"])
            return self.answer({"limits": {}})
        asked, given = sent["query"], sent.get("variables") or {}
        project = {"id": "p", "name": "p", "entity": {"id": "e", "name": "e"}}
        base = f"http://127.0.0.1:{self.server.server_address[1]}/upload/"
        if "upsertBucket" in asked:
            bucket = {"id": "b", "name": given["name"], "displayName": "n", "historyLineCount": 0, "project": project}
            return self.answer({"data": {"upsertBucket": {"bucket": bucket, "inserted": True}}})
        if "createRunFiles" in asked:
            files = [{"name": name, "uploadUrl": base + name} for name in given["files"]]
            return self.answer({"data": {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}})
        if "model(" in asked:
            return self.answer({"data": {"model": {**project, "bucket": None}}})
        return self.answer({"data": {}})

    def answer(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.mark.server
def test_online(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With a key the client uploads; what `flush` confirms is in its log, and read from there."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.handle_error = lambda *arguments: None  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    url = f"http://127.0.0.1:{server.server_address[1]}"
    target = Target("wandb", url, options={"dir": str(tmp_path / "logs")})
    try:
        out = adapter.writer(target)
        out.open(INFO, None)
        place = out.place()
        assert (place.mode, place.url.startswith(url)) == ("online", True)
        out.write(series(50))
        assert out.flush().sequences == {"r0": 50}
        assert points(local(target)[1], "y") == list(range(50))
        out.attach(b"sidecar", hashlib.sha256(b"sidecar").hexdigest())
        out.close("failed", T0)
    finally:
        server.shutdown()
        server.server_close()
    assert [row["y"] for row in Server.rows if "y" in row] == list(range(50))
    assert [row["trackbridge/step"] for row in Server.rows if "y" in row] == list(range(50))
    assert Server.exit_codes == [1]
    assert Server.files["trackbridge/journal.tbj.z"] == b"sidecar"
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
    (part.files / "artifacts" / "a" / "1.bin").unlink()
    (part.files / "artifacts" / "a" / "2.bin").write_bytes(b"edited")
    (artifact,) = [record.event for record in local(target)[1] if isinstance(record.event, Artifact)]
    assert [file.digest for file in artifact.files] == [hashlib.sha256(b"edited").hexdigest()]


def test_torn_and_damaged_logs(target: Target) -> None:
    deliver(target, INFO, series(3000))
    (part,) = layout.fragments(Path(target.location))
    whole = part.log.read_bytes()
    for size in (0, 6, 7, 100, 32768, 32775, len(whole) // 2, len(whole) - 1):
        part.log.write_bytes(whole[:size])
        values = [row.values["y"] for row in layout.rows(part.log) if isinstance(row, layout.Row) and "y" in row.values]
        assert values == list(range(len(values)))
    part.log.write_bytes(whole[: len(whole) // 2] + b"\xff" + whole[len(whole) // 2 + 1 :])
    values = [row.values["y"] for row in layout.rows(part.log) if isinstance(row, layout.Row) and "y" in row.values]
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
    deliver(target, INFO, series(600))
    (part,) = layout.fragments(Path(target.location))
    whole, growing = part.log.read_bytes(), tmp_path / "growing"
    marks = [f'["r0",{n},'.encode() for n in range(600)]
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
