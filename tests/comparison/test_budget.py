"""The planner, --only, and the schedule that keeps the budget."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trackbridge_comparison import children, cli, experiments, probes, tools
from trackbridge_comparison.bench import SIZES, Bench, Finding, Job
from trackbridge_comparison.budget import Memory, choose, matches
from trackbridge_comparison.children import ChildFailed, OutOfTime, TooLong
from trackbridge_comparison.schedule import Limits, Schedule
from trackbridge_comparison.schema import Cell, Spec, Status, Task

from tests.shared import until
from trackbridge import host
from trackbridge.errors import BackendError

jobs_strategy = st.lists(st.floats(0.1, 100), max_size=12).map(lambda times: [(f"job{n}", time) for n, time in enumerate(times)])


@given(jobs_strategy, st.floats(0, 300))
def test_what_is_chosen_fits_and_leaves_out_only_what_does_not(estimates: list[tuple[str, float]], seconds: float) -> None:
    chosen = choose(estimates, seconds)
    times = dict(estimates)
    assert sum(times[name] for name in chosen) <= seconds + 1e-6
    assert chosen == [name for name, _ in estimates if name in chosen], "in order of importance"
    before = 0.0
    for name, seconds_of_it in estimates:
        if name in chosen:
            before += seconds_of_it
        else:
            assert seconds_of_it > seconds - before - 1e-6, f"{name} fitted beside the more important ones"


@pytest.mark.parametrize(
    "pattern", ["mlflow/overhead/log_p50", "overhead", "mlflow", "mlflow/overhead", "overhead/log_p50", "*/overhead/*", "ml*"]
)
def test_only_means(pattern: str) -> None:
    assert matches("mlflow/overhead/log_p50", pattern)


@pytest.mark.parametrize("pattern", ["", "log", "mlflow/overhead/log", "over", "wandb", "wandb/overhead", "mlflow/storage"])
def test_only_does_not_mean(pattern: str) -> None:
    assert not matches("mlflow/overhead/log_p50", pattern)


def test_only_an_experiment() -> None:
    assert matches("jsonl/experiments/efficientnet-adam_results", "experiments/efficientnet-adam")
    assert not matches("jsonl/experiments/bias_results", "experiments/efficientnet-adam")


def bench(tmp_path: Path, mode: str = "smoke", backends: tuple[str, ...] = ("jsonl", "memory")) -> Bench:
    return Bench(tmp_path / "work", SIZES[mode], backends, 1, tmp_path / "cache", command=["compare"])


@pytest.mark.parametrize("mode", sorted(SIZES))
def test_every_cell_has_one_job_and_its_id_says_where_it_belongs(tmp_path: Path, mode: str) -> None:
    here = bench(tmp_path, mode)
    jobs = [*experiments.jobs(here), *probes.jobs(here)]
    specs = [spec for job in jobs for spec in job.specs]
    assert len({spec.id for spec in specs}) == len(specs)
    assert len({job.name for job in jobs}) == len(jobs)
    for spec in specs:
        assert spec.backend in here.backends
        assert matches(spec.id, spec.id)
        assert spec.axis in {module.AXIS for module in (experiments, *probes.PROBES)}


class Silent:
    def begin(self, job: Job, estimate: float) -> None:
        return None

    def end(self, job: Job, task: Task) -> None:
        return None


def run(
    tmp_path: Path,
    jobs: list[Job],
    budget: float = float("inf"),
    mode: str = "smoke",
    wanted: set[str] | None = None,
    limits: Limits | None = None,
) -> dict[str, Cell]:
    cells: dict[str, Cell] = {}
    ids = frozenset(spec.id for job in jobs for spec in job.specs) if wanted is None else frozenset(wanted)
    memory = Memory(tmp_path / "durations.json", mode)
    here = bench(tmp_path, mode)

    def record(cell: Cell) -> None:
        cells[cell.spec.id] = cell

    Schedule(here, jobs, ids, limits or Limits(budget), memory, tmp_path / "out", record, lambda task: None, Silent()).run()
    return cells


def job(
    name: str,
    *findings: Finding | Exception,
    estimate: float = 1.0,
    alone: bool = True,
    owes: tuple[str, ...] = (),
    long: bool = False,
    backends: tuple[str, ...] = (),
) -> Job:
    def work(bench: Bench, wanted: frozenset[str]) -> Iterator[Finding]:
        for finding in findings:
            if isinstance(finding, Exception):
                raise finding
            yield finding

    ids = [finding.id for finding in findings if isinstance(finding, Finding)] + list(owes)
    return Job(name, tuple(Spec(id, id, "s") for id in ids), work, estimate, alone, long, backends)


@pytest.mark.parametrize("alone", [True, False])
def test_what_does_not_fit_is_left_out_and_said(tmp_path: Path, alone: bool) -> None:
    jobs = [job(f"{n}", Finding(f"memory/x/{n}", float(n)), estimate=taken, alone=alone) for n, taken in enumerate((10.0, 1e6, 10.0))]
    cells = run(tmp_path, jobs, budget=1000.0)
    assert [cells[f"memory/x/{n}"].status for n in range(3)] == [Status.MEASURED, Status.NOT_RUN_QUICK, Status.MEASURED]
    assert "1000000 s" in cells["memory/x/1"].detail
    assert run(tmp_path, jobs[1:2], budget=1000.0, mode="full")["memory/x/1"].status is Status.NOT_RUN_FULL


@pytest.mark.parametrize("alone", [True, False])
def test_a_failure_is_told_and_stops_nothing(tmp_path: Path, alone: bool) -> None:
    broken = job("broken", Finding("memory/x/1", 1.0), ChildFailed("exit code 1\nno such thing"), owes=("memory/x/2",), alone=alone)
    cells = run(tmp_path, [broken, job("sound", Finding("memory/x/3", 3.0), alone=alone)])
    assert cells["memory/x/1"].value == 1.0
    assert cells["memory/x/2"].status is Status.FAILED
    assert "no such thing" in cells["memory/x/2"].detail
    assert cells["memory/x/3"].status is Status.MEASURED


def test_a_probe_that_forgets_a_cell_has_failed_it(tmp_path: Path) -> None:
    assert run(tmp_path, [job("forgets", owes=("memory/x/1",))])["memory/x/1"].status is Status.FAILED


def test_a_job_that_the_budget_ended_was_not_run_one_with_time_left_failed(tmp_path: Path) -> None:
    late = [job("late", OutOfTime("ended"), owes=("memory/x/1",), estimate=0.0)]
    assert run(tmp_path, late, budget=0.5)["memory/x/1"].status is Status.NOT_RUN_QUICK
    assert run(tmp_path, late, budget=1e6)["memory/x/1"].status is Status.FAILED


def test_only_wanted_cells_are_kept(tmp_path: Path) -> None:
    both = job("both", Finding("memory/x/1", 1.0), Finding("memory/x/2", 2.0))
    assert set(run(tmp_path, [both], wanted={"memory/x/2"})) == {"memory/x/2"}


def test_a_cell_carries_the_command_that_repeats_it(tmp_path: Path) -> None:
    assert run(tmp_path, [job("one", Finding("memory/x/1", 1.0))])["memory/x/1"].command == "compare --only memory/x/1"


def test_the_memory_outlives_the_process_and_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "durations.json"
    Memory(path, "quick").learn({"a": 10.0})
    assert Memory(path, "quick").estimate("a", 1.0) >= 10.0
    assert Memory(path, "full").estimate("a", 1.0) == 1.0
    path.write_bytes(b"{torn")
    assert Memory(path, "quick").estimate("a", 1.0) == 1.0


def test_interrupted_work_starts_no_more_children(tmp_path: Path) -> None:
    children.end_all()
    try:
        with pytest.raises(OutOfTime):
            children.start(["true"], tmp_path)
    finally:
        children.restart()


def test_what_has_left_its_group_ends_with_the_comparison_too(tmp_path: Path) -> None:
    """A tracker's service in a session of its own. It and its parent sleep, so that nothing but being killed ends them while this waits."""
    code = """
import subprocess, sys, time
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
open("pid", "w").write(f"{child.pid}\\n")
time.sleep(600)
"""
    children.start([sys.executable, "-c", code], tmp_path)
    place = tmp_path / "pid"
    until(lambda: place.exists() and place.read_text().endswith("\n"))
    children.end_all()
    service = int(place.read_text())
    try:
        until(lambda: not host.alive(service))
    finally:
        children.restart()
        if host.alive(service):
            os.kill(service, signal.SIGKILL)


