"""What is ClearML's own: its sessions, their import into a server, its processes. The conformance suite asks the rest."""

from __future__ import annotations

import json
import os
import subprocess
import zipfile
from pathlib import Path

import pytest
from trackbridge_adapters.clearml import adapter
from trackbridge_adapters.clearml.layout import KEYS, artifact_key, artifact_name, join, split, task_id

import trackbridge
from tests.adapters import fresh
from tests.adapters.clearml_server import Server, sent, server
from tests.adapters.servers import free_port
from trackbridge import environments
from trackbridge.adapters import Target

WRITER = """
import json, os, sys, threading, time
from pathlib import Path
from trackbridge.adapters import Position, Target
from trackbridge.errors import Rejected, Unavailable
from trackbridge.records import *
from trackbridge_adapters.clearml import adapter
folder = Path(sys.argv[1])
target = adapter.resolve(Target("clearml", str(folder / "runs")), folder)
T0 = 1763870000123456789
def series(count, first=0):
    return [Record("r0", n, Metrics(T0 + n * 10**6, n, n, {"y": n / 2})) for n in range(first, first + count)]
def opened(id="r", name="run", project="project", position=None):
    out = adapter.writer(target)
    return out, out.open(RunInfo(id=id, name=name, project=project, start=T0, directory=folder / "journal"), position)
def points(id="r"):
    read = adapter.reader(target).read(id)
    return [value for record in read if isinstance(record.event, Metrics) for value in record.event.values.values()]
"""


def settings(folder: Path, **variables: str) -> dict[str, str]:
    """The environment of a process of the client, without the user's own configuration."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CLEARML_", "TRAINS_"))}
    return kept | {"HOME": str(folder), "CLEARML_CACHE_DIR": str(folder / "cache"), **variables}


def there(script: str, folder: Path, **variables: str) -> str:
    """Run `script` where the client is; what it prints."""
    return fresh.there("clearml", script, folder, variables=settings(folder, **variables))


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run as a user logs it: the folder with its session, and its id."""
    work = tmp_path_factory.mktemp("delivered")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        patch.setenv("CLEARML_CONFIG_FILE", str(work / "none"))
        config = {"lr": 0.1, "odd": "0.5", "model": {"depth": 4}, "none": None, "empty": {}}
        run = trackbridge.init("vision", name="first", group="g", notes="why", config=config, tags=["a"], backend="clearml")
        for step in range(3):
            trackbridge.log({"train/loss": 1 / (step + 1), "n": 2**60 + step, "ok": True}, step=step)
        trackbridge.log({"train/loss": float("nan"), "phase": "warm-up"}, step=3)
        trackbridge.log({"results": trackbridge.Table(["metric", "value"], [["acc", 0.9], ["1", float("nan")]])}, step=3)
        trackbridge.log({"dist": trackbridge.Histogram([0.1, 0.2, 0.7], bins=2)}, step=3)
        trackbridge.log({"look": trackbridge.Text("one\ntwo")}, step=4)
        Path("model.pt").write_bytes(b"weights")
        trackbridge.log_artifact("model.pt", type="model")
        run.summary["best"] = 0.5
        run.summary["word"] = "good"
        report = trackbridge.finish()
        assert report.delivered, str(report)
    return work / "clearml-runs", run.id


