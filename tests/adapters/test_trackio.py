"""What is trackio's own: its storage and dashboard, its names, one folder for a process. The conformance suite asks the rest."""

from __future__ import annotations

import contextlib
import json
import os
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from trackbridge_adapters.trackio import adapter
from trackbridge_adapters.trackio.layout import artifact_names, iso, project_name, shown, told

import trackbridge
from tests.adapters import fresh
from tests.adapters.own_servers import conversation, limiting_proxy, other_server, trackio_server
from tests.adapters.servers import free_port
from trackbridge.adapters import Target
from trackbridge.times import from_iso

WRITER = """
import sys, json, hashlib
from pathlib import Path
from trackbridge.adapters import Position, Target
from trackbridge.errors import Rejected, RunNotFound, Unavailable
from trackbridge.records import *
from trackbridge_adapters.trackio import adapter
folder = Path(sys.argv[1])
target = adapter.resolve(Target("trackio", str(folder)), folder)
T0 = 1763870000123456789
def series(count, first=0):
    return [Record("r0", n, Metrics(T0 + n, n, n, {"y": n / 2})) for n in range(first, first + count)]
def opened(id="r", name="r", project="p", position=None):
    out = adapter.writer(target)
    return out, out.open(RunInfo(id=id, name=name, project=project, start=T0, directory=folder / "journal"), position)
def points(id="r"):
    read = adapter.reader(target).read(id)
    return [value for record in read if isinstance(record.event, Metrics) for value in record.event.values.values()]
"""


def there(script: str, folder: Path, **variables: str) -> str:
    """Run `script` where trackio is; what it prints."""
    return fresh.there("trackio", script, folder, variables=os.environ | {"TRACKIO_DIR": str(folder), "HF_HUB_OFFLINE": "1", **variables})


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run as a user logs it: its folder in trackio, and its id."""
    work = tmp_path_factory.mktemp("delivered")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        patch.delenv("TRACKIO_DIR", raising=False)
        run = trackbridge.init(
            "vision", name="first", group="g", notes="why", config={"lr": 0.1, "odd": "0.5"}, tags=["a"], backend="trackio"
        )
        for step in range(3):
            trackbridge.log({"loss": 1 / (step + 1), "n": step, "step": 2**70, "_mine": True}, step=step)
        trackbridge.log({"results": trackbridge.Table(["metric", "value"], [["acc", 0.9], ["1", float("nan")]])}, step=3)
        Path("model.pt").write_bytes(b"weights")
        trackbridge.log_artifact("model.pt", type="model")
        run.summary["best"] = float("inf")
        report = trackbridge.finish()
        assert report.delivered, str(report)
    return work / "trackio-runs", run.id


def test_the_plain_client_sees_a_plain_run(delivered: tuple[Path, str]) -> None:
    """A user of trackio who never heard of us finds everything where it belongs."""
    folder, run_id = delivered
    script = """
import json, trackio
from trackio.sqlite_storage import SQLiteStorage as S
(run,) = trackio.Api().runs("vision")
values = {name: [(row["step"], row["value"]) for row in S.get_metric_values("vision", None, name, run_id=run.id)]
          for name in S.get_all_metrics_for_run("vision", run_id=run.id)}
art = S.get_artifact_manifest("vision", "model.pt", "latest")
print(json.dumps([run.id, run.name, run.config, values, [art["type"], art["producer_run_id"], art["manifest"][0]["path"]]]))
"""
    found_id, name, config, values, model = json.loads(there(script, folder))
    assert (found_id, name) == (run_id, "first")
    assert values["loss"] == [[0, 1.0], [1, 0.5], [2, 1 / 3]]
    assert values["n"] == [[0, 0], [1, 1], [2, 2]]
    assert values["·73·tep"] == [[step, float(2**70)] for step in range(3)]  # trackio overwrites `step`
    assert values["·5f·mine"] == [[step, True] for step in range(3)]
    table = [{"metric": "acc", "value": 0.9}, {"metric": '"1"', "value": "NaN"}]
    assert values["results"] == [[3, {"_type": "trackio.table", "_value": table}]]
    assert model == ["model", run_id, "model.pt"]
    assert {key: config[key] for key in ("lr", "odd", "_Group", "trackbridge/notes", "trackbridge/tags", "trackbridge/status")} == {
        "lr": 0.1, "odd": '"0.5"', "_Group": "g", "trackbridge/notes": "why", "trackbridge/tags": ["a"], "trackbridge/status": "finished",
    }  # fmt: skip
    assert config["trackbridge/summary/best"] == float("inf")
    assert config["trackbridge/deviations"] == {"retyped": 3}
    assert trackbridge.read(run_id, f"trackio:{folder}", sidecar=False).config == {"lr": 0.1, "odd": "0.5"}


def test_nothing_is_hidden(delivered: tuple[Path, str]) -> None:
    """Beside what its reader returns, the tables hold our ids of rows and nothing else, and the folder holds what artifacts and media name."""
    folder, run_id = delivered
    script = """
