"""Every test logs into its own folder, and sees none of the settings of whoever runs it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from trackbridge import run as run_module
from trackbridge import session


@pytest.fixture(autouse=True)
def own_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in list(os.environ):
        if name.startswith(
            (
                "TRACKBRIDGE_",
                "WANDB_",
                "MLFLOW_",
                "COMET_",
                "CLEARML_",
                "TRACKIO_",
                "SWANLAB_",
                "AIM_",
                "NEPTUNE_",
                "DAGSHUB_",
                "GUILD_",
                "SLURM_",
            )
        ) or name in (
            "RANK",
            "WORLD_SIZE",
            "TORCHELASTIC_RUN_ID",
            "RUN_ID",
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("TRACKBRIDGE_DIR", str(tmp_path / "journals"))
    monkeypatch.chdir(tmp_path)
    before, session._current = session._current, None
    run_module._told.clear()
    yield
    if session._current is not None:
        session._current.finish()
    session._current = before
