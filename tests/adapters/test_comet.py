"""What is Comet's own: its archives and uploader, its server, its keys. The conformance suite asks the rest."""

from __future__ import annotations

import json
import os
import subprocess
import time
import zipfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from trackbridge_adapters.comet import adapter
from trackbridge_adapters.comet.layout import KEYS, experiment_key

import trackbridge
from tests.adapters import fresh
from tests.adapters.comet_server import Server, lists, server
from tests.adapters.servers import free_port
from trackbridge import environments
from trackbridge.adapters import Target
from trackbridge.times import from_iso, iso

WRITER = """
import json, os, sys, time
from pathlib import Path
from trackbridge.adapters import Position, Target
from trackbridge.errors import Rejected, Unavailable
from trackbridge.records import *
from trackbridge_adapters.comet import adapter
folder = Path(sys.argv[1])
target = adapter.resolve(Target("comet", str(folder)), folder)
T0 = 1763870000123456789
def series(count, first=0):
    return [Record("r0", n, Metrics(T0 + n * 10**6, n, n, {"y": n / 2})) for n in range(first, first + count)]
def opened(id="r", name="r", project="p", position=None):
    out = adapter.writer(target)
    return out, out.open(RunInfo(id=id, name=name, project=project, start=T0, directory=folder / "journal"), position)
def points(id="r"):
    read = adapter.reader(target).read(id)
    return [value for record in read if isinstance(record.event, Metrics) for value in record.event.values.values()]
"""


def there(script: str, folder: Path, **variables: str) -> str:
    """Run `script` where the client is; what it prints."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COMET_")}
    return fresh.there("comet", script, folder, variables=kept | {"HOME": str(folder)} | variables)


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run as a user logs it: the folder with its archive, and its id."""
    work = tmp_path_factory.mktemp("delivered")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        for name in [name for name in os.environ if name.startswith("COMET_")]:
            patch.delenv(name)
        patch.setenv("COMET_OFFLINE", "1")
        config = {"lr": 0.1, "odd": "0.5", "long": "p" * 3000, "model": {"depth": 4}, "none": None}
        run = trackbridge.init("vision", name="first", group="g", notes="why", config=config, tags=["a"], backend="comet")
        for step in range(3):
            trackbridge.log({"loss": 1 / (step + 1), "n": 2**60 + step, "ok": True, "k" * 120: 0.5}, step=step)
        trackbridge.log({"free": float("nan")})
        trackbridge.log({"results": trackbridge.Table(["metric", "value"], [["acc", 0.9], ["1", float("nan")]])}, step=3)
        trackbridge.log({"dist": trackbridge.Histogram([0.1, 0.2, 0.7], bins=2)}, step=3)
        Path("model.pt").write_bytes(b"weights")
        trackbridge.log_artifact("model.pt", type="model")
        run.summary["best"] = float("inf")
        report = trackbridge.finish()
        assert report.delivered, str(report)
    return work / "comet-runs", run.id


def test_the_vendors_uploader_sends_all_of_it(delivered: tuple[Path, str]) -> None:
    """``comet upload`` of the archive: what the server gets is what was logged, and the client finds nothing to complain about."""
    folder, run_id = delivered
    (archive,) = folder.iterdir()
    assert archive.name == f"{experiment_key(run_id)}.zip"
    with server() as (url, requests):
        command = [str(environments.create("comet").interpreter.with_name("comet")), "upload", str(archive)]
        settings = {"COMET_URL_OVERRIDE": url, "COMET_API_KEY": "k" * 25, "COMET_ERROR_TRACKING_ENABLE": "false", "HOME": str(folder)}
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | settings, timeout=120, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "ERROR" not in said
    assert "WARNING" not in said
    metrics = [(item["metricName"], item["metricValue"], item["step"]) for item in lists(requests, "experiment/metric")]
    wanted = [("loss", 1 / (step + 1), step) for step in range(3)] + [("n", 2**60 + step, step) for step in range(3)]
    wanted += [("ok", 1, step) for step in range(3)] + [(KEYS.encode("k" * 120), 0.5, step) for step in range(3)] + [("free", "NaN", None)]
    assert sorted(metrics, key=str) == sorted(wanted, key=str)
    parameters = {item["parameterName"]: item["parameterValue"] for item in lists(requests, "experiment/parameter")}
    assert parameters == {"lr": 0.1, "odd": '"0.5"', "long": "p" * 1000, "model/depth": 4, "none": "null"}
    others = {body["key"]: body["value"] for path, body in requests if "other" in path}
    assert others.items() >= {"Name": "first", "group": "g", "notes": "why", "status": "finished", "summary/best": "Infinity"}.items()
    files = {parse_qs(urlsplit(path).query).get("fileName", [""])[0] for path, _ in requests if "asset/upload" in path}
    assert files == {"results.csv", "dist.json", "dist", "artifacts/model.pt/model.pt", "parameters/long.txt", "trackbridge/journal.tbj.z"}
    assert ["a"] in [body.get("addedTags") for _, body in requests if isinstance(body, dict)]


