"""What is Aim's own: its queries and server, its hash of steps, its index and locks. The conformance suite asks the rest."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from trackbridge_adapters.aim import adapter
from trackbridge_adapters.aim.layout import KEYS, SEQUENCES, is_distribution, run_hash, shown, told

import trackbridge
from tests.adapters import fresh
from tests.adapters.own_servers import aim_server, conversation, other_server
from tests.adapters.servers import answers, free_port
from trackbridge import environments
from trackbridge.adapters import Target
from trackbridge.errors import SettingsError

WRITER = """
import sys, json, hashlib
from pathlib import Path
from trackbridge.adapters import Position, Target
from trackbridge.errors import Rejected, RunNotFound, Unavailable
from trackbridge.records import *
from trackbridge_adapters.aim import adapter
from trackbridge_adapters.aim.layout import run_hash
folder = Path(sys.argv[1])
target = adapter.resolve(Target("aim", str(folder)), folder)
T0 = 1763870000_000000000
def call(n, step, time=0, **values):
    return Record("r0", n, Metrics(T0 + time, n, step, values))
def series(count, first=0):
    return [call(n, n, n, y=n / 2) for n in range(first, first + count)]
def opened(id="r", position=None):
    out = adapter.writer(target)
    return out, out.open(RunInfo(id=id, name=id, project="p", start=T0, directory=folder / "journal"), position)
def points(id="r", key="y"):
    read = [record.event for record in adapter.reader(target).read(id)]
    return [(event.step, event.values[key]) for event in read if isinstance(event, Metrics) and key in event.values]
def theirs(id="r"):
    from aim import Repo
    return Repo(str(folder)).get_run(run_hash(id))
"""


def there(script: str, folder: Path) -> str:
    """Run `script` where Aim is; what it prints."""
    return fresh.there("aim", script, folder)


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run as a user logs it: its repository, and its id."""
    work = tmp_path_factory.mktemp("delivered")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        config = {"lr": 0.1, "odd": "0.5", "summary": 1, "net": {"depth": 3, "": 2**70}}
        run = trackbridge.init("vision", name="first", group="g", notes="why", config=config, tags=["a"], backend="aim")
        for step in range(3):
            trackbridge.log({"loss": 1 / (step + 1), "n": step, "phase": "warm"}, step=step)
        trackbridge.log({"loss": 7.0}, step=1)
        trackbridge.log({"results": trackbridge.Table(["metric", "value"], [["acc", 0.9]])}, step=3)
        Path("model.pt").write_bytes(b"weights")
        trackbridge.log_artifact("model.pt", type="model")
        run.summary["best"] = float("inf")
        run.config.update(net={"width": 2})
        report = trackbridge.finish()
        assert report.delivered, str(report)
    return work / "aim-runs", run.id


def test_the_plain_client_sees_a_plain_run(delivered: tuple[Path, str]) -> None:
    """A user of Aim who never heard of us finds everything where it belongs, by Aim's queries."""
    folder, run_id = delivered
    script = """
import json, sys
from pathlib import Path
from aim import Repo
repo = Repo(sys.argv[1])
(found,) = [one.run for one in repo.query_runs("run.lr == 0.1 and run.experiment == 'vision' and 'a' in run.tags", report_mode=0).iter_runs()]
series = {}
for one in repo.query_metrics("run.summary.best > 1e300", report_mode=0).iter_runs():
    for metric in one:
        steps, (values, _, times) = metric.data.items_list()
        series[metric.name + json.dumps(metric.context.to_dict())] = [steps, values]
texts = {m.name: [t.data for t in m.values.values_list()] for one in repo.query_texts("", report_mode=0).iter_runs() for m in one}
files = {name: Path(one.uri.removeprefix("file://")).read_bytes().decode("latin-1") for name, one in found.artifacts.items()}
print(json.dumps([found.hash, found.name, found.description, found.active, found[...], series, texts, files]))
"""
    found_hash, name, notes, active, params, series, texts, files = json.loads(there(script, folder))
    assert (found_hash, name, notes, active) == (run_hash(run_id), "first", "why", False)
    assert series == {"loss{}": [[0, 1, 2], [1.0, 0.5, 1 / 3]], 'loss{"repeat": 1}': [[1], [7.0]], "n{}": [[0, 1, 2], [0.0, 1.0, 2.0]]}
    assert texts["phase"] == ["warm"] * 3
    assert json.loads(texts["results"][0]) == {"columns": ["metric", "value"], "rows": [["acc", 0.9]]}
    ours = params.pop("trackbridge")
    assert params == {
        "lr": 0.1,
        "odd": "0.5",
        "·73·ummary": 1,
        "net": {"width": 2},
        "summary": {"best": float("inf")},
    }
    assert {key: ours[key] for key in ("id", "group", "status")} == {"id": run_id, "group": "g", "status": "finished"}
    assert files.pop("artifacts/model.pt/model/model.pt") == "weights"
    assert list(files) == ["trackbridge/journal.tbj.z"]
    config = {"lr": 0.1, "odd": "0.5", "summary": 1, "net": {"width": 2}}
    assert trackbridge.read(run_id, f"aim:{folder}", sidecar=False).config == config


