"""DVC: what its own commands say of a run, and the repository that it lies in. The conformance suite asks the rest."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from trackbridge_adapters.dvc import adapter
from trackbridge_adapters.dvc.layout import FOLDERS, PATHS, Places, cell, column, key, params, rows, unparams, value

import trackbridge
from tests.adapters import fresh
from trackbridge import environments
from trackbridge.adapters import Target
from trackbridge.projection import same

WRITER = """
import json, sys
from pathlib import Path
from trackbridge.adapters import Position, Target
from trackbridge.errors import Rejected, Unavailable
from trackbridge.records import *
from trackbridge_adapters.dvc import adapter
import hashlib
folder = Path(sys.argv[1])
target = adapter.resolve(Target("dvc", str(folder / "runs")), folder)
T0 = 1763870000123456789
def add(data, path):
    digest = hashlib.sha256(data).hexdigest()
    (folder / "journal/files").mkdir(parents=True, exist_ok=True)
    (folder / "journal/files" / digest).write_bytes(data)
    return FileRef(path, digest, len(data))
def series(count, first=0):
    return [Record("r0", n, Metrics(T0 + n * 10**6, n, n, {"loss": n / 2, "train/acc": n})) for n in range(first, first + count)]
def opened(id="r", name="first", position=None, **more):
    out = adapter.writer(target)
    return out, out.open(RunInfo(id=id, name=name, project="p", start=T0, directory=folder / "journal", **more), position)
def points(id="r"):
    return [record.event.values for record in adapter.reader(target).read(id) if isinstance(record.event, Metrics)]
"""


def there(script: str, folder: Path, **variables: str) -> str:
    """Run `script` where DVC is; what it prints."""
    path = f"{environments.create('dvc').interpreter.parent}{os.pathsep}{os.environ['PATH']}"
    quiet = {"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(folder / "site"), "PATH": path}
    return fresh.there("dvc", script, folder, variables=os.environ | quiet | variables, cwd=folder)


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=u", "-c", "user.email=u@x", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


LOGGED = """
png = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63606060000000040001f61738550000000049454e44ae426082")
events = [
    Config(T0, {"lr": 0.1, "name": "adam", "a.b": 1, "a": {"b": 2}, "n": 2**70, "nan": float("nan"), "l": [1, "x"]}),
    *(record.event for record in series(5)),
    Metrics(T0, 5, None, {"loss": float("nan"), "word": "1.0", "on": True}),
    Summary(T0, {"best": 0.25, "word": "last", "none": None}),
    Tags(T0, ["a", "b,c"]),
    Media(T0, 6, 3, "pic", "image", "png", file=add(png, "p.png")), Media(T0, 6, 3, "pic", "image", "png", file=add(png, "p.png")),
    Media(T0, 6, -1, "pic", "image", "png", file=add(png, "p.png")),
    Media(T0, 6, 3, "t", "table", "rows", {"columns": ["x", "y"], "rows": [[1, 2.5], [2, None]]}),
    Media(T0, 6, 3, "h", "histogram", "counts", {"edges": [0.0, 0.5, 1.0], "counts": [3, 4]}),
    Media(T0, 6, 3, "sound", "audio", "wav", file=add(b"RIFF", "s.wav")),
    Artifact(T0, "model", "model", [add(b"weights 0", "w/best.pt")]), Artifact(T0, "model", "model", [add(b"weights 1", "w/best.pt")]),
    Deviations(T0, [["timestamp", "time", 3, ""]]),
]
"""

DELIVER = (
    WRITER
    + LOGGED
    + """
