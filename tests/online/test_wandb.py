"""W&B online without an account: its endpoint does not serve, and the vendor's protocol stands in for its cloud, on loopback."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.wandb_server import Server, wandb_server
from tests.online.endpoints import TROUBLES, end_forwarders, endpoint

pytest.importorskip("wandb")
pytestmark = pytest.mark.server

TRAIN = """
import trackbridge
with trackbridge.init("vision", id="r1", config={"lr": 0.1}) as run:
    for step in range(100):
        trackbridge.log({"loss": step / 2}, step=step)
"""
LOSSES = [step / 2 for step in range(100)]
REASONS = {"refuse": "connection refused", "hang": "deadline exceeded", 401: "the server refuses the key", 429: "HTTP 429", 500: "HTTP 500"}


def user(tmp_path: Path, url: str) -> dict[str, str]:
    """The environment of a user of W&B's cloud, which is at `url`."""
    own = {"TRACKBRIDGE_BACKEND": "wandb", "WANDB_BASE_URL": url, "WANDB_API_KEY": "a" * 40, "WANDB_MODE": "online", "HOME": str(tmp_path)}
    return os.environ | own | {"WANDB_INIT_TIMEOUT": "2", "TRACKBRIDGE_FINISH_TIMEOUT": "20"}


@pytest.fixture(autouse=True)
def _no_forwarder_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    end_forwarders(tmp_path / "journals")


def losses(server: Server) -> list[float]:
    return [row["loss"] for row in server.rows("r1") if "loss" in row]


