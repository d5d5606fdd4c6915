"""SageMaker Experiments: what plain boto3 says of a run, the service's limits, its outages. The conformance suite asks the rest."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from trackbridge_adapters.sagemaker import adapter, layout

import trackbridge
from tests.adapters import fresh
from tests.adapters.moto import AWS, moto_server, variables
from tests.adapters.servers import free_port
from trackbridge import environments
from trackbridge.adapters import Target
from trackbridge.errors import SettingsError
from trackbridge.projection import same

pytestmark = pytest.mark.server

WRITER = """
import boto3, json, sys, time
from pathlib import Path
from trackbridge.adapters import Position, Target
from trackbridge.errors import Unavailable
from trackbridge.records import *
from trackbridge.testing import canon
from trackbridge_adapters.sagemaker import adapter, layout
url, folder = sys.argv[1], Path(sys.argv[2])
target = adapter.resolve(Target("sagemaker", url), folder)
sm, s3 = boto3.client("sagemaker", endpoint_url=url), boto3.client("s3", endpoint_url=url)
T0 = 1763870000123456789
def series(count, first=0, key="y"):
    return [Record("r0", n, Metrics(T0 + n * 10**6, n, n, {key: n / 2})) for n in range(first, first + count)]
def opened(id, position=None, **more):
    out = adapter.writer(target)
    return out, out.open(RunInfo(id=id, project="p", start=T0, directory=folder / "journal", **more), position)
def points(id):
    return [value for record in adapter.reader(target).read(id) if isinstance(record.event, Metrics) for value in record.event.values.values()]
"""


def there(script: str, url: str, folder: Path) -> Any:
    """Run `script` where the client is; the JSON that it prints."""
    return json.loads(fresh.there("sagemaker", f"{WRITER}\n{script}", url, folder, variables=variables() | {"HOME": str(folder)}))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with moto_server(tmp_path_factory.mktemp("moto")) as url:
        yield url


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process's variables are as its children's."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)


ASK = """
component = sm.describe_trial_component(TrialComponentName=layout.component("the.run"))
trials = [trial["TrialName"] for trial in sm.list_trials(ExperimentName="vision")["TrialSummaries"]]
listed = [one["TrialComponentName"] for one in sm.list_trial_components(TrialName=trials[0])["TrialComponentSummaries"]]
bucket = s3.list_buckets()["Buckets"][0]["Name"]
prefix = "trackbridge/" + component["TrialComponentName"] + "/"
keys = [one["Key"] for one in s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]]
contents = {key.removeprefix(prefix): s3.get_object(Bucket=bucket, Key=key)["Body"].read().decode("latin-1") for key in keys}
print(json.dumps({"component": component, "trials": trials, "listed": listed, "bucket": bucket, "contents": contents}, default=str))
"""


def test_deviations_before_a_record_that_is_refused_are_counted_once(server: str, tmp_path: Path) -> None:
    script = """
from trackbridge.errors import Rejected
out, _ = opened("refused")
batch = [Record("r0", 0, Metrics(T0, 0, None, {"y": 0.5})), Record("r0", 1, Metrics(T0, 1, 1, {"y": []}))]
told = []
try:
    out.write(batch)
except Rejected as error:
    told += [error.index, *([str(row.reason), row.count] for row in out.write(batch[:error.index]))]