import json, sqlite3, sys
db = sqlite3.connect(sys.argv[1] + "/vision.db")
tables = [name for (name,) in db.execute("select name from sqlite_master where type = 'table' and name not like 'sqlite_%'")]
print(json.dumps({name: [list(map(str, row)) for row in db.execute(f"select * from {name}")] for name in tables}))
"""
    tables = {name: rows for name, rows in json.loads(there(script, folder)).items() if rows}
    assert sorted(tables) == ["artifact_aliases", "artifact_versions", "artifacts", "configs", "metrics", "run_artifact_links"]
    for _, row_id, _, name, _, _, log_id, space in tables["metrics"]:
        assert (row_id, name, space) == (run_id, "first", "None")
        assert log_id.startswith(run_id)
    ours = {key for key in json.loads(tables["configs"][0][3].removeprefix("b'").removesuffix("'").replace("\\\\", "\\")) if "/" in key}
    words = ("project", "status", "end", "tags", "notes", "provenance", "summary/best", "sidecar", "deviations")
    assert ours == {f"trackbridge/{word}" for word in words}
    assert sorted(row[1] for row in tables["artifacts"]) == ["model.pt", f"trackbridge-journal-{run_id}"]
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".db", ".lock", ".db-wal", ".db-shm")]
    assert len(files) == 2, files


def test_a_full_disk_is_an_outage(tmp_path: Path) -> None:
    """What was confirmed stays, and a Writer after the outage writes the rest once."""
    script = """
import resource
out, _ = opened()
out.write(series(100))
held = out.flush()
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
try:
    out.write(series(30_000, 100))
    out.flush()
except Unavailable as error:
    print("outage:", error)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
out, again = opened(position=held)
assert again == held
out.write(series(30_000, 100))
out.flush()
out, nothing = opened()  # the cursor was lost: all comes again
assert not nothing.sequences
out.write(series(30_100))
out.flush()
assert points() == [n / 2 for n in range(30_100)]
"""
    assert there(WRITER + script, tmp_path / "trackio").startswith("outage:")


def test_a_folder_that_cannot_be_made_is_an_outage(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    script = """
try:
    opened()
except Unavailable as error:
    print("outage")
"""
    assert there(WRITER + script, tmp_path / "file").split() == ["outage"]


def test_projects_and_artifacts_stay_apart(tmp_path: Path) -> None:
    """trackio itself keeps the projects `my.model` and `mymodel` in one file, and refuses an artifact's name with another type."""
    projects = ["my.model", "mymodel", "my model", "", "default", "registry-x", "m_artifacts", "größe", "损失", "x" * 300]
    names = [project_name(name) for name in projects]
    assert len(set(names)) == len(projects) - 1  # "" is "default"
    assert project_name("my-model_2") == "my-model_2"
    assert project_name("größe") == "größe"
    assert artifact_names("a b", "t") != artifact_names("a_b", "t")
    script = """
import os
(folder / "journal" / "files").mkdir(parents=True)
for number, project in enumerate(["my.model", "mymodel"]):
    out, _ = opened(f"run{number}", project=project)
    for kind in ("model", "data"):
        data = kind.encode()
        ref = FileRef("w.bin", hashlib.sha256(data).hexdigest(), len(data))
        (folder / "journal" / "files" / ref.digest).write_bytes(data)
        out.write([Record("r0", 0, Artifact(T0, "weights", kind, [ref]))])
    out.close("finished", T0)
reader = adapter.reader(target)
assert [(run.id, run.project) for run in reader.runs()] == [("run0", "my.model"), ("run1", "mymodel")]
arts = [record.event for record in reader.read("run0") if isinstance(record.event, Artifact)]
assert [(art.name, art.type) for art in arts] == [("weights", "model"), ("weights", "data")], arts
assert [run.project for run in adapter.reader(Target("trackio", str(folder), "mymodel")).runs()] == ["mymodel"]
"""
    there(WRITER + script, tmp_path / "trackio")