def test_nothing_is_hidden(delivered: tuple[Path, str]) -> None:
    """The run's part of the repository holds what Aim's own tracker writes, our parameters, and nothing else."""
    folder, run_id = delivered
    script = """
import json, sys
from aim import Repo
repo = Repo(sys.argv[1])
(name,) = repo.list_all_runs()
meta = repo.request_tree("meta", name, read_only=True).subtree("meta")
run = meta.subtree("chunks").subtree(name)
seqs = repo.request_tree("seqs", name, read_only=True).subtree("seqs")
columns = set()
for tree in (seqs.subtree(("chunks", name)), seqs.subtree(("v2", "chunks", name))):
    for context in tree.keys():
        for key in tree.subtree(context).keys():
            columns.update(tree.subtree((context, key)).keys())
print(json.dumps([sorted(meta.keys()), sorted(run.keys()), sorted(run["attrs", "trackbridge"]), sorted(columns)]))
"""
    meta, run, ours, columns = json.loads(there(script, folder))
    assert meta == ["attrs", "chunks", "contexts", "traces_types"]
    assert run == ["artifacts", "artifacts_uri", "attrs", "contexts", "end_time", "traces", "typed_traces"]
    assert set(ours) == {"id", "group", "status", "sidecar", "deviations", "provenance"}
    assert columns == ["epoch", "step", "time", "val"]
    files = [
        path.relative_to(folder / ".aim" / "artifacts" / run_hash(run_id))
        for path in (folder / ".aim" / "artifacts").rglob("*.*")
        if path.is_file()
    ]
    assert sorted(map(str, files)) == ["artifacts/model.pt/model/model.pt", "trackbridge/journal.tbj.z"]


def test_batches_are_what_aims_tracker_writes(tmp_path: Path) -> None:
    """The same points by Aim's `track` leave the same values and the same description of each sequence."""
    script = """
from aim import Repo, Run
nan, inf = float("nan"), float("inf")
given = {"up": [(s, s / 4) for s in range(40)], "down": [(40 - s, s / 4) for s in range(40)], "odd": [(0, nan), (1, -inf), (2, 3.5), (3, inf), (4, nan)],
         "kinds": [(0, 1), (1, 2.5), (2, -7), (3, 2**62 + 1)], "negative": [(-9, 1.0), (-2, 3.0), (-5, 2.0)], "sparse": [(5, -0.0), (10**6, 5e-324)], "peak": [(0, 0.0), (1, 9.0), (2, -9.0), (3, 1.0)]}
out, _ = opened()
records = [call(0, s, 10**9 * n, **{key: v}) for key, rows in given.items() for n, (s, v) in enumerate(rows)]
for first in range(0, len(records), 7):
    out.write(records[first : first + 7])
    out.flush()
out.close("finished", T0)
run = Run(repo=Repo.from_path(str(folder)), system_tracking_interval=None, capture_terminal_logs=False)
for key, rows in given.items():
    for n, (s, v) in enumerate(rows):
        run._tracker._track(v, T0 / 1e9 + n, key, s)
other = run.hash
run.close()
def tree(name):
    repo = Repo(str(folder))
    meta = repo.request_tree("meta", name, read_only=True).subtree(("meta", "chunks", name))
    seqs = repo.request_tree("seqs", name, read_only=True).subtree(("seqs", "v2", "chunks", name))
    columns = [(c, k, {name: dict(seqs.subtree((c, k)).array(name).items()) for name in ("step", "val", "time", "epoch")})
               for c in seqs.keys() for k in seqs.subtree(c).keys()]
    return repr([meta["traces"], meta["typed_traces"], meta["contexts"], columns])
ours, aims = tree(run_hash("r")), tree(other)
assert len(ours) > 5000 and ours == aims, ours + "\\n" + aims
"""
    there(WRITER + script, tmp_path / "aim")


