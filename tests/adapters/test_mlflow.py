"""What is MLflow's own: its UI's forms, its server, its refusals. The conformance suite asks the rest."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from trackbridge_adapters.mlflow import KEYS, adapter, from_text, to_text

import trackbridge
from tests.adapters.moto import AWS
from tests.adapters.servers import free_port, mlflow_server
from trackbridge.adapters import Position, Target
from trackbridge.errors import Unavailable
from trackbridge.records import Config, FileRef, Media, Metrics, Record, RunInfo, Summary, Tags
from trackbridge.transfer.verify import verify

mlflow = pytest.importorskip("mlflow")


def here(tmp_path: Path) -> Target:
    return adapter.resolve(Target("mlflow"), tmp_path)


def delivered(tmp_path: Path) -> trackbridge.Run:
    run = trackbridge.init("vision", name="first", config={"lr": 0.1, "name": "adam", "odd": "0.5", "net": {"depth": 3}}, backend="mlflow")
    for step in range(5):
        trackbridge.log({"loss": 1.0 / (step + 1), "top@1": step}, step=step)
    run.config.update(lr=0.2)
    trackbridge.log({"results": trackbridge.Table(["metric", "value"], [["acc", 0.9]])})
    (tmp_path / "model.pt").write_bytes(b"weights")
    trackbridge.log_artifact("model.pt", type="model")
    report = trackbridge.finish()
    assert report.delivered, str(report)
    return run


def test_the_plain_client_sees_a_plain_run(tmp_path: Path) -> None:
    """A user of MLflow who never heard of us finds metrics, parameters and artifacts where they belong."""
    run = delivered(tmp_path)
    client = mlflow.tracking.MlflowClient(here(tmp_path).location)
    (found,) = client.search_runs([client.get_experiment_by_name("vision").experiment_id])
    assert (found.info.run_name, found.info.status) == ("first", "FINISHED")
    assert found.data.metrics == {"loss": 0.2, "top:40:1": 4.0}
    assert [point.step for point in client.get_metric_history(found.info.run_id, "loss")] == list(range(5))
    assert found.data.params == {"lr": "0.1", "name": "adam", "odd": '"0.5"', "net/depth": "3"}
    assert found.data.tags["trackbridge.deviations"].startswith("retyped")
    assert run.ids[str(here(tmp_path))] == found.info.run_id
    paths = [file.path for file in client.list_artifacts(found.info.run_id, "artifacts/model.pt/model")]
    assert paths == ["artifacts/model.pt/model/model.pt"]
    (table,) = (path for path in Path(client.download_artifacts(found.info.run_id, "media", str(tmp_path))).rglob("*") if path.is_file())
    assert json.loads(table.read_text()) == {"columns": ["metric", "value"], "data": [["acc", 0.9]]}
    assert trackbridge.read(run.id, "mlflow", sidecar=False).config == {"lr": 0.2, "name": "adam", "odd": "0.5", "net": {"depth": 3}}


def test_a_value_that_was_edited_in_mlflow_wins_and_is_listed(tmp_path: Path) -> None:
    run = delivered(tmp_path)
    client = mlflow.tracking.MlflowClient(here(tmp_path).location)
    (found,) = client.search_runs([client.get_experiment_by_name("vision").experiment_id])
    client.log_metric(found.info.run_id, "loss", 77.0, step=9, timestamp=1)
    data = trackbridge.read(run.id, "mlflow")
    assert [(row.reason, row.subject) for row in data.deviations if row.reason == "edited"] == [("edited", "loss")]
    assert 77.0 in [row["value_any"] for row in data.rows()]
    assert not verify(run.directory, here(tmp_path)).verified


def opened(tmp_path: Path) -> Any:
    out = adapter.writer(here(tmp_path))
    out.open(RunInfo(id="r", project="p", start=10**18), None)
    return out


def test_parameters_that_somebody_else_has_written_meanwhile_are_kept_beside(tmp_path: Path) -> None:
    out = opened(tmp_path)
    mlflow.tracking.MlflowClient(here(tmp_path).location).log_param(out.place().id, "lr", "9")
    out.write([Record("r0", 0, Config(10**18, {"lr": 0.1, "depth": 3})), Record("r0", 1, Metrics(10**18, 0, 0, {"loss": 0.5}))])
    out.flush()
    found = [record.event for record in adapter.reader(here(tmp_path)).read("r")]
    assert [event.values for event in found if isinstance(event, Config)] == [{"lr": 0.1, "depth": 3}]
    assert [event.values for event in found if isinstance(event, Metrics)] == [{"loss": 0.5}]


def test_a_tag_that_is_refused_takes_nothing_with_it(tmp_path: Path) -> None:
    from mlflow.exceptions import MlflowException

    out = opened(tmp_path)
    take = out._client.log_batch

    def log_batch(run_id: str, metrics: Any = (), params: Any = (), tags: Any = ()) -> None:
        if any("odd" in tag.key for tag in tags):
            raise MlflowException.invalid_parameter_value("no such character here")
        take(run_id, metrics=metrics, params=params, tags=tags)

    out._client.log_batch = log_batch
    told = out.write([Record("r0", 0, Summary(10**18, {"odd": 1, "best": 0.5})), Record("r0", 1, Metrics(10**18, 0, 0, {"loss": 0.5}))])
    assert [(row.reason, row.subject) for row in told if row.reason == "unsupported"] == [("unsupported", "trackbridge.summary.odd")]
    assert not [row for row in out.write([Record("r0", 2, Metrics(10**18, 1, 1, {"loss": 0.25}))]) if row.reason == "unsupported"]
    assert out.flush().sequences == {"r0": 3}
    found = [record.event for record in adapter.reader(here(tmp_path)).read("r")]
    assert [event.values for event in found if isinstance(event, Summary)] == [{"best": 0.5}]
    assert [event.values["loss"] for event in found if isinstance(event, Metrics)] == [0.5, 0.25]


def test_what_is_longer_than_a_tag_comes_back_whole(tmp_path: Path) -> None:
    run = RunInfo(id="r", name="sweep-" + "lr=0.1," * 2000, project="p", notes="with a \0 in it", start=10**18)
    out = adapter.writer(here(tmp_path))
    out.open(run, None)
    tags = [f"tag number {number}" for number in range(1000)]
    entries = {f"{'k' * 300}{number}": '"' * 5000 for number in range(3)}
    for number, values in enumerate((dict.fromkeys(entries, 1), entries)):
        out.write([Record("r0", number, Config(10**18, values))])
    out.write([Record(f"r{rank}-of-a-large-cluster", 0, Tags(10**18, tags)) for rank in range(600)])
    held = out.flush()
    assert len(held.sequences) == 601

    again = adapter.writer(here(tmp_path))
    assert again.open(run, None) == held
    reader = adapter.reader(here(tmp_path))
    (found,) = reader.runs()
    assert (found.name, found.notes, found.tags) == (run.name, run.notes, tuple(tags))
    assert [record.event.values for record in reader.read("r") if isinstance(record.event, Config)] == [entries]
    again.write([Record("r9", 0, Tags(10**18, ["one"]))])
    assert next(reader.runs()).tags == ("one",)


def test_a_tag_of_ours_that_somebody_changed_ends_no_reading(tmp_path: Path) -> None:
    out = opened(tmp_path)
    out.write([Record("r0", 0, Config(10**18, {"lr": 0.1})), Record("r0", 1, Config(10**18, {"lr": 0.2}))])
    out.flush()
    client = mlflow.tracking.MlflowClient(here(tmp_path).location)
    for key in client.get_run(out.place().id).data.tags:
        if key.startswith("trackbridge.") and key != "trackbridge.run_id":
            client.set_tag(out.place().id, key, "{seen")
    reader = adapter.reader(here(tmp_path))
    assert [run.id for run in reader.runs()] == ["r"]
    assert [record.event.values for record in reader.read("r") if isinstance(record.event, Config)] == [{"lr": 0.1}]


def test_a_run_that_is_removed_meanwhile_buries_nothing(tmp_path: Path) -> None:
    out = opened(tmp_path)
    mlflow.tracking.MlflowClient(here(tmp_path).location).delete_run(out.place().id)
    with pytest.raises(RuntimeError, match="mlflow runs restore"):
        out.write([Record("r0", 0, Metrics(10**18, 0, 0, {"loss": 0.5}))])


def test_a_damaged_database_is_an_outage(tmp_path: Path) -> None:
    out = opened(tmp_path)
    path = Path(here(tmp_path).location.removeprefix("sqlite:///"))
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    with pytest.raises(Unavailable, match="malformed"):
        out.write([Record("r0", 0, Metrics(10**18, 0, 0, {"loss": 0.5}))])


def test_the_format_of_a_medium_is_no_path(tmp_path: Path) -> None:
    out = opened(tmp_path)
    out._run = _Contents(tmp_path)
    for format in ("webm", "tar.gz", "../x", "a b.A"):
        out.write([Record("r0", 0, Media(10**18, 0, 0, "clip", "video", format, file=FileRef("f", "0" * 64, 5)))])
    found = [record.event.format for record in adapter.reader(here(tmp_path)).read("r") if isinstance(record.event, Media)]
    assert sorted(found) == sorted(["webm", "tar.gz", "../x", "a b.A"])


class _Contents:
    """A run of which each file is the same one."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "content"
        self._file.write_bytes(b"bytes")

    def content(self, ref: FileRef) -> Path:
        return self._file


