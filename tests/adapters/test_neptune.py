"""What is Neptune's own: its two clients and their files, its exporter's dumps, the end of its service. The conformance suite asks the rest."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from trackbridge_adapters.neptune import adapter
from trackbridge_adapters.neptune.layout import KEYS
from trackbridge_adapters.neptune.scale import qualified

import trackbridge
from tests.adapters import fresh
from trackbridge import environments
from trackbridge.adapters import Target
from trackbridge.errors import SettingsError
from trackbridge.testing import canon

pytestmark = pytest.mark.skipif(environments.requirements("neptune") is None, reason="it has no environment")

BOTH = pytest.mark.parametrize("client", ["neptune-scale", "neptune"])
WRITER = """
import hashlib, json, os, sys
from pathlib import Path
from trackbridge.adapters import Position, Target
from trackbridge.errors import Rejected, RunNotFound, Unavailable
from trackbridge.records import *
from trackbridge.testing.read import Found
from trackbridge_adapters.neptune import adapter, classic
folder, client = Path(sys.argv[1]), sys.argv[2]
target = adapter.resolve(Target("neptune", str(folder), "", {"client": client}), folder)
T0 = 1763870000123456768
def series(count, first=0):
    return [Record("r0", n, Metrics(T0 + n * 1024, n, n, {"y": n / 2})) for n in range(first, first + count)]
def opened(id="r", name="r", project="p", position=None):
    out = adapter.writer(target)
    return out, out.open(RunInfo(id=id, name=name, project=project, start=T0, directory=folder / "journal"), position)
def events(kind, id="r"):
    return [record.event for record in adapter.reader(target).read(id) if isinstance(record.event, kind)]
def points(id="r", key="y"):
    return [event.values[key] for event in events(Metrics, id) if key in event.values]
"""


def there(script: str, folder: Path, client: str = "neptune-scale", **variables: str) -> str:
    """Run `script` where the clients are; what it prints."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("NEPTUNE_")} | {"HOME": str(folder)} | variables
    return fresh.there("neptune", script, folder, client, variables=given)


@BOTH
def test_notes_too_long_for_an_attribute_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, client: str) -> None:
    monkeypatch.chdir(tmp_path)
    notes = "n" * (1_100_000 if client == "neptune-scale" else 20_000)
    trackbridge.init("p", notes=notes, backend=f"neptune:?client={client}")
    trackbridge.log({"loss": 0.5})
    assert trackbridge.finish().delivered
    (info,) = trackbridge.runs(f"neptune:?client={client}")
    assert info.notes == notes