print(json.dumps(told))
"""
    assert sorted(there(script, server, tmp_path)[1:]) == [["step_changed", 1], ["timestamp", 1]]


def test_plain_boto3_sees_a_plain_run(server: str, tmp_path: Path, aws: None) -> None:
    """A user of SageMaker who never heard of us finds metrics, parameters and files where they belong; and nothing else is there."""
    config = {"lr": 0.1, "epochs": 90, "momentum": 1.0, "odd": "0.5", "on": True, "net": {"depth": 3}, "lines": "a\nb", "long": "p" * 3000}
    run = trackbridge.init(
        "vision", id="the.run", name="first run", group="g", notes="why", tags=["a", "b,c"], config=config, backend=f"sagemaker:{server}"
    )
    for step in range(25):
        trackbridge.log({"loss": 1 / (step + 1), "n": step, "note": "text"}, step=step)
    trackbridge.log({"results": trackbridge.Table(["metric", "value"], [["acc", 0.9]])}, step=3)
    Path("model.pt").write_bytes(b"weights")
    trackbridge.log_artifact("model.pt", type="model")
    run.summary["best"] = 0.25
    report = trackbridge.finish()
    assert report.delivered, str(report)

    found = there(ASK, server, tmp_path)
    component, name = found["component"], layout.component("the.run")
    assert found["listed"] == [name]
    assert (component["DisplayName"], component["Status"]) == (layout.entity("first run"), {"PrimaryStatus": "Completed"})
    assert {metric["MetricName"]: (metric["Count"], metric["Last"], metric["Max"]) for metric in component["Metrics"]} == {
        "loss": (25, 0.04, 1.0),
        "n": (25, 24.0, 24.0),
    }
    parameters = {name: next(iter(held.values())) for name, held in component["Parameters"].items()}
    digest, deviations = parameters.pop("trackbridge/sidecar"), parameters.pop("trackbridge/deviations")
    assert "unsupported 25" in deviations
    assert parameters == {
        "lr": 0.1, "epochs": 90.0, "momentum": "1.0", "odd": '"0.5"', "on": "true", "net/depth": 3.0, "lines": '"a\\nb"', "summary/best": 0.25,
        "trackbridge/run_id": "the.run", "trackbridge/name": "first run", "trackbridge/project": "vision", "trackbridge/group": "g",
        "trackbridge/notes": "why", "trackbridge/tags": '["a", "b,c"]',
    }  # fmt: skip
    folder, contents = f"s3://{found['bucket']}/trackbridge/{name}", found["contents"]
    assert {name: held["Value"] for name, held in component["OutputArtifacts"].items()} == {
        "media": f"{folder}/media/",
        "artifacts": f"{folder}/artifacts/",
        "artifacts/model.pt": f"{folder}/artifacts/model.pt/model/",
        "parameters.json": f"{folder}/parameters.json",
        "journal.tbj.z": f"{folder}/trackbridge/journal.tbj.z",
    }
    assert hashlib.sha256(contents.pop("trackbridge/journal.tbj.z").encode("latin-1")).hexdigest() == digest
    (table,) = [key for key in contents if key.startswith("media/results/")]
    assert json.loads(contents.pop(table)) == {"columns": ["metric", "value"], "data": [["acc", 0.9]]}
    assert json.loads(contents.pop("parameters.json")) == {"long": "p" * 3000}
    assert contents == {"artifacts/model.pt/model/model.pt": "weights"}
    assert run.ids == {f"sagemaker:{server}?region=us-east-1": name}


def test_every_request_keeps_the_limits_of_the_service(server: str, tmp_path: Path) -> None:
    """botocore's model has them, and neither boto3 nor moto enforces them. A hostile run and one of 700 entries are written under its eyes."""
    script = """
import datetime, re
wrong, seen = [], {}
def look(place, shape, value):
    about = shape.metadata
    if shape.type_name == "string":
        size, text = len(value.encode("utf-16-le", "surrogatepass")) // 2, value
        if not about.get("min", 0) <= size <= about.get("max", size): wrong.append(f"{place}: length {size}")
        if "pattern" in about and (not re.fullmatch(about["pattern"], text) or re.search("[\\r\\x85\\u2028\\u2029\\ud800-\\udfff]", text)):
            wrong.append(f"{place}: {text!r}")
        if about.get("enum") and value not in about["enum"]: wrong.append(f"{place}: {value}")
    elif shape.type_name == "structure":
        for name, part in value.items(): look(f"{place}.{name}", shape.members[name], part)
    elif shape.type_name == "map":
        if len(value) > about.get("max", len(value)): wrong.append(f"{place}: {len(value)} entries")
        for name, part in value.items(): look(place + " key", shape.key, name), look(f"{place}[{name}]", shape.value, part)
    elif shape.type_name == "list":
        if not about.get("min", 0) <= len(value) <= about.get("max", len(value)): wrong.append(f"{place}: {len(value)} items")
        for part in value: look(place, shape.member, part)
    elif shape.type_name == "integer":
        if not max(about.get("min", -2**31), -2**31) <= value < 2**31: wrong.append(f"{place}: {value}")
    elif shape.type_name == "timestamp" and place.endswith("MetricData.Timestamp"):
        if not -14 * 86400 < value.timestamp() - time.time() < 7200: wrong.append(f"{place}: {value}")
def watch(params, model, **_):
    seen[model.name] = seen.get(model.name, 0) + 1
    look(model.name, model.input_shape, params)
def deliver(run):
    out = adapter.writer(target)
    for service in ("sagemaker", "sagemaker-metrics"):
        out._aws._session.events.register(f"before-parameter-build.{service}", watch)
    out.open(run.opened, None)
    out.write(run.routed); out.flush(); out.attach(b"sidecar", "0" * 64); out.close("failed", T0)
run = canon.main(folder / "journals", "Hostile_run.1")
deliver(run)
many = canon.Recorder(canon.Files(folder / "many"))
info = RunInfo(id="many", project="x" * 4000, notes="n" * 9000, group="g" * 200, start=T0, directory=folder / "many",
    provenance={"script": "two\\nlines", "commit": "c" * 2000})
many.begin(info)
many.add(Config(T0, {f"entry {n}": n for n in range(700)}))
for n in range(100):
    many.artifact(f"artifact {n}" * (1 + 20 * (n == 7)), {"f": b"x"})
deliver(canon.Workload(info, many.records))
component = sm.describe_trial_component(TrialComponentName="many")
reader = adapter.reader(target)
config = next(record.event.values for record in reader.read("many") if isinstance(record.event, Config))
artifacts = {record.event.name for record in reader.read("many") if isinstance(record.event, Artifact)}
whole = config == {f"entry {n}": n for n in range(700)}
print(json.dumps([wrong[:20], seen, len(component["Parameters"]), len(component["OutputArtifacts"]), whole, len(artifacts)]))
"""
    wrong, seen, parameters, pointers, whole, artifacts = there(script, server, tmp_path)
    assert wrong == []
    assert seen["BatchPutMetrics"] > 2000
    assert {"CreateExperiment", "CreateTrial", "CreateTrialComponent", "UpdateTrialComponent"} <= seen.keys()
    assert (parameters, whole, artifacts) == (300, True, 100)
    assert 50 < pointers <= 60