out, _ = opened(group="g", notes="why\\nnot", provenance={"script": "train.py"})
out.write([Record("r0", n, event) for n, event in enumerate(events)])
out.flush(); out.attach(b"sidecar", "digest"); out.close("failed", T0 + 10**10)
print(json.dumps(out.place().id))
"""
)

ASK = """
import dvc.api, json, os, sys
from dvclive.utils import parse_tsv
name, root = NAME, sys.argv[1] + "/runs"
os.chdir(root)
read = lambda path, mode="r": dvc.api.read("dvclive/" + path, repo=root, rev=name, mode=mode)
found = {
    "metrics": dvc.api.metrics_show(repo=root, rev=name), "params": dvc.api.params_show(repo=root, rev=name),
    "row": next(row for row in dvc.api.exp_show(repo=root) if row["Experiment"] == name),
    "weights": [read(f"artifacts/model/v{n}/w/best.pt") for n in (0, 1)], "sound": read("media/sound/3.wav"),
    "series": [parse_tsv(f"{root}/trackbridge/{name}/plots/metrics/{key}.tsv") for key in ("loss", "train/acc")],
}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a repository of its own with one run, and the experiment's name."""
    folder = tmp_path_factory.mktemp("dvc")
    return folder, json.loads(there(DELIVER, folder))


def test_dvc_itself_tells_what_was_logged(delivered: tuple[Path, str]) -> None:
    folder, name = delivered
    assert name == "first-r"
    found = json.loads(there(ASK.replace("NAME", repr(name)), folder))
    assert found["metrics"] | {"loss": 0} == {
        "step": 5, "loss": 0, "train/acc": 4, "on": True, "best": 0.25, "word": "last", "none": "null"
    }  # fmt: skip
    assert found["metrics"]["loss"] == "NaN"
    params = found["params"]
    assert (params["lr"], params["n"], params["l"]) == (0.1, 2**70, [1, "x"])
    assert (params["dvclive/run.yaml:name"], params["dvclive/params.yaml:name"]) == ("first", "adam")
    assert (params["status"], params["tags"], params["group"], params["notes"]) == ("failed", ["a", "b,c"], "g", "why\nnot")
    assert (params["deviations"], params["provenance"], params["started"]) == (
        "timestamp 3", {"script": "train.py"}, "2025-11-23T03:53:20.123456789Z"
    )  # fmt: skip
    assert found["row"]["status"] == "failed"
    assert found["weights"] == ["weights 0", "weights 1"]
    assert found["sound"] == "RIFF"
    loss, accuracy = found["series"]
    assert [row["loss"] for row in loss] == ["0.0", "0.5", "1.0", "1.5", "2.0", "nan"]
    assert accuracy[4] == {"timestamp": "1763870000127", "step": "4", "acc": "4"}
    assert git(folder / "runs", "log", "-1", "--format=%B", git(folder / "runs", "for-each-ref", "--format=%(objectname)", "refs/exps").strip()) == (
        "first\n\nwhy\nnot\n\n"
    )  # fmt: skip


def test_the_files_are_those_of_dvclive(tmp_path: Path) -> None:
    """Byte for byte the tables, by their content the parameters and the last values."""
    there(
        WRITER
        + """
from dvc.utils.serialize import loads_yaml
import os
os.environ.update(DVCLIVE_OPEN="false", DVC_STUDIO_OFFLINE="true")
import dvclive.plots.metric
from dvclive import Live
values = [{"loss": 0.1 + 0.2, "train/acc": 2**70, "w": "warm, up"}, {"loss": float("nan"), "on": True}, {"loss": -0.0}]
config = {"lr": 0.1, "n": 2**70, "net": {"deep": [1, 1.0, None, "x"]}, "nan": float("nan"), "lines": "a\\r\\nb", "one": "1"}
out, _ = opened()
out.write([Record("r0", 0, Config(T0, config)), *(Record("r0", n + 1, Metrics(T0, n, n, one)) for n, one in enumerate(values))])
out.flush()
dvclive.plots.metric.time.time = lambda: T0 / 10**9
live = Live("theirs", save_dvc_exp=False, dvcyaml=None)
live.log_params(config)
for n, one in enumerate(values):
    live.step = n
    for key, value in one.items():
        live.log_metric(key, value, timestamp=True)
live.end()
ours, theirs = folder / "runs/trackbridge/first-r", folder / "theirs"
tables = sorted(path.relative_to(theirs) for path in theirs.rglob("*.tsv"))
assert len(tables) == 4, tables
for table in tables:
    assert (ours / table).read_bytes() == (theirs / table).read_bytes(), table
assert repr(loads_yaml((ours / "params.yaml").read_text())) == repr(loads_yaml((theirs / "params.yaml").read_text()))
flat = json.loads((ours / "metrics.json").read_text())
nested = json.loads((theirs / "metrics.json").read_text())
assert flat.pop("train/acc") == nested.pop("train")["acc"] and flat == nested, (flat, nested)
""",
        tmp_path,
    )