def deliver(work: Path, client: str) -> tuple[Path, str]:
    """A run as a user logs it: its folder, and its id."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        for name in [name for name in os.environ if name.startswith("NEPTUNE_")]:
            patch.delenv(name)
        config = {"lr": 0.1, "odd": "0.5", "seed": 2**40, "model": {"depth": 4}, "none": None, "long": "p" * 20_000}
        run = trackbridge.init(
            "vision", name="first", group="g", notes="why", config=config, tags=["a"], backend=f"neptune:?client={client}"
        )
        for step in range(3):
            trackbridge.log({"train/loss": 1 / (step + 1), "n": 2**60 + step, "node": 0.5, "node/child": 1.5, "sys/cpu": 0.25}, step=step)
        trackbridge.log({"phase": "warm-up"}, step=3)
        trackbridge.log({"results": trackbridge.Table(["metric", "value"], [["acc", 0.9], ["1", float("nan")]])}, step=3)
        trackbridge.log({"dist": trackbridge.Histogram([0.1, 0.2, 0.7], bins=2)}, step=3)
        Path("image.png").write_bytes(canon.png(4, 3))
        trackbridge.log({"image": trackbridge.Image("image.png")}, step=3)
        Path("model.pt").write_bytes(b"weights")
        trackbridge.log_artifact("model.pt", type="model")
        run.summary["best"] = float("inf")
        report = trackbridge.finish()
        assert report.delivered, str(report)
    return work / ".neptune", run.id


@pytest.fixture(scope="module")
def scale(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    return deliver(tmp_path_factory.mktemp("scale"), "neptune-scale")


@pytest.fixture(scope="module")
def classic(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    return deliver(tmp_path_factory.mktemp("classic"), "neptune")


DESCRIBED = {"run_id", "project", "status", "start", "end", "position", "sidecar", "deviations", "journal"}
COMMON = {f"trackbridge/{word}" for word in DESCRIBED} | {
    "config/lr", "config/odd", "config/seed", "config/model/depth", "config/none", "config/long", "summary/best", "artifacts/model/model.pt/model.pt",
    "sys/name", "sys/description", "sys/tags", "sys/group_tags", "sys/failed", "train/loss", "n", "node", "·73·ys/cpu", "phase·string", "image·image.png",
}  # fmt: skip


def ours(attributes: set[str]) -> set[str]:
    return {name for name in attributes if not name.startswith(("source_code/", "trackbridge/provenance/"))}


def test_neptune_scale_finds_what_it_would_have_written(scale: tuple[Path, str]) -> None:
    """The client's own repository reads the file; what it would upload is there, and each operation has a size that it takes."""
    folder, run_id = scale
    script = """
import json, sys
from pathlib import Path
from neptune_scale.sync.operations_repository import OperationsRepository
from neptune_scale.sync.parameters import MAX_SINGLE_OPERATION_SIZE_BYTES
(path,) = Path(sys.argv[1]).glob("*/run_operations.sqlite3")
repository = OperationsRepository(path)
about = repository.get_metadata()
operations = repository.get_operations(1 << 30)
created, *updates = operations
held, types = {}, {}
for one in updates:
    assert one.operation_size_bytes <= MAX_SINGLE_OPERATION_SIZE_BYTES
    message = one.operation
    for name, value in message.append.items():
        types.setdefault(name, set()).add(value.WhichOneof("value"))
        held.setdefault(name, []).append([message.step.whole if message.HasField("step") else None, value.float64])
    for name, value in message.assign.items():
        types.setdefault(name, set()).add(value.WhichOneof("value"))
    for name in message.modify_sets:
        types.setdefault(name, set()).add("string_set")
requests = repository.get_file_upload_requests(1000)
assert all(Path(one.source_path).stat().st_size == one.size_bytes for one in requests), requests
assert all(len(kinds) == 1 for kinds in types.values()), types
print(json.dumps([about.project, about.run_id, created.operation.experiment_id, held["train/loss"], sorted(types), len(requests),
    sorted({one.mime_type for one in requests})]))
"""
    project, found, name, loss, attributes, requests, types = json.loads(there(script, folder))
    assert (project, found, name) == ("trackbridge/vision", run_id, "first")
    assert loss == [[0, 1.0], [1, 0.5], [2, 1 / 3]]
    assert ours(set(attributes)) == COMMON | {"node/child", "dist·histogram", "results·table.csv"}
    assert requests == 4  # the table, the image, the artifact, the journal
    assert {"image/png", "text/csv"} < set(types)
    assert len(list(folder.glob("*/files/*"))) == 4
    read = trackbridge.read(run_id, f"neptune:{folder}", sidecar=False)
    assert read.config == {"lr": 0.1, "odd": "0.5", "seed": 2**40, "model": {"depth": 4}, "none": None, "long": "p" * 20_000}
    assert read.info.group == "g"


