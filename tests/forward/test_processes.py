"""The real forwarder process: deaths of every kind, of the forwarder, of training, of both; offline runs and sync."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import trackbridge
from tests.shared import command, until
from trackbridge.adapters import Target
from trackbridge.forward.state import State, TargetState, states
from trackbridge.transfer.verify import verify


def held(folder: Path) -> list[int]:
    """The steps in the jsonl backend's file."""
    (path,) = folder.rglob("metrics.jsonl")
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_a_run_is_delivered_and_verified(tmp_path: Path) -> None:
    run = trackbridge.init("p", name="n", config={"lr": 0.1}, tags=("t",), backend="jsonl")
    for step in range(200):
        trackbridge.log({"a": step, "nan": float("nan"), "text": "NaN"}, step=step)
    report = trackbridge.finish()
    assert report.delivered
    (target,) = report.targets
    assert target.delivered == 600
    assert held(tmp_path / "jsonl-runs") == list(range(200))
    assert verify(run.directory, Target.parse(target.target)).verified
    assert trackbridge.read(run.id, "jsonl").config == {"lr": 0.1}
    status = command("status", "--json")
    assert status.returncode == 0
    assert json.loads(status.stdout)[0]["targets"][0]["state"] == "delivered"


def test_a_forwarder_that_is_killed_again_and_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trackbridge.forward import supervisor

    monkeypatch.setattr(supervisor, "BACKOFF", (0.05, 0.1))
    run = trackbridge.init(backend="jsonl")
    chance, step, killed = random.Random(os.urandom(4)), 0, set[int]()
    while len(killed) < 10:
        for _ in range(200):
            trackbridge.log({"a": step}, step=step)
            step += 1
        time.sleep(chance.random() * 0.2)
        for health in states(run.directory):
            if health.pid and health.pid not in killed and health.state in (State.STARTING, State.HEALTHY):
                killed.add(health.pid)
                os.kill(health.pid, signal.SIGKILL)
    assert trackbridge.finish().delivered
    assert held(tmp_path / "jsonl-runs") == list(range(step))


@pytest.mark.parametrize(
    "point", ["after_open", "after_write", "after_flush", "before_cursor", "after_cursor", "before_close", "after_close"]
)
def test_death_at_each_point_of_delivery(tmp_path: Path, point: str) -> None:
    run = trackbridge.init(mode="offline")
    for step in range(100):
        trackbridge.log({"a": step}, step=step)
    trackbridge.finish()
    worker = [sys.executable, "-I", "-m", "trackbridge.forward.worker", str(run.directory), f"jsonl:{tmp_path}/j"]
    died = subprocess.run(worker, env=os.environ | {"TRACKBRIDGE_FAILPOINT": f"{point}:exit"}, check=False)
    assert died.returncode == -signal.SIGKILL
    assert subprocess.run(worker, check=False).returncode == 0
    assert held(tmp_path / "j") == list(range(100))
    assert verify(run.directory, Target("jsonl", f"{tmp_path}/j")).verified


TRAINING = """
import os, sys, time, trackbridge
run = trackbridge.init("p", resume="auto", config={"part": sys.argv[1]})
for step in range(int(sys.argv[2]), 10**9):
    trackbridge.log({"a": step}, step=step)
    print(step, flush=True)
    if step % 100 == 99: time.sleep(0.02)
"""


def train(part: int, start: int, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", TRAINING, str(part), str(start)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
        start_new_session=True,
    )


def last_of(process: subprocess.Popen[str]) -> int:
    """The last step for which log() had returned."""
    assert process.stdout is not None
    return int(process.stdout.read().split()[-1])


def test_killed_training_is_drained_and_closed_as_crashed(tmp_path: Path) -> None:
    process = train(0, 0, {"TRACKBRIDGE_BACKEND": f"jsonl:{tmp_path}/j", "TRACKBRIDGE_RUN_ID": "run"})
    run = Path(os.environ["TRACKBRIDGE_DIR"]) / "run"
    until(lambda: any(health.delivered > 100 for health in states(run)))
    process.kill()
    last = last_of(process)
    until(lambda: all(health.state == State.DELIVERED for health in states(run)))
    steps = held(tmp_path / "j")
    assert steps == list(range(len(steps)))
    assert last <= steps[-1] <= last + 1
    assert json.loads(next((tmp_path / "j").rglob("run.json")).read_text())["status"] == "crashed"
    assert trackbridge.read("run", f"jsonl:{tmp_path}/j").info.status == "crashed"


