"""What is SwanLab's own: the client's log, what its upload takes, keys and columns. The conformance suite asks the rest."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from trackbridge_adapters.swanlab import adapter
from trackbridge_adapters.swanlab.layout import FOLDER, KEYS, column, decoded, encoded, parts, project_name, shown, told

import trackbridge
from tests.adapters import fresh
from trackbridge.adapters import Target
from trackbridge.errors import SettingsError

WRITER = """
import sys, json, hashlib
from pathlib import Path
from trackbridge.adapters import Position, Target
from trackbridge.errors import Rejected, RunNotFound, Unavailable
from trackbridge.records import *
from trackbridge_adapters.swanlab import adapter, layout
folder = Path(sys.argv[1])
target = adapter.resolve(Target("swanlab", str(folder)), folder)
T0 = 1763870000_123456789
def call(n, step, **values):
    return Record("r0", n, Metrics(T0 + n, n, step, values))
def series(count, first=0):
    return [call(n, n, y=n / 2) for n in range(first, first + count)]
def opened(id="r", position=None, **about):
    out = adapter.writer(target)
    return out, out.open(RunInfo(id=id, name=id, start=T0, directory=folder / "journal", **{"project": "p"} | about), position)
def points(id="r", key="y"):
    read = [record.event for record in adapter.reader(target).read(id)]
    return [event.values[key] for event in read if isinstance(event, Metrics) and key in event.values]
def log():
    (path,) = folder.glob("run-*/run-*.swanlab")
    return path
def records(path):
    from swanlab.proto.swanlab.record.v1.record_pb2 import Record
    from swanlab.sdk.internal.core_python.store import DataStoreReader
    reader = DataStoreReader()
    reader.open(path)
    return [Record.FromString(message) for message in reader]
"""

PLAIN = """
import json
(path,) = folder.glob("run-*/run-*.swanlab")
found = records(path)
start, finish = found[0].start, found[-1].finish
columns = [[one.column.column_key, one.column.column_type, one.column.section_name] for one in found if one.HasField("column")]
scalars = [[one.scalar.key, one.scalar.step, one.scalar.value.number, one.scalar.type] for one in found if one.HasField("scalar")]
"""


def there(script: str, folder: Path) -> str:
    """Run `script` where SwanLab's client is; what it prints."""
    return fresh.there("swanlab", script, folder, variables=os.environ | {"SWANLAB_SAVE_DIR": str(folder.parent / "home")})


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run as a user logs it: its folder, and its id."""
    work = tmp_path_factory.mktemp("delivered")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        patch.delenv("SWANLAB_LOG_DIR", raising=False)
        run = trackbridge.init(
            "vision", name="first", group="g", notes="why", config={"lr": 0.1, "odd": "0.5"}, tags=["a"], backend="swanlab"
        )
        for step in range(3):
            trackbridge.log({"train/loss": 1 / (step + 1), "n": step, "phase": "warm"}, step=step)
        run.tags += ("late",)
        trackbridge.log({"results": trackbridge.Table(["metric", "value"], [["acc", 0.9], ["1", None]])}, step=3)
        Path("model.pt").write_bytes(b"weights")
        trackbridge.log_artifact("model.pt", type="model")
        run.summary["best"] = float("inf")
        report = trackbridge.finish()
        assert report.delivered, str(report)
    return work / "swanlog", run.id


def test_the_clients_reader_sees_a_plain_run(delivered: tuple[Path, str]) -> None:
    folder, run_id = delivered
    script = """
import yaml
texts = {one.media.key: (path.parent / "media" / layout.client().medium[one.media.type] / one.media.value.items[0].filename).read_text()
         for one in found if one.HasField("media")}