def test_dvc_takes_the_hostile_run(tmp_path: Path) -> None:
    """No key of it breaks DVC's commands for the repository, and they tell what was logged."""
    there(
        WRITER
        + """
import dvc.api, os
from dvc.cli import main
from dvclive.utils import parse_tsv
from trackbridge.normal import normal
from trackbridge.testing import canon
run = canon.main(folder, "hostile")
out = adapter.writer(target); out.open(run.opened, None); out.write(run.routed); out.flush(); out.close("finished", T0)
name, root, form = out.place().id, str(folder / "runs"), normal(run.records, run.info)
(row,) = [row for row in dvc.api.exp_show(repo=root) if row["Experiment"] == name]
os.chdir(root)
metrics = dvc.api.metrics_show(repo=root, rev=name)
assert form.summary.keys() <= metrics.keys() and form.series.keys() <= metrics.keys()
assert metrics["s0/third"] == 1 / 3 and metrics["wide/0999"] == 999.5 and metrics["c"] if "c" in form.series else True
params = dvc.api.params_show(repo=root, rev=name)
assert params["c02"] == {"big": 2**70, "negative": -(2**70)} and params["top/slash"] == 1 and params["tags"] == list(canon.TAGS)
for command in (["exp", "show"], ["metrics", "diff", "HEAD", name], ["params", "diff", "HEAD", name]):
    assert main([*command, "-q"]) == 0, command
""".replace(' and metrics["c"] if "c" in form.series else True', ""),
        tmp_path,
    )


def test_dvcs_plots_show_a_run_with_every_sort_of_media(delivered: tuple[Path, str]) -> None:
    folder, name = delivered
    there(f"from dvc.cli import main; assert main(['--cd', 'runs', 'plots', 'diff', {name!r}, '-q', '-o', '../plots']) == 0", folder)
    page = (folder / "plots" / "index.html").read_text()
    for plot in ("metrics_loss_tsv", "metrics_train_acc_tsv", "custom_t_3_json", "custom_h_3_json", "images_pic_3_png"):
        assert plot in page.replace("first-r_", "")


def test_nothing_is_hidden_in_an_experiment(delivered: tuple[Path, str]) -> None:
    folder, _ = delivered
    tree = git(
        folder / "runs", "ls-tree", "-r", "--name-only", git(folder / "runs", "for-each-ref", "--format=%(objectname)", "refs/exps").strip()
    )
    paths = sorted(tree.split("\n")[:-1])
    paths = [path.removeprefix("dvclive/") for path in paths if path.startswith("dvclive/")]
    assert paths == [
        "artifacts.tsv", "artifacts/model/v0/w/best.pt.dvc", "artifacts/model/v1/w/best.pt.dvc", "dvc.yaml", "media.tsv",
        "media/sound/3.wav.dvc", "metrics.json", "params.yaml", "plots/custom/h/3.json", "plots/custom/t/3.json",
        "plots/images/pic (2)/3.png", "plots/images/pic (no step)/-1.png", "plots/images/pic/3.png", "plots/metrics/loss.tsv",
        "plots/metrics/on.tsv", "plots/metrics/train/acc.tsv", "plots/metrics/word.tsv", "run.yaml", "summary.json",
        "trackbridge/journal.tbj.z", "trackbridge/journal.tbj.z.sha256",
    ]  # fmt: skip
    text = (folder / "runs/trackbridge/first-r/plots/metrics/word.tsv").read_text()
    assert text == 'timestamp\tstep\tword\n1763870000123\t5\t"""1.0"""\n'
    assert git(folder / "runs", "status", "--porcelain") == ""