@pytest.mark.parametrize("alone", [True, False])
def test_a_slow_backend_does_not_take_the_time_of_another(tmp_path: Path, alone: bool) -> None:
    """What shares the machine takes half of what it lasts."""
    jobs = [
        job(f"{backend}{n}", Finding(f"{backend}/x/{n}", 1.0), estimate=estimate, alone=alone, backends=(backend,))
        for backend, estimate in (("memory", 111.0), ("jsonl", 40.0))
        for n in range(2)
    ]
    cells = run(tmp_path, jobs, limits=Limits(total=10_000.0, backend=55.0))
    assert {cells[f"memory/x/{n}"].status for n in range(2)} == {Status.NOT_RUN_QUICK}
    assert {cells[f"jsonl/x/{n}"].status for n in range(2)} == {Status.MEASURED}
    assert run(tmp_path, jobs[:1], limits=Limits(backend=56.0))["memory/x/0"].status is (Status.NOT_RUN_QUICK if alone else Status.MEASURED)


def test_the_time_of_a_backend_ends_its_job(tmp_path: Path) -> None:
    def work(bench: Bench, wanted: frozenset[str]) -> Iterator[Finding]:
        children.run(["sleep", "600"], tmp_path, bench.left())
        yield Finding("memory/x/1", 1.0)

    sleeps = Job("sleeps", (Spec("memory/x/1", "", "s"),), work, 0.1, backends=("memory",))
    cell = run(tmp_path, [sleeps], limits=Limits(total=10_000.0, backend=0.5))["memory/x/1"]
    assert cell.status is Status.NOT_RUN_QUICK
    assert "used up" in cell.detail