def test_our_messages_are_those_of_the_client(tmp_path: Path) -> None:
    """Points, texts, histograms and tags, written by neptune-scale itself and by us, are the same messages."""
    script = """
import contextlib, datetime, io
out, _ = opened()
out.write([
    Record("r0", 0, Metrics(T0, 0, 3, {"a": 0.1, "b": -0.0})),
    Record("r0", 1, Metrics(T0, 1, 3, {"t": "größe"})),
    Record("r0", 2, Media(T0, 2, 3, "h", "histogram", "counts", {"edges": [0.0, 1.0, 2.0], "counts": [1, 2]})),
    Record("r0", 3, Media(T0, 2, 3, "d", "histogram", "counts", {"edges": [0.0, 1.0], "counts": [0.5]})),
    Record("r0", 4, Config(T0, {"lr": 0.1, "n": 3, "ok": True, "s": "adam"})),
    Record("r0", 5, Tags(T0, ["x"])),
])
out.flush()
from neptune_scale import Run
from neptune_scale.types import Histogram
theirs = Run(project="w/p", run_id="theirs", mode="offline", log_directory=str(folder / "theirs"), enable_console_log_capture=False,
             source_tracking_config=None)
theirs.log_metrics({"a": 0.1, "b": -0.0}, step=3)
theirs.log_string_series({"t·string": "größe"}, step=3)
theirs.log_histograms({"h·histogram": Histogram(bin_edges=[0.0, 1.0, 2.0], counts=[1, 2])}, step=3)
theirs.log_histograms({"d·histogram": Histogram(bin_edges=[0.0, 1.0], densities=[0.5])}, step=3)
theirs.log_configs({"config/lr": 0.1, "config/n": 3, "config/ok": True, "config/s": "adam"})
theirs.add_tags(["x"])
theirs.close()
from neptune_scale.sync.operations_repository import OperationsRepository
def told(path):
    found = {}
    for one in OperationsRepository(path).get_operations(1 << 30)[1:]:
        message = one.operation
        step = str(message.step) if message.HasField("step") else ""
        for field in (message.assign, message.append, message.modify_sets):
            found |= {name: (step if field is message.append else "", str(value)) for name, value in field.items()}
    return {name: value for name, value in found.items() if not name.startswith("trackbridge/") and name not in ("sys/name",)}
(ours,) = folder.glob("*/run_operations.sqlite3")
(other,) = folder.glob("theirs/*/run_operations.sqlite3")
assert told(ours) == told(other), (told(ours), told(other))
print("same", len(told(ours)))
"""
    assert there(WRITER + script, tmp_path).split()[-2:] == ["same", "10"]


def test_the_uploader_of_neptune_1_takes_all_of_it(classic: tuple[Path, str], tmp_path: Path) -> None:
    """``neptune sync`` on a copy, with a server that keeps what it gets: no attribute lies below another, each keeps its type, files are there."""
    folder, run_id = classic
    shutil.copytree(folder, tmp_path / "copy")
    script = """
import json, sys
from pathlib import Path
from types import SimpleNamespace
from neptune.cli.sync import SyncRunner
from neptune.internal.operation import *
got = []
class Server:
    def get_project(self, name): return SimpleNamespace(id=name)
    def create_run(self, project): return SimpleNamespace(id="new", workspace="w", project_name="p", sys_id="P-1", type=SimpleNamespace(value="run"))
    def get_metadata_container(self, **_): return None
    def execute_operations(self, container_id, container_type, operations, operation_storage):
        for one in operations:
            data = Path(one.get_absolute_path(operation_storage)).read_bytes() if isinstance(one, UploadFile) else b""
            got.append((type(one).__name__, "/".join(one.path), one, data))
        return len(operations), []
SyncRunner.sync_all_offline(backend=Server(), base_path=Path(sys.argv[1]), project_name="w/p")
types, steps = {}, []
for kind, path, one, data in got:
    if kind == "DeleteAttribute":
        types.pop(path)
        continue
    assert types.setdefault(path, kind.replace("Remove", "Add")) == kind.replace("Remove", "Add"), (path, kind)
    assert not [other for other in types if other.startswith(path + "/") or path.startswith(other + "/")], path
    steps += [[value.step, value.value] for value in one.values] if path == "train/loss" else []
print(json.dumps([steps, sorted(types), sorted(data.decode("latin1")[:7] for kind, *_, data in got if kind == "UploadFile")]))
"""
    printed = there(script, tmp_path / "copy", "neptune").splitlines()[-1]
    steps, attributes, files = json.loads(printed)
    assert steps == [[0, 1.0], [1, 0.5], [2, 1 / 3]]
    extra = {f"{name}/0/{word}" for name in ("results·table.csv", "dist·histogram.json") for word in ("step", "time", "content")}
    assert ours(set(attributes)) == COMMON | {"node··/child"} | extra
    assert "ppppppp" in files
    assert "weights" in files
    read = trackbridge.read(run_id, f"neptune:{folder}", sidecar=False)
    assert read.config["long"] == "p" * 20_000
    assert read.summary["node/child"] == 1.5


@BOTH
def test_a_full_disk_is_an_outage(client: str, tmp_path: Path) -> None:
    script = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
out, _ = opened()
out.write(series(10)); held = out.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, resource.RLIM_INFINITY))
try:
    out.write(series(5000, 10)); out.flush()
except Unavailable as error:
    print("unavailable", end=" ")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