def test_the_users_own_folder_is_set_back(tmp_path: Path) -> None:
    """trackio knows one folder for a process; a process that reads another keeps its own."""
    script = """
import trackio
from trackio import utils
before = utils.TRACKIO_DIR, utils.MEDIA_DIR
out, _ = opened()
out.write(series(3))
out.close("finished", T0)
list(adapter.reader(target).read("r"))
assert (utils.TRACKIO_DIR, utils.MEDIA_DIR) == before and str(before[0]) == "/nowhere"
"""
    there(WRITER + script, tmp_path / "trackio", TRACKIO_DIR="/nowhere")


def test_what_others_wrote_is_read(tmp_path: Path) -> None:
    script = """
import trackio
run = trackio.init(project="theirs", name="n", group="g", config={"a": "1", "b": {"c": 2}}, auto_log_cpu=False, auto_log_gpu=False)
for step in range(3):
    trackio.log({"loss": step / 4, "text": trackio.Markdown("hi")}, step=step)
trackio.finish()
(found,) = adapter.reader(target).runs()
assert (found.name, found.project, found.group, found.status) == ("n", "theirs", "g", "finished"), found
events = [record.event for record in adapter.reader(target).read(found.id)]
assert [event.values for event in events if isinstance(event, Config)] == [{"a": "1", "b": {"c": 2}}]
assert points(found.id) == [0.0, 0.25, 0.5]
assert [event.inline for event in events if isinstance(event, Media)] == ["hi"] * 3
try:
    list(adapter.reader(target).read("no such run"))
except RunNotFound:
    print("not found")
"""
    assert "not found" in there(WRITER + script, tmp_path / "trackio")