def test_steps_that_share_a_place_are_kept(tmp_path: Path) -> None:
    """Aim hashes a step as a double, and holds one point in each place: of 2**53 and 2**53 + 1, and of repeated steps, it would keep the last."""
    script = """
out, _ = opened()
steps = [2**53, 2**53 + 1, 2**62, 2**62 + 1, 4, 4, 4, 4, 3, 3, -2, -2, 5]
records = [call(n, step, n, y=float(n)) for n, step in enumerate(steps)]
records.insert(8, call(7, 4, 7, y=7.0))  # as it comes after a kill
for record in records:
    out.write([record])
out.flush()
assert sorted(points()) == sorted((step, float(n)) for n, step in enumerate(steps)), points()
held = {metric.context.to_dict().get("repeat", 0): len(metric.values.values_list()) for metric in theirs().metrics()}
assert held == {0: 6, 1: 5, 2: 1, 3: 1}, held
out.close("finished", T0)
out, nothing = opened()  # the cursor was lost: all comes again, to another process's Writer
out.write(records)
out.close("finished", T0)
assert len(points()) == len(steps)
"""
    there(WRITER + script, tmp_path / "aim")


def test_a_full_disk_is_an_outage(tmp_path: Path) -> None:
    """What was confirmed stays, and a Writer of the same process that comes after the outage writes the rest."""
    script = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
out, _ = opened()
out.write(series(100))
held = out.flush()
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, hard))
try:
    for first in range(100, 20_100, 1000):
        out.write(series(1000, first))
    out.flush()
except Unavailable as error:
    print("outage:", error)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
del out
out, again = opened(position=held)
assert again == held
out.write(series(20_000, 100))
out.close("finished", T0)
assert points() == [(n, n / 2) for n in range(20_100)]
"""
    assert there(WRITER + script, tmp_path / "aim").startswith("outage:")


def test_an_artifact_with_a_folder_where_its_last_version_had_a_file_does_not_stop_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "data").write_bytes(b"1")
    (tmp_path / "two" / "data").mkdir(parents=True)
    (tmp_path / "two" / "data" / "part").write_bytes(b"2")
    trackbridge.init("shapes", backend="aim")
    for folder in ("one", "two"):
        trackbridge.log_artifact(folder, name="dataset", type="dataset")
        trackbridge.log({"loss": 0.5})
    report = trackbridge.finish()
    assert [(target.state, target.dead) for target in report.targets] == [("delivered", 1)]
    assert "trackbridge sync" not in str(report), "nothing is pending"


def test_a_folder_that_cannot_be_made_is_an_outage(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert there(WRITER + fresh.NO_FOLDER, tmp_path / "file").split() == ["outage"]


def test_an_index_that_another_process_holds_is_an_outage_in_bounded_time(tmp_path: Path) -> None:
    script = """
import subprocess, time
from trackbridge_adapters.aim import writer
out, _ = opened()
out.write(series(10))
hold = "import sys, time; from aim import Repo; tree = Repo(sys.argv[1])._get_index_tree('meta', 0); tree.keys_eager(); print('held', flush=True); time.sleep(float(sys.argv[2]))"
def holder(seconds):
    other = subprocess.Popen([sys.executable, "-I", "-c", hold, str(folder), seconds], stdout=subprocess.PIPE)
    assert other.stdout.readline() == b"held\\n"
    return other
other = holder("100")
writer.INDEX_SECONDS, begin = 1.0, time.monotonic()
try:
    out.flush()
except Unavailable as error:
    print("outage", time.monotonic() - begin < 20)
other.kill()
other.wait()
writer.INDEX_SECONDS = 30.0
other = holder("1.5")
assert out.flush().sequences == {"r0": 10}  # it waited
other.wait()
out.close("finished", T0)
assert points() == [(n, n / 2) for n in range(10)]
"""
    assert there(WRITER + script, tmp_path / "aim").split() == ["outage", "True"]


def test_an_entry_that_was_replaced_leaves_nothing_in_the_index(tmp_path: Path) -> None:
    script = """
out, _ = opened()
for number, value in enumerate([{"depth": 3, "deep": {"a": 1}}, {"width": 2}, 5]):
    out.write([Record("r0", number, Config(T0, {"net": value}))])
    out.flush()
    assert theirs()["net"] == value, theirs()[...]
