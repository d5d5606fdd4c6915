"""ClearML's agent: it runs a script with ``CLEARML_TASK_ID``, whose hyperparameters may have been edited in the UI. The server is the vendor's protocol
on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.clearml_server import Server, sent, server
from tests.online.user import User, user

TASK = "0123456789abcdef" * 2
SCRIPT = """
import trackbridge
run = trackbridge.init("vision", config={"lr": 0.1, "own": 1}, tags=["ours"])
print(run.id, dict(sorted(run.config.items())))
for step in range(3):
    trackbridge.log({"loss": run.config.get("lr") / (step + 1)}, step=step)
report = trackbridge.finish()
print(report.delivered, *run.ids.values(), *run.urls.values())
"""


@pytest.fixture
def person(tmp_path: Path) -> Iterator[User]:
    with user(tmp_path, "clearml") as one:
        yield one


def queued() -> None:
    """The task that the agent has taken from its queue."""
    given = {
        "General": {"lr": "0.25", "net/depth": "4"},
        "Args": {"epochs": "7", "name": "adam"},
        "data": {"fold": "2"},
        "Summary": {"best": "1"},
    }
    sections = {
        section: {name: {"section": section, "name": name, "value": value, "type": ""} for name, value in items.items()}
        for section, items in given.items()
    }
    about: dict[str, Any] = {"id": TASK, "name": "theirs", "status": "in_progress", "tags": ["queue"], "comment": "why", "type": "training"}
    about |= {
        "hyperparams": sections,
        "execution": {"artifacts": [], "parameters": {}},
        "script": {"repository": "theirs.git", "entry_point": "train.py"},
    }
    Server.task.update(about)


def test_the_task_of_the_agent_is_adopted(person: User) -> None:
    """Its id, its hyperparameters before our defaults; its name, tags, script and sections stay; our points and entries are added, also when the
    run goes on."""
    with server() as variables:
        queued()
        done = person.python("-c", SCRIPT, **variables, CLEARML_TASK_ID=TASK, TRACKBRIDGE_FINISH_TIMEOUT="60")
        assert done.returncode == 0, done.stderr
        config = {"data": {"fold": 2}, "epochs": 7, "lr": 0.25, "name": "adam", "net": {"depth": 4}, "own": 1}
        assert done.stdout.splitlines()[0] == f"{TASK} {config}"
        again = person.python("-c", SCRIPT, **variables, CLEARML_TASK_ID=TASK, TRACKBRIDGE_FINISH_TIMEOUT="60")
        assert again.returncode == 0, again.stderr
    delivered, run_id, url = done.stdout.splitlines()[1].split()
    assert (delivered, run_id) == ("True", TASK)
    assert url.startswith(variables["CLEARML_WEB_HOST"])
    assert TASK in url
    assert "tasks.create" not in [name for name, _ in Server.calls]
    points = [(event["value"], event["iter"], event["task"]) for event in sent() if event.get("metric") == "loss"]
    assert points == [(0.25 / (step + 1), step, TASK) for step in range(3)] * 2
    task = Server.task
    assert (task["name"], task["comment"], task["tags"], task["status"]) == ("theirs", "why", ["queue", "ours"], "completed")
    assert task["script"]["repository"] == "theirs.git"
    shown = {section: {name: item["value"] for name, item in items.items()} for section, items in task["hyperparams"].items()}
    assert shown["Args"] == {"epochs": "7", "name": "adam"}
    assert shown["General"].items() >= {"lr": "0.25", "own": "1"}.items()
    assert shown["properties"]["run_id"] == TASK


def test_a_task_that_the_server_does_not_know_is_made(person: User) -> None:
    with server() as variables:
        done = person.python("-c", SCRIPT, **variables, CLEARML_TASK_ID=TASK, TRACKBRIDGE_FINISH_TIMEOUT="60")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == f"{TASK} {{'lr': 0.1, 'own': 1}}"
    assert [name for name, _ in Server.calls].count("tasks.create") == 1
    assert "cannot be read" not in done.stderr


def test_offline_it_is_a_session_of_that_run(person: User) -> None:
    done = person.python("-c", SCRIPT, CLEARML_TASK_ID=TASK, CLEARML_OFFLINE_MODE="1", TRACKBRIDGE_FINISH_TIMEOUT="60")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == f"{TASK} {{'lr': 0.1, 'own': 1}}"
    assert "cannot be read" not in done.stderr
    assert "clearml-task --import-offline-session" in done.stderr
