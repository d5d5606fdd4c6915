"""The planner, --only, and the schedule that keeps the budget."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trackbridge_comparison import children, experiments, probes, schedule
from trackbridge_comparison.bench import SIZES, Bench, Finding, Job
from trackbridge_comparison.budget import Memory, choose, matches
from trackbridge_comparison.children import ChildFailed, OutOfTime
from trackbridge_comparison.schedule import Schedule
from trackbridge_comparison.schema import Cell, Spec, Status, Task

jobs_strategy = st.lists(st.floats(0.1, 100), max_size=12).map(lambda times: [(f"job{n}", time) for n, time in enumerate(times)])


@given(jobs_strategy, st.floats(0, 300))
def test_what_is_chosen_fits_and_leaves_out_only_what_does_not(estimates: list[tuple[str, float]], seconds: float) -> None:
    chosen = choose(estimates, seconds)
    times = dict(estimates)
    assert sum(times[name] for name in chosen) <= seconds + 1e-6
    assert chosen == [name for name, _ in estimates if name in chosen], "in order of importance"
    before = 0.0
    for name, time in estimates:
        if name in chosen:
            before += time
        else:
            assert time > seconds - before - 1e-6, f"{name} fitted beside the more important ones"


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
    jobs = [*experiments.jobs(here, lambda experiment: None), *probes.jobs(here)]
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
    tmp_path: Path, jobs: list[Job], budget: float | None = None, mode: str = "smoke", wanted: set[str] | None = None
) -> dict[str, Cell]:
    cells: dict[str, Cell] = {}
    ids = frozenset(spec.id for job in jobs for spec in job.specs) if wanted is None else frozenset(wanted)
    children.restart()
    memory = Memory(tmp_path / "durations.json", mode)
    Schedule(bench(tmp_path, mode), jobs, ids, budget, memory, lambda cell: cells.update({cell.spec.id: cell}), Silent()).run()
    return cells


def job(name: str, *findings: Finding | Exception, estimate: float = 1.0, alone: bool = True, owes: tuple[str, ...] = ()) -> Job:
    def work(bench: Bench, wanted: frozenset[str]) -> Iterator[Finding]:
        for finding in findings:
            if isinstance(finding, Exception):
                raise finding
            yield finding

    ids = [finding.id for finding in findings if isinstance(finding, Finding)] + list(owes)
    return Job(name, tuple(Spec(id, id, "s") for id in ids), work, estimate, alone)


@pytest.mark.parametrize("alone", [True, False])
def test_what_does_not_fit_is_left_out_and_said(tmp_path: Path, alone: bool) -> None:
    jobs = [job(f"{n}", Finding(f"a/x/{n}", float(n)), estimate=time, alone=alone) for n, time in enumerate((10.0, 1e6, 10.0))]
    cells = run(tmp_path, jobs, budget=1000.0)
    assert [cells[f"a/x/{n}"].status for n in range(3)] == [Status.MEASURED, Status.NOT_RUN_QUICK, Status.MEASURED]
    assert "1000000 s" in cells["a/x/1"].detail
    assert run(tmp_path, jobs[1:2], budget=1000.0, mode="full")["a/x/1"].status is Status.NOT_RUN_FULL


@pytest.mark.parametrize("alone", [True, False])
def test_a_failure_is_told_and_stops_nothing(tmp_path: Path, alone: bool) -> None:
    broken = job("broken", Finding("a/x/1", 1.0), ChildFailed("exit code 1\nno such thing"), owes=("a/x/2",), alone=alone)
    cells = run(tmp_path, [broken, job("sound", Finding("a/x/3", 3.0), alone=alone)])
    assert cells["a/x/1"].value == 1.0
    assert cells["a/x/2"].status is Status.FAILED
    assert "no such thing" in cells["a/x/2"].detail
    assert cells["a/x/3"].status is Status.MEASURED


def test_a_probe_that_forgets_a_cell_has_failed_it(tmp_path: Path) -> None:
    assert run(tmp_path, [job("forgets", owes=("a/x/1",))])["a/x/1"].status is Status.FAILED


def test_a_job_that_the_budget_ended_was_not_run_one_with_time_left_failed(tmp_path: Path) -> None:
    late = [job("late", OutOfTime("ended"), owes=("a/x/1",), estimate=0.0)]
    assert run(tmp_path, late, budget=0.5)["a/x/1"].status is Status.NOT_RUN_QUICK
    assert run(tmp_path, late, budget=1e6)["a/x/1"].status is Status.FAILED


def test_only_wanted_cells_are_kept(tmp_path: Path) -> None:
    both = job("both", Finding("a/x/1", 1.0), Finding("a/x/2", 2.0))
    assert set(run(tmp_path, [both], wanted={"a/x/2"})) == {"a/x/2"}


def test_a_cell_carries_the_command_that_repeats_it(tmp_path: Path) -> None:
    assert run(tmp_path, [job("one", Finding("a/x/1", 1.0))])["a/x/1"].command == "compare --only a/x/1"


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
    assert schedule.SIDE_BY_SIDE == 2
