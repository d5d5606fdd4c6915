"""Grids, and sweeps of an example that takes no time, in real processes; one of a real example."""

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trackbridge_examples.sweep import command, examples
from trackbridge_examples.sweep.engines import complaint_of
from trackbridge_examples.sweep.grid import Task, key_of, make_tasks, parse_grid
from trackbridge_examples.sweep.results import mean_and_spread, summary_table

import trackbridge
from trackbridge.identity import RUN_ID

from .sweeps import begin_sweep, statuses, sweep, until

NAMES = st.text("abcdefgh-", min_size=1, max_size=6)
VALUES = st.lists(st.text("0123456789.xyz", min_size=1, max_size=5), min_size=1, max_size=4, unique=True)


@given(st.dictionaries(NAMES, VALUES, min_size=1, max_size=4), st.lists(NAMES, max_size=2))
def test_a_grid_gives_every_combination_once(grid: dict[str, list[str]], fixed: list[str]) -> None:
    assert parse_grid([f"{name}={','.join(values)}" for name, values in grid.items()]) == grid
    tasks = make_tasks("bias", grid, fixed)
    expected = 1
    for values in grid.values():
        expected *= len(values)
    assert len({task.key for task in tasks}) == len(tasks) == expected
    for task in tasks:
        run_id = task.new_run_id()
        assert RUN_ID.fullmatch(run_id)
        assert key_of(run_id) == task.key
        assert task.new_run_id() != run_id
        assert task.key == Task("bias", task.varied[::-1], tuple(fixed)).key
        assert task.key != Task("efficientnet", task.varied, tuple(fixed)).key
        assert task.key != Task("bias", task.varied, (*fixed, "--smoke")).key


def test_the_options_of_a_task() -> None:
    (task,) = make_tasks("bias", parse_grid(["p=0.1 texture=0.9", "seed=3"]), ["--smoke"])
    assert task.options == ["--smoke", "--p", "0.1", "texture=0.9", "--seed", "3"]
    assert str(task) == "p=0.1 texture=0.9 seed=3"


@pytest.mark.parametrize("words", [["seed"], ["seed="], ["=1"], ["seed=1,,2"], ["seed=1", "seed=2"], ["seed=1,1"]])
def test_what_is_no_grid_is_refused(words: list[str]) -> None:
    with pytest.raises(ValueError, match=r"seed|=1"):
        parse_grid(words)


