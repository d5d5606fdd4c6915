"""``guild run``: a script logs into the run that Guild has begun, with its flags. Guild is in an environment of its own, as its command is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import trackbridge
from trackbridge import environments

pytestmark = pytest.mark.skipif(environments.requirements("guild") is None, reason="it has no environment")

SCRIPT = """
import trackbridge
lr = 0.1
epochs = 2
run = trackbridge.init(config={"own": 1})
print("given", dict(sorted(run.config.items())))
for step in range(epochs):
    trackbridge.log({"loss": lr / (step + 1)}, step=step)
report = trackbridge.finish()
print("delivered", report.delivered, {*run.ids.values()} == {run.id})
"""


def guild(project: Path, *arguments: str, **variables: str) -> str:
    """What the command prints to a user whose environment for training is active; Guild finds its home and Python itself."""
    interpreter = environments.create("guild").interpreter
    ours = Path(sys.executable).parent
    kept = {
        name: value for name, value in os.environ.items() if name not in ("GUILD_HOME", "RUN_ID", "RUN_DIR", "CMD_DIR", "TRACKBRIDGE_DIR")
    }
    kept |= {"VIRTUAL_ENV": str(ours.parent), "PATH": f"{ours}:{os.environ['PATH']}", "NO_IMPORT_FLAGS_PROGRESS": "1"}
    command = [str(interpreter.with_name("guild")), "-H", str(project.parent / "home"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=project, env=kept | variables, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    (tmp_path / "vision").mkdir()
    (tmp_path / "vision" / "train.py").write_text(SCRIPT)
    return tmp_path / "vision"


def test_a_script_logs_into_the_run_that_guild_has_begun(project: Path) -> None:
    """``guild run train.py lr=0.25``, nothing else: one run, which has flags of both and our points. Guild puts itself into PYTHONPATH, where the
    isolated forwarder does not find it."""
    printed = guild(project, "run", "train.py", "lr=0.25", "-y", TRACKBRIDGE_BACKEND="guild")
    assert "given {'epochs': 2, 'lr': 0.25, 'own': 1}" in printed
    assert "delivered True True" in printed
    (listed,) = json.loads(guild(project, "runs", "list", "--json"))
    assert listed["status"] == "completed"
    shown = json.loads(guild(project, "runs", "info", listed["id"], "--json", "--all-scalars"))
    assert shown["operation"] == "train.py"
    assert shown["flags"] == {"epochs": 2, "lr": 0.25, "own": 1}
    assert (shown["scalars"]["loss"]["first"], shown["scalars"]["loss"]["last"]) == ([0.25, 0], [0.125, 1])
    assert shown["project"] == "vision"
    read = trackbridge.read(listed["id"], f"guild:{project.parent / 'home'}")
    assert read.config == {"epochs": 2, "lr": 0.25, "own": 1}


def test_what_a_run_writes_lies_in_its_own_folder(project: Path) -> None:
    """As everything does that a script writes under Guild, which starts it there: the journal and the folders of other trackers travel with the run
    and go with it, and the project, which Guild searches for source code at each run, stays as it was."""
    printed = [guild(project, "run", "train.py", "-y", TRACKBRIDGE_BACKEND="guild,jsonl") for _ in range(2)]
    assert all("delivered True True" in text for text in printed)
    assert [path.name for path in project.iterdir()] == ["train.py"]
    first, second = (run["id"] for run in json.loads(guild(project, "runs", "list", "--json")))
    for run_id in (first, second):
        folder = project.parent / "home" / "runs" / run_id
        assert sorted(path.name for path in folder.iterdir() if not path.name.startswith((".guild", "events."))) == [
            "jsonl-runs", "trackbridge", "trackbridge-runs", "train.py",
        ]  # fmt: skip
        assert list((folder / "trackbridge-runs").iterdir()) == [folder / "trackbridge-runs" / run_id]
    guild(project, "export", "-y", str(project.parent / "out"), first)
    moved = project.parent / "out" / first / "trackbridge-runs"
    done = subprocess.run(
        [sys.executable, "-m", "trackbridge", "status", str(moved), "--json"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert [run["info"]["id"] for run in json.loads(done.stdout)] == [first]


def test_a_folder_that_is_given_is_shared_by_all_runs(project: Path) -> None:
    journals = project.parent / "journals"
    ids = set()
    for _ in range(2):
        guild(project, "run", "train.py", "-y", TRACKBRIDGE_BACKEND="guild", TRACKBRIDGE_DIR=str(journals))
        ids = {run["id"] for run in json.loads(guild(project, "runs", "list", "--json"))}
    assert {path.name for path in journals.iterdir()} == ids
    assert len(ids) == 2