saves = [[one.save.name, one.save.type] for one in found if one.HasField("save")]
config = {key: entry["value"] for key, entry in yaml.safe_load((path.parent / "files" / "config.yaml").read_text()).items()}
about = [start.id, start.project, start.name, start.description, start.group, list(start.tags), finish.state]
print(json.dumps([about, columns, scalars, texts, saves, config]))
"""
    about, columns, scalars, texts, saves, config = json.loads(there(WRITER + PLAIN + script, folder))
    assert about == [run_id, "vision", "first", "why", "g", ["a", "late"], 1]
    assert [name for name, _, _ in columns] == ["train/loss", "n", "phase•string", "results•table"]
    assert [section for *_, section in columns] == ["train", "", "", ""]
    assert [row[:3] for row in scalars] == [row for s in range(3) for row in (["train/loss", s, 1 / (s + 1)], ["n", s, float(s)])]
    assert texts["phase•string"] == "warm"
    table = {"_swanLab": "table", "colDefs": [{"field": "metric"}, {"field": "value"}]}
    assert json.loads(texts["results•table"]) == table | {"rowData": [{"metric": "acc", "value": 0.9}, {"metric": '"1"', "value": "null"}]}
    assert [name for name, _ in saves] == ["config", "artifacts/model.pt/model/model.pt", "trackbridge/journal.tbj.z"]
    assert {key: config[key] for key in ("lr", "odd", "trackbridge/summary/best")} == {
        "lr": 0.1,
        "odd": '"0.5"',
        "trackbridge/summary/best": "Infinity",
    }
    assert config["trackbridge/deviations"]["retyped"] == 3
    assert trackbridge.read(run_id, f"swanlab:{folder}", sidecar=False).config == {"lr": 0.1, "odd": "0.5"}


def test_nothing_is_hidden(delivered: tuple[Path, str]) -> None:
    """The log has no field that the client does not know, and the folder no file that the log does not name."""
    folder, _ = delivered
    script = """
from google.protobuf.unknown_fields import UnknownFieldSet
def walk(message):
    assert not list(UnknownFieldSet(message)), message
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for one in value if field.is_repeated else [value]:
                walk(one)
for record in found:
    walk(record)
named = {one.save.name for one in found if one.HasField("save")} | {item.filename for one in found for item in one.media.value.items}
files = [one.relative_to(path.parent) for one in path.parent.rglob("*") if one.is_file() and one != path and one.name != "config.yaml"]
assert files and all(str(Path(*one.parts[1:])) in named or one.name in named for one in files), files
import yaml
print(json.dumps(sorted(key for key in yaml.safe_load((path.parent / "files" / "config.yaml").read_text()) if "trackbridge" in key)))
"""
    words = json.loads(there(WRITER + PLAIN + script, folder))
    assert words == [f"trackbridge/{word}" for word in ("deviations", "id", "provenance", "sidecar", "summary/best", "tags")]


def test_the_log_is_what_the_client_itself_writes(tmp_path: Path) -> None:
    """The same values by `swanlab.log` make the same columns and records."""
    script = """
import swanlab
nan, inf = float("nan"), float("inf")
rows = [(0, {"train/loss": 0.5, "val/acc/top": 1.0}), (1, {"train/loss": nan, "n": 3.0}), (9, {"train/loss": -inf}), (4, {"train/loss": -0.0}), (2**40, {"n": 5e-324})]
out, _ = opened()
out.write([Record("r0", n, Metrics(T0 + n, n, step, values)) for n, (step, values) in enumerate(rows)])
out.close("finished", T0)
def told(path):
    found = records(path)
    return repr([[one.column for one in found if one.HasField("column")],
                 [[one.scalar.key, one.scalar.step, one.scalar.type, one.scalar.value.number] for one in found if one.HasField("scalar")],
                 [one.num for one in found if one.num < 0 and not one.HasField("save")], found[-1].finish.state])
ours = told(log())
theirs = folder.with_name("theirs")
swanlab.init(project="p", name="r", settings=swanlab.Settings(mode="offline", interactive=False, log_dir=str(theirs)))
for step, values in rows:
    swanlab.log(values, step=step)