def test_an_experiment_that_is_only_in_git_is_read_and_goes_on(tmp_path: Path) -> None:
    name = json.loads(there(DELIVER, tmp_path))
    there(f"from dvc.cli import main; assert main(['--cd', 'runs', 'exp', 'rename', {name!r}, 'mine', '-q']) == 0", tmp_path)
    script = f"""
import shutil
whole = list(adapter.reader(target).read("r"))
assert len(list(adapter.reader(target).runs())) == 1
shutil.rmtree(folder / "runs/trackbridge/{name}")
assert repr(list(adapter.reader(target).read("r"))) == repr(whole)
assert adapter.reader(target).sidecar("r") == (b"sidecar", "digest")
assert [(info.id, info.status, info.end) for info in adapter.reader(target).runs()] == [("r", "failed", T0 + 10**10)]
held = Position({{"r0": 100}}, {{"bytes": {{"plots/metrics/loss.tsv": 10}}}})
out, position = opened(position=held)
assert position.sequences == {{"r0": 100}}, position
out.write([Record("r0", 100, Metrics(T0, 9, 9, {{"train/acc": 7}}))]); out.flush(); out.close("finished", T0)
assert points()[-1:] == [{{"train/acc": 7}}], points()
assert out.place().id == "mine"
"""
    there(WRITER + script, tmp_path)
    assert len(git(tmp_path / "runs", "for-each-ref", "refs/exps").splitlines()) == 1


def test_what_dvc_tells_of_a_closed_run_counts(tmp_path: Path) -> None:
    """Not what lies in its folder; that of a run that goes on, or whose experiment could not be saved, counts."""
    script = """
import subprocess
out, _ = opened(); out.write(series(3)); out.flush(); out.close("finished", T0)
table = out._folder / "plots/metrics/loss.tsv"
table.write_text(table.read_text().replace("0.5", "0.25"))
assert points() == [{"loss": 0.0}, {"loss": 0.5}, {"loss": 1.0}, {"train/acc": 0}, {"train/acc": 1}, {"train/acc": 2}], points()
out, position = opened(); out.write(series(2)); out.flush()
assert len(points()) == 4
(folder / "runs/.git/refs/exps.lock").write_text(""); (folder / "runs/.git/HEAD").rename(folder / "HEAD")
try: out.close("failed", T0)
except Unavailable as error: assert "rev-parse" in str(error) or "git" in str(error), error
else: raise AssertionError
(folder / "HEAD").rename(folder / "runs/.git/HEAD")
assert len(points()) == 4
assert [info.status for info in adapter.reader(target).runs()] == ["failed"]
out, position = opened(position=out.flush()); out.close("failed", T0)
assert len(points()) == 4
"""
    there(WRITER + script.replace('(folder / "runs/.git/refs/exps.lock").write_text(""); ', ""), tmp_path)


def test_files_and_folders_of_media_and_artifacts_do_not_meet(tmp_path: Path) -> None:
    script = """
events = [Media(T0, 0, 3, key, "image", "png", file=add(key.encode(), "x.png")) for key in ("pic", "pic/3.png", "pic/3.png/3.png")]
events += [Media(T0, 0, None, key, "audio", "wav", file=add(key.encode(), "x.wav")) for key in ("s", "s/call 0.wav", "s (no step)/call 0.wav")]
events += [Media(T0, 0, 3, key, "text", "text", key) for key in ("t", "t (2)", "t/3 (2).txt")] + [Media(T0, 0, 3, "t", "text", "text", "again")]
places = [("a", ["v0/x", "v1", "V1", "v1/y", "v1.dvc"]), ("a/v0", ["x"]), ("a/v0/v0", ["x"]), ("a", ["x"])]
events += [Artifact(T0, name, "", [add(f"{name}:{path}".encode(), path) for path in paths]) for name, paths in places]
out, _ = opened(); out.write([Record("r0", n, event) for n, event in enumerate(events)]); out.flush()
def found():
    held = [record.event for record in adapter.reader(target).read("r")]
    media = {(one.key, one.inline or one.file.digest) for one in held if isinstance(one, Media)}
    return media, {(one.name, file.path, file.digest) for one in held if isinstance(one, Artifact) for file in one.files}
wanted = {(one.key, one.inline or one.file.digest) for one in events if isinstance(one, Media)}
wanted = wanted, {(one.name, file.path, file.digest) for one in events if isinstance(one, Artifact) for file in one.files}
assert found() == wanted
out.close("finished", T0)
assert found() == wanted
import shutil
shutil.rmtree(folder / "runs/.dvc/cache")  # as in a clone without a remote
assert found()[0] == {(key, "" if key.startswith("s") else digest) for key, digest in wanted[0]}
"""
    there(WRITER + script, tmp_path)


