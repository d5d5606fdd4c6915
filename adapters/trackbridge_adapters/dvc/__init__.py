"""DVC experiments (https://dvc.org) in DVCLive's format: plain files, and a git commit of them for each run.

Where it lies: ``dvc`` is ``./dvc-runs``, a git and DVC repository of its own; ``dvc:DIR`` makes one in that folder, or uses the one whose root
it is. A run grows in ``DIR/trackbridge/NAME-ID``, which git and DVC ignore. When it is closed, these files become the folder ``dvclive`` of
the experiment ``NAME-ID``: a commit on top of the commit that the run was started from (where the repository has it, else HEAD), under
``refs/exps``. Nothing touches the repository's branches, index or working tree. A closed run is read from its experiment, by ``dvc.api``.

What it holds, all of it files that people read, and that ``dvc exp show``, ``dvc plots show`` and ``dvc.api`` tell:

- ``plots/metrics/KEY.tsv``: time in milliseconds, step, value; a text that looks like another value is in JSON's quotes;
- ``metrics.json``: the last value of each metric; ``summary.json``: the explicit summary, what is no number or text as JSON in a text;
- ``params.yaml``: the configuration; ``run.yaml``: name, project, group, notes, tags, status, origin, and what changed on the way;
- ``plots/images/KEY/STEP.png``, ``plots/custom/KEY/STEP.json`` (tables and histograms), ``media/KEY/STEP.txt``; other media and artifacts
  in DVC's cache, with a ``.dvc`` file in their place. ``media.tsv`` and ``artifacts.tsv`` say what was logged when.

What changes: an absent step becomes the number of the call, and the time of a point is cut to milliseconds. A killed Writer's tables are cut
back to the last flush (recovery ``truncate``).
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from trackbridge.adapters import Capabilities, Recovery, Requirements, Sidecar, Target
from trackbridge.errors import SettingsError
from trackbridge_adapters.dvc.layout import PATHS, PROJECTION
from trackbridge_adapters.dvc.reader import Reader
from trackbridge_adapters.dvc.writer import Writer


class DvcAdapter:
    name: ClassVar[str] = "dvc"
    requires: ClassVar[Requirements] = Requirements(
        extra="dvc", distributions=("dvclive>=3.48", "dvc>=3.59", "tenacity>=9"), tested={"dvclive": "3.49.1", "dvc": "3.67.1"}
    )

    def resolve(self, target: Target, base: Path) -> Target:
        if target.location and not target.is_path:
            raise SettingsError(f"dvc writes to a folder, not to {target.location!r}: push its experiments from there with `dvc exp push`")
        return target.in_folder(base, "dvc-runs")

    def capabilities(self, target: Target, client_version: str = "") -> Capabilities:
        return Capabilities("files", PROJECTION, PATHS, Recovery.TRUNCATE, Sidecar.BESIDE)

    def writer(self, target: Target) -> Writer:
        return Writer(Path(target.location), target.project)

    def reader(self, target: Target) -> Reader:
        return Reader(Path(target.location), target.project)

    def ui(self, target: Target) -> list[str]:
        return ["dvc", "--cd", target.location, "exp", "show", "--all-commits"]


adapter = DvcAdapter()
