"""``status`` and ``verify``: what they say of runs that are not, or no longer, delivered whole."""

from __future__ import annotations

import json
from pathlib import Path

import trackbridge
from tests.shared import command


def told(run: trackbridge.Run) -> tuple[list[tuple[str, int]], int]:
    """State and pending records of each target, and the exit code."""
    done = command("status", str(run.directory), "--json")
    (found,) = json.loads(done.stdout)
    return [(target["state"], target["pending"]) for target in found["targets"]], done.returncode


def logged(target: str, mode: str, first: int = 0, id: str | None = None) -> trackbridge.Run:
    run = trackbridge.init("p", id=id, resume="allow", backend=target, mode=mode)
    for step in range(first, first + 10):
        trackbridge.log({"loss": step / 2}, step=step)
    trackbridge.finish()
    return run


def test_a_run_of_which_nothing_is_delivered_is_pending(tmp_path: Path) -> None:
    target = f"jsonl:{tmp_path}/out"
    run = logged(target, "offline")
    targets, code = told(run)
    assert [state for state, _ in targets] == ["waiting"]
    assert targets[0][1] >= 10
    assert code == 1
    assert command("sync", str(run.directory)).returncode == 0
    assert told(run) == ([("delivered", 0)], 0)


def test_what_was_logged_since_it_was_delivered_is_pending(tmp_path: Path) -> None:
    target = f"jsonl:{tmp_path}/out"
    run = logged(target, "online")
    assert told(run) == ([("delivered", 0)], 0)
    logged(target, "offline", 10, run.id)
    targets, code = told(run)
    assert [state for state, _ in targets] == ["waiting"]
    assert targets[0][1] >= 10
    assert code == 1


def test_every_run_of_a_folder_is_verified(tmp_path: Path) -> None:
    target = f"jsonl:{tmp_path}/out"
    first, second = logged(target, "online", id="a"), logged(target, "offline", id="b")
    done = command("verify", str(first.directory.parent), target)
    assert "a in" in done.stdout
    assert "run b is not in" in done.stderr
    assert done.returncode == 2
    assert command("sync", str(second.directory)).returncode == 0
    done = command("verify", str(first.directory.parent), target, "--json")
    assert [found["run"] for found in json.loads(done.stdout)] == ["a", "b"]
    assert done.returncode == 0
    assert json.loads(command("verify", str(first.directory), target, "--json").stdout)["run"] == "a"


def test_a_damaged_sidecar_is_told_and_what_the_tracker_holds_is_read(tmp_path: Path) -> None:
    target = f"jsonl:{tmp_path}/out"
    run = logged(target, "online")
    (sidecar,) = (tmp_path / "out").rglob("journal.tbj.z")
    data = bytearray(sidecar.read_bytes())
    data[len(data) // 2] ^= 0xFF
    sidecar.write_bytes(data)
    found = trackbridge.read(run.id, target)
    assert [row["value_any"] for row in found.rows()] == [step / 2 for step in range(10)]
    assert [(row.reason, row.subject) for row in found.deviations] == [("damaged", "sidecar")]
    done = command("verify", str(run.directory), target)
    assert "sidecar" in done.stdout
    assert done.returncode == 3
