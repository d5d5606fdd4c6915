"""What is Guild's own: its tables and attributes, its own launcher, its homes. The conformance suite asks the rest."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import signal
import subprocess
import sys
import urllib.request
from ast import literal_eval
from pathlib import Path

import pytest
from trackbridge_adapters.guild import adapter
from trackbridge_adapters.guild.layout import FOLDERS, KEYS

import trackbridge
from tests.adapters import fresh
from tests.adapters.servers import answers, free_port
from trackbridge import environments
from trackbridge.adapters import Target
from trackbridge.errors import SettingsError
from trackbridge.testing import canon

pytestmark = pytest.mark.skipif(environments.requirements("guild") is None, reason="it has no environment")

VARIABLES = ("GUILD_HOME", "RUN_ID", "RUN_DIR", "CONDA_PREFIX", "VIRTUAL_ENV")
WRITER = """
import hashlib, json, os, sys
from pathlib import Path
from trackbridge.adapters import Position, Target
from trackbridge.errors import Rejected, RunNotFound, Unavailable
from trackbridge.records import *
from trackbridge_adapters.guild import adapter, layout
folder = Path(sys.argv[1])
target = adapter.resolve(Target("guild", str(folder)), folder)
T0 = 1763870000123456768
def series(count, first=0):
    return [Record("r0", n, Metrics(T0 + n * 1024, n, n, {"y": n / 2})) for n in range(first, first + count)]
def opened(id="r", name="r", project="p", position=None, **about):
    out = adapter.writer(target)
    return out, out.open(RunInfo(id=id, name=name, project=project, start=T0, directory=folder / "journal", **about), position)
def points(id="r"):
    read = adapter.reader(target).read(id)
    return [value for record in read if isinstance(record.event, Metrics) for value in record.event.values.values()]
def status(id="r"):
    return layout.run_at(folder, id).status, next(str(info.status) for info in adapter.reader(target).runs() if info.id == id)
"""


def there(script: str, folder: Path, **variables: str) -> str:
    """Run `script` where Guild is; what it prints."""
    given = {name: value for name, value in os.environ.items() if name not in VARIABLES} | {"HOME": str(folder)} | variables
    return fresh.there("guild", script, folder, variables=given)


def guild(home: Path, *arguments: str, cwd: Path | None = None) -> str:
    """What the command ``guild`` prints."""
    interpreter = environments.create("guild").interpreter
    given = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    given |= {"PATH": f"{interpreter.parent}:{os.environ['PATH']}", "NO_IMPORT_FLAGS_PROGRESS": "1"}
    command = [str(interpreter.with_name("guild")), "-H", str(home), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=given, cwd=cwd, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run as a user logs it: the home, and its id."""
    work = tmp_path_factory.mktemp("delivered")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        for name in VARIABLES:
            patch.delenv(name, raising=False)
        patch.setenv("GUILD_HOME", str(work / "home"))
        config = {"lr": 0.1, "odd": "0.5", "seed": 2**70, "model": {"depth": 4}, "none": None}
        run = trackbridge.init("vision", name="first", group="g", notes="why", config=config, tags=["a", "b"], backend="guild")
        for step in range(3):
            trackbridge.log({"train/loss": 1 / (step + 1), "n": 2**60 + step, "ok": True}, step=step)
        trackbridge.log({"phase": "warm-up"}, step=3)
        trackbridge.log({"results": trackbridge.Table(["metric", "value"], [["acc", 0.9], ["1", float("nan")]])}, step=3)
        Path("image.png").write_bytes(canon.png(4, 3))
        trackbridge.log({"image": trackbridge.Image("image.png")}, step=3)
        Path("model.pt").write_bytes(b"weights")
        trackbridge.log_artifact("model.pt", type="model")
        run.summary["best"] = float("inf")
        report = trackbridge.finish()
        assert report.delivered, str(report)
    return work / "home", run.id


def test_guild_shows_the_run(delivered: tuple[Path, str]) -> None:
    """Its own command knows flags, label, tags, status, scalars, files, and the attributes that it has no column for."""
    home, run_id = delivered
    (listed,) = json.loads(guild(home, "runs", "list", "--json"))
    assert (listed["status"], listed["label"], listed["tags"]) == ("completed", "first", ["a", "b"])
    assert listed["comments"][0]["body"] == "why"
    shown = json.loads(guild(home, "runs", "info", run_id, "--json", "--all-scalars"))
    assert shown["operation"].startswith("vision:")
    assert shown["flags"] == {"lr": 0.1, "odd": "0.5", "seed": 2**70, "model/depth": 4, "none": None}
    assert (shown["project"], shown["group"]) == ("vision", "g")
    assert "best: .inf" in shown["summary"]
    assert (shown["scalars"]["train/loss"]["first"], shown["scalars"]["train/loss"]["last"]) == ([1.0, 0], [1 / 3, 2])
    (row,) = csv.DictReader(io.StringIO(guild(home, "compare", "--csv", "-", "--all-scalars")))
    assert (row["lr"], row["train/loss"], row["ok"]) == ("0.1", "0.3333333333333333", "1.0")
    files = guild(home, "ls", run_id)
    assert "artifacts/model.pt/model.pt" in files
    assert "media/image/000001-image.png" in files