def test_a_parameter_that_is_gone_is_removed(server: str, tmp_path: Path) -> None:
    """moto forgets parameters that an update does not name; the service keeps them until it is told."""
    script = """
removed = []
def watch(params, **_): removed.extend(params.get("ParametersToRemove", []))
out, _ = opened("gone")
out.write([Record("r0", 0, Config(T0, {"model": {"depth": 4, "width": 2}, "text": "t"}))]); out.flush()
out, _ = opened("gone", Position({"r0": 1}))
out._aws.sagemaker.meta.events.register("before-parameter-build.sagemaker.UpdateTrialComponent", watch)
out.write([Record("r0", 1, Config(T0, {"model": {"depth": 5}, "text": "t" * 2600}))]); out.flush()
component = sm.describe_trial_component(TrialComponentName="gone")
config = next(record.event.values for record in adapter.reader(target).read("gone") if isinstance(record.event, Config))
print(json.dumps([removed, [name for name in component["Parameters"] if not name.startswith("trackbridge/")], config]))
"""
    removed, left, config = there(script, server, tmp_path)
    assert removed == ["model/width", "text"]
    assert left == ["model/depth"]
    assert config == {"model": {"depth": 5}, "text": "t" * 2600}


def test_a_component_of_others_is_read_as_it_is(server: str, tmp_path: Path) -> None:
    script = """
sm.create_trial_component(TrialComponentName="Theirs", DisplayName="plain", Parameters={"lr": {"NumberValue": 1.0}, "summary/x": {"StringValue": "1"}})
read = [record.event for record in adapter.reader(target).read("Theirs")]
(listed,) = [info for info in adapter.reader(target).runs() if info.id == "Theirs"]
print(json.dumps([listed.name, listed.status, [event.values for event in read if isinstance(event, (Config, Metrics))]]))
"""
    assert there(script, server, tmp_path) == ["plain", "running", [{"lr": 1.0, "summary/x": "1"}]]


