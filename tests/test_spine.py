"""The whole way, as a user goes it: one training script, whatever tracker; what is broken on the way costs nothing that was logged."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import trackbridge
from tests import shared
from tests.adapters.moto import AWS, moto_server
from tests.adapters.servers import free_port, mlflow_server
from trackbridge import environments, registry
from trackbridge.adapters import Reader, Target
from trackbridge.forward.state import State, states
from trackbridge.records import Metrics
from trackbridge.testing.drive import descendants
from trackbridge.transfer.verify import verify

SCRIPT = """
import math, os, sys, time, trackbridge
trackbridge.init(project="spine", config={"lr": 0.1}, resume="auto" if "SLURM_JOB_ID" in os.environ else None)
first, last = int(sys.argv[1]), int(sys.argv[2])
for step in range(first, last):
    trackbridge.log({"loss": math.sin(step) / 3, "train/acc": step / 7}, step=step)
    print(step, flush=True)
    if last > 10**6:
        time.sleep(0.004)
report = trackbridge.finish()
print(report.delivered, sum(target.pending for target in report.targets))
"""
until = functools.partial(shared.until, seconds=120)
ALL = ("jsonl", "tensorboard", "mlflow", "wandb")
FILES = ("trackio", "aim", "swanlab", "comet?mode=offline", "clearml?mode=offline", "dvc", "kubeflow", "dagshub", "guild", "neptune")
SAGEMAKER = "sagemaker"


def train(first: int, last: int, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(first), str(last)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
        start_new_session=True,
    )


def told(process: subprocess.Popen[str]) -> tuple[str, str]:
    """The last line of the training script's output, and what TrackBridge said beside it; the script must have ended well."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out.splitlines()[-1], err


def journal() -> Path:
    folder = Path(os.environ["TRACKBRIDGE_DIR"])
    until(lambda: list(folder.glob("*/forward/*")))
    (run,) = folder.iterdir()
    return run


def sync(*arguments: str) -> str:
    done = shared.command("sync", str(journal()), *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def target(text: str) -> Target:
    parsed = Target.parse(text)
    return registry.get(parsed.name).resolve(parsed, Path.cwd())


def installed(text: str) -> None:
    name = Target.parse(text).name
    if registry.missing(registry.get(name).requires):
        environments.create(name)


def reader(text: str) -> Reader:
    return registry.reader(target(text))


def verified(text: str) -> None:
    result = verify(journal(), target(text))
    assert result.verified, str(result)
    assert [info.id for info in reader(text).runs()].count(journal().name) == 1


# -- each tracker's own reader returns what was logged, and only the environment differs ----------------------------------------------------


def in_jsonl(folder: Path) -> list[tuple[int, float]]:
    (path,) = folder.rglob("metrics.jsonl")
    return [(row["step"], row["metrics"]["loss"]) for row in map(json.loads, path.read_text().splitlines())]


def in_tensorboard(folder: Path) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import STORE_EVERYTHING_SIZE_GUIDANCE, EventAccumulator

    (path,) = folder.rglob("events.out.tfevents.*")
    events = EventAccumulator(str(path.parent), size_guidance=STORE_EVERYTHING_SIZE_GUIDANCE).Reload().Tensors("loss")
    return [(event.step, event.tensor_proto.double_val[0]) for event in events]


def in_mlflow(folder: Path) -> list[tuple[int, float]]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    (run,) = client.search_runs([one.experiment_id for one in client.search_experiments()])
    return [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, "loss")]


def in_wandb(folder: Path) -> list[tuple[int, float]]:
    (path,) = folder.rglob("run-*.wandb")
    command = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json", str(path)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rows = [record["history"]["item"] for record in map(json.loads, printed.splitlines()) if record["type"] == "history"]
    return [(row["trackbridge/step"], row["loss"]) for row in rows if "loss" in row]


READ = {"jsonl": in_jsonl, "tensorboard": in_tensorboard, "mlflow": in_mlflow, "wandb": in_wandb}


