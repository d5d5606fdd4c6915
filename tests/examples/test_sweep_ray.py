"""The same tasks on a Ray cluster of several nodes on this machine."""

from collections.abc import Iterator
from typing import Any

import pytest

from .sweeps import statuses, sweep

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'trackbridge[ray]'")

NODES = 2


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, with_tiny: None) -> Iterator[Any]:
    """A head that computes nothing, and nodes with a core each."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(NODES):
        nodes.add_node(num_cpus=1)
    ray.init(address=nodes.address, log_to_driver=False)
    yield nodes
    ray.shutdown()
    nodes.shutdown()


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