def test_a_users_own_repository_is_left_as_it_is(tmp_path: Path) -> None:
    own = tmp_path / "runs"
    own.mkdir()
    there("from dvc.cli import main; import subprocess as s; s.run(['git', 'init', '-q', '-b', 'main', 'runs'], check=True); "
          "assert main(['--cd', 'runs', 'init', '-q']) == 0", tmp_path)  # fmt: skip
    (own / "train.py").write_text("one\n")
    (own / "dvclive").mkdir()
    (own / "dvclive" / "of another run.txt").write_text("x")
    (own / ".gitattributes").write_text("*.tsv text eol=crlf\n")
    git(own, "add", "-A")
    git(own, "commit", "-qm", "first")
    first = git(own, "rev-parse", "HEAD").strip()
    git(own, "commit", "-qm", "second", "--allow-empty")
    (own / "train.py").write_text("two\n")
    git(own, "add", "train.py")
    (own / "train.py").write_text("three\n")
    (own / "untracked.txt").write_text("u")
    (own / ".git" / "hooks").mkdir(exist_ok=True)
    (own / ".git" / "hooks" / "reference-transaction").write_text("#!/bin/sh\nexit 1\n")
    (own / ".git" / "hooks" / "reference-transaction").chmod(0o755)
    before = [git(own, *command) for command in (("status", "--porcelain"), ("log", "--oneline"), ("branch", "-a"), ("diff", "--cached"))]
    script = f"out, _ = opened(provenance={{'commit': {first!r}}}); out.write(series(3)); "
    script += "out.write([Record('r0', 3, Metrics(T0, 3, 3, {'word': 'one\\r\\ntwo'}))]); out.flush(); out.close('finished', T0)"
    git(own, "config", "user.useConfigOnly", "true")  # and there is no name
    there(WRITER + script, tmp_path, GIT_CONFIG_GLOBAL=os.devnull, GIT_AUTHOR_NAME="u", GIT_AUTHOR_EMAIL="u@x")
    after = [git(own, *command) for command in (("status", "--porcelain"), ("log", "--oneline"), ("branch", "-a"), ("diff", "--cached"))]
    assert after == before
    (line,) = git(own, "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps").splitlines()
    ref, commit = line.split()
    assert ref == f"refs/exps/{first[:2]}/{first[2:]}/first-r"
    assert git(own, "rev-parse", f"{commit}^").strip() == first
    assert git(own, "show", "-s", "--format=%an %cn %ct", commit) == "u TrackBridge 1763870000\n"
    assert git(own, "show", f"{commit}:train.py") == "one\n"
    names = git(own, "ls-tree", "-r", "--name-only", commit, "dvclive").split("\n")
    assert "dvclive/of another run.txt" not in names
    assert "dvclive/plots/metrics/loss.tsv" in names
    words = subprocess.run(["git", "-C", str(own), "show", f"{commit}:dvclive/plots/metrics/word.tsv"], check=True, capture_output=True)
    assert words.stdout == b'timestamp\tstep\tword\n1763870000123\t3\t"one\r\ntwo"\n'