@pytest.mark.parametrize("place", ["disk", "store"])
def test_a_place_for_files_that_is_away_is_an_outage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    out = opened(tmp_path)
    away = type("EndpointConnectionError", (Exception,), {"__module__": "botocore.exceptions"})("could not connect")

    def failing(*arguments: object, **named: object) -> None:
        raise away if place == "store" else OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if place == "store":
        out._client.log_artifact = failing
    else:
        monkeypatch.setattr(tempfile, "TemporaryDirectory", failing)
    with pytest.raises(Unavailable, match="could not connect" if place == "store" else "No space left"):
        out.write([Record("r0", 0, Media(10**18, 0, 0, "note", "text", "text", "hello"))])


@pytest.mark.parametrize("location", ["databricks", "databricks://profile"])
def test_a_workspace_is_no_folder(tmp_path: Path, location: str) -> None:
    assert adapter.resolve(Target("mlflow", location), tmp_path).location == location


def test_a_run_that_was_removed_is_not_made_again(tmp_path: Path) -> None:
    run = delivered(tmp_path)
    client = mlflow.tracking.MlflowClient(here(tmp_path).location)
    (found,) = client.search_runs([client.get_experiment_by_name("vision").experiment_id])
    client.delete_run(found.info.run_id)
    again = trackbridge.init("vision", id=run.id, resume="allow", mode="offline")
    again.finish()
    from trackbridge.journal.reader import info

    with pytest.raises(RuntimeError, match="mlflow runs restore"):
        adapter.writer(here(tmp_path)).open(info(run.directory), None)


