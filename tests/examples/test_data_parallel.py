"""Two processes under torchrun, over gloo on this machine, with each of TrackBridge's two settings for ranks."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from trackbridge_examples import data_parallel

import trackbridge
from trackbridge.reading import RunData

STEPS = 10


@cache
def trained(ranks: str, folder: Path) -> RunData:
    """The only run that two processes make, as it is read back."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TRACKBRIDGE_")}
    environment |= {"TRACKBRIDGE_DIR": str(folder / ranks), "TRACKBRIDGE_RANKS": ranks, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, "-m", "trackbridge_examples.data_parallel", "--smoke"], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (info,) = trackbridge.runs(f"journal:{folder / ranks}")
    return trackbridge.read(folder / ranks / info.id)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data-parallel")


def points(run: RunData) -> dict[str, list[object]]:
    found: dict[str, list[object]] = {}
    for row in run.rows():
        if "time/" not in row["key"]:
            found.setdefault(row["key"], []).append(row["value_any"])
    return found


@pytest.mark.parametrize("ranks", ["zero", "all"])
def test_the_processes_make_one_finished_run(ranks: str, folder: Path) -> None:
    run = trained(ranks, folder)
    assert run.info.status == "finished"
    assert run.config["processes"] == 2
    assert len(points(run)["train/loss"]) == STEPS
    assert run.summary["test/accuracy"] == points(run)["test/accuracy"][-1]
    assert [artifact.name for artifact in run.artifacts] == ["checkpoint.pt"]


def test_with_zero_only_rank_0_writes(folder: Path) -> None:
    run = trained("zero", folder)
    assert len({row["shard"] for row in run.rows()}) == 1
    assert not [key for key in points(run) if key.startswith("rank1/")]


def test_with_all_each_process_writes_a_shard(folder: Path) -> None:
    run = trained("all", folder)
    assert len({row["shard"] for row in run.rows()}) == 2
    found = points(run)
    of_rank_1 = {key.removeprefix("rank1/") for key in found if key.startswith("rank1/")}
    assert of_rank_1 == {"train/loss", "train/accuracy", "train/grad_norm"}
    assert len(found["rank1/train/loss"]) == STEPS
    assert found["rank1/train/loss"] != found["train/loss"]  # each has its own half of a batch
    assert found["rank1/train/grad_norm"] == found["train/grad_norm"]  # after the gradients were averaged


def test_who_writes_changes_nothing_of_the_training(folder: Path) -> None:
    found = points(trained("all", folder))
    assert {key: values for key, values in found.items() if not key.startswith("rank1/")} == points(trained("zero", folder))


def test_without_torchrun_the_command_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        data_parallel.parse(["--smoke"])
    assert "torchrun --standalone --nproc-per-node 2" in capsys.readouterr().err


def test_a_batch_that_does_not_divide_among_the_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(SystemExit):
        data_parallel.parse(["--batch-size", "6"])