out.close("finished", T0)
"""
    there(WRITER + script, tmp_path / "aim")


def test_what_others_wrote_is_read(tmp_path: Path) -> None:
    script = """
from aim import Repo, Run, Text
from aim.sdk.index_manager import RepoIndexManager
repo = Repo.from_path(str(folder), init=True) if folder.mkdir(parents=True) is None else None
run = Run(repo=repo, experiment="theirs", system_tracking_interval=None, capture_terminal_logs=False)
run["hparams"] = {"lr": 0.5, "text": "json:[1]"}
run.add_tag("t")
for step in range(3):
    run.track(step / 4, name="loss", step=step, context={"subset": "val"})
run.track(Text("hi"), name="note", step=1)
name = run.hash
run.close()
RepoIndexManager(repo).index(name)
(found,) = adapter.reader(target).runs()
assert (found.id, found.project, found.tags, found.status) == (name, "theirs", ("t",), "finished"), found
events = [record.event for record in adapter.reader(target).read(name)]
assert [event.values for event in events if isinstance(event, Config)] == [{"hparams": {"lr": 0.5, "text": "json:[1]"}}]
assert points(name, 'loss {"subset": "val"}') == [(0, 0.0), (1, 0.25), (2, 0.5)]
assert [event.inline for event in events if isinstance(event, Media)] == ["hi"]
try:
    list(adapter.reader(target).read("no such run"))
except RunNotFound:
    print("not found")
"""
    assert "not found" in there(WRITER + script, tmp_path / "aim")


def test_a_long_run_does_not_use_up_what_watches_files(tmp_path: Path) -> None:
    """A user has 128 inotify instances, and Aim's index takes one each time that it is made."""
    script = """
import os
def instances():
    links = [Path("/proc/self/fd", name) for name in os.listdir("/proc/self/fd")]
    return sum("inotify" in os.readlink(link) for link in links if link.is_symlink())
for attempt in range(3):
    out, held = opened()
    for n in range(4):
        out.write([call(n, n, y=float(n))]); out.flush()
    print(instances(), end=" ")
out.close("finished", T0)
print(points() == [(n, float(n)) for n in range(4)])
"""
    assert there(WRITER + script, tmp_path / "aim").split() == ["1", "1", "1", "True"]


def test_a_moved_repository_keeps_its_files(delivered: tuple[Path, str], tmp_path: Path) -> None:
    """Aim records where an artifact lies as an absolute address."""
    folder, run_id = delivered
    moved = tmp_path / "moved"
    folder.rename(moved)
    try:
        script = f"""
read = adapter.reader(target)
(model,) = [record.event for record in read.read({run_id!r}) if isinstance(record.event, Artifact)]
assert [(file.path, file.digest) for file in model.files] == [("model.pt", hashlib.sha256(b"weights").hexdigest())]
sidecar, digest = read.sidecar({run_id!r})
assert hashlib.sha256(sidecar).hexdigest() == digest
"""
        there(WRITER + script, moved)
    finally:
        moved.rename(folder)


@pytest.mark.server
def test_the_server_shows_it(delivered: tuple[Path, str], tmp_path: Path) -> None:
    folder, run_id = delivered
    port = free_port()
    command = adapter.ui(Target("aim", str(folder)))
    assert command[1:] == ["AIM_UI_TELEMETRY_ENABLED=0", "aim", "up", "--repo", str(folder), "--host", "{host}", "--port", "{port}"]
    binary = environments.create("aim").interpreter.with_name("aim")
    environment = os.environ | {"AIM_UI_TELEMETRY_ENABLED": "0", "PATH": f"{binary.parent}:{os.environ['PATH']}"}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(binary), *command[3:6], "--host", "127.0.0.1", "--port", str(port)],
            env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}/api"

    def ask(what: str, data: Any = None) -> Any:
        body = None if data is None else json.dumps(data).encode()
        with urllib.request.urlopen(
            urllib.request.Request(f"{url}/{what}", body, {"Content-Type": "application/json"}), timeout=30
        ) as response:
            return json.loads(response.read())

    try:
        answers(url + "/projects/", process, tmp_path / "log")
        found = ask(f"runs/{run_hash(run_id)}/info")
        assert (found["props"]["name"], found["params"]["lr"], found["props"]["experiment"]["name"]) == ("first", 0.1, "vision")
        assert {one["name"] for one in found["traces"]["metric"]} == {"loss", "n"}
        (loss,) = ask(f"runs/{run_hash(run_id)}/metric/get-batch", [{"name": "loss", "context": {}}])
        assert (loss["iters"], loss["values"]) == ([0, 1, 2], [1.0, 0.5, 1 / 3])
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("value", [0.1, 3, True, None, "adam", "json:", "", 2**70, -(2**63), [1, 2**64], {}, [], {"a": {"": "json:[]"}}])
def test_a_parameter_comes_back(value: object) -> None:
    assert repr(told(shown(value))) == repr(value)


