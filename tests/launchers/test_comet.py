"""``COMET_EXPERIMENT_KEY``: the experiment that a launcher, or the user, has made. The cloud is the vendor's protocol on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.comet_server import lists, server
from tests.online.user import User, user

KEY = "0123456789abcdef" * 2
VARIABLES = {"COMET_EXPERIMENT_KEY": KEY, "COMET_API_KEY": "k" * 25, "TRACKBRIDGE_FINISH_TIMEOUT": "60"}
SCRIPT = """
import trackbridge
run = trackbridge.init("vision", config={"own": 1})
for step in range(3):
    trackbridge.log({"loss": 0.5 / (step + 1)}, step=step)
report = trackbridge.finish()
print(run.id, report.delivered, *run.ids.values(), *run.urls.values())
"""


@pytest.fixture
def person(tmp_path: Path) -> Iterator[User]:
    with user(tmp_path, "comet") as one:
        yield one


def test_the_experiment_of_the_key_is_adopted(person: User) -> None:
    """By our Writer's request to get it, or to create it with that key; also when the run goes on."""
    with server() as (url, requests):
        for _ in range(2):
            done = person.python("-c", SCRIPT, **VARIABLES, COMET_URL_OVERRIDE=url)
            assert done.returncode == 0, done.stderr
            assert done.stdout.split() == [KEY, "True", KEY, f"http://127.0.0.1/w/p/{KEY}"]
            assert "cannot be read" not in done.stderr
    begun = [body for path, body in requests if path.endswith("logger/add/run")]
    assert len(begun) == 2
    assert {(body["experimentKey"], body["getOrCreateEnabled"]) for body in begun} == {(KEY, True)}
    metrics = [body for path, body in requests if path.endswith("experiment/metric")]
    assert {body["experimentKey"] for body in metrics} == {KEY}
    sent = [(item["metricValue"], item["step"]) for item in lists(requests, "experiment/metric") if item["metricName"] == "loss"]
    assert sent == [(0.5 / (step + 1), step) for step in range(3)] * 2


def test_offline_the_archive_is_of_that_key(person: User) -> None:
    done = person.python("-c", SCRIPT, **VARIABLES, COMET_OFFLINE="1")
    assert done.returncode == 0, done.stderr
    archive = person.run.parents[1] / "comet-runs" / f"{KEY}.zip"
    assert done.stdout.split() == [KEY, "True", KEY, str(archive)]
    assert f"comet upload {archive}" in done.stderr
    assert "cannot be read" not in done.stderr