def test_its_notebook_interface_returns_every_point(delivered: tuple[Path, str]) -> None:
    home, _ = delivered
    script = """
from guild import ipy
ipy.set_guild_home(sys.argv[1])
rows = ipy.runs().scalars_detail()
print({tag: [(int(step), val) for step, val in zip(part.step, part.val)] for tag, part in rows.groupby("tag")})
"""
    assert literal_eval(there(script, home)) == {  # doubles to the last bit
        "train/loss": [(0, 1.0), (1, 0.5), (2, 1 / 3)],
        "n": [(step, float(2**60 + step)) for step in range(3)],
        "ok": [(step, 1.0) for step in range(3)],
    }


def test_nothing_is_hidden(delivered: tuple[Path, str]) -> None:
    """The run's folder holds what Guild itself writes, the files that it lists, and one event file with texts for people."""
    home, run_id = delivered
    folder = home / "runs" / run_id
    attributes = {path.name for path in (folder / ".guild" / "attrs").iterdir()}
    own = {"trackbridge", "project", "group", "summary"}
    guilds = {"id", "initialized", "started", "stopped", "exit_status", "flags", "label", "tags", "comments", "host", "vcs_commit"}
    assert own <= attributes <= own | guilds
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and ".guild" not in path.parts)
    events = files.pop(1)
    assert events.startswith("events.out.tfevents.")
    assert files == [
        "artifacts/model.pt/model.pt", "media/image/000001-image.png", "media/results/000000-table.csv", "trackbridge/journal.tbj.z",
    ]  # fmt: skip
    assert (folder / "media/results/000000-table.csv").read_text().split() == ["metric,value", "acc,0.9", '"""1""",NaN']
    script = """
from guild import tfevent
from pathlib import Path
texts = [(value.tag, value.tensor.string_val[0].decode()) for event in tfevent.EventReader(sys.argv[1], all_events=True)
         for value in event.summary.value if value.tensor.string_val]
print(texts)
"""
    texts = dict(literal_eval(there(script, folder)))
    assert sorted(texts) == ["image·media", "model.pt·artifact", "phase·string", "results·media"]
    assert json.loads(texts["image·media"])["file"] == "media/image/000001-image.png"


def test_a_run_survives_export_and_import(delivered: tuple[Path, str], tmp_path: Path) -> None:
    home, run_id = delivered
    guild(home, "export", "-y", str(tmp_path / "out"), run_id)
    (tmp_path / "other").mkdir()
    guild(tmp_path / "other", "import", "-y", str(tmp_path / "out"))
    read = trackbridge.read(run_id, f"guild:{tmp_path / 'other'}")
    assert [row["value_any"] for row in read.rows() if row["key"] == "n"] == [2**60, 2**60 + 1, 2**60 + 2]
    assert [artifact.name for artifact in read.artifacts] == ["model.pt"]
    assert not read.deviations


SCRIPT = """
import argparse, os, sys
import trackbridge
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float); parser.add_argument("--name")
args = parser.parse_args()
run = trackbridge.init("vision", config={"epochs": 3}, tags=["ours"], notes="why", dir=os.environ["JOURNALS"])
assert run.id == os.environ["RUN_ID"]
print("given", dict(sorted(run.config.items())))
for step in range(3):
    trackbridge.log({"loss": args.lr / (step + 1)}, step=step)
run.summary["best"] = args.lr
report = trackbridge.finish()
assert report.delivered, str(report)
sys.exit(3)
"""


