"""DAGsHub (https://dagshub.com): the open files of its logger, or the MLflow server of a repository that it hosts.

Where it lies: ``dagshub`` is the folder ``./dagshub-runs``, ``dagshub:DIR`` another one; a run is ``DIR/PROJECT/NAME-ID``. DAGsHub shows what
is pushed to it with git, or with `dagshub upload`. ``dagshub:https://dagshub.com/USER/REPO`` sends to the repository's MLflow server instead,
with the token that its client finds (``DAGSHUB_USER_TOKEN``, `dagshub login`), and keeps what MLflow keeps.

What the files hold, as DAGsHub's experiments and its pages of files show it:

- ``metrics.csv``: Name, Value, Timestamp in milliseconds, Step; a text that looks like another value is in JSON's quotes;
- ``params.yml``: the configuration, lists as JSON; under ``trackbridge`` the name, notes, tags, status, summary, and what changed on the way;
- ``media/KEY/STEP.png`` ... (a table is a CSV file whose cells are texts, or JSON where that would lose the type), ``artifacts/NAME/v0/FILE``;
  ``media.csv`` and ``artifacts.csv`` say what was logged when.

What changes: an absent step becomes the number of the call, and the time of a point is cut to milliseconds. DAGsHub's own logger empties the
files that it opens, so they are written here; a killed Writer's are cut back to the last flush (recovery ``truncate``).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import ClassVar

import msgspec

from trackbridge import adapters
from trackbridge.adapters import Capabilities, Recovery, Requirements, Sidecar, Target
from trackbridge_adapters import mlflow
from trackbridge_adapters.dagshub.files import FilesReader, FilesWriter
from trackbridge_adapters.dagshub.hosted import HostedReader, HostedWriter
from trackbridge_adapters.dagshub.layout import KEYS, PROJECTION


class DagsHubAdapter:
    name: ClassVar[str] = "dagshub"
    requires: ClassVar[Requirements] = Requirements(
        extra="dagshub",
        distributions=("dagshub>=0.5", "mlflow-skinny>=3.10", "pyyaml>=6", "tenacity>=9"),
        tested={"dagshub": "0.7.3", "mlflow-skinny": "3.17.2"},
        credentials=("DAGSHUB_USER_TOKEN", "MLFLOW_TRACKING_USERNAME", "~/.cache/dagshub/tokens"),
    )
    flavours: ClassVar[tuple[str, ...]] = ("dagshub-runs", "https://dagshub.com/USER/REPO")

    def resolve(self, target: Target, base: Path) -> Target:
        if target.location and not target.is_path:
            return msgspec.structs.replace(target, location=target.location.rstrip("/").removesuffix(".git").removesuffix(".mlflow"))
        return target.in_folder(base, "dagshub-runs")

    def capabilities(self, target: Target, client_version: str = "") -> Capabilities:
        if not target.is_path:
            return dataclasses.replace(mlflow.adapter.capabilities(Target("mlflow", target.location)), flavour="mlflow")
        return Capabilities("files", PROJECTION, KEYS, Recovery.TRUNCATE, Sidecar.BESIDE)

    def writer(self, target: Target) -> adapters.Writer:
        return FilesWriter(target) if target.is_path else HostedWriter(target)

    def reader(self, target: Target) -> adapters.Reader:
        return FilesReader(target) if target.is_path else HostedReader(target)

    def ui(self, target: Target) -> list[str]:
        return []


adapter = DagsHubAdapter()