def test_files_of_ours_that_somebody_removed_end_no_reading_and_are_written_again(server: str, tmp_path: Path) -> None:
    script = """
entries = [Record("r0", 0, Config(T0, {"long": "p" * 3000, "lr": 0.5})), *series(3, 1)]
out, _ = opened("removed")
out.write(entries); held = out.flush(); out.attach(b"journal", "0")
def config():
    (found,) = (record.event for record in adapter.reader(target).read("removed") if isinstance(record.event, Config))
    return found.values
bucket = s3.list_buckets()["Buckets"][0]["Name"]
for name in ("parameters.json", "journal.tbj.z"):
    (key,) = (one["Key"] for one in s3.list_objects_v2(Bucket=bucket)["Contents"] if "removed" in one["Key"] and one["Key"].endswith(name))
    s3.delete_object(Bucket=bucket, Key=key)
reader = adapter.reader(target)
seen = config(), reader.sidecar("removed"), "removed" in [run.id for run in reader.runs()]
out, again = opened("removed", held)
out.write(entries); out.close("finished", T0)
print(json.dumps([held.sequences, *seen, again.sequences, config(), points("removed")]))
"""
    held, config, sidecar, listed, again, later, points = there(script, server, tmp_path)
    assert (held, again) == ({"r0": 4}, {})
    assert (config, sidecar, listed) == ({"lr": 0.5}, None, True)
    assert later == {"long": "p" * 3000, "lr": 0.5}
    assert points == [n / 2 for n in range(1, 4)]


def test_metrics_that_the_service_refuses_are_counted_and_the_others_arrive(server: str, tmp_path: Path) -> None:
    script = """
class Full:
    def __init__(self, metrics, code): self.metrics, self.code = metrics, code
    def batch_put_metrics(self, TrialComponentName, MetricData):
        if left := [one for one in MetricData if one["MetricName"] != "z"]:
            self.metrics.batch_put_metrics(TrialComponentName=TrialComponentName, MetricData=left)
        return {"Errors": [{"Code": self.code, "MetricIndex": n} for n, one in enumerate(MetricData) if one["MetricName"] == "z"]}
out, _ = opened("full")
out._aws.metrics = Full(out._aws.metrics, "METRIC_LIMIT_EXCEEDED")
out.write(series(30)); out.write([Record("r0", 30 + n, Metrics(T0, 30 + n, n, {"y": 1.0 + n, "z": 2.0})) for n in range(4)])
held = out.flush()
told = [[row.reason, row.subject, row.count] for row in out.write([]) if row.reason == "rejected"]
out._aws.metrics.code = "INTERNAL_ERROR"
out.write([Record("r0", 34, Metrics(T0, 34, 34, {"z": 2.0}))])
try:
    out.flush()
except Unavailable as error:
    print(json.dumps([told, held.sequences, points("full") == [1.0, 2.0, 3.0, 4.0] + [n / 2 for n in range(4, 30)], str(error)]))
"""
    told, held, arrived, error = there(script, server, tmp_path)
    assert told == [["rejected", "z", 4]]
    assert (held, arrived) == ({"r0": 34}, True)
    assert "INTERNAL_ERROR" in error


def test_a_component_that_was_removed_is_an_outage_and_made_again(server: str, tmp_path: Path) -> None:
    script = """
out, _ = opened("removed")
out.write(series(5)); held = out.flush()
sm.disassociate_trial_component(TrialComponentName="removed", TrialName=layout.trial("p", ""))
sm.delete_trial_component(TrialComponentName="removed")
out.write(series(5, 5))
try:
    out.flush()
except Unavailable:
    out, again = opened("removed", held)
    out.write(series(10)); out.close("finished", T0)
    print(json.dumps([again.sequences, points("removed") == [n / 2 for n in range(10)]]))
"""
    assert there(script, server, tmp_path) == [{}, True]


def test_a_refused_address_is_an_outage(tmp_path: Path) -> None:
    script = """
begun = time.monotonic()
try:
    opened("r")
except Unavailable as error:
    print(json.dumps([str(error)[:10], time.monotonic() - begun < 30]))
"""
    assert there(script, f"http://127.0.0.1:{free_port()}", tmp_path) == ["SageMaker:", True]