out, held = opened(position=held)
out.write(series(5000, held.sequences["r0"])[:5010 - held.sequences["r0"]]); out.close("finished", T0)
print(points() == [n / 2 for n in range(5010)])
"""
    assert there(WRITER + script, tmp_path, client).split() == ["unavailable", "True"]


@BOTH
def test_a_folder_that_cannot_be_made_is_an_outage(client: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    script = """
try:
    opened()
except Unavailable:
    print("unavailable")
"""
    assert there(WRITER + script, tmp_path / "file", client).split() == ["unavailable"]


@BOTH
def test_a_lost_cursor_repeats_nothing(client: str, tmp_path: Path) -> None:
    """The files say themselves what they hold; what came after the last flush is sent again."""
    script = """
out, _ = opened()
out.write(series(300)); out.flush()
out.attach(b"sidecar", "digest")
out.write(series(2000, 300))
del out
out, held = opened()
assert held.sequences == {"r0": 300}, held
out.write(series(2300)); out.flush()
assert points() == [n / 2 for n in range(2300)]
print("once")
"""
    assert there(WRITER + script, tmp_path, client).split() == ["once"]


def test_the_log_of_neptune_1_is_cut_into_files(tmp_path: Path) -> None:
    """As the client does at 64 MiB; a file that was begun after the last flush goes."""
    script = """
classic.LOG_BYTES = 10_000
out, _ = opened()
for first in range(0, 3000, 500):
    out.write(series(500, first)); held = out.flush()
names = sorted(path.name for path in folder.glob("offline/*/data-*.log"))
assert len(names) >= 6, names
out.write(series(500, 3000)); out.flush()
out, again = opened(position=held)
assert again.sequences == {"r0": 3000}
out.write(series(1000, 3000)); out.close("finished", T0)
assert points() == [n / 2 for n in range(4000)]
import threading
from neptune.core.components.queue.disk_queue import DiskQueue
from neptune.internal.operation import LogFloats, Operation
(run,) = folder.glob("offline/*")
queue, found, version = DiskQueue(run, Operation.to_dict, Operation.from_dict, threading.RLock()), [], 0
while element := queue.get():
    assert element.ver == version + 1, (element.ver, version)
    version = element.ver
    found += [value.value for value in element.obj.values] if isinstance(element.obj, LogFloats) else []
assert found == [n / 2 for n in range(4000)] and queue.size() == version
print("whole")
"""
    assert there(WRITER + script, tmp_path, "neptune").split()[-1] == "whole"


@BOTH
def test_long_names_are_told(client: str, tmp_path: Path) -> None:
    script = """
keys = ["Ä" * 600, "Ä" * 599 + "Ö", "p/" * 500]
(folder / "journal" / "files").mkdir(parents=True)
data = b"x"; ref = FileRef("f/" * 300 + "x", hashlib.sha256(data).hexdigest(), 1)
(folder / "journal" / "files" / ref.digest).write_bytes(data)
out, _ = opened()
out.write([Record("r0", 0, Metrics(T0, 0, 0, {key: 0.5 for key in keys}))])
out.write([Record("r0", 1, Config(T0, {key: 1 for key in keys})), Record("r0", 2, Artifact(T0, "n" * 400, "t" * 400, [ref]))])
out.close("finished", T0)
assert {key for event in events(Metrics) for key in event.values} == set(keys)
assert set(events(Config)[0].values) == set(keys)
(artifact,) = events(Artifact)
assert (artifact.name, artifact.type, artifact.files) == ("n" * 400, "t" * 400, [ref])
from trackbridge_adapters.neptune import layout
for source in adapter.reader(target)._sources():
    assert max(layout.size(held.path) for held in source.held()) <= 1024
print("told")
"""
    assert there(WRITER + script, tmp_path, client).split() == ["told"]


def test_a_moved_folder_is_read(scale: tuple[Path, str], classic: tuple[Path, str], tmp_path: Path) -> None:
    """Both clients write into one folder; the references to files are absolute in one of them."""
    for name, (folder, _) in {"scale": scale, "classic": classic}.items():
        shutil.copytree(folder, tmp_path / "moved", dirs_exist_ok=True)
        shutil.move(folder, tmp_path / name)
    try:
        assert {info.id for info in trackbridge.runs(f"neptune:{tmp_path}/moved")} == {scale[1], classic[1]}
        for run_id in (scale[1], classic[1]):
            (artifact,) = trackbridge.read(run_id, f"neptune:{tmp_path}/moved", sidecar=False).artifacts
            assert artifact.files[0].size == len(b"weights")
    finally:
        for name, (folder, _) in {"scale": scale, "classic": classic}.items():
            shutil.move(tmp_path / name, folder)


def test_what_others_wrote_is_read(tmp_path: Path) -> None:
    script = """