def test_the_run_that_guild_has_begun_is_adopted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``guild run``: one run, with Guild's operation, start, label and exit status, and our points, flags, tags and notes."""
    home, project = tmp_path / "home", tmp_path / "project"
    home.mkdir()
    project.mkdir()
    (project / "train.py").write_text(SCRIPT)
    (project / "guild.yml").write_text(
        f"""
train:
  exec: {sys.executable} -I {project}/train.py --lr ${{lr}} --name ${{name}}
  env:
    TRACKBRIDGE_BACKEND: guild
    JOURNALS: {tmp_path / "journals"}
  flags:
    lr: 0.1
    name: adam
"""
    )
    with pytest.raises(AssertionError) as failed:  # the script ends with 3
        guild(home, "run", "train", "lr=0.30000000000000004", "--label", "of guild", "--tag", "theirs", "-y", cwd=project)
    assert "given {'epochs': 3, 'lr': 0.30000000000000004, 'name': 'adam'}" in str(failed.value)
    (listed,) = json.loads(guild(home, "runs", "list", "--json"))
    assert (listed["status"], listed["exit_status"], listed["label"], listed["tags"]) == ("error", 3, "of guild", ["theirs", "ours"])
    shown = json.loads(guild(home, "runs", "info", listed["id"], "--json"))
    assert shown["operation"] == "train"
    assert shown["flags"] == {"lr": 0.30000000000000004, "name": "adam", "epochs": 3}
    read = trackbridge.read(listed["id"], f"guild:{home}")
    assert [row["value_any"] for row in read.rows()] == [0.30000000000000004 / (step + 1) for step in range(3)]
    assert read.config == {"lr": 0.30000000000000004, "name": "adam", "epochs": 3}
    assert (read.info.status, read.info.project, read.info.notes, read.summary["best"]) == ("failed", "vision", "why", 0.30000000000000004)
    assert not [row for row in read.deviations if row.reason == "edited"]


def test_what_a_kill_left_of_a_beginning_is_not_guilds_own(tmp_path: Path) -> None:
    script = """
import guild.op_util
def die(*_): raise KeyboardInterrupt
layout.library().write_lock, kept = die, layout.library().write_lock
try:
    opened()
except KeyboardInterrupt:
    pass
layout.library().write_lock = kept
out, _ = opened()
assert status() == ("running", "running"), status()
out.write(series(3)); out.close("failed", T0)
print(*status(), points())
"""
    assert there(WRITER + script, tmp_path).split() == ["error", "failed", "[0.0,", "0.5,", "1.0]"]


def test_how_a_run_ended_is_guilds_word_for_it(tmp_path: Path) -> None:
    script = """
for end in ("finished", "failed", "crashed"):
    out, _ = opened(end); out.close(end, T0 + 10**9); print(*status(end))
out, _ = opened("dead"); out.write(series(2)); out.flush()
Path(layout.run_at(folder, "dead").guild_path("LOCK")).write_text("999999999")  # of a process that is gone
print(*status("dead"))
out, _ = opened("finished"); print(*status("finished"))
"""
    printed = there(WRITER + script, tmp_path).splitlines()
    assert printed == ["completed finished", "error failed", "terminated crashed", "error crashed", "running running"]


def test_a_full_disk_is_an_outage(tmp_path: Path) -> None:
    script = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
out, _ = opened()
out.write(series(10)); held = out.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
try:
    out.write(series(5000, 10)); out.flush()
except Unavailable:
    print("unavailable", end=" ")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
out, again = opened(position=held)
assert again.sequences == {"r0": 10}
out.write(series(5000, 10)); out.close("finished", T0)
print(points() == [n / 2 for n in range(5010)])
"""
    assert there(WRITER + script, tmp_path).split() == ["unavailable", "True"]


def test_a_home_that_cannot_be_made_is_an_outage(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    script = """
try:
    opened()
except Unavailable:
    print("unavailable")
"""
    assert there(WRITER + script, tmp_path / "file").split() == ["unavailable"]


def test_what_cannot_be_held_is_rejected_alone(tmp_path: Path) -> None:
    """A file with the name of a folder of the same artifact; a configuration that YAML does not hold."""
    script = """
import msgspec
(folder / "journal" / "files").mkdir(parents=True)
data = b"x"; digest = hashlib.sha256(data).hexdigest()
(folder / "journal" / "files" / digest).write_bytes(data)
files = [FileRef("a", digest, 1), FileRef("a/b", digest, 1)]
out, _ = opened()
batch = series(2) + [Record("r0", 2, Artifact(T0, "w", "t", files)), Record("r0", 3, Config(T0, {"x": msgspec.msgpack.Ext(1, b"")}))] + series(2, 4)
dead = []
while batch:
    try:
        out.write(batch); break
    except Rejected as error:
        dead.append(batch[error.index].sequence)
        batch = batch[error.index + 1:]