def test_every_message_is_as_the_client_demands(delivered: tuple[Path, str]) -> None:
    """The schemas that the vendor ships; and its own reader of an archive."""
    folder, _ = delivered
    script = """
import json, pathlib, sys, zipfile
from comet_ml import schemas
(path,) = pathlib.Path(sys.argv[1]).glob("*.zip")
archive = zipfile.ZipFile(path)
schemas.get_experiment_file_validator().validate(json.loads(archive.read("experiment.json")))
validators = {"metric_msg": schemas.get_metric_msg_validator(), "parameter_msg": schemas.get_parameter_msg_validator(),
    "log_other": schemas.get_log_other_msg_validator(), "file_upload": schemas.get_upload_msg_validator(),
    "remote_file": schemas.get_remote_file_msg_validator(), "file_name": schemas.get_file_name_msg_validator(),
    "git_metadata": schemas.get_git_metadata_msg_validator()}
for line in archive.read("messages.json").splitlines():
    message = json.loads(line)
    validators[message["type"]].validate(message["payload"])
print("all", archive.testzip())
"""
    assert there(script, folder).split() == ["all", "None"]
    (archive,) = folder.glob("*.zip")
    command = [str(environments.create("comet").interpreter.with_name("comet")), "offline", str(archive)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=os.environ | {"HOME": str(folder)})
    assert done.returncode == 0, done.stderr
    assert "loss" in done.stdout + done.stderr


def test_nothing_is_hidden(delivered: tuple[Path, str]) -> None:
    """Every file of the archive is one that a message names, and what lies under Other is told, or bookkeeping."""
    folder, run_id = delivered
    (path,) = folder.glob("*.zip")
    archive = zipfile.ZipFile(path)
    messages = [json.loads(line) for line in archive.read("messages.json").splitlines()]
    named = {message["payload"]["file_path"] for message in messages if message["type"] == "file_upload"}
    assert set(archive.namelist()) == named | {"experiment.json", "messages.json"}
    others = {message["payload"]["key"]: message["payload"]["value"] for message in messages if message["type"] == "log_other"}
    ours = {name for name in others if name.startswith("trackbridge/")}
    digest = KEYS.encode("k" * 120)[-16:]
    assert ours == {f"trackbridge/{word}" for word in ("run_id", "position", "sidecar", "deviations", f"key/{digest}")}
    assert others.keys() - ours == {"Name", "group", "notes", "status", "summary/best"}
    assert others["trackbridge/run_id"] == run_id
    assert all(type(count) is int for count in json.loads(others["trackbridge/position"]).values())
    assert others["trackbridge/deviations"].startswith("retyped 3")
    keys = {key for message in messages if message["type"] == "metric_msg" for key in message["payload"]["metric"]}
    assert keys == {"metricName", "metricValue", "step", "epoch"}


def test_keys_and_names_do_not_meet() -> None:
    ids = ["r", "R", "r-1", "r_1", "ü", "", "a" * 32, "a" * 50, "a" * 51, "x" * 31, experiment_key("r")]
    keys = list(map(experiment_key, ids))
    assert len(set(keys)) == len(ids) - 1  # a run whose id is the key of another one
    assert keys[6] == "a" * 32
    assert all(key.isascii() and key.isalnum() and 32 <= len(key) <= 50 for key in keys)
    long = ["k" * 300, "k" * 299 + "l", "k" * 100, "k" * 101, KEYS.encode("k" * 300)]
    assert len({KEYS.encode(key)[:100] for key in long}) == len(long)
    assert from_iso(iso(1763870000123456789)) == 1763870000123456789


