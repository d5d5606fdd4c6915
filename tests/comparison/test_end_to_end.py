"""The comparison itself, with tiny sizes: real training, real children, real read-backs."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import polars
import pytest
from trackbridge_comparison import children, cli, experiments, readback, schema
from trackbridge_comparison.bench import SIZES, Bench
from trackbridge_comparison.children import ChildFailed, OutOfTime
from trackbridge_comparison.probes import fidelity
from trackbridge_comparison.schema import Cell, Spec, Status, Way

import trackbridge
from trackbridge import compare, environments
from trackbridge.deviations import Reason
from trackbridge.errors import BackendError
from trackbridge.normal import Normal, expected
from trackbridge.normal import compare as compare_forms
from trackbridge.projection import Projection, is_bool, scalar_rule
from trackbridge.testing import canon

pytestmark = pytest.mark.xdist_group("comparison")


@pytest.fixture
def compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "out"


def test_two_backends_from_training_to_report(compared: Path, capfd: pytest.CaptureFixture[str]) -> None:
    code = compare.main(["--backends", "memory,jsonl", "--smoke", "--seed", "1", "--out", str(compared)])
    printed = capfd.readouterr().out
    data = schema.load(compared)
    assert code == 0, printed
    assert data.state == "finished"
    assert data.missing() == []
    assert [len(one.runs) for one in data.experiments] == [2, 1], "StdM and group DRO, and one optimizer"
    assert [one.name for one in data.experiments] == ["bias", "efficientnet-adam"]
    metrics = {reading.metric for one in data.experiments for run in one.runs for back in run.readbacks for reading in back.readings}
    assert {"test/accuracy", "mmd/texture", "iosm/texture/majority"} <= metrics
    for one in data.experiments:
        for run in one.runs:
            for back in run.readbacks:
                assert back.identical, (run.name, back)
                assert back.verified
                assert back.points > 0
                assert {"series", "summary", "results table"} <= {source for reading in back.readings for source in reading.sources}
    status = {cell.spec.id: cell.status for cell in data.cells}
    assert set(status.values()) == {Status.MEASURED, Status.UNSUPPORTED}, "memory has no client of its own"
    assert {item.backend for item in data.items} == {"memory", "jsonl"}
    assert all(item.exact and item.written not in ("", "nothing") for item in data.items)
    assert status["memory/overhead/log_p50_burst"] is Status.UNSUPPORTED
    assert status["jsonl/overhead/log_p50_burst"] is Status.MEASURED
    for id in (
        "memory/durability/kept_after_kill_through",
        "jsonl/durability/kept_after_kill",
        "jsonl/fidelity/ordinary",
        "memory/fidelity/hostile",
    ):
        cell = data.cell(id)
        assert cell is not None
        assert cell.value == 100.0, (id, cell)
    assert status["jsonl/exit/recoverable"] is Status.MEASURED
    with (compared / "cells.csv").open(newline="", encoding="utf-8") as file:
        assert {row["id"]: row["status"] for row in csv.DictReader(file)} == status
    samples = polars.read_parquet(compared / "samples.parquet").group_by("id").agg(polars.col("value").sort_by("index"))
    assert dict(samples.iter_rows()) == {cell.spec.id: cell.samples for cell in data.cells if cell.samples}
    assert json.loads((compared / "environment.json").read_bytes())["seed"] == 1
    assert {cell.log for cell in data.cells if cell.log} == {f"logs/{path.name}" for path in (compared / "logs").iterdir()}
    files = [path for path in compared.rglob("*") if path.is_file()]
    text = b"".join(path.read_bytes() for path in files)
    assert str(Path.home()).encode() not in text
    assert str(compared.parent).encode() not in text
    assert "storage" in printed
    assert not list((compared.parent / "cache" / "trackbridge" / "compare").glob("work-*")), "its work folder is removed"


def test_only_one_cell_is_measured_and_the_report_in_results_stays(compared: Path, capfd: pytest.CaptureFixture[str]) -> None:
    id = "jsonl/storage/bytes_per_point"
    arguments = ["--backends", "jsonl", "--smoke", "--only", id]
    assert compare.main([*arguments, "--out", str(cli.RESULTS / "smoke")]) == 0
    before = (cli.RESULTS / "smoke" / "data.json").read_bytes()
    assert compare.main(arguments) == 0
    assert (cli.RESULTS / "smoke" / "data.json").read_bytes() == before
    data = schema.load(compared.parent / "cache" / "trackbridge" / "compare" / "only")
    assert [cell.spec.id for cell in data.cells] == [id]
    assert data.cells[0].command == f"python -m trackbridge.compare --backends jsonl --smoke --only {id}"
    printed = capfd.readouterr().out
    assert f"in {cli.RESULTS / 'smoke'}" in printed
    assert "agrees" in printed


@pytest.mark.parametrize("part", [["--axes", "storage"], ["--only", "storage"]])
def test_a_part_has_no_place_among_the_reports(part: list[str]) -> None:
    assert cli.parse(part).out is None
    assert cli.parse([*part, "--out", "there"]).out == Path("there")
    assert [cli.parse(whole).out for whole in ([], ["--full"], ["--separate"])] == [
        cli.RESULTS / name for name in ("quick", "full", "separate")
    ]


COMMAND = [sys.executable, "-m", "trackbridge.compare", "--backends", "jsonl", "--smoke", "--only", "storage", "--only", "durability"]


def stopped(out: Path, number: int) -> tuple[int, bytes]:
    """Send the signal `number` to a comparison when its first task is done; its exit code, and what it printed afterwards."""
    child = subprocess.Popen([*COMMAND, "--out", str(out)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, process_group=0)
    assert child.stdout is not None
    try:
        for line in child.stdout:
            if b"done" in line:
                break
        child.send_signal(number)
        return child.wait(), child.stdout.read()
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


def resumed(out: Path, before: schema.Data) -> None:
    """Go on with the comparison in `out`: what was measured stays, and all the rest is measured."""
    assert before.cells
    assert before.missing()
    assert compare.main(["--resume", "--out", str(out)]) == 0
    after = schema.load(out)
    assert after.state == "finished"
    assert after.missing() == []
    assert (after.seed, after.planned, after.started) == (before.seed, before.planned, before.started)
    assert all(after.cell(cell.spec.id) == cell for cell in before.cells if cell.status.has_value)
    assert [cell.spec.id for cell in after.cells if cell.value is None] == ["jsonl/storage/compacted_bytes_per_point"]
    done = {task.name for task in after.tasks if task.outcome == "done"}
    assert {task.name for task in before.tasks} < done
    assert after.spent > before.spent
    (sitting,) = after.resumed
    assert sitting.machine == after.machine
    assert f"gone on with {sitting.time}" in (out / "report.md").read_text("utf-8")


def test_ctrl_c_keeps_what_is_done(compared: Path) -> None:
    """SIGINT comes when the first cell is in the file."""
    code, rest = stopped(compared, signal.SIGINT)
    assert code == cli.INTERRUPTED, rest
    data = schema.load(compared)
    assert data.state == "interrupted"
    assert b"missing:" in rest
    assert data.missing()[0].id in (compared / "report.md").read_text("utf-8").replace("\\", "")
    resumed(compared, data)


def test_a_comparison_that_was_killed_is_finished_by_resume(compared: Path) -> None:
    code, _ = stopped(compared, signal.SIGKILL)
    assert code == -signal.SIGKILL
    data = schema.load(compared)
    assert data.state == "running"
    assert compare.main(["--render", "--out", str(compared)]) == 0, "what is there is a valid partial report"
    cache = compared.parent / "cache" / "trackbridge" / "compare"
    assert list(cache.glob("work-*")), "it could not remove its folder"
    resumed(compared, data)
    assert not list(cache.glob("work-*"))


def test_a_full_disk_leaves_a_partial_report_that_resume_finishes(compared: Path) -> None:
    """No file may grow beyond the size that ``data.json`` has when some of its cells are in it."""
    out = compared / "whole"
    assert compare.main([*COMMAND[3:], "--out", str(out)]) == 0
    whole = schema.load(out)
    begun = msgspec.structs.replace(whole, cells=whole.cells[:3], claims=[], lecture=[], scores=[], weights={})
    most = len(schema.encode(begun))
    limited = ["prlimit", f"--fsize={most}", *COMMAND, "--out", str(compared)]
    done = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "go on with --resume" in done.stdout
    assert not list(compared.glob(".data.json-*")), "the half-written file is gone"
    resumed(compared, schema.load(compared))


def test_a_client_that_cannot_be_installed_fails_its_own_cells_alone(compared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def create(backend: str, python: str | None = None) -> environments.Environment:
        raise BackendError(f"uv pip failed: no wheel for {backend}", "connect to a network")

    monkeypatch.setattr(environments, "create", create)
    assert compare.main(["--backends", "jsonl,tensorboard", "--smoke", "--axes", "storage", "--out", str(compared)]) == 1
    data = schema.load(compared)
    failed = {cell.spec.id for cell in data.cells if cell.status is Status.FAILED}
    assert failed == {spec.id for spec in data.planned if spec.backend == "tensorboard" and spec.way is Way.NATIVE}
    cell = data.cell("tensorboard/storage/bytes_per_point")
    assert cell is not None
    assert "no wheel for tensorboard" in cell.detail
    assert all(data.cell(spec.id).value is not None for spec in data.planned if spec.way is Way.THROUGH)  # type: ignore[union-attr]


def test_separate_trains_for_one_backend_at_a_time(compared: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert compare.main(["--backends", "memory,jsonl", "--smoke", "--separate", "--list"]) == 0
    listed = capfd.readouterr().out.splitlines()
    assert len(listed) == 8, "two cells of two experiments for each of two backends"
    assert all("-separate_" in line for line in listed)
    assert compare.main(["--backends", "memory,jsonl", "--smoke", "--only", "experiments", "--list"]) == 0
    assert "separate" not in capfd.readouterr().out
    here = Bench(compared, SIZES["smoke"], ("memory", "jsonl"), 1, compared)
    alone = [job.backends for job in experiments.jobs(here) if "separate" in job.name]
    assert alone == [("memory",), ("jsonl",)] * 2


def test_what_was_left_out_shows_the_last_full_comparison(compared: Path) -> None:
    old = Cell(spec=Spec("jsonl/storage/bytes_per_point", "", "B"), status=Status.MEASURED, value=5.0, time="2026-01-02T00:00:00Z")
    schema.save(
        schema.Data(mode="full", cells=[old, msgspec.structs.replace(old, spec=Spec("jsonl/storage/other", "", "B"))]), cli.RESULTS / "full"
    )
    assert compare.main(["--backends", "jsonl", "--axes", "storage", "--budget", "0", "--out", str(compared)]) == 0
    data = schema.load(compared)
    assert {cell.status for cell in data.cells} == {Status.NOT_RUN_QUICK}
    assert data.earlier == [old]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--backends", "nonsense"], "unknown backend"),
        (["--only", "nonsense"], "nothing is called nonsense"),
        (["--axes", "nonsense"], "nothing is called nonsense"),
        (["--resume"], "--resume finds no comparison in"),
    ],
)
def test_what_cannot_be_done_is_said(compared: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], word: str) -> None:
    assert compare.main([*arguments, "--smoke", "--out", str(compared)]) == 2
    assert word in capfd.readouterr().out
    assert not compared.exists()


def test_render_again_from_the_file(compared: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert compare.main(["--render", "--out", str(compared)]) == 2
    schema.save(schema.Data(backends=["jsonl"]), compared)
    assert compare.main(["--render", "--out", str(compared)]) == 0
    assert (compared / "report.html").is_file()
    assert "rendered" in capfd.readouterr().out


def test_without_the_extra_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "trackbridge_comparison", None)
    monkeypatch.delitem(sys.modules, "trackbridge_comparison.cli", raising=False)
    assert compare.main([]) == 2
    assert "pip install 'trackbridge[compare]'" in capsys.readouterr().err


def test_importing_the_hand_over_loads_nothing_of_the_comparison() -> None:
    code = "import sys, trackbridge.compare; print([m for m in sys.modules if m.startswith(('trackbridge_comparison', 'rich', 'altair', 'jinja2'))])"
    assert subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


# -- reading back -----------------------------------------------------------------------------------------------------------------------


def logged(folder: Path, backend: str) -> Path:
    with trackbridge.init(project="p", id="run", backend=f"{backend}:{folder / backend}", dir=folder / "journals") as run:
        for epoch in range(3):
            trackbridge.log({"test/accuracy": 10.1 * epoch, "mmd/x": 5.0 - epoch}, step=epoch)
        run.summary["test/accuracy"] = 10.1 * 2
        trackbridge.log(
            {"results": trackbridge.Table(columns=["metric", "value"], rows=[["test/accuracy", 10.1 * 2], ["mmd/x", 3.0]])}, step=2
        )
    return folder / "journals" / "run"


def test_a_value_that_was_changed_in_the_tracker_is_flagged(tmp_path: Path) -> None:
    run = logged(tmp_path, "jsonl")
    target = f"jsonl:{tmp_path / 'jsonl'}"
    assert readback.read_back(run, "jsonl", target).identical
    (path,) = (tmp_path / "jsonl").rglob("metrics.jsonl")
    lines = path.read_text("utf-8").splitlines(keepends=True)
    lines[-1] = lines[-1].replace("20.2", "20.3")
    path.write_text("".join(lines), "utf-8")
    back = readback.read_back(run, "jsonl", target)
    found = {reading.metric: reading for reading in back.readings}
    assert not back.identical
    assert not back.verified
    assert back.differences
    assert found["test/accuracy"].native == "20.3"
    assert found["test/accuracy"].logged == "20.2"
    assert found["test/accuracy"].differing == {"summary": "20.2", "results table": "20.2"}
    assert found["mmd/x"].identical


def test_a_run_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    run = logged(tmp_path, "jsonl")
    shutil.rmtree(tmp_path / "jsonl")
    back = readback.read_back(run, "jsonl", f"jsonl:{tmp_path / 'jsonl'}")
    assert "RunNotFound" in back.error
    assert not back.identical


# -- children -----------------------------------------------------------------------------------------------------------------------


def test_a_child_that_fails_or_hangs_is_told(tmp_path: Path) -> None:
    children.restart()
    with pytest.raises(ChildFailed, match="no luck"):
        children.run([sys.executable, "-c", "raise SystemExit('no luck')"], tmp_path, 60)
    with pytest.raises(OutOfTime):
        children.run([sys.executable, "-c", "import time; time.sleep(600)"], tmp_path, 0.2)


def test_the_end_of_a_child_is_the_end_of_what_it_started(tmp_path: Path) -> None:
    """Also of a process that has left the group."""
    children.restart()
    code = textwrap.dedent("""
        import subprocess, sys, time
        inner = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
        print(inner.pid, flush=True)
        time.sleep(600)
    """)
    log = tmp_path / "log"
    child = children.start([sys.executable, "-c", code], tmp_path, log=log)
    while not (log.exists() and log.read_text().strip()):
        assert child.poll() is None
    inner = int(log.read_text())
    assert inner in children.descendants(child.pid)
    children.end(child)
    while Path(f"/proc/{inner}").exists() and "Z" not in Path(f"/proc/{inner}/stat").read_text().split(")")[1].split()[0]:
        pass


# -- fidelity ----------------------------------------------------------------------------------------------------------------------------


def test_the_ordinary_traits_are_traits(tmp_path: Path) -> None:
    names = {trait.name for trait in canon.main(tmp_path, "r").traits}
    assert names >= fidelity.ORDINARY
    assert len(names - fidelity.ORDINARY) > 50


def inexact(traits: list[canon.Trait], logged: Normal, there: Normal) -> set[str]:
    return {trait.name for trait, (then, now) in fidelity.restricted(traits, logged, there) if compare_forms(then, now, Projection())}


def test_exactness_sees_every_kind_of_change(tmp_path: Path) -> None:
    run = canon.main(tmp_path, "r")
    logged = fidelity.normal(run.records, run.info)
    assert not inexact(run.traits, logged, logged)

    def broken(**changes: object) -> set[str]:
        there = msgspec.structs.replace(logged, **changes)
        return inexact(run.traits, logged, there)

    key = "long/loss"
    points = logged.series[key]
    assert broken(series=logged.series | {key: points[:-1]}) == {"series: 20,000 steps"}
    moved = [msgspec.structs.replace(point, step=point.step + 1) for point in points if point.step is not None]
    assert broken(series=logged.series | {key: moved}) == {"series: 20,000 steps"}
    later = [msgspec.structs.replace(point, time=point.time + 1) for point in points]
    assert broken(series=logged.series | {key: later}) == set(), "times count only in the traits about times"
    assert all(
        name.startswith("time:")
        for name in broken(series={k: [msgspec.structs.replace(p, time=0) for p in v] for k, v in logged.series.items()})
    )
    assert broken(status="failed") == {"status: finished"}
    assert [name.partition(":")[0] for name in broken(tags=frozenset())] == ["tags"]
    assert all(name.startswith(("config:", "flow:")) for name in broken(config={}))
    assert len(broken(config={})) > 10
    assert all(name.startswith(("artifact:", "flow:")) for name in broken(artifacts={}))


def test_an_item_says_what_was_written_what_came_back_and_whether_that_is_declared(tmp_path: Path) -> None:
    run = canon.main(tmp_path, "r")
    logged = fidelity.normal(run.records, run.info)
    changed = {
        key: [msgspec.structs.replace(point, value=float(point.value)) if isinstance(point.value, bool) else point for point in points]
        for key, points in logged.series.items()
    }
    there = msgspec.structs.replace(logged, series=changed)
    declared = Projection(scalar_rule(Reason.RETYPED, "bool -> float", "it keeps floats", is_bool, value=lambda point: float(point.value)))
    held = (logged, expected(logged, declared), there, logged)
    (forms,) = (cut for trait, cut in fidelity.restricted(run.traits, *held) if trait.name == "scalar: bool")
    (trait,) = (trait for trait in run.traits if trait.name == "scalar: bool")
    found = fidelity.item("jsonl", trait, forms, declared)
    assert not found.exact
    assert found.exact_restored
    assert not found.ordinary
    assert "True, False, True" in found.written
    assert "1.0, 0.0, 1.0" in found.native
    assert found.reason == "retyped: bool -> float"
    as_logged = forms[0]
    assert fidelity.item("jsonl", trait, [as_logged, as_logged, *forms[2:]], declared).reason == "", "it is not what was declared"
    assert fidelity.item("jsonl", trait, [as_logged] * 4, declared).reason == "", "what is exact has no reason"


def test_a_bench_in_its_folder(tmp_path: Path) -> None:
    here = Bench(tmp_path, SIZES["smoke"], ("memory",), 1, tmp_path / "cache")
    made: list[int] = []
    assert here.once("key", lambda: made.append(1) or 5) == 5
    assert here.once("key", lambda: made.append(2) or 6) == 5
    assert made == [1]
    assert here.folder("a") != here.folder("a")
    assert here.portable(str(tmp_path / "x")) == "<work>/x"
