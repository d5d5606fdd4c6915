"""Kubeflow: what KFP itself says of a run, in outputs of our task and of one that trains. The conformance suite asks the rest."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from trackbridge_adapters.kubeflow import adapter, layout

import trackbridge
from tests.adapters import fresh
from trackbridge import environments
from trackbridge.adapters import Target
from trackbridge.errors import SettingsError
from trackbridge.projection import same

WRITER = """
import json, os, shutil, sys, time
from pathlib import Path
from trackbridge.adapters import Position, Target
from trackbridge.errors import Rejected, Unavailable
from trackbridge.records import *
from trackbridge_adapters.kubeflow import adapter, layout
folder = Path(sys.argv[1])
root = folder / "root"
target = adapter.resolve(Target("kubeflow", str(root)), folder)
T0 = 1763870000123456789
def series(count, first=0):
    return [Record("r0", n, Metrics(T0 + n * 10**6, n, n, {"y": n / 2})) for n in range(first, first + count)]
def opened(id="r", position=None, **more):
    out = adapter.writer(target)
    return out, out.open(RunInfo(id=id, project="p", start=T0, directory=folder / "journal", **more), position)
def points(id="r"):
    return [value for record in adapter.reader(target).read(id) if isinstance(record.event, Metrics) for value in record.event.values.values()]
def tasks():
    return sorted(path.parent for path in root.glob("*/*/executor_output.json"))
"""

TELL = """
from kfp.local.executor_output_utils import artifact_list_to_dsl_artifact, load_executor_output
def told(task):
    found = load_executor_output(str(task / "executor_output.json")).artifacts
    return {name: artifact_list_to_dsl_artifact(held, is_artifact_list=False) for name, held in found.items()}
"""


def there(script: str, folder: Path) -> Any:
    """Run `script` where the client is; the JSON that it prints."""
    (folder / "tmp").mkdir(exist_ok=True)
    variables = os.environ | {"HOME": str(folder), "TMPDIR": str(folder / "tmp")}
    printed = fresh.there("kubeflow", f"{WRITER}\n{script}", folder, variables=variables, cwd=folder)
    assert not list((folder / "tmp").iterdir())
    return json.loads(printed)


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run as a user logs it: the working directory, and its id."""
    work = tmp_path_factory.mktemp("delivered")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(work)
        (work / "json.py").write_text("raise RuntimeError('a module of the user was imported')")  # KFP starts an interpreter here
        config = {"lr": 0.1, "odd": "0.5", "none": None, "nan": float("nan"), "net": {"depth": 3}}
        run = trackbridge.init("vision", name="first <run>", notes="why", tags=["a"], config=config, backend="kubeflow")
        for step in range(3):
            trackbridge.log({"loss": 1 / (step + 1), "n": 2**60 + step, "bad": float("nan"), "word": 'a,\n"b"'}, step=step)
        trackbridge.log({"free": None})
        trackbridge.log(
            {"roc": trackbridge.Table(["fpr", "tpr", "threshold"], [[0.0, 0.0, 0.9], [0.5, 0.8, 0.5], [1.0, 1.0, 0.1]])}, step=3
        )
        trackbridge.log({"cm": trackbridge.Table(["", "cat", "dog"], [["cat", 3, 1], ["dog", 0, 4]])}, step=3)
        trackbridge.log({"note": trackbridge.Text("<b>ü</b>")}, step=3)
        Path("model.pt").write_bytes(b"weights")
        trackbridge.log_artifact("model.pt", type="model")
        run.summary["best"] = float("inf")
        run.summary["n"] = 7
        report = trackbridge.finish()
        assert report.delivered, str(report)
    return work, run.id


ASK = (
    TELL
    + """
(task,) = Path("kubeflow-runs").glob("*/*")
outputs = told(task)
types = {name: [type(held).__name__, held.metadata, Path(held.path).read_text() if Path(held.path).is_file() else ""] for name, held in outputs.items()}
files = sorted(str(path.relative_to(task)) for path in task.rglob("*") if path.is_file())
print(json.dumps([str(task), types, files], allow_nan=False))
"""
)


def test_a_folder_that_is_removed_meanwhile_is_written_again(tmp_path: Path) -> None:
    script = """
out, _ = opened()
out.write(series(3))
held = out.flush()
shutil.rmtree(out._folder)
told = []
try:
    out.write(series(3, 3))
    out.flush()
except Unavailable as error:
    told.append("was removed" in str(error))
out, position = opened(position=held)
out.write(series(6)[position.sequences.get("r0", 0):])
out.flush()
out.close("finished", T0 + 10**9)
print(json.dumps([*told, *points()]))
"""
    assert there(script, tmp_path) == [True, 0, 0.5, 1, 1.5, 2, 2.5]


