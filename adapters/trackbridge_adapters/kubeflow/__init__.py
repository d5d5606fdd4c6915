"""Kubeflow Pipelines (https://www.kubeflow.org): the output artifacts of a task, of our own in a pipeline root, or of the task that trains.

Where it lies: ``kubeflow`` is the pipeline root ``./kubeflow-runs``, ``kubeflow:DIR`` another. A run grows in ``DIR/unfinished/ID``; when it is closed, a task
of one component is run through ``kfp.local``, without containers or installing anything, and the run is what it put out: ``run``, a folder of its files, and
for KFP's own pages ``metrics`` (Metrics: the last values, and the summary), ``classification`` (ClassificationMetrics: a table ``fpr tpr threshold`` is a ROC
curve, one whose rows are named as its columns a confusion matrix), ``series`` (Dataset), ``page`` (HTML) and ``description`` (Markdown). KFP gives a
task a new folder each time, so a run that goes on after it was closed is a new task, and the older one goes.

Inside a task that KFP runs, ``kubeflow:{run.path}`` is the path of an output artifact, and the run's files grow there in a folder ``ID``; no task is
started. What KFP shows of the others is asked for when the run is finished::

    def train(run: dsl.Output[dsl.Artifact], metrics: dsl.Output[dsl.Metrics], page: dsl.Output[dsl.HTML]):
        trackbridge.init("vision", backend=f"kubeflow:{run.path}")
        ...
        trackbridge.finish()
        trackbridge_adapters.kubeflow.fill(run, metrics, page)

What it keeps: KFP has no series, so ``series.csv`` has time, step, key and value of each point; the configuration, the summary and the description are JSON;
media and artifacts are files, listed in ``index.csv``, tables CSV, histograms JSON. A value that CSV or strict JSON would not give back is a text with JSON.
In this way nothing changes. In Metrics, which one NaN makes unreadable, what is no finite number is a text, and so is an integer beyond 2**53.

The tables are ours to append to: after a kill they are cut back to the last flush (recovery ``truncate``).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import ClassVar

import msgspec

from trackbridge.adapters import Capabilities, Recovery, Requirements, Sidecar, Target
from trackbridge.errors import SettingsError
from trackbridge.names import Names
from trackbridge.projection import Projection
from trackbridge_adapters.kubeflow.outputs import fill
from trackbridge_adapters.kubeflow.reader import Reader
from trackbridge_adapters.kubeflow.writer import Writer

__all__ = ["KubeflowAdapter", "adapter", "fill"]

TASK = "task"


class KubeflowAdapter:
    name: ClassVar[str] = "kubeflow"
    requires: ClassVar[Requirements] = Requirements(
        extra="kubeflow", distributions=("kfp>=2.14", "tenacity>=9"), tested={"kfp": "2.17.0"}, python=(11, 14)
    )

    def resolve(self, target: Target, base: Path) -> Target:
        if target.location and not target.is_path:
            raise SettingsError(
                f"kubeflow writes to a folder, not to {target.location!r}: in a pipeline give the path of an output artifact"
            )
        if self._in_task():
            if not target.location:
                raise SettingsError("inside a task of KFP kubeflow needs the path of an output artifact: kubeflow:{run.path}")
            target = msgspec.structs.replace(target, options={"mode": TASK} | target.options)
        return target.in_folder(base, "kubeflow-runs")

    def capabilities(self, target: Target, client_version: str = "") -> Capabilities:
        flavour = TASK if target.options.get("mode") == TASK else "local"
        return Capabilities(flavour, Projection(), Names(r"(?s:.)"), Recovery.TRUNCATE, Sidecar.STORED)

    def writer(self, target: Target) -> Writer:
        return Writer(Path(target.location), target.project, in_task=target.options.get("mode") == TASK)

    def reader(self, target: Target) -> Reader:
        return Reader(Path(target.location), target.project)

    def ui(self, target: Target) -> list[str]:
        return []

    def _in_task(self) -> bool:
        """Whether KFP's executor runs this process."""
        return getattr(sys.modules.get("kfp.dsl.types.artifact_types"), "CONTAINER_TASK_ROOT", None) is not None


adapter = KubeflowAdapter()