def test_the_whole_job_is_killed_and_resumed_as_one_run(tmp_path: Path) -> None:
    environment = {"TRACKBRIDGE_BACKEND": f"jsonl:{tmp_path}/j,memory:{tmp_path}/m", "SLURM_JOB_ID": "7"}
    run = Path(os.environ["TRACKBRIDGE_DIR"]) / "slurm-7"
    start = 0
    for part in range(3):
        process = train(part, start, environment)
        until(lambda begun=start: len(list(states(run))) == 2 and all(health.delivered > begun for health in states(run)))
        os.killpg(process.pid, signal.SIGKILL)
        start = last_of(process) + 1
    code = "import trackbridge; trackbridge.init('p', resume='auto'); trackbridge.finish()"
    subprocess.run([sys.executable, "-c", code], env=os.environ | environment, check=True)
    until(lambda: all(health.state == State.DELIVERED for health in states(run)))
    steps = held(tmp_path / "j")
    assert sorted(set(steps)) == list(range(max(steps) + 1)), "nothing is missing"
    assert len(steps) - len(set(steps)) <= 3, "a call whose return was not told may stand in two parts"
    for target in (f"jsonl:{tmp_path}/j", f"memory:{tmp_path}/m"):
        assert [info.id for info in trackbridge.runs(target)] == ["slurm-7"]
        assert verify(run, Target.parse(target)).verified


def test_an_offline_run_is_delivered_later_and_elsewhere(tmp_path: Path) -> None:
    run = trackbridge.init(mode="offline", backend="jsonl")
    trackbridge.log({"a": 1}, step=1)
    trackbridge.finish()
    assert command("sync", str(run.directory)).returncode == 0
    assert held(tmp_path / "jsonl-runs") == [1]
    done = command("sync", str(run.directory), "--to", f"memory:{tmp_path}/m")
    assert done.returncode == 0, done.stderr
    assert command("verify", str(run.directory), f"memory:{tmp_path}/m").returncode == 0
    again = command("sync", str(run.directory))
    assert "everything is delivered" in again.stderr


def test_sync_watch_follows_a_run_that_goes_on(tmp_path: Path) -> None:
    """The login node: it shares the folder with the compute node, which has no way out."""
    process = train(0, 0, {"TRACKBRIDGE_MODE": "offline", "TRACKBRIDGE_RUN_ID": "run"})
    root = os.environ["TRACKBRIDGE_DIR"]
    until(lambda: (Path(root) / "run" / "journal").is_dir())
    watching = subprocess.Popen([sys.executable, "-m", "trackbridge", "sync", root, "--watch", "--to", f"jsonl:{tmp_path}/j"])
    try:
        until(lambda: any(health.delivered > 500 for health in states(Path(root) / "run")))
        assert process.poll() is None, "it goes on"
        process.kill()
        last = last_of(process)
        until(lambda: all(health.state == State.DELIVERED for health in states(Path(root) / "run")))
        assert last <= held(tmp_path / "j")[-1] <= last + 1
    finally:
        process.kill()
        watching.send_signal(signal.SIGINT)
        assert watching.wait(30) in (0, 1)


def test_a_sync_of_a_run_that_goes_on_delivers_what_is_there(tmp_path: Path) -> None:
    run = trackbridge.init(mode="offline", backend="jsonl")
    trackbridge.log({"a": 1}, step=1)
    assert command("sync", str(run.directory)).returncode == 0
    assert held(tmp_path / "jsonl-runs") == [1]
    trackbridge.log({"a": 2}, step=2)
    trackbridge.finish()
    assert command("sync", str(run.directory)).returncode == 0
    assert held(tmp_path / "jsonl-runs") == [1, 2]


def test_a_target_that_cannot_be_written_waits_and_is_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "j").write_text("a file where the folder should be")
    monkeypatch.setenv("TRACKBRIDGE_FINISH_TIMEOUT", "1.5")
    run = trackbridge.init(backend=f"jsonl:{tmp_path}/j")
    for step in range(10):
        trackbridge.log({"a": step}, step=step)
    report = trackbridge.finish()
    assert not report.delivered
    assert report.targets[0].pending > 0
    status = command("status")
    assert status.returncode == 1
    (tmp_path / "j").unlink()
    assert command("sync", str(run.directory)).returncode == 0
    assert held(tmp_path / "j") == list(range(10))


