"""The comparison itself, with tiny sizes: real training, real children, real read-backs."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import msgspec
import pytest
from trackbridge_comparison import children, cli, natives, readback, schema
from trackbridge_comparison.bench import SIZES, Bench
from trackbridge_comparison.children import ChildFailed, OutOfTime
from trackbridge_comparison.natives import driver
from trackbridge_comparison.probes import fidelity
from trackbridge_comparison.schema import Status

import trackbridge
from trackbridge import compare
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
    text = b"".join((compared / name).read_bytes() for name in ("data.json", "report.md", "report.html"))
    assert str(Path.home()).encode() not in text
    assert str(compared.parent).encode() not in text
    assert "storage" in printed
    assert not list((compared.parent / "cache" / "trackbridge" / "compare").glob("work-*")), "its work folder is removed"


def test_only_one_cell_is_measured_and_the_report_in_results_stays(compared: Path, capfd: pytest.CaptureFixture[str]) -> None:
    id = "jsonl/storage/bytes_per_point"
    arguments = ["--backends", "jsonl", "--smoke", "--only", id]
    assert compare.main([*arguments, "--out", str(cli.RESULTS)]) == 0
    before = (cli.RESULTS / "data.json").read_bytes()
    assert compare.main(arguments) == 0
    assert (cli.RESULTS / "data.json").read_bytes() == before
    data = schema.load(compared.parent / "cache" / "trackbridge" / "compare" / "only")
    assert [cell.spec.id for cell in data.cells] == [id]
    assert data.cells[0].command == f"python -m trackbridge.compare --backends jsonl --smoke --only {id}"
    assert f"in {cli.RESULTS}" in capfd.readouterr().out


def test_ctrl_c_keeps_what_is_done(compared: Path) -> None:
    """SIGINT comes when the first cell is in the file."""
    command = [sys.executable, "-m", "trackbridge.compare", "--backends", "jsonl", "--smoke", "--only", "storage", "--only", "durability"]
    child = subprocess.Popen([*command, "--out", str(compared)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, process_group=0)
    assert child.stdout is not None
    try:
        for line in child.stdout:
            if b"done" in line:
                break
        child.send_signal(signal.SIGINT)
        rest = child.stdout.read()
        assert child.wait() == cli.INTERRUPTED, rest
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    data = schema.load(compared)
    assert data.state == "interrupted"
    assert data.cells
    assert data.missing()
    assert b"missing:" in rest
    assert data.missing()[0].id in (compared / "report.md").read_text("utf-8").replace("\\", "")


@pytest.mark.parametrize(
    ("arguments", "word"), [(["--backends", "nonsense"], "unknown backend"), (["--only", "nonsense"], "nothing is called nonsense")]
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


# -- natives ------------------------------------------------------------------------------------------------------------------------------


def drive(verb: str, folder: Path, *rest: object, script: str = "jsonl") -> dict[str, object]:
    children.restart()
    command = [sys.executable, "-I", str(natives.DRIVER), script, verb, str(folder), *map(str, rest)]
    printed = children.run(command, folder, 120)
    result: dict[str, object] = json.loads(printed.splitlines()[-1])
    return result


@pytest.mark.parametrize("backend", sorted(set(natives.DISTRIBUTIONS) - {"mlflow"}))
def test_every_script_writes_what_it_reads(backend: str, tmp_path: Path) -> None:
    folder = tmp_path / "native"
    folder.mkdir()
    drive("write", folder, "one", 7, 3, script=backend)
    assert drive("read", folder, "one", 7, 3, script=backend)["complete"]
    assert not drive("read", folder, "one", 8, 3, script=backend)["complete"], "a call more was not made"


def test_a_lost_call_has_no_timing(tmp_path: Path) -> None:
    drive("write", tmp_path, "one", 10, 2)
    path = tmp_path / "one.jsonl"
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:4] + lines[5:]), "utf-8")
    assert not drive("read", tmp_path, "one", 10, 2)["complete"]
    assert drive("kept", tmp_path, "one", 10, 2)["kept"] == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    path.write_text("".join([*lines, lines[2]]), "utf-8")
    assert not drive("read", tmp_path, "one", 10, 2)["complete"], "a call that is there twice"


def test_scripts_know_nothing_of_trackbridge() -> None:
    for backend, source in natives.sources().items():
        assert "trackbridge" not in source.lower(), backend
    assert natives.script("through") is None
    assert driver.values(3, 2) != driver.values(4, 2)


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


def test_exactness_sees_every_kind_of_change(tmp_path: Path) -> None:
    run = canon.main(tmp_path, "r")
    logged = fidelity.normal(run.records, run.info)
    assert all(fidelity.exactness(run.traits, logged, logged).values())

    def broken(**changes: object) -> set[str]:
        there = msgspec.structs.replace(logged, **changes)
        return {name for name, exact in fidelity.exactness(run.traits, logged, there).items() if not exact}

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


def test_a_bench_in_its_folder(tmp_path: Path) -> None:
    here = Bench(tmp_path, SIZES["smoke"], ("memory",), 1, tmp_path / "cache")
    made: list[int] = []
    assert here.once("key", lambda: made.append(1) or 5) == 5
    assert here.once("key", lambda: made.append(2) or 6) == 5
    assert made == [1]
    assert here.folder("a") != here.folder("a")
    assert here.portable(str(tmp_path / "x")) == "<work>/x"