@pytest.mark.parametrize(("commands", "remedy"), [(["init -q"], "dvc init"), (["init -q", "commit"], "dvc init")])
def test_a_repository_without_dvc_is_not_changed(tmp_path: Path, commands: list[str], remedy: str) -> None:
    (tmp_path / "runs").mkdir()
    git(tmp_path / "runs", "init", "-q")
    if "commit" in commands:
        git(tmp_path / "runs", "commit", "-qm", "x", "--allow-empty")
    script = f"""
try:
    opened()
except Unavailable as error:
    assert {remedy!r} in str(error), error
else:
    raise AssertionError
"""
    there(WRITER + script, tmp_path)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [".git"]


def test_a_name_that_git_refuses_is_kept_and_the_run_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = trackbridge.init("p", name="a\0b", notes="why\0", backend="dvc")
    trackbridge.log({"loss": 0.5})
    report = trackbridge.finish()
    assert report.delivered, str(report)
    (info,) = trackbridge.runs("dvc")
    assert (info.id, info.name, info.notes, info.status) == (run.id, "a\0b", "why\0", "finished")


def test_a_folder_that_is_removed_meanwhile_is_written_again(tmp_path: Path) -> None:
    script = """
import shutil
out, _ = opened()
out.write(series(3))
held = out.flush()
shutil.rmtree(out.place().where)
try:
    out.write(series(3, 3))
    out.flush()
except Unavailable as error:
    print("unavailable:", "was removed" in str(error))
out, position = opened(position=held)
out.write(series(6)[position.sequences.get("r0", 0):])
out.flush()
out.close("finished", T0 + 10**9)
print([point["loss"] for point in points() if "loss" in point])
"""
    assert there(f"{WRITER}\n{script}", tmp_path).splitlines() == ["unavailable: True", "[0.0, 0.5, 1.0, 1.5, 2.0, 2.5]"]


def test_a_full_disk_is_an_outage(tmp_path: Path) -> None:
    script = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
out, _ = opened(); out.write(series(100)); saved = out.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, resource.RLIM_INFINITY))
try:
    out.write(series(2000, 100)); out.flush()
except Unavailable as error:
    print(error)
else:
    raise AssertionError
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
out, position = opened(position=saved)
assert position == saved
out.write(series(2000, 100)); out.flush()
assert points() == [{"loss": n / 2} for n in range(2100)] + [{"train/acc": n} for n in range(2100)]
"""
    assert "File too large" in there(WRITER + script, tmp_path)


def test_a_folder_that_cannot_be_made_is_an_outage(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    there(WRITER + "\ntry: opened()\nexcept Unavailable: pass\nelse: raise AssertionError", tmp_path)


def test_without_git_it_is_an_outage_that_names_git(tmp_path: Path) -> None:
    there(
        WRITER + "\ntry: opened()\nexcept Unavailable as error: assert 'git' in str(error)\nelse: raise AssertionError", tmp_path, PATH=""
    )


def test_processes_that_make_the_repository_at_once(tmp_path: Path) -> None:
    environment = environments.create("dvc")
    code = f"import sys; sys.path.insert(0, {str(environments.source('dvc'))!r})\n{WRITER}\nout, _ = opened(id=sys.argv[2]); out.write(series(3)); out.flush(); out.close('finished', T0)"
    command = [str(environment.interpreter), "-I", "-c", code, str(tmp_path)]
    processes = [subprocess.Popen([*command, f"r{number}"]) for number in range(3)]
    assert [process.wait(timeout=120) for process in processes] == [0, 0, 0]
    assert len(git(tmp_path / "runs", "for-each-ref", "refs/exps").splitlines()) == 3
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [".dvc", ".dvcignore", ".git", "trackbridge"]


KEYS = ["a", "A", "a.tsv/b", "a.tsv", "a/b", "a/B", "A/b", "", "/", ".git/x", "x/.git/y", "..", "../a", "é", "e\u0301", "%", "%61%", "step"]
KEYS += [
    "x/timestamp",
    "k" * 300,
    "k" * 299 + "l",
    "K" * 300,
    "/".join("ab" * 3000),
    "a%-0123456789abcdef",
    "tab\t",
    "nul\0",
    "a ",
    "ß",
    "ss",
]


def test_a_row_that_is_not_whole_is_not_read(tmp_path: Path) -> None:
    table = tmp_path / "x.tsv"
    whole = 'timestamp\tstep\tx\n1\t0\t"one\r\nmore ""ü"""\n2\t1\t0.25\n'.encode()
    for length in range(len(whole) + 1):
        table.write_bytes(whole[:length])
        assert list(rows(table)) == [["timestamp", "step", "x"], ["1", "0", 'one\r\nmore "ü"'], ["2", "1", "0.25"]][: sum(
            whole[:length].endswith(end) or end in whole[:length] for end in (b"x\n", b'"""\n', b"0.25\n")
        )]  # fmt: skip