def test_a_full_time_box_is_no_used_up_budget(tmp_path: Path) -> None:
    children.restart()
    here = bench(tmp_path)
    with pytest.raises(TooLong):
        here.run(["sleep", "600"], tmp_path, at_most=0.2)
    with pytest.raises(OutOfTime):
        here.of(deadline=time.monotonic() + 0.2).run(["sleep", "600"], tmp_path, at_most=60.0)


def test_long_jobs_are_left_to_a_full_comparison(tmp_path: Path) -> None:
    long = [job("long", Finding("memory/x/1", 1.0), long=True)]
    cell = run(tmp_path, long, limits=Limits(long=False))["memory/x/1"]
    assert cell.status is Status.NOT_RUN_QUICK
    assert "only a full comparison" in cell.detail
    assert run(tmp_path, long)["memory/x/1"].status is Status.MEASURED


def test_statuses_come_from_the_manifest(tmp_path: Path) -> None:
    """Offline clients, an emulated service, an ended one: none is run for what it cannot be asked for, and none is called measured."""
    ids = {
        "wandb/overhead/finish": Status.OFFLINE,
        "wandb/outage/longest_call": Status.UNSUPPORTED,
        "wandb/setup/packages": Status.MEASURED,
        "sagemaker/fidelity/ordinary": Status.EMULATED,
        "sagemaker/overhead/finish": Status.NEEDS_ACCOUNT,
        "sagemaker/scalability/write_1000": Status.NEEDS_ACCOUNT,
        "sagemaker/setup/first_metric": Status.NEEDS_ACCOUNT,
        "neptune/outage/longest_call": Status.ENDED,
        "neptune/fidelity/ordinary": Status.OFFLINE,
        "tensorboard/fidelity/ordinary": Status.MEASURED,
        "jsonl/storage/files_per_run": Status.MEASURED,
        "memory/storage/files_per_run": Status.MEASURED,
    }
    units = {id: "%" if "fidelity" in id else "s" for id in ids}
    asked: list[str] = []

    def work(bench: Bench, wanted: frozenset[str]) -> Iterator[Finding]:
        asked.extend(wanted)
        for id in wanted:
            yield Finding(id, 1.0)

    jobs = [Job(id, (Spec(id, "", units[id]),), work, 1.0) for id in ids]
    cells = run(tmp_path, jobs)
    assert {id: cell.status for id, cell in cells.items()} == ids
    assert set(asked) == {id for id, status in ids.items() if status.has_value}
    assert "AWS_ACCESS_KEY_ID" in cells["sagemaker/overhead/finish"].detail
    assert all(cells[id].detail for id, status in ids.items() if not status.has_value)


def test_a_failed_setup_is_tried_once_and_told_to_all(tmp_path: Path) -> None:
    tried: list[int] = []

    def make() -> None:
        tried.append(1)
        raise BackendError("it cannot be installed", "connect to a network")

    here = bench(tmp_path)
    for _ in range(2):
        with pytest.raises(BackendError, match="cannot be installed"):
            here.once("environment", make)
    assert len(tried) == 1


def test_what_children_print_lies_in_the_log_of_the_cell(tmp_path: Path) -> None:
    def work(bench: Bench, wanted: frozenset[str]) -> Iterator[Finding]:
        bench.run([sys.executable, "-c", f"print('{tmp_path}/out of ideas')"], tmp_path)
        yield Finding("jsonl/x/1", 1.0)
        bench.run([sys.executable, "-c", "raise SystemExit('no luck')"], tmp_path)

    cells = run(tmp_path, [Job("A job", (Spec("jsonl/x/1", "", "s"), Spec("jsonl/x/2", "", "s")), work, 1.0)])
    log = (tmp_path / "out" / cells["jsonl/x/1"].log).read_text("utf-8")
    assert "out of ideas" in log
    assert "no luck" in log
    assert str(tmp_path) not in log
    assert cells["jsonl/x/2"].status is Status.FAILED
    assert run(tmp_path, [job("silent", Finding("jsonl/x/1", 1.0))])["jsonl/x/1"].log == ""


@pytest.mark.parametrize("mode", ["quick", "full"])
def test_kills_reach_over_three_documented_flush_intervals(mode: str) -> None:
    for backend, entry in tools.entries().items():
        earliest, latest = SIZES[mode].kill_range(entry.flush)
        assert 0 < earliest < latest
        assert mode == "quick" or latest >= 3 * entry.flush, backend


def test_quick_promises_twenty_minutes_for_all_tools() -> None:
    assert cli.TRAINING_SECONDS + cli.QUICK_SECONDS * len(tools.entries()) <= 1200
    assert cli.QUICK_SECONDS <= 55
