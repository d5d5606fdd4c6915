"""Runs as they are read back through trackbridge, from journals or a tracker: all that the study and the report know."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import trackbridge

FINISHED = "finished"


@dataclass(frozen=True)
class RunFacts:
    """What a run was and what came out; the summary holds the last value of every metric too."""

    id: str
    name: str
    project: str
    status: str
    tags: frozenset[str]
    config: Mapping[str, Any]
    summary: Mapping[str, Any]
    source: str | None = None  # where it was read back from

    @property
    def finished(self) -> bool:
        return self.status == FINISHED

    def number(self, metric: str) -> float:
        """A value of the summary.

        Raises:
            ValueError: the run has none of this name, or it is no number.
        """
        value = self.summary.get(metric)
        if not isinstance(value, (int, float)):
            raise ValueError(f"run {self.name} ({self.id}) of project {self.project} has no {metric}")
        return float(value)

    def values(self, metric: str) -> list[float]:
        """All values of a metric, in the order of logging."""
        return values_of(self.id, metric, self.source)


def read_back(source: str | None = None, project: str | None = None) -> Iterator[RunFacts]:
    """The runs of a source (see ``trackbridge.read``), of one project or of all, in an order that every source has: by id."""
    for info in sorted(trackbridge.runs(source), key=lambda info: info.id):
        if project in (None, info.project):
            run = trackbridge.read(info.id, source)
            yield RunFacts(info.id, info.name, info.project, str(info.status), frozenset(run.tags), run.config, run.summary, source)


def values_of(run: str, metric: str, source: str | None = None) -> list[float]:
    """All values that a run has of a metric, in the order of logging."""
    return [float(point["value_any"]) for point in trackbridge.read(run, source).rows() if point["key"] == metric]
