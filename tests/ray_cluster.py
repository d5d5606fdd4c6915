"""A Ray cluster of several nodes on this machine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

NODES = 2


@contextlib.contextmanager
def cluster(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """A head that computes nothing, and nodes with a core each; this process is connected to it."""
    import ray
    from ray.cluster_utils import Cluster

    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        for _ in range(NODES):
            nodes.add_node(num_cpus=1)
        ray.init(address=nodes.address, log_to_driver=False)
        yield
    finally:
        ray.shutdown()
        nodes.shutdown()