def test_kfp_itself_tells_what_was_logged(delivered: tuple[Path, str]) -> None:
    work, run_id = delivered
    task, outputs, files = there(ASK, work)
    metrics = outputs["metrics"][1]
    assert metrics == {
        "loss": 1 / 3, "n": 7, "bad": "NaN", "word": 'a,\n"b"', "free": "null", "best": "Infinity"
    }  # fmt: skip
    classification = outputs["classification"][1]
    assert classification["confusionMatrix"]["rows"] == [{"row": [3, 1]}, {"row": [0, 4]}]
    assert [point["recall"] for point in classification["confidenceMetrics"]] == [0.0, 0.8, 1.0]
    about = outputs["run"][1]
    assert (about["name"], about["project"], about["status"], about["tags"], about["notes"]) == (
        "first <run>",
        "vision",
        "finished",
        '["a"]',
        "why",
    )
    rows = list(csv.reader(outputs["series"][2].splitlines(keepends=True)))
    assert rows[0] == ["time_ns", "step", "key", "value"]
    assert [row[1:] for row in rows if row[2] == "n"] == [["0", "n", str(2**60)], ["1", "n", str(2**60 + 1)], ["2", "n", str(2**60 + 2)]]
    assert [row[3] for row in rows if row[2] in ("bad", "word")] == ["NaN", 'a,\n"b"'] * 3
    assert [row[1:] for row in rows if row[2] == "free"] == [["", "free", "null"]]
    page = outputs["page"][2]
    assert "<h1>first &lt;run&gt;</h1>" in page
    assert "&lt;b&gt;ü&lt;/b&gt;" in page
    assert outputs["description"][2].startswith("# first <run>\n")
    run = Path(work, task, "run", layout.PARTS.encode(run_id))
    assert json.loads((run / "config.json").read_text(), parse_constant=pytest.fail) == {
        "lr": 0.1, "odd": '"0.5"', "none": None, "nan": "NaN", "net": {"depth": 3}
    }  # fmt: skip
    assert not (work / "kubeflow-runs" / "unfinished" / run.name).exists()
    media = [f"run/{run.name}/media/{name}" for name in ("cm/3_", "note/3_", "roc/3_")]
    assert [name for name in files if not name.startswith(tuple(media))] == sorted(
        [f"run/{run.name}/{name}" for name in (
            "artifacts/index.csv", "artifacts/model.pt/v0/model.pt", "config.json", "description.json", "description.md", "media/index.csv",
            "metrics.json", "page.html", "series.csv", "summary.json", "trackbridge/journal.tbj.z",
        )]
        + ["executor_output.json", "description", "page", "series"]
    )  # fmt: skip
    assert len(files) == 18


def test_a_root_that_was_moved_is_read(delivered: tuple[Path, str], tmp_path: Path) -> None:
    work, run_id = delivered
    there("shutil.copytree('kubeflow-runs', 'copy'); os.rename('copy', 'moved'); print(0)", work)
    os.rename(work / "kubeflow-runs", work / "away")
    try:
        back = trackbridge.read(run_id, f"kubeflow:{work / 'moved'}", sidecar=False)
    finally:
        os.rename(work / "away", work / "kubeflow-runs")
    assert (back.config["lr"], back.config["odd"], back.config["net"]) == (0.1, "0.5", {"depth": 3})
    assert [row["value_any"] for row in back.rows() if row["key"] == "n"] == [2**60, 2**60 + 1, 2**60 + 2]


PIPELINE = """
import os, sys
from kfp import dsl, local
@dsl.component(install_kfp_package=False)
def train(
    lr: float, run: dsl.Output[dsl.Artifact], metrics: dsl.Output[dsl.Metrics], page: dsl.Output[dsl.HTML], points: dsl.Output[dsl.Dataset]
) -> str:
    import trackbridge
    from trackbridge_adapters.kubeflow import fill
    ours = trackbridge.init("vision", config={"lr": lr}, backend=f"kubeflow:{run.path}")
    for step in range(50):
        trackbridge.log({"loss": lr / (step + 1), "bad": float("nan")}, step=step)
    assert trackbridge.finish().delivered
    fill(run, metrics, page, points)
    return ours.id
if __name__ == "__main__":
    local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root="root", workspace_root="work", raise_on_error=True)
    task = train(lr=0.5)
    said = [task.outputs["Output"], task.outputs["run"].uri, task.outputs["run"].metadata, task.outputs["metrics"].metadata]
    lines = [sum(1 for _ in open(task.outputs[name].path)) for name in ("page", "points")]
    import json
    open("said.json", "w").write(json.dumps([*said, lines], allow_nan=False))
"""


