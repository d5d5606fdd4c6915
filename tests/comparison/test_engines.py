"""Trainings on a Ray cluster of several nodes on this machine, which share its folders."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from trackbridge_comparison import children, cli, schema
from trackbridge_comparison.children import ChildFailed, OutOfTime
from trackbridge_comparison.engines import Cluster

from tests import ray_cluster
from tests.ray_cluster import NODES
from tests.shared import until
from trackbridge import compare

pytest.importorskip("ray", reason="Ray is not installed: pip install 'trackbridge[ray]'")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch, ray_cluster.cluster(patch):
        yield Cluster()


def script(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_a_training_for_each_core_and_what_it_printed(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cluster.at_once == NODES
    printed = cluster.run(script("import os; print(os.getcwd(), os.environ['MINE'])"), tmp_path / "work", 60, {"MINE": "here"})
    assert printed.split() == [str(tmp_path / "work"), "here"]


def test_what_fails_and_what_takes_too_long_is_told_as_on_this_machine(cluster: Cluster, tmp_path: Path) -> None:
    with pytest.raises(ChildFailed, match=r"exit code 3\nwhy"):
        cluster.run(script("print('why'); raise SystemExit(3)"), tmp_path, 60)
    with pytest.raises(OutOfTime, match="its time was over"):
        cluster.run(script("import time; time.sleep(600)"), tmp_path, 0.5)
    with pytest.raises(ChildFailed, match="Ray lost it"):
        cluster.run(script("import os, signal; os.kill(os.getppid(), signal.SIGKILL)"), tmp_path, 60)


def test_what_is_stopped_ends_on_its_node(cluster: Cluster, tmp_path: Path) -> None:
    told, ended = tmp_path / "pid", threading.Event()

    def train() -> None:
        with pytest.raises(OutOfTime, match="stopped"):
            cluster.run(script(f"import os, time; open({str(told)!r}, 'w').write(str(os.getpid())); time.sleep(600)"), tmp_path, 900)
        ended.set()

    thread = threading.Thread(target=train, daemon=True)
    thread.start()
    until(lambda: told.exists() and told.read_text())
    try:
        children.end_all()
        assert ended.wait(60)
    finally:
        children.restart()
    until(lambda: not Path("/proc", told.read_text()).exists())


def test_a_comparison_trains_there_and_reads_back_here(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    out = tmp_path / "results"
    assert compare.main(["--backends", "jsonl", "--smoke", "--separate", "--engine", "ray", "--out", str(out)]) == 0
    data = schema.load(out)
    assert data.command == "python -m trackbridge.compare --backends jsonl --smoke --separate --engine ray"
    assert {cell.spec.id: cell.value for cell in data.cells if cell.spec.id.endswith("_results")} == {
        "jsonl/experiments/bias-separate_results": 100.0,
        "jsonl/experiments/efficientnet-adam-separate_results": 100.0,
    }


def test_what_is_measured_is_measured_on_this_machine(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.parse(["--axes", "overhead", "--engine", "ray"])
    assert "--engine is for --separate" in capfd.readouterr().err


def test_without_ray_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert compare.main(["--backends", "jsonl", "--separate", "--engine", "ray"]) == 2
    assert "pip install 'trackbridge[ray]'" in capfd.readouterr().out