@pytest.mark.server
def test_the_dashboard_serves_it(delivered: tuple[Path, str]) -> None:
    folder, run_id = delivered
    shown = adapter.ui(Target("trackio", str(folder)))
    assert shown == ["env", f"TRACKIO_DIR={folder}", "GRADIO_SERVER_PORT={port}", "trackio", "show", "--host", "{host}"]

    def ask(what: str, **body: Any) -> Any:
        request = urllib.request.Request(f"{url}/api/{what}", json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as response:
            return json.loads(response.read())

    with trackio_server(folder, "secret") as url:
        run = {"project": "vision", "run": "first", "run_id": run_id}
        summary = ask("get_run_summary", **run)
        summary = summary.get("data", summary)
        assert "loss" in json.dumps(summary)
        assert "trackbridge/status" in json.dumps(summary)
        assert "0.5" in json.dumps(ask("get_metric_values", **run, metric_name="loss"))


@pytest.mark.parametrize("value", [0.1, 3, True, None, "adam", "0.5", "NaN", "", float("inf"), 2**70, [1, float("nan")], {}, {"a": "1"}])
def test_a_value_of_the_configuration_comes_back(value: object) -> None:
    assert repr(told(json.loads(json.dumps(shown(value))))) == repr(value)


def test_times_keep_their_from_iso() -> None:
    for time in (0, 1, 1_763_870_000_123_456_789, -1, 10**18 - 1):
        assert from_iso(iso(time)) == time
    assert from_iso("2020-01-01T00:00:00+00:00") == 1_577_836_800 * 10**9
    assert iso(5) < iso(10) < iso(10**9)  # trackio sorts by the text


def test_locations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRACKIO_DIR", raising=False)
    assert adapter.resolve(Target("trackio"), tmp_path).location == str(tmp_path / "trackio-runs")
    monkeypatch.setenv("TRACKIO_DIR", "mine")
    assert adapter.resolve(Target("trackio"), tmp_path).location == str(tmp_path / "mine")


SERVER = (
    WRITER.replace('Target("trackio", str(folder))', 'Target.parse("trackio:" + sys.argv[2])')
    + """
def steps(read):
    return [record.event.step for record in read if isinstance(record.event, Metrics)]
def attempt(action):
    try:
        action()
    except Unavailable as error:
        assert "secret" not in str(error), error
        print("unavailable:", error)
    else:
        raise AssertionError("it went")
"""
)


def at_server(script: str, url: str, folder: Path, *more: str, token: str = "secret") -> str:
    folder.mkdir(exist_ok=True)
    variables = {name: value for name, value in os.environ.items() if not name.startswith("TRACKIO_")} | {"TRACKIO_WRITE_TOKEN": token}
    return fresh.there("trackio", SERVER + script, folder, url, *more, variables=variables)


@pytest.mark.server
def test_a_server_is_logged_to_without_showing_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the URL that trackio shows. The plain client finds the run on the server's side, and the token is in no file and no argument."""
    monkeypatch.chdir(tmp_path)
    server, seen = tmp_path / "server", tmp_path / "seen"
    config = {"lr": 0.1, "x": {"path": "p", "meta": "m"}, "inf": float("inf")}  # the client takes such a mapping for a file, and fails
    with trackio_server(server, "secret") as url:
        monkeypatch.setenv("TRACKIO_SERVER_URL", f"{url}?write_token=secret")
        run = trackbridge.init("vision", config=config, backend="trackio")
        trackbridge.log({"loss": 0.5, "nan": float("nan"), "path": "p", "meta": 1}, step=0)
        Path("data.db").write_bytes(b"rows")
        trackbridge.log({"data": trackbridge.File("data.db")}, step=1)
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError), seen.open("ab") as out:
                out.write(process.read_bytes())
        report = trackbridge.finish()
        assert report.delivered, str(report)
        assert url in str(report)
        monkeypatch.delenv("TRACKIO_SERVER_URL")
        found = trackbridge.read(run.id, f"trackio:{url}", sidecar=False)
        assert found.config == config
        (media,) = found.media
        assert media.file is not None
        assert media.file.size == 4
    script = """
import json, trackio
from trackio.sqlite_storage import SQLiteStorage as S
(run,) = trackio.Api().runs("vision")
print(json.dumps([run.id, [row["value"] for row in S.get_metric_values("vision", None, "loss", run_id=run.id)]]))
"""
    assert json.loads(there(script, server)) == [run.id, [0.5]]
    (tmp_path / "server.log").unlink()  # where trackio itself prints the URL
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert seen in files
    assert not [path for path in files if b"secret" in path.read_bytes()]


@pytest.mark.server
def test_a_server_that_is_restarted_in_mid_run_has_everything_once(tmp_path: Path) -> None:
    script = """
import time
out, held = opened()
out.write(series(100)); held = out.flush()
out.write(series(50, 100))
print("stop", flush=True); sys.stdin.readline()
attempt(out.flush)
attempt(opened)
print("start", flush=True); sys.stdin.readline()
out, again = opened(position=held)
assert again == held, again
out.write(series(100, 100)); out.close("finished", T0)
out, nothing = opened()  # the cursor was lost: all comes again
assert not nothing.sequences
out.write(series(200)); out.close("finished", T0)
read = list(adapter.reader(target).read("r"))
assert points() == [n / 2 for n in range(200)] and steps(read) == list(range(200))
assert [run.status for run in adapter.reader(target).runs()] == ["finished"]
"""
    server, port = tmp_path / "server", free_port()
    with contextlib.ExitStack() as first:
        url = first.enter_context(trackio_server(server, "secret", port))
        with conversation("trackio", SERVER + script, tmp_path, url, variables=os.environ | {"TRACKIO_WRITE_TOKEN": "secret"}) as (
            ask,
            end,
        ):
            assert ask() == "stop"
            first.close()
            assert "unavailable" in ask("go on")
            assert "unavailable" in ask()
            assert ask() == "start"
            with trackio_server(server, "secret", port):
                end("go on")