def test_keys_have_files_of_their_own_that_tell_them() -> None:
    places = Places(PATHS)
    names = [places.claim(one) for one in KEYS]
    assert len({name.casefold() for name in names}) == len(KEYS)
    assert [key(column(one, name), name) for one, name in zip(KEYS, names, strict=True)] == KEYS
    assert all(len(part.encode()) <= 200 and part not in ("", ".", "..", ".git") for name in names for part in name.split("/"))
    assert all(len(name) < 2000 and column(one, name) not in ("step", "timestamp") for one, name in zip(KEYS, names, strict=True))
    files, folders = {name + ".tsv" for name in names}, {name.rpartition("/")[0] for name in names}
    assert not files & folders


def test_what_is_a_file_is_no_folder() -> None:
    places = Places(PATHS, files=True)
    names = [places.claim(one) for one in ("a", "a/b", "A", "c/d", "c", "C/d/e")]
    assert names[0] == "a"
    assert names[3] == "c/d"
    folders = {"/".join(name.split("/")[:count]).casefold() for name in names for count in range(1, len(name.split("/")))}
    assert not folders & {name.casefold() for name in names}
    assert len({name.casefold() for name in names}) == len(names)
    taken = Places(FOLDERS)
    assert [taken.claim(one) for one in ("v1/loss", "3.png", "call 3.wav", "3", "v1x")] == [
        "%76%1/loss",
        "%33%.png",
        "%63%all 3.wav",
        "3",
        "v1x",
    ]


VALUES = [0.1, -0.0, 1e22, 5e-324, float("nan"), float("-inf"), 0, -(2**70), True, False, None, "", "1", "-0", "1e5", "True", "nan", "None"]
VALUES += ['"', '"a"', "a\tb", "a\nb\r\n", "ünï", "inf", "Infinity", "٣", " 1", "1_0", "\x00"]


@pytest.mark.parametrize("one", VALUES)
def test_a_cell_tells_its_value(one: object) -> None:
    text = cell(one)
    plain = text[1:-1].replace('""', '"') if text.startswith('"') else text
    assert same(value(plain), one)


def test_parameters_whose_dotted_keys_meet_are_told_apart() -> None:
    plain, meet = {"a.b": 1, "c": {"d": {}}}, {"a.b": 1, "a": {"b": 2}, "%": 3, "": 4}
    assert params(plain) == plain
    assert params(meet) == {"a%2e%b": 1, "a": {"b": 2}, "%25%": 3, "": 4}
    assert unparams(params(meet)) == meet


def test_locations(tmp_path: Path) -> None:
    assert adapter.resolve(Target("dvc"), tmp_path).location == str(tmp_path / "dvc-runs")
    assert adapter.ui(Target("dvc", "/r")) == ["dvc", "--cd", "/r", "exp", "show", "--all-commits"]
    with pytest.raises(ValueError, match="dvc exp push"):
        adapter.resolve(Target("dvc", "https://example.org/x"), tmp_path)


def test_deviations_before_a_record_that_is_refused_are_counted_once(tmp_path: Path) -> None:
    script = """
out, _ = opened()
batch = [Record("r0", 0, Metrics(1763870000123 * 10**6, 0, None, {"y": 0.5})), Record("r0", 1, Metrics(T0, 1, 1, {"y": []}))]
try:
    out.write(batch)
except Rejected as error:
    print(error.index, [(str(row.reason), row.count) for row in out.write(batch[:error.index])])
"""
    assert there(WRITER + script, tmp_path) == "1 [('step_changed', 1)]\n"
