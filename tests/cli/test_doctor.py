"""``trackbridge doctor`` tells what is wrong and how it is mended, and never shows a secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.adapters.servers import free_port
from tests.shared import command


def diagnosis(*arguments: str) -> dict[str, object]:
    (one,) = json.loads(command("doctor", "--json", *arguments).stdout)
    return one


def test_all_that_is_installed_can_be_used() -> None:
    found = {one["backend"]: one for one in json.loads(command("doctor", "--json").stdout)}
    assert {"jsonl", "tensorboard", "mlflow", "wandb"} <= found.keys()
    assert all(one["usable"] or one["remedy"] for one in found.values())
    assert found["tensorboard"]["usable"]
    assert found["tensorboard"]["versions"]["tensorboard"] == "2.21.0"
    assert command("doctor").returncode == 0


def test_the_configured_target_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKBRIDGE_BACKEND", f"mlflow:http://127.0.0.1:{free_port()}")
    done = command("doctor", "--json")
    assert done.returncode == 1
    found = {one["backend"]: one for one in json.loads(done.stdout)}
    assert not found["mlflow"]["usable"]
    assert "does not answer" in found["mlflow"]["problem"]
    assert found["jsonl"]["usable"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert diagnosis(f"jsonl:{tmp_path}/folder")["usable"]
    found = diagnosis("jsonl:/proc/nowhere/runs")
    assert not found["usable"]
    assert "TRACKBRIDGE_BACKEND=jsonl:FOLDER" in str(found["remedy"])
    assert not diagnosis(f"jsonl:{tmp_path}/file/runs")["usable"]


def test_credentials_are_found_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "s3cret-token-value")
    done = command("doctor", "--json", "mlflow")
    assert json.loads(done.stdout)[0]["credentials"] == ["MLFLOW_TRACKING_TOKEN"]
    assert "s3cret" not in done.stdout + done.stderr
    shown = command("doctor", "mlflow:http://user:s3cret-token-value@127.0.0.1:9")
    assert "s3cret" not in shown.stdout + shown.stderr


def test_what_to_know_before_choosing_is_told() -> None:
    assert "ended in March 2026" in str(diagnosis("neptune")["notice"])
    assert diagnosis("jsonl")["notice"] == ""


def test_an_unknown_backend_is_an_error_that_lists_the_known_ones() -> None:
    done = command("doctor", "mlfow")
    assert done.returncode == 2
    assert "mlflow" in done.stderr


def test_backends_are_listed() -> None:
    rows = {row["backend"]: row for row in json.loads(command("backends", "--json").stdout)}
    assert rows["mlflow"]["recovery"] == "append"
