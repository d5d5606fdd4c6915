"""``trackbridge doctor`` tells what is wrong and how it is mended, and never shows a secret."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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


def test_a_bare_name_means_the_configured_targets_and_each_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKBRIDGE_BACKEND", f"jsonl:{tmp_path}/here,jsonl:/proc/nowhere")
    for arguments in ([], ["jsonl"]):
        done = command("doctor", "--json", *arguments)
        found = [one for one in json.loads(done.stdout) if one["backend"] == "jsonl"]
        assert [one["usable"] for one in found] == [True, False]
        assert str(tmp_path) in found[0]["target"]
        assert done.returncode == 1
    assert command("doctor", f"jsonl:{tmp_path}/other").returncode == 0


def test_a_configured_backend_that_there_is_not_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKBRIDGE_BACKEND", "jsonl,mlfow")
    done = command("doctor")
    assert done.returncode == 2
    assert "mlfow" in done.stderr


@pytest.mark.parametrize("location", ["http://127.0.0.1:99999", "http://127.0.0.1:port", "http://[::1"])
def test_what_is_no_address_is_told_without_a_traceback(location: str) -> None:
    done = command("doctor", "--json", f"mlflow:{location}")
    assert "Traceback" not in done.stderr
    assert "is no address" in done.stdout + done.stderr
    assert done.returncode in (1, 2)


def test_a_database_is_asked_at_its_own_port() -> None:
    assert "127.0.0.1:3306 does not answer" in str(diagnosis("mlflow:mysql+pymysql://user@127.0.0.1/mlflow")["problem"])


def test_nothing_is_cut_in_a_pipe_and_json_has_no_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert len(json.loads(command("backends", "--json").stdout)) > 10
    name = "a-folder-with-a-name-that-is-longer-than-any-column-of-eighty-characters"
    variables = {key: value for key, value in os.environ.items() if key not in ("FORCE_COLOR", "COLUMNS")}  # readline sets one
    doctor = [sys.executable, "-m", "trackbridge", "doctor", f"jsonl:/proc/{name}/runs"]
    shown = subprocess.run(doctor, env=variables, capture_output=True, text=True, check=False).stdout
    assert name in shown


def test_backends_are_listed() -> None:
    rows = {row["backend"]: row for row in json.loads(command("backends", "--json").stdout)}
    assert rows["mlflow"]["recovery"] == "append"