swanlab.finish()
(path,) = theirs.glob("run-*/run-*.swanlab")
assert ours.count("column_key") == 3 and ours == told(path), ours + "\\n" + told(path)
"""
    there(WRITER + script, tmp_path / "swanlog")


def test_the_upload_takes_everything(tmp_path: Path) -> None:
    """The client's `sync` passes over what repeats a step, has another type than its column, or has lost its file: nothing of the hostile run."""
    script = """
import asyncio
from trackbridge.testing import canon
from swanlab.proto.swanlab.grpc.core.v1.sync_pb2 import DeliverSyncStartRequest
from swanlab.proto.swanlab.settings.core.v1.core_pb2 import CoreSettings
from swanlab.sdk.internal.core_python.metrics import RunMetrics
from swanlab.sdk.internal.core_python.sync import CoreSyncPython
from swanlab.sdk.internal.core_python.transport.sender.media import collect_media_tasks
from swanlab.sdk.internal.core_python.transport.sender.save import resolve_save_source
from swanlab.sdk.internal.pkg import constraints
run = canon.main(folder.parent / "journal", "canon")
out = adapter.writer(target)
out.open(run.opened, None)
out.write(run.routed)
out.close("finished", T0)
core, sent = CoreSyncPython(), []
answer = core.deliver_sync_start(DeliverSyncStartRequest(core_settings=CoreSettings(run_id="canon", run_dir=str(log().parent))))
assert answer.success, answer.message
class Transport:
    put = staticmethod(sent.extend)
core._transport, core._metrics = Transport, RunMetrics.new(None, ctx=core._ctx)[0]
asyncio.run(core.read())
found = records(log())
assert len(sent) == len(found) - 2 > 24_000, (len(sent), len(found))  # without the first and the last
assert core._finish_record.state == 1
media = collect_media_tasks(core._ctx, [one for one in sent if one.HasField("media")])
assert len(media) > 40 and not [one.failure for one in media if one.failure]
assert all(resolve_save_source(core._ctx, one.save) for one in sent if one.HasField("save"))
for one in found:
    if one.HasField("column"):
        constraints.ta_metric_key.validate_python(one.column.column_key)
start = found[0].start
constraints.ta_project.validate_python(start.project)
constraints.ta_run_id.validate_python(start.id)
constraints.ta_experiment.validate_python(start.name)
constraints.ta_description.validate_python(start.description)
"""
    there(WRITER + script, tmp_path / "swanlog")


def test_a_step_that_is_repeated_often_costs_the_same_each_time(tmp_path: Path) -> None:
    script = (
        WRITER
        + """
def calls(n):
    count = 0
    def see(*_):
        nonlocal count
        count += 1
    sys.setprofile(see); out.write([call(n, 0, y=n / 2)]); sys.setprofile(None)
    return count
out, _ = opened()
few = [calls(n) for n in range(20)]
out.write([call(n, 0, y=n / 2) for n in range(20, 3000)]); held = out.flush()
out, _ = opened(position=held)
many = [calls(n) for n in range(3000, 3010)]
out.close("finished", T0)
print(max(many) <= 2 * max(few), points() == [n / 2 for n in range(3010)])
"""
    )
    assert there(script, tmp_path) == "True True\n"


def test_deviations_before_a_record_that_is_refused_are_counted_once(tmp_path: Path) -> None:
    script = (
        WRITER
        + """
out, _ = opened()
batch = [call(0, None, y=0.5), call(1, 1, y=[])]
try:
    out.write(batch)
except Rejected as error:
    print(error.index, [(str(row.reason), row.count) for row in out.write(batch[:error.index])])
"""
    )
    assert there(script, tmp_path) == "1 [('step_changed', 1)]\n"


def test_a_full_disk_is_an_outage(tmp_path: Path) -> None:
    """What was confirmed stays, and a Writer that comes after the outage writes the rest once."""
    script = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
out, _ = opened()
out.write(series(100))
held = out.flush()
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
try:
    out.write(series(10_000, 100))
    out.flush()
except Unavailable as error:
    print("outage:", error)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