def test_a_damaged_journal_is_counted_and_the_rest_delivered(tmp_path: Path) -> None:
    run = trackbridge.init(mode="offline", backend="jsonl")
    for step in range(50):
        trackbridge.log({"a": step}, step=step)
    trackbridge.finish()
    path = next((run.directory / "journal").glob("*.tbj"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    command("sync", str(run.directory))
    steps = held(tmp_path / "jsonl-runs")
    assert len(steps) == 49
    assert steps == sorted(set(steps))
    status = command("status", "--json")
    assert status.returncode == 3
    assert json.loads(status.stdout)[0]["damaged"] > 0
    assert command("repair", str(run.directory)).returncode == 3


def test_an_unfinished_call_of_a_killed_process_is_told_and_is_no_loss(tmp_path: Path) -> None:
    process = train(0, 0, {"TRACKBRIDGE_RUN_ID": "run"})
    assert process.stdout is not None
    until(lambda: process.stdout.readline().startswith("50"))
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    path = next((Path(os.environ["TRACKBRIDGE_DIR"]) / "run" / "journal").glob("*.tbj"))
    data = path.read_bytes()
    path.write_bytes(data + data[:25])
    status = command("status", "--json")
    assert status.returncode == 0, status.stderr
    (run,) = json.loads(status.stdout)
    assert (run["torn"], run["damaged"], run["info"]["status"]) == (25, 0, "crashed")


def test_the_forwarder_is_in_the_session_niced_and_without_our_files(tmp_path: Path) -> None:
    marker = (tmp_path / "open.txt").open("w")
    os.set_inheritable(marker.fileno(), True)
    run = trackbridge.init(backend="jsonl")
    until(lambda: any(health.state == State.HEALTHY for health in states(run.directory)))
    (health,) = states(run.directory)
    assert os.getsid(health.pid) == os.getsid(0)
    assert os.getpriority(os.PRIO_PROCESS, health.pid) >= 10
    links = [os.readlink(f"/proc/{health.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{health.pid}/fd")]
    assert not any("open.txt" in link or link.endswith(".tbj") for link in links)
    trackbridge.finish()
    marker.close()


def test_the_forwarder_is_told_credentials_by_its_environment_alone(tmp_path: Path) -> None:
    run = trackbridge.init(backend="jsonl:http://user:canary-secret@127.0.0.1:1/x")
    until(lambda: any(health.pid for health in states(run.directory)))
    (health,) = states(run.directory)
    arguments = Path(f"/proc/{health.pid}/cmdline").read_bytes() if Path(f"/proc/{health.pid}").exists() else b""
    assert b"canary-secret" not in arguments
    run.finish()
    for path in run.directory.rglob("*"):
        if path.is_file():
            assert b"canary-secret" not in path.read_bytes(), path


def test_a_delivered_run_that_went_on_offline_is_not_called_delivered(tmp_path: Path) -> None:
    """It goes on in a shard that the cursor has never seen."""
    for part in range(2):
        run = trackbridge.init(id="run", resume="allow", mode="offline", backend="jsonl")
        trackbridge.log({"a": part}, step=part)
        trackbridge.finish()
        done = command("sync", str(run.directory))
        assert done.returncode == 0
        assert "everything is delivered" not in done.stderr
        assert held(tmp_path / "jsonl-runs") == list(range(part + 1))
    assert "everything is delivered" in command("sync", str(run.directory)).stderr


def test_one_process_serves_the_runs_of_a_training_process(tmp_path: Path) -> None:
    pids = set()
    for number in range(3):
        run = trackbridge.init(id=f"run{number}", backend="jsonl")
        trackbridge.log({"a": number}, step=number)
        assert trackbridge.finish().delivered
        (health,) = states(run.directory)
        pids.add(health.pid)
    assert len(pids) == 1
    for number in range(3):
        assert [info.id for info in trackbridge.runs("jsonl")].count(f"run{number}") == 1
        assert verify(Path(os.environ["TRACKBRIDGE_DIR"]) / f"run{number}", Target("jsonl", str(tmp_path / "jsonl-runs"))).verified


def test_a_process_that_died_between_two_runs_is_replaced(tmp_path: Path) -> None:
    run = trackbridge.init(id="one", backend="jsonl")
    trackbridge.log({"a": 1})
    assert trackbridge.finish().delivered
    (first,) = states(run.directory)
    os.kill(first.pid, signal.SIGKILL)
    run = trackbridge.init(id="two", backend="jsonl")
    trackbridge.log({"a": 2})
    assert trackbridge.finish().delivered
    (second,) = states(run.directory)
    assert second.pid != first.pid


def test_a_client_that_serves_one_run_after_the_other_gets_a_second_process_for_a_second_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trackbridge import registry
    from trackbridge.adapters import Concurrency
    from trackbridge.forward import supervisor

    adapter, pids = registry.get("jsonl"), []
    for runs, processes in ((Concurrency.CONCURRENT, 1), (Concurrency.SERIAL, 2), (Concurrency.ONE_PER_PROCESS, 2)):
        capabilities = replace(adapter.capabilities(Target("jsonl", str(tmp_path))), runs=runs)
        monkeypatch.setattr(type(adapter), "capabilities", lambda self, target, version="", told=capabilities: told)
        target = Target("jsonl", str(tmp_path / runs))
        paths = [tmp_path / f"{runs}-{number}" for number in range(2)]
        for path in paths:
            TargetState(path, target).prepare()
        forwarders = [supervisor._Process.given(target, path, ["--parent", str(os.getpid())], tmp_path / "log") for path in paths]
        assert len(set(map(id, forwarders))) == processes, runs
        pids += forwarders
    for process in pids:
        process.end()


def test_sync_leaves_a_run_to_the_forwarder_that_has_it(tmp_path: Path) -> None:
    run = trackbridge.init(backend="jsonl")
    trackbridge.log({"a": 1})
    until(lambda: any(health.opens for health in states(run.directory)))
    (health,) = states(run.directory)
    done = command("sync", str(run.directory))
    assert f"process {health.pid} of " in done.stdout + done.stderr
    assert trackbridge.finish().delivered