def python(tmp_path: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def trackbridge(tmp_path: Path, environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return python(tmp_path, environment, "-m", "trackbridge", *arguments)


@pytest.mark.parametrize("trouble", TROUBLES)
def test_training_goes_on_the_reason_is_shown_and_sync_delivers(tmp_path: Path, trouble: str | int) -> None:
    run = tmp_path / "journals" / "r1"
    with endpoint(trouble) as url:
        environment = user(tmp_path, url)
        trained = python(tmp_path, environment | {"TRACKBRIDGE_FINISH_TIMEOUT": "6"}, "-c", TRAIN)
        assert trained.returncode == 0, trained.stderr
        assert f"deliver it with: trackbridge sync {run}" in trained.stderr
        told = trackbridge(tmp_path, environment, "status", str(run))
        shown = trackbridge(tmp_path, environment, "status", str(run), "--json")
    (status,) = json.loads(shown.stdout)
    (target,) = status["targets"]
    assert (shown.returncode, status["info"]["status"], status["records"]) == (1, "finished", 103)
    assert (target["state"], target["delivered"], target["pending"]) == ("waiting", 0, 103)
    assert REASONS[trouble] in target["message"]
    assert REASONS[trouble] in trained.stderr
    assert REASONS[trouble] in told.stdout
    assert not list((tmp_path / "wandb").glob("*run-*/files/*"))  # what an attempt left is no part of the run
    with wandb_server() as server:  # another key and address: the forwarder that still asks the old ones is no obstacle
        environment = user(tmp_path, server.url)
        synced = trackbridge(tmp_path, environment, "sync", str(run))
        assert synced.returncode == 0, synced.stderr
        assert losses(server) == LOSSES
        assert server.exit_codes == [0]
        verified = trackbridge(tmp_path, environment, "verify", str(run), "wandb")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert "100 points, verified" in " ".join(verified.stdout.split())
    assert trackbridge(tmp_path, environment, "status", str(run)).returncode == 0


def test_what_was_logged_against_a_dead_endpoint_goes_offline_and_is_uploaded_later(tmp_path: Path) -> None:
    run = tmp_path / "journals" / "r1"
    with endpoint("refuse") as url:
        offline = user(tmp_path, url) | {"TRACKBRIDGE_FINISH_TIMEOUT": "4"}
        assert python(tmp_path, offline, "-c", TRAIN).returncode == 0
        offline["WANDB_MODE"] = "offline"
        synced = trackbridge(tmp_path, offline, "sync", str(run))
        assert synced.returncode == 0, synced.stderr
        assert trackbridge(tmp_path, offline, "verify", str(run), "wandb").returncode == 0
        told = trackbridge(tmp_path, offline, "status", str(run)).stdout
    (folder,) = (tmp_path / "wandb").glob("offline-run-*-r1")
    assert f"wandb sync {folder}\n" in told
    with wandb_server() as server:
        python(tmp_path, user(tmp_path, server.url), "-m", "wandb", "sync", str(folder))
    assert losses(server) == LOSSES


def test_a_forwarder_that_is_killed_online_loses_nothing(tmp_path: Path) -> None:
    """The client's own process dies with it, whatever it has uploaded by then: the next forwarder uploads what is on the disk."""
    run = tmp_path / "journals" / "r1"
    with wandb_server() as server:
        environment = user(tmp_path, server.url)
        killed = {"TRACKBRIDGE_FAILPOINT": "after_flush:exit", "TRACKBRIDGE_FINISH_TIMEOUT": "4"}
        assert python(tmp_path, environment | killed, "-c", TRAIN).returncode == 0
        assert list((tmp_path / "wandb").glob("run-*-r1"))
        synced = trackbridge(tmp_path, environment, "sync", str(run))
        assert synced.returncode == 0, synced.stderr
        assert losses(server) == LOSSES
        assert server.exit_codes[-1] == 0
        assert trackbridge(tmp_path, environment, "verify", str(run), "wandb").returncode == 0


LIVE = """
import time, trackbridge
run = trackbridge.init("vision", id="r1")
trackbridge.log({"loss": 0.5}, step=3)
end = time.monotonic() + 60
while not (status := next(iter(run.status().values()))).delivered and time.monotonic() < end:
    time.sleep(0.05)
print([run.urls, run.ids, [status.state, status.mode, status.url, status.hint, status.delivered, status.pending]])
print(run.finish().targets[0].url)
"""


def live(tmp_path: Path, environment: dict[str, str]) -> tuple[list[object], str]:
    done = python(tmp_path, environment, "-c", LIVE)
    assert done.returncode == 0, done.stderr
    shown, url = done.stdout.splitlines()
    return list(ast.literal_eval(shown)), url


def test_urls_and_status_while_training_online(tmp_path: Path) -> None:
    target = f"wandb:{tmp_path}"
    with wandb_server() as server:
        page = f"{server.url}/e/p/runs/r1"
        shown, url = live(tmp_path, user(tmp_path, server.url))
    assert (shown, url) == ([{target: page}, {target: "r1"}, ["healthy", "online", page, "", 1, 0]], page)


def test_urls_and_status_while_training_offline(tmp_path: Path) -> None:
    target = f"wandb:{tmp_path}"
    shown, url = live(tmp_path, user(tmp_path, "http://127.0.0.1:9") | {"WANDB_MODE": "offline"})
    (folder,) = map(str, (tmp_path / "wandb").glob("offline-run-*-r1"))
    assert (shown, url) == ([{target: folder}, {target: "r1"}, ["healthy", "offline", "", f"wandb sync {folder}", 1, 0]], "")


INTERRUPTED = """
import time, trackbridge
run = trackbridge.init("vision", id="r1", config={"lr": 0.1})
for step in range(50):
    trackbridge.log({"loss": step / 2}, step=step)
while not run.urls:
    time.sleep(0.05)
print("open", flush=True)
input()
for step in range(50, 100):
    trackbridge.log({"loss": step / 2}, step=step)
print(trackbridge.finish())
"""


@pytest.mark.parametrize("trouble", [401, 500])
def test_a_server_that_fails_while_training_loses_nothing(tmp_path: Path, trouble: int) -> None:
    """The client repeats what fails for days, and what is refused it drops, telling its own log alone. Its folder has all, and is uploaded."""
    run = tmp_path / "journals" / "r1"
    with wandb_server() as server:
        environment = user(tmp_path, server.url) | {"TRACKBRIDGE_FINISH_TIMEOUT": "3"}
        training = subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED], cwd=tmp_path, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with training:
            assert training.stdout is not None
            assert training.stdout.readline() == "open\n"
            end = time.monotonic() + 90
            while not losses(server) and time.monotonic() < end:
                time.sleep(0.1)
            server.trouble = trouble
            said, _ = training.communicate("\n", timeout=150)
        assert training.returncode == 0
        expected, had = LOSSES, losses(server)
        assert 0 < len(had) < 100
        (status,) = json.loads(trackbridge(tmp_path, environment, "status", str(run), "--json").stdout)
        (target,) = status["targets"]
        while target["state"] != "waiting" and time.monotonic() < end:
            time.sleep(1)
            (status,) = json.loads(trackbridge(tmp_path, environment, "status", str(run), "--json").stdout)
            (target,) = status["targets"]
        (folder,) = (tmp_path / "wandb").glob("run-*-r1")
        assert target["state"] == "waiting"
        assert REASONS[trouble] in target["message"], (said, target)
        command = f"wandb sync --include-online {folder}"
        assert command in target["message"]
        if trouble == 401:  # the machine is off meanwhile, or both would upload at once
            end_forwarders(tmp_path / "journals")
        server.trouble = 0
        if trouble == 401:  # by hand, as told: the client's command puts the whole log behind what the server has
            python(tmp_path, environment, "-m", *command.split())
            expected = had + LOSSES
            assert losses(server) == expected
        synced = trackbridge(tmp_path, environment, "sync", str(run))
        assert synced.returncode == 0, synced.stderr
        assert losses(server) == expected
        assert "trackbridge/journal.tbj.z" in server.files
        verified = trackbridge(tmp_path, environment, "verify", str(run), "wandb")
    assert verified.returncode == 0, verified.stdout