@pytest.mark.parametrize(
    ("edges", "counts", "even"),
    [
        ([0.0, 1.0, 2.0], [1, 2], True),
        ([0, 1, 2], [0.5, 1.5], True),
        ([0.0, 1.0, 3.0], [1, 2], False),
        ([0.0, 1.0, 2.0], [1, 2.5], False),
        ([0.0, 1.0, 2.0], [1, 2**63], False),
        ([0.0, 1.0], [True], False),
        ([], [], False),
        ([i / 10 for i in range(11)], [1] * 10, False),  # 3 * (1.0 / 10) is not 0.3
    ],
)
def test_what_a_distribution_gives_back(edges: list[float], counts: list[float], even: bool) -> None:
    assert is_distribution({"edges": edges, "counts": counts}) is even


def test_locations_and_names(tmp_path: Path) -> None:
    assert adapter.resolve(Target("aim"), tmp_path).location == str(tmp_path / "aim-runs")
    for location in ("a#b", "a?b", "http://127.0.0.1:43800"):
        with pytest.raises(SettingsError):
            adapter.resolve(Target("aim", location), tmp_path)
    server = Target("aim", "aim://127.0.0.1:53800")
    assert adapter.resolve(server, tmp_path) == server
    assert adapter.capabilities(server).flavour == "server"
    assert adapter.ui(server) == []
    keys = ["", "··", "summary", "·73·ummary", "trackbridge", "__x", "a", "summary/x"]
    assert len(set(map(KEYS.encode, keys))) == len(keys)
    assert KEYS.encode("summary/x") == "summary/x"


SERVER = (
    WRITER.replace('Target("aim", str(folder))', 'Target("aim", sys.argv[2])')
    + """
def attempt(action):
    try:
        action()
    except Unavailable as error:
        print("unavailable:", error)
    else:
        raise AssertionError("it went")
"""
)


@pytest.mark.server
def test_a_run_of_a_server_is_one_of_its_repository(tmp_path: Path) -> None:
    """As a user logs it; on the server's side Aim's own queries find it, and Aim's page needs nothing further."""
    with pytest.MonkeyPatch.context() as patch, aim_server(tmp_path / "server") as url:
        patch.chdir(tmp_path)
        run = trackbridge.init("vision", name="first", config={"lr": 0.1}, tags=["a"], backend=f"aim:{url}")
        for step in range(3):
            trackbridge.log({"loss": 1 / (step + 1)}, step=step)
        trackbridge.log({"loss": 7.0}, step=1)
        Path("model.pt").write_bytes(b"weights")
        trackbridge.log_artifact("model.pt", type="model")
        report = trackbridge.finish()
        assert report.delivered, str(report)
        assert "unsupported 1" in str(report)
        found = trackbridge.read(run.id, f"aim:{url}")
        assert found.config == {"lr": 0.1}
    script = """
import json, sys
from aim import Repo
repo = Repo(sys.argv[1])
(found,) = [one.run for one in repo.query_runs("run.lr == 0.1 and run.experiment == 'vision' and 'a' in run.tags", report_mode=0).iter_runs()]
print(json.dumps([found.hash, found.name, found.active, [m.values.values_list() for m in found.metrics()]]))
"""
    assert json.loads(there(script, tmp_path / "server")) == [run_hash(run.id), "first", False, [[1.0, 0.5, 1 / 3], [7.0]]]