@pytest.mark.server
def test_what_a_server_did_not_write_is_not_confirmed(tmp_path: Path) -> None:
    """trackio's server says yes when its disk is full."""
    script = """
out, held = opened()
out.write(series(100)); held = out.flush()
def more():
    out.write(series(9900, 100)); out.flush()
if sys.argv[3] == "full":
    attempt(more)
    print(held.sequences)
else:
    out, held = opened(position=Position({"r0": 100}))
    more(); out.close("finished", T0)
    assert points() == [n / 2 for n in range(10_000)]
"""
    with trackio_server(tmp_path / "server", "secret", most=600_000) as url:
        assert "did not write it" in at_server(script, url, tmp_path / "client", "full")
    with trackio_server(tmp_path / "server", "secret") as url:
        at_server(script, url, tmp_path / "client", "free")


@pytest.mark.server
def test_requests_are_as_small_as_a_proxy_wants_them(tmp_path: Path) -> None:
    script = """
out, _ = opened()
out.write(series(3000)); out.close("finished", T0)
assert points() == [n / 2 for n in range(3000)]
out, _ = opened("s")
out.write([Record("r0", 0, Config(T0, {"notes": "n" * 60_000}))])
attempt(out.flush)
"""
    with trackio_server(tmp_path / "server", "secret") as url, limiting_proxy(url, 50_000) as proxy:
        assert "413" in at_server(script, proxy, tmp_path / "client")


@pytest.mark.server
def test_a_wrong_token_is_an_outage_with_a_remedy(tmp_path: Path) -> None:
    with trackio_server(tmp_path / "server", "secret") as url:
        for token in ("wrong", ""):
            assert "TRACKIO_WRITE_TOKEN" in at_server("attempt(opened)", url, tmp_path / "client", token=token)
        for own in (url.replace("//", "//:secret@"), f"{url}/?write_token=secret&project=p"):
            at_server("opened()", own, tmp_path / "client", token="wrong")
        at_server(
            """
out, _ = opened()
out.write(series(3)); out.flush()
data = FileRef("w.bin", hashlib.sha256(b"w").hexdigest(), 1)
(folder / "journal" / "files").mkdir(parents=True)
(folder / "journal" / "files" / data.digest).write_bytes(b"w")
try:
    out.write([Record("r0", 3, Artifact(T0, "weights", "", [data]))])
except Rejected as error:
    assert error.index == 0 and "type" in str(error), error
else:
    raise AssertionError("a server takes no artifact without a type")
""",
            url,
            tmp_path / "client",
        )


def test_a_server_that_is_away_or_another_is_an_outage(tmp_path: Path) -> None:
    assert "unavailable" in at_server("attempt(opened)", f"http://127.0.0.1:{free_port()}", tmp_path / "client")
    with other_server() as url:
        assert "unavailable" in at_server("attempt(opened)", url, tmp_path / "client")


def test_locations_of_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is among the credentials, whichever way it was given, and the text of the target has none."""
    monkeypatch.delenv("TRACKIO_DIR", raising=False)
    for text in (
        "http://h:1?write_token=to%2Bken",
        "http://h:1/?project=p&write_token=to%2Bken",
        "http://:to%2Bken@h:1",
        "http://to%2Bken@h:1/",
    ):
        target = adapter.resolve(Target.parse(f"trackio:{text}#mine"), tmp_path)
        assert (str(target), target.credentials.strip(":")) == ("trackio:http://h:1#mine", "to+ken")
        assert adapter.resolve(target, tmp_path) == target
        monkeypatch.setenv("TRACKIO_SERVER_URL", text)
        assert adapter.resolve(Target.parse("trackio#mine"), tmp_path) == target
        assert adapter.resolve(Target.parse("trackio:here"), tmp_path).location == str(tmp_path / "here")
    assert adapter.capabilities(target).flavour == "server"
    assert adapter.ui(target) == []
    monkeypatch.setenv("TRACKIO_SERVER_URL", "h:1")
    with pytest.raises(trackbridge.errors.SettingsError, match="no URL"):
        adapter.resolve(Target("trackio"), tmp_path)
    with pytest.raises(trackbridge.errors.SettingsError, match="HOST:PORT"):
        adapter.resolve(Target("trackio", "hf://space"), tmp_path)