@pytest.mark.parametrize(
    "value", [0.1, 3, True, None, "adam", "a\0b", "0.5", "true", "null", "", '"quoted"', "NaN", float("inf"), 2**70, [1, "a"], {}]
)
def test_parameters_keep_their_type(value: object) -> None:
    assert repr(from_text(to_text(value))) == repr(value)
    assert "\0" not in to_text(value), "PostgreSQL refuses it"


@pytest.mark.parametrize(
    ("given", "uri"),
    [
        ("", "sqlite:///{}/mlflow.db"),
        ("runs", "sqlite:///{}/runs/mlflow.db"),
        ("x.db", "sqlite:///{}/x.db"),
        ("sqlite:///x.db", "sqlite:///{}/x.db"),
        ("sqlite:////abs/x.db", "sqlite:////abs/x.db"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
    ],
)
def test_locations(tmp_path: Path, given: str, uri: str) -> None:
    assert adapter.resolve(Target("mlflow", given), tmp_path).location == uri.replace("{}", str(tmp_path))


def test_the_clients_own_variable_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:canary-secret@127.0.0.1:1/")
    target = adapter.resolve(Target("mlflow"), tmp_path)
    assert "canary-secret" not in str(target)
    assert target.credentials == "user:canary-secret"


@pytest.mark.parametrize("location", ["m", "sqlite:///{}/m/mlflow.db?timeout=20"], ids=["folder", "with a query"])
def test_a_database_that_could_not_be_made_whole_is_not_there(tmp_path: Path, location: str) -> None:
    """MLflow itself leaves half of its tables on a disk that fills up meanwhile, and never opens that database again."""
    limited = """
import resource, sys
from trackbridge_adapters.mlflow import client
from trackbridge.adapters import Position, Target
from trackbridge.errors import Unavailable
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    client(Target("mlflow", sys.argv[1]))
except Unavailable:
    sys.exit(7)
"""
    (tmp_path / "m").mkdir()
    target = adapter.resolve(Target("mlflow", location.format(tmp_path)), tmp_path)
    assert subprocess.run([sys.executable, "-c", limited, target.location], check=False).returncode == 7
    assert list((tmp_path / "m").iterdir()) == []
    assert adapter.writer(target).open(RunInfo(id="r"), None) == Position()
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["mlflow.db"]


def test_a_refused_port_is_an_outage(tmp_path: Path) -> None:
    from trackbridge.records import RunInfo

    with pytest.raises(Unavailable, match="MLflow"):
        adapter.writer(Target("mlflow", f"http://127.0.0.1:{free_port()}")).open(RunInfo(id="r", directory=tmp_path), None)


def test_keys_stay_apart() -> None:
    keys = ["a@b", "a:40:b", "a b", "a/b", "a//b", "/a/b", "a/../b", "", ".", "k" * 300, "k" * 299 + "j", "ünï"]
    names = [KEYS.encode(key) for key in keys]
    assert len(set(names)) == len(keys)
    assert all(len(name) <= 250 for name in names)


LAUNCHED = """
import sys, trackbridge
run = trackbridge.init(config={"own": 1})
print(run.config["lr"], run.config["own"])
trackbridge.log({"loss": 0.5}, step=1)
assert trackbridge.finish().delivered
"""


def test_a_run_that_mlflow_launched_is_adopted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``mlflow run`` makes the run and passes hyper-parameters through it; the script logs into that one."""
    project = tmp_path / "project"
    project.mkdir()
    (project / "train.py").write_text(LAUNCHED)
    (project / "MLproject").write_text(
        f"name: p\nentry_points:\n  main:\n    parameters:\n      lr: float\n    command: {sys.executable} train.py {{lr}}\n"
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", here(tmp_path).location)
    monkeypatch.setenv("TRACKBRIDGE_BACKEND", "mlflow")
    command = [sys.executable, "-m", "mlflow", "run", str(project), "--env-manager", "local", "-P", "lr=0.25"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    client = mlflow.tracking.MlflowClient(here(tmp_path).location)
    (found,) = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    assert found.data.metrics == {"loss": 0.5}
    assert found.data.params == {"lr": "0.25", "own": "1"}
    assert found.info.status == "FINISHED"
    assert found.data.tags["trackbridge.run_id"] == found.info.run_id
    back = trackbridge.read(found.info.run_id, "mlflow")
    assert back.config == {"lr": 0.25, "own": 1}


def test_runs_that_others_wrote_are_listed_and_read(tmp_path: Path) -> None:
    client = mlflow.tracking.MlflowClient(here(tmp_path).location)
    made = client.create_run(client.create_experiment("theirs"), run_name="plain")
    client.log_param(made.info.run_id, "lr", 0.1)
    client.log_metric(made.info.run_id, "loss", 0.25, step=3)
    client.set_terminated(made.info.run_id)
    (listed,) = trackbridge.runs("mlflow")
    assert (listed.id, listed.name, listed.project, listed.status) == (made.info.run_id, "plain", "theirs", "finished")
    back = trackbridge.read(listed.id, "mlflow")
    assert back.config == {"lr": 0.1}
    assert [(row["step"], row["value_any"]) for row in back.rows()] == [(3, 0.25)]


@pytest.mark.server
def test_an_mlflow_of_sagemaker_by_its_arn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The vendor's plugin signs its requests with AWS's credentials, here for a real MLflow server that does not check them."""
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    with mlflow_server(tmp_path / "server", proxied=False) as url:
        monkeypatch.setenv("SAGEMAKER_MLFLOW_CUSTOM_ENDPOINT", url)
        backend = "mlflow:arn:aws:sagemaker:us-east-1:123456789012:mlflow-tracking-server/team"
        run = trackbridge.init("vision", config={"lr": 0.1}, backend=backend)
        trackbridge.log({"loss": 0.5}, step=3)
        report = trackbridge.finish()
        assert report.delivered, str(report)
        found = trackbridge.read(run.id, backend, sidecar=False)
        assert (
            found.config,
            [event.values for event in (record.event for record in found.records() if isinstance(record.event, Metrics))],
        ) == ({"lr": 0.1}, [{"loss": 0.5}])
        client = mlflow.tracking.MlflowClient(url)
        (listed,) = client.search_runs([client.get_experiment_by_name("vision").experiment_id])
        assert listed.data.metrics == {"loss": 0.5}
