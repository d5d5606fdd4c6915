"""The same tasks on a Ray cluster of several nodes on this machine."""

from collections.abc import Iterator

import pytest

from tests import ray_cluster
from tests.ray_cluster import NODES

from .sweeps import statuses, sweep

pytest.importorskip("ray", reason="Ray is not installed: pip install 'trackbridge[ray]'")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, with_tiny: None) -> Iterator[None]:
    with ray_cluster.cluster(monkeypatch):
        yield


@pytest.mark.usefixtures("cluster")
def test_tasks_go_to_every_node_and_failures_stay_alone(capsys: pytest.CaptureFixture[str]) -> None:
    grid = ("--grid", "behave=raise-once,die,well", "seed=1,2,3", "--engine", "ray")
    assert sweep(*grid) == 1
    told = capsys.readouterr().out
    nodes = {line.rpartition(" on node ")[2] for line in told.splitlines() if " on node " in line}
    assert len(nodes) == NODES
    assert "behave=die seed=2: killed by SIGKILL" in told
    found = statuses()
    assert [found["well", seed] for seed in (1, 2, 3)] == [["finished"]] * 3
    assert [found["die", seed] for seed in (1, 2, 3)] == [["crashed"]] * 3

    assert sweep("--grid", "behave=raise-once,well", "seed=1,2,3", "--engine", "ray", "--jobs", "1") == 0
    assert all(values.count("finished") == 1 for (behave, _), values in statuses().items() if behave != "die")