def test_a_killed_run_is_one_archive(tmp_path: Path) -> None:
    """What a killed Writer left, torn in the middle of a line, is cut back and goes on; a run that was closed goes on in a second archive."""
    script = (
        WRITER
        + """
out, _ = opened()
out.write(series(10)); first = out.flush()
out.write(series(10, 10)); out._put()
with next(folder.glob("*/messages.json")).open("ab") as file:
    file.write(b'{"payload":{"tor')
(next(folder.glob("*/messages.json")).parent / "99999999.png").write_bytes(b"of a record that is sent again")
opened(id="begun")
next(path for path in folder.glob("begun*/messages.json")).unlink()
out, held = opened(id="begun"); assert held.sequences == {}; out.close("finished", T0)
next(path for path in folder.glob("begun*")).unlink()
out, held = opened(position=first)
out.write(series(20, held.sequences["r0"])); second = out.flush(); out.close("finished", T0 + 10**9)
(archive,) = folder.glob("*.zip")
out, held = opened(position=second)
out.write(series(35)[held.sequences["r0"]:]); out.close("failed", T0 + 2 * 10**9)
print(json.dumps([points() == [n / 2 for n in range(35)], sorted(path.name for path in folder.iterdir()), out.place().hint]))
"""
    )
    whole, names, hint = json.loads(there(script, tmp_path, COMET_OFFLINE="1"))
    key = experiment_key("r")
    assert whole
    assert names == [f"{key}-000001.zip", f"{key}.zip"]
    assert hint == f"comet upload {tmp_path}/{key}.zip {tmp_path}/{key}-000001.zip"
    archives = [zipfile.ZipFile(tmp_path / name) for name in sorted(names, key=len)]
    metas = [json.loads(archive.read("experiment.json")) for archive in archives]
    assert [meta["resume_strategy"] for meta in metas] == ["create", "get"]
    assert [meta["customer_error_reported"] for meta in metas] == [False, True]
    assert all(meta["offline_id"] == key for meta in metas)
    assert "99999999.png" not in archives[0].namelist()


def test_the_sidecar_is_told_after_a_kill(tmp_path: Path) -> None:
    """Its announcement is cut off with all that came after the last flush."""
    script = (
        WRITER
        + """
out, _ = opened()
out.write(series(10)); held = out.flush(); out.attach(b"former", "0")
out, held = opened(position=held)
out.attach(b"sidecar", "1"); out.close("finished", T0)
print(adapter.reader(target).sidecar("r") == (b"sidecar", "1"))
"""
    )
    assert there(script, tmp_path, COMET_OFFLINE="1").split() == ["True"]


def test_many_archives_are_read_with_few_open_files(tmp_path: Path) -> None:
    script = (
        WRITER
        + """
import resource
for number in range(60):
    out, _ = opened(id=f"r{number}"); out.write(series(2)); out.close("finished", T0)
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
print(len(list(adapter.reader(target).runs())))
"""
    )
    assert there(script, tmp_path, COMET_OFFLINE="1").split() == ["60"]


def test_a_full_disk_is_an_outage(tmp_path: Path) -> None:
    assert there(WRITER + fresh.FULL_DISK, tmp_path, COMET_OFFLINE="1").split() == ["unavailable", "True"]


def test_online_the_server_gets_it_too(tmp_path: Path) -> None:
    script = (
        WRITER
        + """
out, _ = opened()
out.write(series(50)); out.flush()
print(out.place().mode, out.place().url)
out.close("finished", T0)
print(points() == [n / 2 for n in range(50)])
"""
    )
    with server() as (url, requests):
        printed = there(script, tmp_path, COMET_API_KEY="k" * 25, COMET_URL_OVERRIDE=url)
    key = experiment_key("r")
    assert printed.split() == ["online", f"http://127.0.0.1/w/p/{key}", "True"]
    sent = [item for item in lists(requests, "experiment/metric") if item["metricName"] == "y"]
    assert [(item["metricValue"], item["step"]) for item in sent] == [(n / 2, n) for n in range(50)]
    assert [item["timestamp"] for item in sent] == [1763870000123 + n for n in range(50)]
    assert not [name for name in (path.name for path in tmp_path.rglob("*")) if name.endswith(".zip") and name != f"{key}.zip"]