def test_the_client_imports_all_of_it(delivered: tuple[Path, str], tmp_path: Path) -> None:
    """``clearml-task --import-offline-session``: what the server gets is what was logged."""
    folder, run_id = delivered
    (archive,) = folder.iterdir()
    assert archive.name == f"{task_id(run_id)}.zip"
    with server() as variables:
        command = [str(environments.create("clearml").interpreter.with_name("clearml-task")), "--import-offline-session", str(archive)]
        done = subprocess.run(command, capture_output=True, text=True, env=settings(tmp_path, **variables), timeout=120, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "results page" in said
    assert not [line for line in said.splitlines() if "failed" in line.lower() or "warning" in line.lower()], said
    events = sent()
    scalars = [(event["metric"], event["variant"], event["iter"], event["value"]) for event in events if "value" in event]
    wanted = [(*place, step, value) for step in range(3) for place, value in
              ((("train", "loss"), 1 / (step + 1)), (("n", "n"), 2**60 + step), (("ok", "ok"), 1))]  # fmt: skip
    assert scalars == [*wanted, ("Summary", "best", -(2**31), 0.5)]
    plots = {(event["metric"], event["variant"]): json.loads(event["plot_str"])["data"][0] for event in events if "plot_str" in event}
    assert plots["train", "loss » value"]["cells"]["values"] == [["NaN"]]
    assert plots["phase", "phase » value"]["cells"]["values"] == [["warm-up"]]
    assert plots["results", "results"]["cells"]["values"] == [["acc", '"1"'], ["0.9", "NaN"]]
    assert plots["dist", "dist"]["y"] == [2, 1, 0]
    assert len(plots["dist", "dist"]["x"]) == 3
    (sample,) = [event for event in events if "url" in event]
    task = Server.task
    artifacts = {artifact["key"]: artifact for artifact in task["execution"]["artifacts"]}
    uploaded = {place.rpartition("/")[2]: content for place, content in Server.files.items()}
    assert uploaded[sample["url"].rpartition("/")[2]] == b"one\ntwo"
    assert uploaded["model.pt"] == b"weights"
    assert artifacts.keys() == {"model.pt/model.pt", "trackbridge-journal"}
    assert artifacts["model.pt/model.pt"]["uri"].startswith(variables["CLEARML_FILES_HOST"])
    shown = {section: {name: item["value"] for name, item in items.items()} for section, items in task["hyperparams"].items()}
    assert shown["General"] == {"lr": "0.1", "odd": '"0.5"', "model/depth": "4", "none": "null", "empty": "{}"}
    assert shown["Summary"] == {"best": "0.5", "word": "good"}
    assert shown["properties"].items() >= {"group": "g", "status": "finished", "run_id": run_id}.items()
    assert (task["name"], task["comment"], task["tags"]) == ("first", "why", ["a"])


def test_nothing_is_hidden(delivered: tuple[Path, str]) -> None:
    """Every file of the session is one that an event or an artifact names, and the sections hold what is told, or bookkeeping."""
    folder, _ = delivered
    (path,) = folder.glob("*.zip")
    archive = zipfile.ZipFile(path)
    task = json.loads(archive.read("task.json"))
    events = [event for line in archive.read("metrics.jsonl").splitlines() for event in json.loads(line)]
    named = {f"data/{event['key']}" for event in events if "key" in event}
    named |= {artifact["uri"].removeprefix(task["offline_folder"] + "/") for artifact in task["execution"]["artifacts"]}
    assert set(archive.namelist()) == named | {"task.json", "metrics.jsonl"}
    assert {key for event in events for key in event} <= {
        "timestamp",
        "type",
        "task",
        "iter",
        "metric",
        "variant",
        "value",
        "plot_str",
        "key",
        "url",
    }
    assert set(task["hyperparams"]) == {"General", "Summary", "properties", "trackbridge"}
    assert set(task["hyperparams"]["trackbridge"]) == {"position"}
    assert set(task["hyperparams"]["properties"]) == {"run_id", "group", "status", "deviations"}
    assert task["hyperparams"]["properties"]["deviations"]["value"].startswith("retyped 3")


def test_the_client_takes_the_task_for_its_own(delivered: tuple[Path, str]) -> None:
    """Its classes read each event and the task, and would write them the same."""
    folder, _ = delivered
    script = """
import json, pathlib, sys, zipfile
from clearml.backend_api.services import events, tasks
(path,) = pathlib.Path(sys.argv[1]).glob("*.zip")
archive = zipfile.ZipFile(path)
kinds = {"training_stats_scalar": events.MetricsScalarEvent, "plot": events.MetricsPlotEvent, "training_debug_image": events.MetricsImageEvent}
for line in archive.read("metrics.jsonl").splitlines():
    for event in json.loads(line):
        again = kinds[event["type"]].from_dict(event)
        again.validate()
        assert again.to_dict() == event
task = json.loads(archive.read("task.json"))
again = tasks.Task.from_dict(task).to_dict()
assert again["hyperparams"] == task["hyperparams"] and again["execution"] == task["execution"], again
print("same")
"""
    assert there(script, folder).split() == ["same"]


def test_keys_do_not_meet() -> None:
    keys = [
        "a",
        "a/a",
        "a/a/a",
        "a/b",
        "/a",
        "a/",
        "/",
        "",
        "a·value",
        "a » value",
        "Summary",
        "Summary/best",
        "Summary/a/b",
        ":monitor:gpu/x",
        "..",
        ".",
    ]
    places = [split(KEYS.encode(key)) for key in keys]
    assert [KEYS.decode(join(*place)) for place in places] == keys
    assert len(set(places)) == len(keys)
    assert not {title for title, _ in places} & {"Summary", ":monitor:gpu", ""}
    assert not [series for _, series in places if series.endswith(" » value")]
    pairs = [("a/b", "c"), ("a", "b/c"), ("a~1b", "c"), ("", "x"), ("x", "")]
    assert [artifact_name(artifact_key(*pair)) for pair in pairs] == pairs


def test_a_killed_run_goes_on_in_its_session(tmp_path: Path) -> None:
    """What a killed Writer left, torn in the middle of a line, is cut back; a session that was closed is unpacked, and packed again."""
    script = (
        WRITER
        + """
out, _ = opened()
out.write(series(10)); first = out.flush()
out.write(series(10, 10)); out._put()
session = next((folder / "runs").glob("*/metrics.jsonl"))
with session.open("ab") as file:
    file.write(b'[{"task": "offl')
out, held = opened(position=first)
out.write(series(20, held.sequences["r0"])); second = out.flush(); out.close("finished", T0 + 10**9)
import zipfile
with zipfile.ZipFile(next((folder / "runs").glob("*.zip"))) as archive:
    archive.extractall(session.parent.with_name(f".{session.parent.name}.gone"))  # killed when it was packed
assert len(list(adapter.reader(target).runs())) == 1
out, held = opened(position=second)
out.write(series(35)[held.sequences["r0"]:]); third = out.flush()
session.with_name("task.json").unlink()  # killed when it was unpacked
out, held = opened(position=second)
out.write(series(35)[held.sequences["r0"]:]); out.close("failed", T0 + 2 * 10**9)
print(json.dumps([points() == [n / 2 for n in range(35)], sorted(path.name for path in (folder / "runs").iterdir())]))
print(next(adapter.reader(target).runs()).status, threading.active_count(), len(os.listdir("/proc/self/task")))
print(open(f"/proc/self/task/{os.getpid()}/children").read().split())
"""
    )
    lines = there(script, tmp_path).splitlines()
    assert json.loads(lines[0]) == [True, [f"{task_id('r')}.zip"]]
    assert lines[1].split()[:2] == ["failed", "1"]
    assert lines[2] == "[]", "the client started a process"


def test_a_folder_that_was_moved_is_read_and_goes_on(tmp_path: Path) -> None:
    script = (
        WRITER
        + """
import hashlib
content = b"weights"
digest = hashlib.sha256(content).hexdigest()
(folder / "journal/files").mkdir(parents=True)
(folder / "journal/files" / digest).write_bytes(content)
out, _ = opened()
out.write([Record("r0", 0, Artifact(T0, "m", "model", [FileRef("w.bin", digest, 7)])),
    Record("r0", 1, Artifact(T0, "far", "data", [FileRef("x.csv", "", 9)], "data/x.csv"))]); held = out.flush()
(folder / "runs").rename(folder / "moved")
target = adapter.resolve(Target("clearml", str(folder / "moved")), folder)
out, held = opened(position=held)
out.close("finished", T0)
near, far = [record.event for record in adapter.reader(target).read("r") if isinstance(record.event, Artifact)]
print(near.files[0].digest == digest and (far.uri, far.files[0].size) == ("data/x.csv", 9), (folder / "runs").exists())
"""
    )
    assert there(script, tmp_path).split() == ["True", "False"]


def test_a_full_disk_is_an_outage(tmp_path: Path) -> None:
    assert there(WRITER + fresh.FULL_DISK, tmp_path).split() == ["unavailable", "True"]


def test_the_description_is_written_when_it_changes(tmp_path: Path) -> None:
    """It has all artifacts. What came after it comes again when the position is lost, as nothing else tells of it."""
    script = (
        WRITER
        + """
def written():
    return next((folder / "runs").glob("offline-*/task.json")).stat().st_mtime_ns
out, _ = opened()
out.write([Record("r0", 0, Config(T0, {"lr": 0.5}))]); out.flush(); first = written()
out.write(series(5, 1)); out.flush()
print(written() == first)
out, held = opened()
out.write(series(9, 1)[held.sequences["r0"] - 1:]); out.close("finished", T0)
print(held.sequences, points() == [n / 2 for n in range(1, 10)])
"""
    )
    assert there(script, tmp_path).splitlines() == ["True", "{'r0': 1} True"]


def test_online_the_server_gets_it_too(tmp_path: Path) -> None:
    """As it comes, and on the same task after a kill."""
    script = (
        WRITER
        + """
import hashlib
content = b"weights"
digest = hashlib.sha256(content).hexdigest()
(folder / "journal/files").mkdir(parents=True)
(folder / "journal/files" / digest).write_bytes(content)
out, _ = opened()
out.write(series(20)); held = out.flush()
print(out.place().mode, out.place().id, len(points()))
out, held = opened(position=held)
out.write(series(30, 20))
out.write([Record("r0", 50, Config(T0, {"lr": 0.5})), Record("r0", 51, Artifact(T0, "m", "model", [FileRef("w.bin", digest, 7)]))])
out.write([Record("r0", 52, Media(T0, 0, 3, "look", "text", "text", "seen"))])
out.flush(); out.attach(b"journal", hashlib.sha256(b"journal").hexdigest()); out.close("failed", T0)
print(points() == [n / 2 for n in range(50)])
"""
    )
    with server() as variables:
        printed = there(script, tmp_path, **variables)
    assert printed.split() == ["online", "t1", "20", "True"]
    values = [(event["value"], event["iter"], event["timestamp"], event["task"]) for event in sent() if "value" in event]
    assert values == [(n / 2, n, 1763870000123 + n, "t1") for n in range(50)]
    assert [name for name, _ in Server.calls].count("tasks.create") == 1
    assert Server.task["status"] == "failed"
    assert Server.task["hyperparams"]["General"]["lr"]["value"] == "0.5"
    assert set(Server.task["hyperparams"]) == {"General", "properties"}
    uploaded = {place.rpartition("/")[2]: content for place, content in Server.files.items()}
    (text,) = [content for place, content in uploaded.items() if place.startswith("text-")]
    assert (uploaded["w.bin"], uploaded["journal.tbj.z"], text) == (b"weights", b"journal", b"seen")
    assert all(
        variables["CLEARML_FILES_HOST"] in artifact["uri"] and ".t1/" in artifact["uri"]
        for artifact in Server.task["execution"]["artifacts"]
    )


def test_online_the_description_is_sent_when_it_changes(tmp_path: Path) -> None:
    script = (
        WRITER
        + """
out, _ = opened()
for number in range(10):
    out.write(series(1, number)); out.flush()
out.write([Record("r0", 10, Config(T0, {"lr": 0.5}))]); out.flush()
"""
    )
    with server() as variables:
        there(script, tmp_path, **variables)
    names = [name for name, _ in Server.calls]
    assert (names.count("events.add_batch"), names.count("tasks.edit")) == (10, 3)  # when it is made, at first, and the configuration
    assert Server.task["hyperparams"]["General"]["lr"]["value"] == "0.5"


def test_events_that_the_server_refuses_are_counted(tmp_path: Path) -> None:
    script = (
        WRITER
        + """
out, _ = opened()
out.write([Record("r0", n, Metrics(T0 + n, n, n, {"odd": 0.5, "y": n / 2})) for n in range(3)])
out.flush()
print([(str(row.reason), row.count, row.example) for row in out.write([]) if row.reason == "rejected"])
"""
    )
    with server() as variables:
        Server.bad = "odd"
        assert there(script, tmp_path, **variables).strip() == """[('rejected', 3, "ClearML: {'no such metric: odd': 3}")]"""


@pytest.mark.parametrize("status", [401, 503])
def test_a_refusal_in_the_middle_is_told_at_once(status: int, tmp_path: Path) -> None:
    """The client would repeat the same request, some hundred times a second, as long as it lives."""
    script = (
        WRITER
        + """
out, _ = opened()
out.write(series(5))
try:
    out.flush()
except Unavailable as error:
    print(error)
print(threading.active_count())
"""
    )
    with server() as variables:
        Server.status, Server.after = status, "events.add_batch"
        told, threads = there(script, tmp_path, **variables).splitlines()[-2:]
    assert "the server refuses the key" in told or status != 401
    assert 0 < Server.refused < 20
    assert threads == "1"


def test_a_refused_address_is_an_outage(tmp_path: Path) -> None:
    script = (
        WRITER
        + """
begun = time.monotonic()
try:
    opened()
except Unavailable as error:
    print("unavailable", time.monotonic() - begun < 60)
os.environ["CLEARML_OFFLINE_MODE"], begun = "1", time.monotonic()
out, _ = opened()
out.write(series(3)); out.close("finished", T0)
print(len(points()), time.monotonic() - begun < 2)  # the client asks a server for the version of its API wherever it can
"""
    )
    hosts = {f"CLEARML_{word}_HOST": f"http://127.0.0.1:{free_port()}" for word in ("API", "WEB", "FILES")}
    assert there(script, tmp_path, CLEARML_API_ACCESS_KEY="k", CLEARML_API_SECRET_KEY="s", **hosts).split()[-4:] == [
        "unavailable",
        "True",
        "3",
        "True",
    ]


CONF = 'api {\n  api_server: http://127.0.0.1\n  credentials {"access_key" = "k", "secret_key" = "s"}\n}\n'


@pytest.mark.parametrize(
    ("variables", "config", "flavour"),
    [
        ({}, "", "offline"),
        ({"CLEARML_API_ACCESS_KEY": "k", "CLEARML_API_SECRET_KEY": "s"}, "", "online"),
        ({"CLEARML_API_ACCESS_KEY": "k", "CLEARML_API_SECRET_KEY": "s", "CLEARML_OFFLINE_MODE": "1"}, "", "offline"),
        ({}, CONF, "online"),
        ({}, "api {\n  # access_key: k\n}\n", "offline"),
    ],
)
def test_the_clients_own_configuration_decides(
    variables: dict[str, str], config: str, flavour: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith(("CLEARML_", "TRAINS_"))]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("CLEARML_CONFIG_FILE", str(tmp_path / "clearml.conf"))
    (tmp_path / "clearml.conf").write_text(config)
    assert adapter.capabilities(Target("clearml")).flavour == flavour
    assert adapter.capabilities(Target("clearml", options={"mode": "offline"})).flavour == "offline"
