"""A W&B agent starts the script: the vendor's own agent, against the vendor's protocol on loopback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import trackbridge
from tests.adapters.wandb_server import Server, wandb_server
from tests.online.endpoints import end_forwarders
from trackbridge.transfer.verify import verify

pytest.importorskip("wandb")
pytestmark = pytest.mark.server

TRAIN = """
import json, trackbridge
with trackbridge.init("own project", config={"lr": 0.1, "own": 1}) as run:
    trackbridge.log({"loss": 0.5}, step=3)
    open("seen.json", "w").write(json.dumps([run.id, dict(run.config)]))
assert run.finish().delivered, run.finish()
"""
CHOSEN = {"lr": 0.25, "layers": [16, 4], "optimizer": {"name": "adam", "decay": 1}}


@pytest.fixture(autouse=True)
def _no_forwarder_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    end_forwarders(tmp_path / "journals")


def sweep(tmp_path: Path, server: Server, script: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """What ``wandb agent`` did in one run of `script` in the sweep ``s1``, with what a search has `CHOSEN`."""
    (tmp_path / "train.py").write_text(script)
    arguments = {name: {"value": value} for name, value in CHOSEN.items()}
    server.commands.append({"type": "run", "run_id": "made-by-agent", "program": "train.py", "args": arguments})
    own = {"WANDB_BASE_URL": server.url, "WANDB_API_KEY": "a" * 40, "HOME": str(tmp_path), "TRACKBRIDGE_BACKEND": "wandb"}
    own["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = [sys.executable, "-m", "wandb", "agent", "e/p/s1", "--count", "1"]
    return subprocess.run(command, cwd=tmp_path, env=os.environ | own | variables, capture_output=True, text=True, timeout=120, check=False)


def seen(tmp_path: Path) -> list[Any]:
    return list(json.loads((tmp_path / "seen.json").read_text()))


def test_a_run_that_an_agent_launched_is_adopted(tmp_path: Path) -> None:
    """The search's hyper-parameters are in ``run.config``, also against the script's own defaults; the run in W&B is the sweep's."""
    config = {**CHOSEN, "own": 1}
    with wandb_server() as server:
        done = sweep(tmp_path, server, TRAIN, {})
        assert done.returncode == 0, done.stderr
        assert seen(tmp_path) == ["made-by-agent", config], done.stderr
    assert list(server.runs) == ["made-by-agent"]
    made = server.runs["made-by-agent"]
    assert (made["sweep"], made["project"], made["entity"]) == ("s1", "p", "e")
    sent = json.loads(made["config"])
    assert {name: sent[name]["value"] for name in config} == config
    assert [row["loss"] for row in server.rows("made-by-agent") if "loss" in row] == [0.5]
    assert server.exit_codes == [0]
    back = trackbridge.read("made-by-agent", "wandb")
    assert back.config == config
    assert str(verify(tmp_path / "journals" / "made-by-agent", trackbridge.adapters.Target("wandb", str(tmp_path)))).count("verified") == 1


def test_an_id_that_the_script_gives_makes_a_run_of_its_own(tmp_path: Path) -> None:
    with wandb_server() as server:
        done = sweep(tmp_path, server, TRAIN, {"TRACKBRIDGE_RUN_ID": "own-id"})
        assert done.returncode == 0, done.stderr
        assert seen(tmp_path) == ["own-id", {"lr": 0.1, "own": 1}]
    assert list(server.runs) == ["own-id"]
    assert "sweep" not in server.runs["own-id"]
    assert [row["loss"] for row in server.rows("own-id") if "loss" in row] == [0.5]