def test_a_flush_goes_on_while_a_file_does(tmp_path: Path) -> None:
    """With no patience at all: each look sees that more of it has arrived."""
    script = """
import time
from types import SimpleNamespace as Some
from trackbridge_adapters.comet import client
client.FLUSH_SECONDS, client.POLL_SECONDS = 0.0, 0.001
out, left = client.Online.__new__(client.Online), [3, 2, 1, 0]
def flush(timeout):
    if not left:
        out._open.clear()
def remaining_data():
    return (1, left.pop(0), 3) if left else (1, 0, 3)
out._open, out._experiment = {1}, Some(flush=flush)
out._streamer = Some(_file_upload_manager=Some(remaining_data=remaining_data))
out.flush()
out._open = {1}
out._experiment = Some(flush=lambda timeout: None)
try:
    out.flush()
except client.Unavailable as error:
    print(error)
"""
    assert "it took nothing" in there(script, tmp_path)


def test_a_key_that_is_refused_is_told_to_no_log(tmp_path: Path) -> None:
    """The client itself tells it, to its user's terminal; ours is a log."""
    script = (
        WRITER
        + """
os.dup2(1, 2)  # as the forwarder's log
try:
    opened()
except Unavailable as error:
    print(error)
"""
    )
    with server() as (url, _):
        Server.status = 400
        printed = there(script, tmp_path, COMET_API_KEY="k0" * 13, COMET_URL_OVERRIDE=url)
    assert "correct COMET_API_KEY" in printed
    assert "k0" * 13 not in printed


def test_dropped_writers_leave_no_threads_and_files(tmp_path: Path) -> None:
    """An outage drops a Writer; the client keeps the threads and a database of an experiment that another one takes the place of."""
    script = (
        WRITER
        + """
import threading
def kept():
    return threading.active_count(), len(os.listdir("/proc/self/fd")), len(os.listdir(os.environ["TMPDIR"]))
held, counts = None, []
for number in range(4):
    out, held = opened(position=held)
    out.write(series(10, 10 * number)); held = out.flush()
    counts.append(kept())
out.close("finished", T0)
print(json.dumps([counts, os.listdir(os.environ["TMPDIR"]), points() == [n / 2 for n in range(40)]]))
"""
    )
    (tmp_path / "temporary").mkdir()
    with server() as (url, _):
        variables = {"COMET_API_KEY": "k" * 25, "COMET_URL_OVERRIDE": url, "TMPDIR": str(tmp_path / "temporary")}
        counts, left, whole = json.loads(there(script, tmp_path, **variables).splitlines()[-1])
    assert whole
    assert all(after <= first + 2 for count in counts for after, first in zip(count, counts[0], strict=True)), counts
    assert left == []


def test_a_refused_address_is_an_outage(tmp_path: Path) -> None:
    script = (
        WRITER
        + """
begun = time.monotonic()
try:
    opened()
except Unavailable as error:
    print("unavailable", time.monotonic() - begun < 60)
"""
    )
    url = f"http://127.0.0.1:{free_port()}/clientlib/"
    begun = time.monotonic()
    assert there(script, tmp_path, COMET_API_KEY="k" * 25, COMET_URL_OVERRIDE=url).split() == ["unavailable", "True"]
    assert time.monotonic() - begun < 90


@pytest.mark.parametrize(
    ("variables", "config", "flavour"),
    [
        ({}, "", "offline"),
        ({"COMET_API_KEY": "k"}, "", "online"),
        ({"COMET_API_KEY": "k", "COMET_OFFLINE": "1"}, "", "offline"),
        ({"COMET_API_KEY": "k", "COMET_START_ONLINE": "False"}, "", "offline"),
        ({}, "[comet]\napi_key=k\n", "online"),
    ],
)
def test_the_clients_own_variables_decide(
    variables: dict[str, str], config: str, flavour: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("COMET_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COMET_CONFIG", str(tmp_path / "config"))
    (tmp_path / "config").write_text(config)
    assert adapter.capabilities(Target("comet")).flavour == flavour
    assert adapter.capabilities(Target("comet", options={"mode": "offline"})).flavour == "offline"