@pytest.mark.parametrize(
    ("grid", "reason"),
    [
        (["method=stdm,gdr0"], "gdr0"),
        (["method=stdm", "p=0.5,1.5"], "a bias p is between 0 and 1"),
        (["method=gdro", "seed=1,x"], "invalid seed value: 'x'"),
        (["method=all"], "one by one"),
        (["colour=red"], "--colour"),
        (["contact-sheet=a.png"], "does not train"),
    ],
)
def test_a_bad_value_is_refused_before_anything_runs(grid: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        command.main(["bias", "--grid", *grid])
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert reason in told
    assert told.count("error: ") == 1
    assert not Path(os.environ["TRACKBRIDGE_DIR"]).exists()


def test_every_example_can_be_swept_but_only_what_trains_one_model() -> None:
    for example in examples.EXAMPLES:
        assert examples.refusal(Task(example, (("seed", "1"),), ("--smoke",))) == ""
    for example, option in (("efficientnet", "--table"), ("madgrad", "--study")):
        assert f"{option} does not train" in examples.refusal(Task(example, (("epochs", "1"),), (option,)))
    assert examples.refusal(Task("madgrad", (("seed", "1"),), ("--study",))).endswith("no --seed"), "which a study has its own of"


@pytest.mark.usefixtures("with_tiny")
def test_one_failure_harms_no_other_and_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep("--grid", "behave=raise,die,leave,well", "seed=1,2", "--jobs", "2") == 1
    assert statuses() == {
        ("raise", 1): ["failed"],
        ("raise", 2): ["failed"],
        ("die", 1): ["crashed"],
        ("die", 2): ["crashed"],
        ("well", 1): ["finished"],
        ("well", 2): ["finished"],
    }
    assert {info.group for info in trackbridge.runs()} == {"sweep-tiny"}
    told = capsys.readouterr().out
    assert "6 of 8 runs failed" in told
    assert "behave=raise seed=1: RuntimeError: nothing works" in told
    assert "python -m tests.examples.tiny --behave raise --seed 1" in told
    assert "behave=die seed=2: killed by SIGKILL" in told
    assert "behave=leave seed=1: it ended, but no finished run could be read back" in told
    assert "│ well   │ 2    │ 15.00 ± 7.07 " in told


@pytest.mark.usefixtures("with_tiny")
def test_the_same_command_does_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    grid = ("--grid", "behave=raise-once,well", "seed=1", "--jobs", "1")
    assert sweep(*grid) == 1
    assert "0 finished, 2 to do" in capsys.readouterr().out
    assert sweep(*grid) == 0
    assert "1 finished, 1 to do" in capsys.readouterr().out
    assert statuses() == {("raise-once", 1): ["failed", "finished"], ("well", 1): ["finished"]}
    assert sweep(*grid, "--group", "other") == 0  # another group is another sweep
    assert "0 finished, 2 to do" in capsys.readouterr().out


@pytest.mark.usefixtures("with_tiny")
def test_finished_runs_are_found_in_a_backend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = f"jsonl:{tmp_path / 'lines'}"
    monkeypatch.setenv("TRACKBRIDGE_BACKEND", target)
    grid = ("--grid", "seed=1,2", "--source", target)
    assert sweep(*grid) == 0
    shutil.rmtree(os.environ["TRACKBRIDGE_DIR"])
    capsys.readouterr()
    assert sweep(*grid) == 0
    told = capsys.readouterr().out
    assert "2 finished, 0 to do" in told
    assert "15.00 ± 7.07" in told


@pytest.mark.usefixtures("with_tiny")
def test_a_killed_sweep_is_taken_up_where_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    grid = ("--grid", "behave=well,wait", "seed=1,2", "--jobs", "1")
    process = begin_sweep(*grid)
    until(lambda: statuses().get(("wait", 1)) == ["running"], process)
    process.kill()
    process.wait()
    assert statuses()["well", 1] == statuses()["well", 2] == ["finished"]

    assert sweep("--grid", "behave=wait,well", "seed=1", "--jobs", "1") == 1  # the process of wait lives on
    assert "1 finished, 1 in work elsewhere, 0 to do" in capsys.readouterr().out
    Path("go").touch()
    until(lambda: statuses()["wait", 1] != ["running"])
    assert sweep(*grid) == 0
    assert all(values.count("finished") == 1 for values in statuses().values())
    assert len(statuses()) == 4


@pytest.mark.usefixtures("with_tiny")
@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_stops_a_sweep_that_the_same_command_takes_up(jobs: int) -> None:
    grid = ("--grid", "behave=wait,well", "seed=1,2", "--jobs", str(jobs))
    begun = {("wait", seed) for seed in range(1, jobs + 1)}
    process = begin_sweep(*grid)
    until(lambda: statuses() == {key: ["running"] for key in begun}, process)
    os.killpg(process.pid, signal.SIGINT)
    told, _ = process.communicate()
    assert process.returncode == 130, told
    assert "the same command goes on" in told
    until(lambda: ["running"] not in statuses().values())
    assert statuses().keys() == begun
    Path("go").touch()
    assert sweep(*grid) == 0


def test_a_real_example_is_swept(capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["bias", "--grid", "method=stdm", "seed=5", "--metrics", "validation/accuracy", "--", "--smoke", "--log-level", "light"])
    (info,) = trackbridge.runs()
    run = trackbridge.read(info.id)
    assert (info.status, info.group, run.config["seed"], run.config["preset"]) == ("finished", "sweep-bias", 5, "smoke")
    assert f"{run.summary['validation/accuracy']:.2f}" in capsys.readouterr().out


def test_a_summary_is_the_mean_and_deviation_over_seeds() -> None:
    assert mean_and_spread([1.0, 2.0, 3.0]) == "2.00 ± 1.00"
    assert mean_and_spread([4.0]) == "4.00"
    assert mean_and_spread([]) == "not available"
    tasks = make_tasks("bias", {"method": ["stdm", "gdro"], "seed": ["1", "2"]})
    results = dict(zip(tasks, [{"a": 1.0}, {"a": 3.0}, {"a": 5.0}, {}], strict=True))
    table = summary_table(results, ["a", "b"])
    cells = list(zip(*(column.cells for column in table.columns), strict=True))
    assert cells == [("stdm", "2", "2.00 ± 1.41", "not available"), ("gdro", "2", "5.00", "not available")]


@pytest.mark.parametrize(
    ("code", "output", "complaint"),
    [(0, "a warning\n", ""), (1, "Traceback\nValueError: no\n", "ValueError: no"), (3, "", "exit code 3"), (-11, "x", "killed by SIGSEGV")],
)
def test_why_a_process_failed(code: int, output: str, complaint: str) -> None:
    assert complaint_of(code, output) == complaint


@pytest.mark.usefixtures("with_tiny")
def test_without_ray_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SystemExit, match=r"pip install 'trackbridge\[ray\]'"):
        command.main(["tiny", "--grid", "seed=1", "--engine", "ray"])
