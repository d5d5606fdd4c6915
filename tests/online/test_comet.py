"""Comet without an account: its endpoint does not serve, then the vendor's protocol stands in for its cloud, on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from trackbridge_adapters.comet.layout import experiment_key

from tests.adapters.comet_server import Server, lists, server
from tests.online.endpoints import TROUBLES, endpoint
from tests.online.user import RECORDS, RUN, STEPS, User, user

KEY = {"COMET_API_KEY": "k" * 25}
REASONS = {
    "refuse": "Connection refused",
    "hang": "timed out",
    401: "the server refuses the key",
    429: "status code 429",
    500: "status code 500",
}


@pytest.fixture
def person(tmp_path: Path) -> Iterator[User]:
    with user(tmp_path, "comet") as one:
        yield one


@pytest.mark.parametrize("trouble", TROUBLES)
def test_training_goes_on_the_reason_is_shown_and_sync_delivers(person: User, trouble: str | int) -> None:
    with endpoint(trouble) as url:
        told = person.train(**KEY, COMET_URL_OVERRIDE=f"{url}/clientlib/")
        assert f"deliver it with: trackbridge sync {person.run}" in told
        target = person.trouble()
        shown = person.command("status", str(person.run))
    run, _ = person.status()
    assert (run["info"]["status"], run["records"]) == ("finished", RECORDS)
    assert (target["state"], target["delivered"], target["pending"]) == ("waiting", 0, RECORDS)
    assert REASONS[trouble] in target["message"]
    assert shown.returncode == 1
    assert REASONS[trouble] in shown.stdout
    with server() as (url, requests):  # another address: the forwarder that still asks the old one is no obstacle
        synced = person.command("sync", str(person.run), **KEY, COMET_URL_OVERRIDE=url)
        assert synced.returncode == 0, synced.stderr
    sent = [(item["metricValue"], item["step"]) for item in lists(requests, "experiment/metric") if item["metricName"] == "loss"]
    assert sent == [(step / 2, step) for step in range(STEPS)]
    assert {item["parameterName"]: item["parameterValue"] for item in lists(requests, "experiment/parameter")} == {"lr": 0.1}
    _, target = person.status()
    assert (target["state"], target["pending"], target["mode"]) == ("delivered", 0, "online")
    assert target["url"] == f"http://127.0.0.1/w/p/{experiment_key(RUN)}"


@pytest.mark.parametrize("trouble", TROUBLES)
def test_what_was_refused_is_delivered_offline_and_the_vendors_command_is_told(person: User, trouble: str | int) -> None:
    """``COMET_OFFLINE=1 trackbridge sync``: an archive, for ``comet upload``."""
    with endpoint(trouble) as url:
        person.train(**KEY, COMET_URL_OVERRIDE=f"{url}/clientlib/")
        person.trouble()
        synced = person.command("sync", str(person.run), COMET_OFFLINE="1")
        assert synced.returncode == 0, synced.stderr
    archive = person.run.parents[1] / "comet-runs" / f"{experiment_key(RUN)}.zip"
    assert [path.name for path in archive.parent.iterdir()] == [archive.name]
    _, target = person.status()
    assert (target["state"], target["mode"], target["where"], target["url"]) == ("delivered", "offline", str(archive), "")
    assert target["hint"] == f"comet upload {archive}"
    assert target["hint"] in person.command("status", str(person.run)).stdout
    verified = person.command("verify", str(person.run), "comet")
    assert verified.returncode == 0, verified.stdout


OUTAGE = """
import sys, time, trackbridge
def wait(until):
    end = time.monotonic() + 90
    while not until(*run.status().values()) and time.monotonic() < end:
        time.sleep(0.1)
run = trackbridge.init("vision")
for step in range(10):
    trackbridge.log({"loss": step}, step=step)
wait(lambda target: target.delivered == 10)
print("open", flush=True)
sys.stdin.readline()
for step in range(10, 20):
    trackbridge.log({"loss": step}, step=step)
wait(lambda target: target.message)
print(*[target.message for target in run.status().values()], flush=True)
sys.stdin.readline()
print(trackbridge.finish().delivered, flush=True)
"""


def test_nothing_is_lost_when_the_server_fails_in_the_middle(person: User) -> None:
    """The client drops what its retries could not send, and its flush says yes: what it tells its log is asked too."""
    with server() as (url, requests):
        variables = {"COMET_URL_OVERRIDE": url, "TRACKBRIDGE_FINISH_TIMEOUT": "90"}
        with person.begin("-c", OUTAGE, **KEY, **variables) as training:
            assert training.stdin is not None
            assert training.stdout is not None
            assert training.stdout.readline() == "open\n"
            Server.status = 500
            training.stdin.write("\n")
            training.stdin.flush()
            assert "Comet" in training.stdout.readline()
            Server.status = 200
            assert training.communicate("\n", timeout=120)[0] == "True\n"
    sent = [item["metricValue"] for item in lists(requests, "experiment/metric") if item["metricName"] == "loss"]
    assert list(dict.fromkeys(sent)) == list(range(20))


@pytest.mark.parametrize("mode", ["online", "offline"])
def test_the_address_of_the_run_is_known_online(person: User, mode: str) -> None:
    script = f"""
import time, trackbridge
run = trackbridge.init(id="{RUN}")
until = time.monotonic() + 60
while not run.ids and time.monotonic() < until:
    time.sleep(0.1)
print(*run.urls.values(), *[report.url for report in run.status().values()], sep="|")
"""
    with server() as (url, _):
        done = person.python("-c", script, **KEY, COMET_URL_OVERRIDE=url, COMET_OFFLINE="1" if mode == "offline" else "0")
    assert done.returncode == 0, done.stderr
    page = f"http://127.0.0.1/w/p/{experiment_key(RUN)}"
    folder = person.run.parents[1] / "comet-runs" / f"{experiment_key(RUN)}.zip"
    assert done.stdout.strip() == (f"{page}|{page}" if mode == "online" else f"{folder}|")
    assert (f"comet upload {folder}" in done.stderr) == (mode == "offline")