os.environ["NEPTUNE_DATA_DIRECTORY"] = str(folder)
import neptune
from neptune.types import File
off = dict.fromkeys(("capture_hardware_metrics", "capture_stdout", "capture_stderr", "capture_traceback", "git_ref"), False)
run = neptune.init_run(mode="offline", project="w/p", name="theirs", tags=["a"], source_files=[], **off)
run["params"] = {"lr": 0.1, "s": "NaN", "deep": {"b": True}}
run["loss"].extend([1, 2.5], steps=[0, 2.5], timestamps=[1.0, 2.0])
run["said"].append("hello", step=1)
run["model"].upload(File.from_content(b"abc", extension="bin"))
run.stop()
from neptune_scale import Run
run = Run(project="w/p", run_id="new", experiment_name="e", mode="offline", log_directory=str(folder), enable_console_log_capture=False,
          source_tracking_config=None)
run.log_configs({"params/s": "NaN"}); run.add_tags(["t"])
run.log_metrics({"loss": 1.5}, step=7)
run.log_files({"picture": b"\\x89PNG\\r\\n\\x1a\\n0000"}, step=2)
run.assign_files({"model": b"abc"})
run.close()
new, old = sorted(adapter.reader(target).runs(), key=lambda info: info.id != "new")
assert (old.name, old.tags, old.status) == ("theirs", ("a",), "finished"), old
assert (new.name, new.project, new.tags) == ("e", "w/p", ("t",)), new
config = events(Config, old.id)[0].values
assert config == {"params/lr": 0.1, "params/s": "NaN", "params/deep/b": True}, config
assert [(event.step, event.time, event.values) for event in events(Metrics, old.id)][:2] == [(0, 10**9, {"loss": 1.0}), (None, 2 * 10**9, {"loss": 2.5})]
assert points(old.id, "said") == ["hello"] and points("new", "loss") == [1.5]
assert [(event.kind, event.step) for event in events(Media, "new")] == [("image", 2)]
digest = hashlib.sha256(b"abc").hexdigest()
assert [event.files[0].digest for id in (old.id, "new") for event in events(Artifact, id)] == [digest] * 2
try:
    list(adapter.reader(target).read("no such run"))
except RunNotFound:
    print("read")
