"""Where trainings run of which nothing is timed: on this machine, or on the nodes of a Ray cluster that shares its folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from trackbridge.errors import SettingsError
from trackbridge_comparison import children
from trackbridge_comparison.children import ChildFailed, OutOfTime

POLL = 0.5
"""Seconds between two looks at whether the comparison was stopped."""

GRACE = 10.0
"""Seconds that a node has to end what it was told to end."""


class Engine(Protocol):
    """`at_once`: so many trainings run at the same time."""

    at_once: int

    def run(self, command: Sequence[str], work: Path, seconds: float, extra: Mapping[str, str] | None = None) -> str:
        """As :func:`trackbridge_comparison.children.run` does."""


class Here:
    """This machine, with two processes at a time."""

    at_once = 2
    run = staticmethod(children.run)


class Cluster:
    """The cluster of ``RAY_ADDRESS``, else the one that was started here, else one for this machine alone; a core for each training.

    Raises:
        SettingsError: Ray is not installed.
    """

    def __init__(self) -> None:
        try:
            import ray
        except ImportError:
            raise SettingsError(
                "--engine ray needs Ray: pip install 'trackbridge[ray]'; or leave it out, and train on this machine"
            ) from None
        if not ray.is_initialized():
            ray.init(log_to_driver=False)
        self.at_once = max(1, int(ray.cluster_resources().get("CPU", 1)))
        self._ray = ray
        self._training = ray.remote(num_cpus=1, max_retries=0, scheduling_strategy="SPREAD")(children.run)

    def run(self, command: Sequence[str], work: Path, seconds: float, extra: Mapping[str, str] | None = None) -> str:
        training = self._training.remote(list(command), work, seconds, extra)
        while not self._ray.wait([training], timeout=POLL)[0]:
            if children.stopping():
                self._ray.cancel(training)
                self._ray.wait([training], timeout=GRACE)
                raise OutOfTime("the comparison was stopped")
        try:
            printed: str = self._ray.get(training)
        except (ChildFailed, OutOfTime):
            raise
        except self._ray.exceptions.RayError as error:
            raise ChildFailed(f"Ray lost it: {error}") from error
        return printed


ENGINE = "joblib"
ENGINES: dict[str, Callable[[], Engine]] = {ENGINE: Here, "ray": Cluster}
"""By the names that ``--engine`` has in the sweep of the examples."""