out, again = opened(position=held)
assert again == held
out.write(series(10_000, 100))
out.close("finished", T0)
assert points() == [n / 2 for n in range(10_100)]
"""
    assert there(WRITER + script, tmp_path / "swanlog").startswith("outage:")


def test_a_folder_that_cannot_be_made_is_an_outage(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert there(WRITER + fresh.NO_FOLDER, tmp_path / "file").split() == ["outage"]


def test_torn_and_damaged_logs(tmp_path: Path) -> None:
    """A reader takes what is whole; a Writer does not believe a position that the log does not have, and begins anew."""
    script = """
out, _ = opened()
out.write(series(2000))
held = out.flush()
whole = log().read_bytes()
for size in (0, 3, 7, 100, 32768, 32775, len(whole) // 2, len(whole) - 1):
    log().write_bytes(whole[:size])
    if size >= 1000:
        values = points()
        assert values == [n / 2 for n in range(len(values))] and len(values) > 100
    else:
        list(adapter.reader(target).runs())
damaged = whole[: len(whole) // 2] + b"\\xff" + whole[len(whole) // 2 + 1 :]
log().write_bytes(damaged)
assert 500 < len(points()) < 2000
out, nothing = opened(position=held)
assert not nothing.sequences
out.write(series(2000))
out.close("finished", T0)
assert points() == [n / 2 for n in range(2000)]
"""
    there(WRITER + script, tmp_path / "swanlog")


def test_a_killed_writer_goes_on_where_its_columns_were(tmp_path: Path) -> None:
    """Repeated steps go to further columns, also when an earlier process wrote the first ones; what it wrote beyond the cursor is cut off."""
    script = """
out, _ = opened()
out.write([call(0, 5, y=0.0), call(1, 5, y=1.0), call(2, 6, y=2.0)])
held = out.flush()
out.write([call(3, 5, y=77.0)])
out.flush()
out, again = opened(position=held)
assert again == held
out.write([call(3, 5, y=3.0), call(4, 6, y=4.0), call(5, 5, y="five"), Record("r0", 6, Tags(T0, ["late"]))])
held = out.flush()
out, _ = opened(position=held)
out.write([call(7, 5, y=7.0)])
out.close("crashed", T0)
assert points() == [0.0, 1.0, 2.0, 3.0, 4.0, "five", 7.0], points()
found = records(log())
columns = [one.column.column_key for one in found if one.HasField("column")]
assert columns == ["y", "y•2", "y•3", "y•string", "y•4"], columns
numbers = [one.num for one in found if one.num > 0]
assert numbers == list(range(1, len(numbers) + 1)), numbers
assert list(found[0].start.tags) == ["late"]
assert [one.status for one in adapter.reader(target).runs()] == ["crashed"]
"""
    there(WRITER + script, tmp_path / "swanlog")


def test_what_others_wrote_is_read(tmp_path: Path) -> None:
    script = """
import swanlab
run = swanlab.init(project="theirs", name="n", id="theirs", tags=["t"], config={"a": "1", "b": {"c": 2}},
                   settings=swanlab.Settings(mode="offline", interactive=False, log_dir=str(folder)))
for step in range(3):
    swanlab.log({"loss": step / 4, "note": swanlab.Text("hi")}, step=step)
swanlab.finish()
(found,) = adapter.reader(target).runs()
assert (found.id, found.name, found.project, found.tags, found.status) == ("theirs", "n", "theirs", ("t",), "finished"), found
events = [record.event for record in adapter.reader(target).read("theirs")]
assert [event.values for event in events if isinstance(event, Config)] == [{"a": "1", "b": {"c": 2}}]
assert points("theirs", "loss") == [0.0, 0.25, 0.5]
assert [(event.key, event.inline) for event in events if isinstance(event, Media) and event.kind == "text"] == [("note", "hi")] * 3
try:
    list(adapter.reader(target).read("no such run"))
except RunNotFound:
    print("not found")
"""
    assert "not found" in there(WRITER + script, tmp_path / "swanlog")


def test_what_is_too_long_for_swanlab_is_whole_in_the_configuration(tmp_path: Path) -> None:
    script = """
long = {"name": "n" * 600, "notes": "d" * 5000, "group": "g" * 600}
out = adapter.writer(target)
out.open(RunInfo(id="r" * 300, project="a b/" + "p" * 200, start=T0, **long), None)
out.write([Record("r0", n, Metrics(T0, n, 7, {"k" * 600: value, "k" * 599 + "j": -value})) for n, value in enumerate((1.0, 2.0))])
out.close("finished", T0)
(found,) = adapter.reader(target).runs()
assert {name: getattr(found, name) for name in long} == long
assert (found.id, found.project) == ("r" * 300, "a b/" + "p" * 200)
assert (points("r" * 300, "k" * 600), points("r" * 300, "k" * 599 + "j")) == ([1.0, 2.0], [-1.0, -2.0])
assert (len(records(log())[0].start.description), len(records(log())[0].start.project)) == (1024, 69)
"""
    there(WRITER + script, tmp_path / "swanlog")


def test_keys_and_columns_stay_apart() -> None:
    keys = [
        "a",
        " a",
        "a ",
        "a.",
        "/a",
        "a/",
        ".",
        "/",
        " ",
        "",
        "a·2",
        "a·string",
        "a·3d",
        "·",
        "··",
        "__swanlab__.x",
        "k" * 600,
        "k" * 599 + "j",
        "a\nb",
    ]
    columns = {
        column(key, kind, repeat): (key, kind, repeat) for key in keys for kind in ("", "string", "figure html") for repeat in (0, 1, 2)
    }
    assert len(columns) == len(keys) * 9
    for name, (key, kind, repeat) in columns.items():
        assert parts(name) == (KEYS.encode(key), kind, repeat)
        assert name == name.strip(" ./")
        assert len(name) <= 512
    assert column("train/loss") == "train/loss"


@pytest.mark.parametrize("value", [0.1, 3, True, None, "adam", "0.5", "null", "", float("nan"), 2**60, 2**70, [1, None], {}, {"a": "1"}])
def test_a_value_of_the_configuration_comes_back(value: object) -> None:
    assert repr(told(json.loads(json.dumps(shown(value), allow_nan=False)))) == repr(value)
    assert not isinstance(shown(value), int) or abs(shown(value)) <= 2**53  # what a browser shows as it is


def test_histograms_and_tables_are_plain_json() -> None:
    bars = {"edges": [0, 0.5, 3.5], "counts": [1, 2.5]}
    assert decoded("counts", encoded("counts", bars)) == bars
    chart = json.loads(encoded("counts", bars))
    assert chart["dataset"]["source"] == [[0, 0.5, 1], [0.5, 3.5, 2.5]]
    table = {"columns": ["a", "b"], "rows": [[1, "1"], [None, float("inf")], [2**70, [True]]]}
    assert decoded("rows", encoded("rows", table)) == table
    for format, broken in (
        ("counts", {"edges": [], "counts": [1]}),
        ("rows", {"columns": ["a", "a"], "rows": []}),
        ("rows", {"columns": ["a"], "rows": [[]]}),
    ):
        with pytest.raises(ValueError, match=r"histogram|columns|shorter"):
            encoded(format, broken)


def test_locations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWANLAB_LOG_DIR", raising=False)
    assert adapter.resolve(Target("swanlab"), tmp_path).location == str(tmp_path / "swanlog")
    monkeypatch.setenv("SWANLAB_LOG_DIR", "mine")
    assert adapter.resolve(Target("swanlab"), tmp_path).location == str(tmp_path / "mine")
    with pytest.raises(SettingsError, match="swanlab sync"):
        adapter.resolve(Target("swanlab", "https://swanlab.example"), tmp_path)
    assert FOLDER.fullmatch("run-20261125_132730-a-b") is not None
    assert len({project_name(name) for name in ("a b", "a_b", "", "ä", "ö", "x" * 101)}) == 6