out.close("finished", T0)
print(dead, points())
"""
    assert there(WRITER + script, tmp_path).strip() == "[2, 3] [0.0, 0.5, 2.0, 2.5]"


def test_what_others_wrote_is_read(tmp_path: Path) -> None:
    script = """
from guild import run as runs, opref, summary
run = runs.Run("f" * 32, str(folder / "runs" / ("f" * 32)))
Path(run.path).mkdir(parents=True); run.init_skel()
run.write_opref(opref.OpRef("guildfile", "", "", "net", "train"))
for name, value in dict(started=1_600_000_000_000_000, flags={"lr": 0.1, "s": "1"}, label="l", tags=["t"], exit_status=-15).items():
    run.write_attr(name, value)
out = summary.SummaryWriter(run.path + "/logs"); out.add_scalar("loss", 0.5, 3); out.close()
(info,) = adapter.reader(target).runs()
assert (info.id, info.name, info.project, info.tags, info.status) == ("f" * 32, "l", "net:train", ("t",), "crashed"), info
events = [record.event for record in adapter.reader(target).read(info.id)]
assert [event.values for event in events if isinstance(event, Config)] == [{"lr": 0.1, "s": "1"}]
assert [(event.step, event.values) for event in events if isinstance(event, Metrics)] == [(3, {"loss": 0.5})]
for unknown in ("no such run", "../runs/" + info.id):
    try:
        list(adapter.reader(target).read(unknown))
    except RunNotFound:
        print("not found")
"""
    assert there(WRITER + script, tmp_path).split() == ["not", "found"] * 2


@pytest.mark.server
def test_its_view_serves_it(delivered: tuple[Path, str], tmp_path: Path) -> None:
    home, run_id = delivered
    port = free_port()
    command = [word.format(host="127.0.0.1", port=port) for word in adapter.ui(Target("guild", str(home)))]
    command[0] = str(environments.create("guild").interpreter.with_name(command[0]))
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--no-open"], stdout=log, stderr=log, start_new_session=True)
    try:
        answers(f"http://127.0.0.1:{port}/", process, tmp_path / "log")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/runs", timeout=30) as response:
            (run,) = json.loads(response.read())
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/runs/{run_id}/output", timeout=30) as response:
            assert json.loads(response.read()) == []
        assert (run["id"], run["status"], run["otherAttrs"]["project"]) == (run_id, "completed", "vision")
        viewers = {file["path"]: file["viewer"] for file in run["files"]}
        assert (viewers["media/image/000001-image.png"], viewers["media/results/000000-table.csv"]) == ("image", "table")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_notes_are_one_comment_when_the_beginning_is_repeated(tmp_path: Path) -> None:
    script = """
out, _ = opened(notes="why")
layout.run_at(folder, "r").del_attr(layout.OWN)  # as a kill before the last attribute leaves it
out, _ = opened(notes="why"); out.close("finished", T0)
print([comment["body"] for comment in layout.run_at(folder, "r").get("comments")])
"""
    assert there(WRITER + script, tmp_path) == "['why']\n"


def test_the_home_is_where_guild_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    user, work = tmp_path / "user", tmp_path / "user" / "project" / "deep"
    work.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(user))

    def home() -> Path:
        return Path(adapter.resolve(Target("guild"), work).location)

    assert home() == user / ".guild"
    (user / "project" / ".guild").mkdir()
    assert home() == user / "project" / ".guild"
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "venv"))
    assert home() == user / "project" / ".guild"
    (tmp_path / "venv" / ".guild").mkdir(parents=True)
    assert home() == tmp_path / "venv" / ".guild"
    monkeypatch.setenv("GUILD_HOME", str(tmp_path / "given"))
    assert home() == tmp_path / "given"
    run = tmp_path / "begun" / "runs" / "0123"
    (run / ".guild").mkdir(parents=True)
    monkeypatch.setenv("RUN_DIR", str(run))
    assert home() == tmp_path / "given"
    monkeypatch.setenv("RUN_ID", "0123")
    assert home() == tmp_path / "begun"
    assert adapter.resolve(Target("guild", "here"), work).location == str(work / "here")
    assert adapter.ui(Target("guild", "/h")) == ["guild", "-H", "/h", "view", "--host", "{host}", "--port", "{port}"]
    with pytest.raises(SettingsError, match="guild push"):
        adapter.resolve(Target("guild", "https://guild.ai"), work)


def test_names() -> None:
    keys = ["loss", "loss·string", "loss·media", "", "a b", "../x"]
    assert len({KEYS.encode(key) for key in keys}) == len(keys)
    assert KEYS.encode("train/loss") == "train/loss"
    assert "/" not in FOLDERS.encode("../x")