def test_a_task_of_kfp_that_trains_fills_its_own_outputs(tmp_path: Path) -> None:
    """As in an image in which this library and KFP are installed."""
    image, pinned = tmp_path / "image", environments.requirements("kubeflow")
    environments.uv("venv", "--quiet", "--python", sys.executable, str(image))
    environments.uv("pip", "install", "--quiet", "--python", str(image / "bin" / "python"), "--requirement", str(pinned))
    packages = next(image.glob("lib/python*/site-packages"))
    (packages / "library.pth").write_text(f"{environments.source('kubeflow')}\n")
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
        "PATH": f"{image / 'bin'}:{os.environ['PATH']}"
    }
    command = [str(image / "bin" / "python"), "pipeline.py"]
    done = subprocess.run(command, capture_output=True, text=True, env=variables, cwd=tmp_path, timeout=180, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    run_id, uri, about, metrics, (page, points) = json.loads((tmp_path / "said.json").read_text())
    assert metrics == {"loss": 0.01, "bad": "NaN"}
    assert (about["id"], about["status"], about["project"]) == (run_id, "finished", "vision")
    assert page > 3
    assert points == 101
    assert [path.name for path in Path(uri).iterdir()] == [layout.PARTS.encode(run_id)]
    (listed,) = trackbridge.runs(f"kubeflow:{tmp_path / 'root'}")
    assert (listed.id, listed.status) == (run_id, "finished")
    back = trackbridge.read(run_id, f"kubeflow:{uri}?mode=task", sidecar=False)
    assert back.config == {"lr": 0.5}
    assert [row["value_any"] for row in back.rows() if row["key"] == "loss"] == [0.5 / (step + 1) for step in range(50)]


def test_a_run_that_goes_on_is_one_task_and_the_former_one_stays_as_it_was_meanwhile(tmp_path: Path) -> None:
    script = """
out, _ = opened()
out.write([*series(10), Record("r0", 10, Config(T0, {"lr": 1}))]); held = out.flush(); out.close("failed", T0)
(first,) = tasks()
before = {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
out, again = opened(position=held)
out.write([*series(10, 11), Record("r0", 21, Config(T0, {"lr": 2}))]); second = out.flush()
same = before == {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
status = [info.status for info in adapter.reader(target).runs()]
out.close("finished", T0 + 10**9)
print(json.dumps([again == held, same, status, len(tasks()), first.exists(), len(points()), [info.status for info in adapter.reader(target).runs()]]))
"""
    assert there(script, tmp_path) == [True, True, ["running"], 1, False, 20, ["finished"]]


def test_a_task_that_failed_or_was_killed_is_made_again(tmp_path: Path) -> None:
    script = (
        TELL
        + """
out, _ = opened()
out.write(series(10)); held = out.flush()
path = os.environ.pop("PATH"); os.environ["PATH"] = str(folder)
said = []
try:
    out.close("finished", T0)
except Unavailable as error:
    said.append("outage")
os.environ["PATH"] = path
half = root / "trackbridge-2026-01-01" / "trackbridge"
shutil.copytree(root / "unfinished" / "r", half / "run" / "r")
out, again = opened(position=held)
said += [again.sequences, len(tasks()), len(points())]
out.write(series(10, 10)); out.close("finished", T0)
said += [len(tasks()), half.exists(), len(points()), sorted(told(tasks()[0])), dict(os.environ) == dict(os.environ, PATH=path), "PYTHONPATH" in os.environ]
print(json.dumps(said))
"""
    )
    outputs = ["classification", "description", "metrics", "page", "run", "series"]
    assert there(script, tmp_path) == ["outage", {"r0": 10}, 0, 10, 1, False, 20, outputs, True, "PYTHONPATH" in os.environ]


def test_a_kill_between_a_task_and_its_folder_loses_nothing(tmp_path: Path) -> None:
    """Where the folder of a run that was put out goes away, and where a task's output is taken up again."""
    script = """
from trackbridge_adapters.kubeflow import outputs
link, rename, rmtree = outputs.link, os.rename, shutil.rmtree
note = Record("r0", 10, Media(T0, 0, 3, "note", "text", "text", "seen"))
def half(source, place):
    if source.name != layout.SERIES:
        link(source, place)
def torn(path, *more, **options):
    if not (Path(path) / "media").exists():
        return rmtree(path, *more, **options)
    rmtree(Path(path) / "media")
    raise OSError("killed")
def killed(*paths):
    raise OSError("killed")
said = []
out, _ = opened()
out.write([*series(10), note]); held = out.flush()
shutil.rmtree = torn
try:
    out.close("finished", T0)
except Unavailable:
    said.append("outage")
shutil.rmtree = rmtree
out, again = opened(position=held)
out.write([*series(10), note][again.sequences.get("r0", 0):]); out.close("finished", T0)
outputs.link, os.rename = half, killed
try:
    opened(position=held)
except Unavailable:
    said.append("outage")
said += [points() == [n / 2 for n in range(10)], [record.event.inline for record in adapter.reader(target).read("r") if isinstance(record.event, Media)]]
print(json.dumps(said))
"""
    assert there(script, tmp_path) == ["outage", "outage", True, ["seen"]]


def test_a_table_of_nothing_is_no_confusion_matrix(tmp_path: Path) -> None:
    script = """
out, _ = opened()
out.write([Record("r0", 0, Media(T0, 0, 3, "nothing", "table", "rows", {"columns": [], "rows": [[]]}))]); out.close("finished", T0)
print(json.dumps([record.event.inline for record in adapter.reader(target).read("r") if isinstance(record.event, Media)]))
"""
    assert there(script, tmp_path) == [{"columns": [], "rows": [[]]}]


def test_torn_tables_are_cut_back(tmp_path: Path) -> None:
    script = """
out, _ = opened()
out.write([*series(5), Record("r0", 5, Metrics(T0, 5, 5, {"y": 'a "b"\\n, c'}))]); held = out.flush()
before = points()
with (root / "unfinished/r/series.csv").open("ab") as file:
    file.write(b'1763870000123456789,6,y,"torn\\n')
torn = points()
out, again = opened(position=held)
out.write(series(2, 6)); out.close("finished", T0)
print(json.dumps([before == torn, again == held, points()]))
"""
    assert there(script, tmp_path) == [True, True, [0.0, 0.5, 1.0, 1.5, 2.0, 'a "b"\n, c', 3.0, 3.5]]


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
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    out, held = opened(position=held)
    out.write(series(5000, held.sequences["r0"])); out.close("finished", T0)
    print(json.dumps([held.sequences, points() == [n / 2 for n in range(5010)]]))
"""
    assert there(script, tmp_path) == [{"r0": 10}, True]


@pytest.mark.parametrize(
    "value", [0.1, 1.0, -0.0, float("nan"), float("inf"), 1, 2**70, True, None, "adam", "0.5", "NaN", "null", "", " 1", "a\r\nb", ["NaN", float("nan")], {}]
)  # fmt: skip
def test_values_keep_their_type(value: object) -> None:
    held = json.loads(layout.dump(layout.shown({"a": value})), parse_constant=pytest.fail)
    assert same(layout.told(held)["a"], value)
    told = layout.metadata(value)
    assert isinstance(told, str) or json.dumps(told, allow_nan=False)


def test_names_do_not_collide_where_cases_are_not_told_apart() -> None:
    names = ["model", "Model", "MODEL", "a/b", "a.b", "a~b", "..", ".", "", "index.csv", "x" * 300, "X" * 300, "größe", "a b"]
    paths = [layout.path(name) for name in names]
    assert len({path.casefold() for path in paths}) == len(names)
    assert not {"..", ".", "", "index.csv"} & set(paths)


def test_inside_a_task_the_path_of_an_output_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(adapter.resolve(Target("kubeflow"), tmp_path)) == f"kubeflow:{tmp_path}/kubeflow-runs"
    with pytest.raises(SettingsError, match="folder"):
        adapter.resolve(Target("kubeflow", "http://127.0.0.1"), tmp_path)
    executor = types.ModuleType("artifact_types")
    executor.CONTAINER_TASK_ROOT = "/root"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "kfp.dsl.types.artifact_types", executor)
    assert str(adapter.resolve(Target("kubeflow", "/out/run"), tmp_path)) == "kubeflow:/out/run?mode=task"
    with pytest.raises(SettingsError, match="output artifact"):
        adapter.resolve(Target("kubeflow"), tmp_path)