@pytest.mark.server
def test_a_server_that_is_restarted_in_mid_run_has_everything_once(tmp_path: Path) -> None:
    script = """
from trackbridge_adapters.aim import writer
writer.SINGLY = 20  # so that both ways to find what is there already are gone
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
out.write(series(200))
out.write([call(200, 7, 200, y=0.25), call(201, 7, 201, y=0.5)])  # steps again
out.write([call(200, 7, 200, y=0.25), call(201, 7, 201, y=0.5)])
out.close("finished", T0)
assert points() == [(n, n / 2) for n in range(8)] + [(7, 0.25), (7, 0.5)] + [(n, n / 2) for n in range(8, 200)], points()
assert [run.status for run in adapter.reader(target).runs()] == ["finished"]
"""
    server, port = tmp_path / "server", free_port()
    with contextlib.ExitStack() as first:
        url = first.enter_context(aim_server(server, port))
        with conversation("aim", SERVER + script, tmp_path, url) as (ask, end):
            assert ask() == "stop"
            first.close()
            assert "unavailable" in ask("go on")
            assert "unavailable" in ask()
            assert ask() == "start"
            with aim_server(server, port):
                end("go on")


@pytest.mark.server
def test_a_reader_that_was_killed_does_not_make_the_next_one_blind(tmp_path: Path) -> None:
    """The server goes on for minutes to give out what it had opened for it."""
    script = """
import os, subprocess
def written(id):
    out, _ = opened(id)
    out.write(series(3)); out.close("finished", T0)
written("first")
if len(sys.argv) == 3:
    code = subprocess.run([sys.executable, "-I", *sys.orig_argv[sys.orig_argv.index("-c") :], "die"], check=False).returncode
    assert code == 9, code
    written("second")
    assert len(points("second")) == 3
    assert {run.id for run in adapter.reader(target).runs()} == {"first", "second"}
else:
    for run in adapter.reader(target).runs():
        os._exit(9)
"""
    with aim_server(tmp_path / "server") as url:
        fresh.there("aim", SERVER + script, tmp_path, url)


@pytest.mark.server
def test_what_is_too_large_for_a_message_is_rejected(tmp_path: Path) -> None:
    """The server would close the connection, again and again."""
    script = """
out, _ = opened()
out.write(series(3))
try:
    out.write([Record("r0", 3, Media(T0, 3, 3, "long", "text", "text", "x" * (16 << 20)))])
except Rejected as error:
    assert error.index == 0 and "message" in str(error), error
else:
    raise AssertionError("Aim's server takes messages of any size")
out.write([Record("r0", 4, Media(T0, 3, 3, "long", "text", "text", "x" * (5 << 20)))])
large = bytes(range(256)) * (80 << 10)
out.attach(large, "digest")
out.attach(large[5:], "digest")
out.close("finished", T0)
assert adapter.reader(target).sidecar("r") == (large[5:], "digest")
assert len(points()) == 3
"""
    with aim_server(tmp_path / "server") as url:
        fresh.there("aim", SERVER + script, tmp_path, url)


def test_a_server_that_is_away_or_another_is_an_outage(tmp_path: Path) -> None:
    """And the process ends: Aim's client by itself waits at its end for a server that is gone."""
    for url in (f"aim://127.0.0.1:{free_port()}", None):
        with other_server() as other:
            assert "unavailable" in fresh.there("aim", SERVER + "attempt(opened)", tmp_path, url or other.replace("http", "aim", 1))


def test_the_constants_are_aims(tmp_path: Path) -> None:
    script = """
from aim import Audio
from trackbridge_adapters.aim.layout import SOUNDS
assert set(SOUNDS[1]) == set(Audio.audio_formats), Audio.audio_formats
"""
    there(script, tmp_path)


def test_the_system_metrics_that_aim_knows_have_its_names() -> None:
    assert SEQUENCES.encode("system/cpu_utilization_percentage") == "__system__cpu"
    keys = ["system/cpu_utilization_percentage", "__system__cpu", "system/cpu", "·__system__cpu", "__system__", "system/"]
    names = list(map(SEQUENCES.encode, keys))
    assert len(set(names)) == len(keys)
    assert list(map(SEQUENCES.decode, names)) == keys


def test_system_metrics_come_back_under_their_keys(tmp_path: Path) -> None:
    script = """
keys = ["system/cpu_utilization_percentage", "system/disk_usage_percentage", "system/disk_usage_megabytes", "__system__cpu"]
out, _ = opened()
out.write([call(n, n, n, **{key: float(n + index) for index, key in enumerate(keys)}) for n in range(3)])
out.flush(); out.close("finished", T0)
print([points(key=key) == [(n, float(n + index)) for n in range(3)] for index, key in enumerate(keys)])
print(sorted(theirs().collect_sequence_info(("metric",), skip_last_value=True)["metric"], key=lambda one: one["name"])[0]["name"])
"""
    assert there(WRITER + script, tmp_path / "aim").splitlines() == ["[True, True, True, True]", "__system__cpu"]