@pytest.mark.parametrize("backend", ["tensorboard", "mlflow", "wandb", "jsonl", "mlflow,tensorboard", ""])
def test_the_same_script_with_any_backend(tmp_path: Path, backend: str) -> None:
    process = train(0, 50, **({"TRACKBRIDGE_BACKEND": backend} if backend else {}))
    assert told(process)[0] == "True 0"
    for name in filter(None, backend.split(",")):
        assert READ[name](tmp_path) == [(step, math.sin(step) / 3) for step in range(50)]
        verified(name)
    assert len(list(tmp_path.rglob("*.tbj"))) == 1
    assert [name for name in READ if name not in backend and list(tmp_path.rglob(f"*{name}*"))] == []


# -- deaths ---------------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """SageMaker is not to be had here: moto answers for it, on loopback."""
    with moto_server(tmp_path_factory.mktemp("moto")) as url:
        yield url


@pytest.fixture
def every(aws: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """The fifteen backends, each where it can be written here."""
    for name, value in AWS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GUILD_HOME", str(tmp_path / "guild"))
    backends = (*ALL, *FILES, f"{SAGEMAKER}:{aws}")
    for backend in backends:
        installed(backend)
    return backends


@pytest.mark.server
@pytest.mark.timeout(900)
def test_the_whole_job_is_killed_and_goes_on_as_one_run_in_each_of_fifteen_trackers(every: tuple[str, ...]) -> None:
    """All at once; kill -9 of the process group: training, forwarders, and the clients' own processes."""
    assert sorted(Target.parse(backend).name for backend in every) == [name for name in registry.names() if name != "memory"]
    environment = {"TRACKBRIDGE_BACKEND": ",".join(every), "SLURM_JOB_ID": "4711", "TRACKBRIDGE_FINISH_TIMEOUT": "300"}
    process = train(0, 10**9, **environment)
    until(lambda: len([health for health in states(journal()) if health.delivered > 100]) == len(every), seconds=400)
    os.killpg(process.pid, signal.SIGKILL)
    last = int(process.communicate()[0].split()[-1])
    assert told(train(last + 1, last + 500, **environment))[0] == "True 0"
    for backend in every:
        verified(backend)
    steps = [record.event.step for record in trackbridge.read(journal().name).records() if isinstance(record.event, Metrics)]
    assert steps[: last + 1] == list(range(last + 1))
    assert steps[-499:] == list(range(last + 1, last + 500))


@pytest.mark.server
@pytest.mark.timeout(600)
def test_one_that_fails_harms_no_other_of_the_fifteen(every: tuple[str, ...], tmp_path: Path) -> None:
    """A server that refuses, and a folder that is none."""
    (tmp_path / "file").write_text("")
    broken = (f"mlflow:http://127.0.0.1:{free_port()}", f"aim:{tmp_path}/file/aim")
    process = train(0, 200, TRACKBRIDGE_BACKEND=",".join((*broken, *every)), TRACKBRIDGE_FINISH_TIMEOUT="5")
    assert told(process)[0].startswith("False")
    good = {str(target(backend)) for backend in every}
    until(lambda: good <= {health.target for health in states(journal()) if health.state == State.DELIVERED}, seconds=400)
    waiting = [health for health in states(journal()) if health.target not in good]
    assert {health.state for health in waiting} <= {State.STARTING, State.WAITING}
    for backend in every:
        verified(backend)
    for health in waiting:  # whose forwarders would ask for ever
        for process in (*descendants(health.pid), health.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


@pytest.mark.server
@pytest.mark.parametrize("number", range(len(ALL) + len(FILES) + 1), ids=[*ALL, *FILES, SAGEMAKER])
def test_a_killed_run_is_delivered_and_said_to_have_crashed(every: tuple[str, ...], number: int) -> None:
    """kill -9 of the training process alone: its forwarder goes on."""
    backend = every[number]
    process = train(0, 10**9, TRACKBRIDGE_BACKEND=backend)
    until(lambda: any(health.delivered > 100 for health in states(journal())))
    process.kill()
    process.communicate()
    until(lambda: all(health.state == State.DELIVERED for health in states(journal())))
    verified(backend)
    (info,) = (info for info in reader(backend).runs() if info.id == journal().name)
    assert info.status == "crashed"


def test_the_trackers_own_process_is_killed() -> None:
    process = train(0, 10**9, TRACKBRIDGE_BACKEND="wandb")
    until(lambda: any(health.delivered > 100 for health in states(journal())))
    (health,) = states(journal())
    (own, *_) = descendants(health.pid)
    os.kill(own, signal.SIGKILL)
    until(lambda: any(later.opens > health.opens and later.delivered > health.delivered for later in states(journal())))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    until(lambda: all(later.state == State.DELIVERED for later in states(journal())))
    verified("wandb")


# -- addresses ------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setenv("TRACKBRIDGE_FINISH_TIMEOUT", "1")


@pytest.mark.server
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("port", ["refused", "hanging"])
def test_an_address_that_refuses_or_hangs(tmp_path: Path, port: str) -> None:
    with socket.socket() as listening:
        number = free_port()
        if port == "hanging":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(("127.0.0.1", number))
            listening.listen()
        backend = f"mlflow:http://127.0.0.1:{number}"
        last, said = told(train(0, 50, TRACKBRIDGE_BACKEND=backend))
        assert last.startswith("False")
        assert "trackbridge sync" in said
    with mlflow_server(tmp_path / "server", number) as url:
        sync()
        verified(f"mlflow:{url}")


@pytest.mark.server
@pytest.mark.usefixtures("impatient")
def test_a_server_that_is_killed_and_comes_back(tmp_path: Path) -> None:
    number = free_port()
    with mlflow_server(tmp_path / "server", number) as url:
        process = train(0, 10**9, TRACKBRIDGE_BACKEND=f"mlflow:{url}")
        until(lambda: any(health.delivered > 100 for health in states(journal())))
    until(lambda: any(health.state == State.WAITING for health in states(journal())))
    with mlflow_server(tmp_path / "server", number) as url:
        until(lambda: any(health.opens > 1 for health in states(journal())))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        sync()
        verified(f"mlflow:{url}")


# -- disks ----------------------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """A file system of its own in memory; skips the test for users who may not mount one."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


LOCATIONS = {"jsonl": "{}/j", "tensorboard": "{}/tb", "mlflow": "{}/m", "wandb": "{}"}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_a_trackers_disk_that_is_full_or_read_only(tmp_path: Path, name: str, trouble: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKBRIDGE_FINISH_TIMEOUT", "6")
    with small_disk(tmp_path / "disk", "size=1m") as disk:
        backend = f"{name}:{LOCATIONS[name].format(disk)}"
        if trouble == "full":
            usage = shutil.disk_usage(disk)
            (disk / "filler").write_bytes(bytes(usage.free - 16_384))
        else:
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        last, said = told(train(0, 3000, TRACKBRIDGE_BACKEND=backend))
        assert last.startswith("False")
        assert "trackbridge sync" in said
        subprocess.run(["mount", "-o", "remount,rw,size=64m", str(disk)], check=True)
        sync()
        verified(backend)


def test_the_journals_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with small_disk(tmp_path / "disk", "size=1m") as disk:
        monkeypatch.setenv("TRACKBRIDGE_DIR", str(disk / "journals"))
        last, said = told(train(0, 30_000, TRACKBRIDGE_BACKEND="jsonl"))
        assert last == "True 0"
        assert "refused" in said
        steps = [step for step, _ in in_jsonl(tmp_path)]
        assert 100 < len(steps) < 30_000
        assert steps == sorted(set(steps))
        status = shared.command("status", "--json")
        assert status.returncode == 3
        (run,) = json.loads(status.stdout)
        assert run["refused"] == 2 * (30_000 - len(steps))