"""
    assert there(WRITER + script, tmp_path).split()[-1] == "read"


def test_the_exporters_dumps_are_read(tmp_path: Path) -> None:
    """Rows as Neptune's exporter wrote them, in two parts, with the files beside them."""
    script = """
import datetime
from decimal import Decimal
import pyarrow as pa
from pyarrow import parquet
time = pa.timestamp("ms", tz="UTC")
schema = pa.schema([("project_id", pa.string()), ("run_id", pa.string()), ("attribute_path", pa.string()), ("attribute_type", pa.string()),
    ("step", pa.decimal128(18, 6)), ("timestamp", time), ("int_value", pa.int64()), ("float_value", pa.float64()), ("string_value", pa.string()),
    ("bool_value", pa.bool_()), ("datetime_value", time), ("string_set_value", pa.list_(pa.string())),
    ("file_value", pa.struct([("path", pa.string())])),
    ("histogram_value", pa.struct([("type", pa.string()), ("edges", pa.list_(pa.float64())), ("values", pa.list_(pa.float64()))]))])
when = datetime.datetime(2026, 1, 2, 3, 4, 5, 678000, datetime.timezone.utc)
def row(path, kind, **value):
    return {"project_id": "w/p", "run_id": "P-1", "attribute_path": path, "attribute_type": kind, **value}
def point(path, kind, step, **value):
    return row(path, kind, step=Decimal(step), timestamp=when, **value)
place = folder / "data" / "w_p-0123"
place.mkdir(parents=True)
(folder / "files" / "w_p").mkdir(parents=True)
(folder / "files" / "w_p" / "m.png").write_bytes(b"picture")
parts = [
    [row("sys/custom_run_id", "string", string_value="mine"), row("sys/name", "string", string_value="exp"),
     row("sys/creation_time", "datetime", datetime_value=when), row("sys/tags", "string_set", string_set_value=["a", "b"]),
     row("sys/failed", "bool", bool_value=True), row("params/n", "int", int_value=3), row("params/s", "string", string_value="1"),
     *[point("loss", "float_series", step, float_value=step / 2) for step in range(3)]],
    [point("loss", "float_series", "3.5", float_value=9.0), point("said", "string_series", 1, string_value="hello"),
     point("h", "histogram_series", 2, histogram_value={"type": "COUNTING", "edges": [0.0, 1.0], "values": [4.0]}),
     point("picture", "file_series", 4, file_value={"path": "w_p/m.png"}), row("gone", "file", file_value={"path": "w_p/gone.bin"})],
]
for number, rows in enumerate(parts):
    parquet.write_table(pa.Table.from_pylist(rows, schema), place / f"P-1-89ab_part_{number}.parquet")
for where in (folder, folder / "data"):
    target = adapter.resolve(Target("neptune", str(where)), folder)
    (info,) = adapter.reader(target).runs()
    assert (info.id, info.name, info.project, info.tags, info.status) == ("mine", "exp", "w/p", ("a", "b"), "failed"), info
    assert info.start == 1767323045678000000, info.start
    assert events(Config, "mine")[0].values == {"params/n": 3, "params/s": "1"}
    assert [(event.step, event.time, event.values["loss"]) for event in events(Metrics, "mine") if "loss" in event.values] == [
        (0, info.start, 0.0), (1, info.start, 0.5), (2, info.start, 1.0), (None, info.start, 9.0)]
    assert points("mine", "said") == ["hello"]
    histogram, picture = events(Media, "mine")
    assert (histogram.inline, histogram.step) == ({"edges": [0.0, 1.0], "counts": [4.0]}, 2)
    assert (picture.kind, picture.format, picture.file.digest, picture.step) == ("image", "png", hashlib.sha256(b"picture").hexdigest(), 4)
    assert [(event.name, event.files[0].digest) for event in events(Artifact, "mine")] == [("gone", "")]
print("read")
"""
    assert there(WRITER + script, tmp_path).split()[-1] == "read"


@pytest.mark.parametrize("text", ["neptune:https://app.neptune.ai", "neptune:?mode=async", "neptune:dir?client=other"])
def test_the_service_that_ended_is_refused_with_a_remedy(text: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"ended in March 2026.*neptune:DIR|can be neptune-scale or neptune"):
        adapter.resolve(Target.parse(text), tmp_path)


@BOTH
def test_the_place_says_that_the_service_ended(client: str, tmp_path: Path) -> None:
    script = """
out, _ = opened()
print(out.place().mode, out.place().hint)
"""
    printed = there(WRITER + script, tmp_path, client)
    assert printed.startswith("offline Neptune's service ended in March 2026")
    assert f"trackbridge.read('r', 'neptune:{tmp_path}')" in printed


def test_locations_are_those_of_the_clients(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NEPTUNE_LOG_DIRECTORY", "NEPTUNE_DATA_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    assert adapter.resolve(Target("neptune"), tmp_path).location == str(tmp_path / ".neptune")
    monkeypatch.setenv("NEPTUNE_DATA_DIRECTORY", "old")
    assert adapter.resolve(Target("neptune"), tmp_path).location == str(tmp_path / ".neptune")
    assert adapter.resolve(Target("neptune", options={"client": "neptune"}), tmp_path).location == str(tmp_path / "old")
    assert [adapter.capabilities(Target.parse(f"neptune:{one}")).flavour for one in adapter.flavours] == ["scale offline", "1.x offline"]


def test_names_and_projects() -> None:
    assert KEYS.encode("train/loss") == "train/loss"
    assert KEYS.encode("config") != "config"
    assert KEYS.encode("configs/a") == "configs/a"
    assert [qualified(name) for name in ("w/p", "vision", "a/b/c", "")] == [
        "w/p", "trackbridge/vision", "trackbridge/a-b-c", "trackbridge/default",
    ]  # fmt: skip
