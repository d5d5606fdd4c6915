"""ClearML without an account: its server does not serve, then the vendor's protocol stands in for it, on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from trackbridge_adapters.clearml.layout import task_id

from tests.adapters.clearml_server import Server, sent, server
from tests.online.endpoints import TROUBLES, endpoint
from tests.online.user import RECORDS, RUN, STEPS, User, user

REASONS = {"refuse": "Connection refused", "hang": "timed out", 401: "the server refuses the key", 429: "429 error", 500: "error 500"}


@pytest.fixture
def person(tmp_path: Path) -> Iterator[User]:
    with user(tmp_path, "clearml") as one:
        yield one


def at(url: str) -> dict[str, str]:
    return {f"CLEARML_{word}_HOST": url for word in ("API", "WEB", "FILES")} | {
        "CLEARML_API_ACCESS_KEY": "k",
        "CLEARML_API_SECRET_KEY": "s",
    }


@pytest.mark.parametrize("trouble", TROUBLES)
def test_training_goes_on_the_reason_is_shown_and_sync_delivers(person: User, trouble: str | int) -> None:
    with endpoint(trouble) as url:
        told = person.train(**at(url))
        assert f"deliver it with: trackbridge sync {person.run}" in told
        target = person.trouble()
        shown = person.command("status", str(person.run))
    run, _ = person.status()
    assert (run["info"]["status"], run["records"]) == ("finished", RECORDS)
    assert (target["state"], target["delivered"], target["pending"]) == ("waiting", 0, RECORDS)
    assert REASONS[trouble] in target["message"]
    assert shown.returncode == 1
    assert REASONS[trouble] in shown.stdout
    with server() as variables:  # another address: the forwarder that still asks the old one is no obstacle
        synced = person.command("sync", str(person.run), **variables)
        assert synced.returncode == 0, synced.stderr
    assert [(event["value"], event["iter"]) for event in sent() if event["metric"] == "loss"] == [(step / 2, step) for step in range(STEPS)]
    assert Server.task["hyperparams"]["General"]["lr"]["value"] == "0.1"
    assert Server.task["status"] == "completed"
    _, target = person.status()
    assert (target["state"], target["pending"], target["mode"], target["id"]) == ("delivered", 0, "online", Server.task["id"])
    assert target["url"].startswith(variables["CLEARML_WEB_HOST"])


@pytest.mark.parametrize("trouble", TROUBLES)
def test_what_was_refused_is_delivered_offline_and_the_vendors_command_is_told(person: User, trouble: str | int) -> None:
    """``CLEARML_OFFLINE_MODE=1 trackbridge sync``: a session, which the vendor's command imports."""
    with endpoint(trouble) as url:
        person.train(**at(url))
        person.trouble()
        synced = person.command("sync", str(person.run), CLEARML_OFFLINE_MODE="1")
        assert synced.returncode == 0, synced.stderr
    session = person.run.parents[1] / "clearml-runs" / f"{task_id(RUN)}.zip"
    assert [path.name for path in session.parent.iterdir()] == [session.name]
    _, target = person.status()
    assert (target["state"], target["mode"], target["where"], target["url"]) == ("delivered", "offline", str(session), "")
    assert target["hint"] == f"clearml-task --import-offline-session {session}"
    assert target["hint"] in person.command("status", str(person.run)).stdout
    verified = person.command("verify", str(person.run), "clearml")
    assert verified.returncode == 0, verified.stdout


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
    with server() as variables:
        done = person.python("-c", script, **variables, CLEARML_OFFLINE_MODE="1" if mode == "offline" else "0")
    assert done.returncode == 0, done.stderr
    place, address = done.stdout.strip().split("|")
    session = person.run.parents[1] / "clearml-runs" / f"{task_id(RUN)}.zip"
    if mode == "online":
        assert place == address
        assert address.startswith(variables["CLEARML_WEB_HOST"])
        assert Server.task["id"] in address
    else:
        assert (place, address) == (str(session), "")
    assert ("clearml-task --import-offline-session" in done.stderr) == (mode == "offline")