def test_a_server_that_ends_is_an_outage(tmp_path: Path) -> None:
    script = """
out, _ = opened("r")
out.write(series(100)); out.flush()
print("ready", file=sys.stderr, flush=True); sys.stdin.readline()
begun = time.monotonic()
try:
    out.write(series(100, 100)); out.flush()
except Unavailable as error:
    print(json.dumps(time.monotonic() - begun < 60))
"""
    environment = environments.create("sagemaker")
    code = f"import sys; sys.path.insert(0, {str(environments.source('sagemaker'))!r})\n{WRITER}\n{script}"
    with moto_server(tmp_path / "moto") as url:
        command = [str(environment.interpreter), "-I", "-W", "ignore", "-c", code, url, str(tmp_path)]
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=variables() | {"HOME": str(tmp_path)},
        )
        assert child.stderr is not None
        said = child.stderr.readline()
    printed, complaint = child.communicate("\n", timeout=120)
    assert (said, json.loads(printed or "null")) == ("ready\n", True), complaint


def test_without_credentials_nothing_is_asked_of_aws(tmp_path: Path) -> None:
    """No endpoint, no region, no credentials: an outage that says so, at once and without a request."""
    script = """
import os, socket
for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
    os.environ.pop(name, None)
def refuse(*_, **__): raise AssertionError("a connection")
socket.socket.connect = socket.create_connection = refuse
said = []
for options in ({}, {"region": "eu-west-1"}, {"profile": "absent"}):
    try:
        adapter.writer(Target("sagemaker", options=options)).open(RunInfo(id="r", start=T0), None)
    except Unavailable as error:
        said.append(str(error))
print(json.dumps(said))
"""
    region, credentials, profile = there(script, "http://127.0.0.1:1", tmp_path)
    assert "region" in region
    assert "credentials" in credentials
    assert "absent" in profile


@pytest.mark.parametrize(
    "value",
    [0.1, 1.0, -0.0, 1e308, 5e-324, 0, 3, 2**53, 2**53 + 1, 10**30, True, None, "adam", "0.5", "true", "", "a\nb", "\u2028", "\x7f", [1, "a"], {}]
)  # fmt: skip
def test_parameters_keep_their_type(value: object) -> None:
    held = layout.parameter(value)
    assert held is not None
    assert not layout.ODD.search(str(held))
    assert same(layout.told(held), value)


def test_names_that_sagemaker_takes_stay_apart() -> None:
    ids = ["run", "Run", "RUN", "a.b", "a-b", "a_b", "a--b", "-a", "1", "x" * 128, "x" * 127, "A.B"]
    names = [layout.component(run_id) for run_id in ids]
    assert len(set(names)) == len(ids)
    assert layout.component("run") == "run"
    projects = ["vision", "Vision", "vision 1", "vision/1", "größe", "", "🎯", "x" * 200]
    entities = [layout.entity(project) for project in projects]
    trials = [layout.trial(project or "Default", group) for project in projects for group in ("", "a", "b")]
    assert len(set(entities)) == len(projects)
    assert len(set(trials)) == len(trials)
    assert all(re.fullmatch("[a-z0-9](-*[a-z0-9]){0,119}", name) and len(name) <= 120 for name in names)
    assert all(re.fullmatch("[a-zA-Z0-9](-*[a-zA-Z0-9]){0,119}", name) and len(name) <= 120 for name in entities + trials)


def test_the_clients_own_variables_are_made_explicit(tmp_path: Path, aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "team")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    assert str(adapter.resolve(Target("sagemaker"), tmp_path)) == "sagemaker:?region=eu-central-1"  # with keys the client asks no profile
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert str(adapter.resolve(Target("sagemaker"), tmp_path)) == "sagemaker:?region=eu-central-1&profile=team"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:5")
    target = adapter.resolve(Target.parse("sagemaker:?region=us-west-2&bucket=mine#p"), tmp_path)
    assert (target.location, target.project) == ("http://127.0.0.1:5", "p")
    assert target.options == {"region": "us-west-2", "profile": "team", "bucket": "mine"}
    with pytest.raises(SettingsError, match="bucket"):
        adapter.resolve(Target("sagemaker", "./runs"), tmp_path)
