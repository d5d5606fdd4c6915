"""What a user types, and what comes of it, without any tracker."""

from __future__ import annotations

import argparse
import copy
import dataclasses
import enum
import errno
import os
import pickle
import signal
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import trackbridge
from trackbridge import SettingsError
from trackbridge import settings as variables
from trackbridge.files import safe_name
from trackbridge.journal import writer as journal_writer
from trackbridge.projection import same
from trackbridge.redact import Redactor


def points(run: trackbridge.Run) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for row in trackbridge.read(run.directory).rows():
        found.setdefault(row["key"], []).append(row["value_any"])
    return found


def reasons(run: trackbridge.Run) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in trackbridge.read(run.directory).deviations:
        found.setdefault(row.reason, []).append(row.subject)
    return found


def test_zero_setup() -> None:
    trackbridge.log({"loss": 1})
    run = trackbridge.current()
    report = trackbridge.finish()
    assert report.delivered
    assert points(run) == {"loss": [1]}
    assert trackbridge.read(run.id).info.status == "finished"


def test_the_unhappy_beginnings_name_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(trackbridge.BackendError, match=r"known backends: .*jsonl"):
        trackbridge.init(backend="mlfow")
    with pytest.raises(SettingsError, match="cannot be used"):
        trackbridge.init(id="../../etc")
    with pytest.raises(SettingsError, match="never, allow, must, auto"):
        trackbridge.init(resume="yes")
    with pytest.raises(SettingsError, match="TRACKBRIDGE_RUN_ID"):
        trackbridge.init(resume="auto")
    with pytest.raises(SettingsError, match="resume='allow'"):
        trackbridge.init(id="absent", resume="must")
    monkeypatch.setenv("TRACKBRIDGE_DURABILITY", "much")
    with pytest.raises(SettingsError, match="process, power"):
        trackbridge.init()
    monkeypatch.delenv("TRACKBRIDGE_DURABILITY")
    (tmp_path / "file").write_text("")
    with pytest.raises(trackbridge.JournalError, match="TRACKBRIDGE_DIR"):
        trackbridge.init(dir=tmp_path / "file")
    with pytest.raises(SettingsError, match="no run to finish"):
        trackbridge.finish()


def test_a_missing_client_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from trackbridge import registry

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # where nobody made an environment for it
    monkeypatch.setattr(registry, "missing", lambda requires, path: ["mlflow>=3.10"])
    with pytest.raises(trackbridge.BackendError, match=r"pip install 'trackbridge\[mlflow\]'"):
        trackbridge.init(backend="mlflow")


def test_an_implicit_init_never_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TRACKBRIDGE_BACKEND", "mlfow")
    trackbridge.log({"loss": 1})
    run = trackbridge.current()
    assert points(run) == {"loss": [1]}
    assert "unknown backend 'mlfow'" in capsys.readouterr().err
    trackbridge.finish()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRACKBRIDGE_DIR", str(tmp_path / "file"))
    trackbridge.log({"loss": 1})
    trackbridge.log({"loss": 1})
    assert capsys.readouterr().err.count("TRACKBRIDGE_DIR") == 1


def test_a_second_init_is_an_error_and_the_first_run_goes_on() -> None:
    run = trackbridge.init()
    with pytest.raises(SettingsError, match="finish"):
        trackbridge.init()
    trackbridge.log({"a": 1})
    trackbridge.finish()
    assert points(run) == {"a": [1]}


def test_in_a_notebook_a_second_init_finishes_the_first_run_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    first = trackbridge.init()
    trackbridge.log({"a": 1})
    second = trackbridge.init()
    trackbridge.log({"a": 2})
    trackbridge.finish()
    assert (points(first), points(second)) == ({"a": [1]}, {"a": [2]})
    assert f"run {first.id} is finished, since another one begins" in capsys.readouterr().err


def test_the_end_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    run = trackbridge.init()
    trackbridge.log({"api_key": 1, "note": object()})
    report = trackbridge.finish()
    run.finish()
    said = capsys.readouterr().err
    assert said.count(f"run {run.id} finished") == 1
    assert f"{report.records} records in {run.directory}" in said
    assert "unsupported 1" in said


def test_numbers_of_every_library_and_nested_mappings() -> None:
    run = trackbridge.init()
    trackbridge.log({"np32": numpy.float32(0.1), "np64": numpy.float64(0.1), "int": numpy.int64(7), "array": numpy.array(2.5)})
    trackbridge.log({"bool": numpy.bool_(True), "flag": True, "none": None, "text": "NaN", "half": Fraction(1, 2), "big": 2**70})
    trackbridge.log({"val": {"loss": 0.5, "top": {"1": 0.9}}})
    trackbridge.finish()
    wanted = {
        "np32": float(numpy.float32(0.1)), "np64": 0.1, "int": 7, "array": 2.5, "bool": True, "flag": True, "none": None, "text": "NaN",
        "half": 0.5, "big": 2**70, "val/loss": 0.5, "val/top/1": 0.9,
    }  # fmt: skip
    found = points(run)
    assert found.keys() == wanted.keys()
    assert all(same(found[key], [value]) for key, value in wanted.items())


def test_tensors_of_torch() -> None:
    torch = pytest.importorskip("torch")
    run = trackbridge.init()
    trackbridge.log({"loss": torch.tensor(0.5, requires_grad=True), "one": torch.ones(1)}, step=torch.tensor(3))
    trackbridge.finish()
    assert points(run) == {"loss": [0.5], "one": [1.0]}
    assert {row["step"] for row in trackbridge.read(run.directory).rows()} == {3}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.dictionaries(st.text(max_size=8), st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=7))), st.none() | st.integers(-(2**63), 2**63 - 1)), max_size=6))  # fmt: skip
def test_whatever_is_logged_is_read_back(calls: list[tuple[dict[str, Any], int | None]]) -> None:
    """The fast way and the slow way keep the same, in any mixture."""
    run = trackbridge.init(mode="offline")
    for values, step in calls * 2:
        trackbridge.log(values, step=step)
    trackbridge.finish()
    rows = list(trackbridge.read(run.directory).rows("all"))
    wanted = [(key, value, step) for values, step in calls * 2 for key, value in values.items()]
    assert [(row["key"], row["step"]) for row in rows] == [(key, step) for key, _, step in wanted]
    assert all(same(row["value_any"], value) for row, (_, value, _) in zip(rows, wanted, strict=True))


def test_what_nothing_can_hold_is_told_once_and_the_rest_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    run = trackbridge.init()
    for _ in range(3):
        trackbridge.log({"good": 1.0, "array": numpy.zeros(5), "object": object()})
    trackbridge.finish()
    assert points(run) == {"good": [1.0] * 3}
    assert reasons(run)["unsupported"] == ["array", "object"]
    assert capsys.readouterr().err.count("Histogram") == 1


class Broken:
    """A value whose library fails when it is asked."""

    shape = ()

    def item(self) -> float:
        raise RuntimeError("the device is gone")

    def savefig(self, file: Any, format: str) -> None:
        raise RuntimeError("latex is not installed")

    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_one_value_does_not_take_the_others_of_its_call_with_it(tmp_path: Path) -> None:
    run = trackbridge.init()
    trackbridge.log(
        {
            "loss": 0.5,
            "device": Broken(),
            "figure": trackbridge.Figure(Broken()),
            "absent": trackbridge.Image(tmp_path / "absent.png"),
            "caption": trackbridge.Image(numpy.zeros((2, 2)), caption="\ud800"),
            "image": trackbridge.Image(numpy.zeros((2, 2))),
        },
        step=1,
    )
    trackbridge.finish()
    assert points(run) == {"loss": [0.5]}
    assert [item.key for item in trackbridge.read(run.directory).media] == ["image"]
    assert reasons(run) == {"unsupported": ["absent", "caption", "device", "figure"]}


def test_strict_raises() -> None:
    trackbridge.init(strict=True)
    with pytest.raises(SettingsError, match="'caption' cannot be logged: UnicodeEncodeError"):
        trackbridge.log({"caption": trackbridge.Image(numpy.zeros((2, 2)), caption="\ud800")})
    with pytest.raises(SettingsError, match="'array' cannot be logged"):
        trackbridge.log({"array": numpy.zeros(5)})
    with pytest.raises(SettingsError, match="does not exist"):
        trackbridge.log_artifact("absent.pt")


@pytest.mark.parametrize("values", [None, 3, ["loss"], "loss"])
def test_log_takes_a_mapping(values: Any, capsys: pytest.CaptureFixture[str]) -> None:
    trackbridge.init()
    trackbridge.log(values)
    assert "log takes a mapping" in capsys.readouterr().err


def test_colliding_keys_and_odd_ones() -> None:
    run = trackbridge.init()
    trackbridge.log({"a/b": 1.0, "a": {"b": 2.0}, 3: 4.0, "\ud800": 5.0, "": 6.0})
    trackbridge.finish()
    assert points(run) == {"a/b": [2.0], "3": [4.0], "\\ud800": [5.0], "": [6.0]}
    assert reasons(run) == {"merged": ["a/b"], "renamed": ["3", "\\ud800"]}


def test_steps() -> None:
    run = trackbridge.init()
    for step in (5, -3, 2, 2, None, 2**63 - 1, 1.0, 1.5, numpy.int32(9), "x", 2**70):
        trackbridge.log({"a": 1.0}, step=step)  # type: ignore[arg-type]
    trackbridge.finish()
    assert [row["step"] for row in trackbridge.read(run.directory).rows()] == [5, -3, 2, 2, None, 2**63 - 1, 1, 1, 9, None, None]
    assert reasons(run) == {"step_changed": ["step"], "step_rejected": ["step"]}


def test_config_and_summary_and_tags() -> None:
    @dataclasses.dataclass
    class Options:
        depth: int = 3

    run = trackbridge.init(config={"lr": 0.1, "net": {"kind": "cnn", "sizes": (1, 2)}, "nan": float("nan")}, tags=("a", "b"), notes="why")
    run.config.update(lr=0.2, options=Options(), space=argparse.Namespace(x=1), path=Path("p"))
    run.config["np"] = numpy.float32(0.5)
    run.config.more = 7
    run.summary["best"] = numpy.float64(0.9)
    run.tags += ("c",)
    trackbridge.log({"loss": 0.5})
    with pytest.raises(SettingsError, match="cannot be removed"):
        del run.config["lr"]
    trackbridge.finish()
    data = trackbridge.read(run.directory)
    wanted = {"lr": 0.2, "net": {"kind": "cnn", "sizes": [1, 2]}, "nan": float("nan"), "options": {"depth": 3}, "space": {"x": 1}, "path": "p", "np": 0.5, "more": 7}  # fmt: skip
    assert same(data.config, wanted)
    assert same(dict(run.config), wanted)
    assert data.summary == {"loss": 0.5, "best": 0.9}
    assert data.tags == {"a", "b", "c"}
    assert data.info.notes == "why"


def test_what_a_configuration_cannot_hold_is_told_and_the_rest_is_kept() -> None:
    class Phase(enum.Enum):
        TRAIN = 1

    @dataclasses.dataclass(slots=True)
    class Slotted:
        depth: int = 3

    circle: list[Any] = []
    circle.append(circle)
    deep: list[Any] = []
    for _ in range(55):
        deep = [deep]
    run = trackbridge.init(config=Slotted(4))
    run.config.update(
        {
            "lr": 0.1,
            "circle": circle,
            "deep": deep,
            "deeper": [deep],
            "broken": Broken(),
            "phase": Phase.TRAIN,
            "type": Slotted,
            "big": 2**70,
            "\ud800": "\ud800",
        }
    )
    run.summary.update({"best": 0.9, "circle": circle})
    trackbridge.finish()
    run.config["late"] = 1
    data = trackbridge.read(run.directory)
    kept = {"depth": 4, "lr": 0.1, "deep": deep, "phase": "Phase.TRAIN", "type": str(Slotted), "big": 2**70, "\\ud800": "\\ud800"}
    assert data.config == dict(run.config) == kept
    assert data.summary == dict(run.summary) == {"best": 0.9}
    assert reasons(run) == {
        "unsupported": ["config/broken", "config/circle", "config/deeper", "summary/circle"],
        "retyped": ["config/phase", "config/type"],
    }


@pytest.mark.parametrize("config", [5, "lr=0.1", [("lr", 0.1)]])
def test_a_configuration_has_entries(config: Any) -> None:
    with pytest.raises(SettingsError, match=r"a mapping, an argparse\.Namespace or a dataclass, not (int|str|list)"):
        trackbridge.init(config=config)
    assert trackbridge.init(config=argparse.Namespace()).config == {}


def test_copies_of_the_configuration_belong_to_no_run() -> None:
    run = trackbridge.init(config={"lr": 0.1, "net": {"sizes": [1]}})
    for made in (copy.copy(run.config), copy.deepcopy(run.config), pickle.loads(pickle.dumps(run.config))):  # noqa: S301
        assert dict(made) == {"lr": 0.1, "net": {"sizes": [1]}}
        made.lr = 0.2
        assert made.lr == 0.2
    assert run.config.lr == 0.1
    trackbridge.finish()
    assert trackbridge.read(run.directory).config["lr"] == 0.1


def test_a_large_table_of_large_numbers_comes_back() -> None:
    run = trackbridge.init()
    rows = [[2**70, "x" * 1000]] * 1100
    trackbridge.log({"table": trackbridge.Table(["number", "text"], rows), "loss": 0.5})
    trackbridge.finish()
    data = trackbridge.read(run.directory)
    (media,) = data.media
    assert media.file is not None, "over 1 MiB"
    assert data.info.inline(media)["rows"] == rows
    (run.directory / "files" / media.file.digest).write_bytes(b"")  # as after a power cut
    with pytest.raises(LookupError, match="is damaged"):
        data.info.inline(media)
    assert points(run) == {"loss": [0.5]}


def test_summary_rules() -> None:
    run = trackbridge.init()
    run.define_metric("loss", summary="min")
    run.define_metric("acc*", summary="max")
    run.define_metric("secret", summary="none")
    for loss, acc in ((3.0, 0.1), (float("nan"), float("nan")), (1.0, 0.9), (2.0, 0.5)):
        trackbridge.log({"loss": loss, "acc1": acc, "plain": loss, "secret": 1})
    run.summary["plain"] = "mine"
    trackbridge.finish()
    assert trackbridge.read(run.directory).summary == {"loss": 1.0, "acc1": 0.9, "plain": "mine"}


def test_a_mean_of_what_no_float_holds_does_not_stop_a_summary() -> None:
    run = trackbridge.init()
    run.define_metric("n", summary="mean")
    for value in (0, 10**400, 4):
        trackbridge.log({"n": value})
    trackbridge.finish()
    assert trackbridge.read(run.directory).summary["n"] == pytest.approx(4 / 3)


def test_rewind_keeps_all_and_shows_the_surviving_branch() -> None:
    run = trackbridge.init()
    for step in range(6):
        trackbridge.log({"a": step}, step=step)
    run.rewind(3)
    for step in range(3, 5):
        trackbridge.log({"a": 10 * step}, step=step)
    trackbridge.finish()
    data = trackbridge.read(run.directory)
    assert [row["value_any"] for row in data.rows()] == [0, 1, 2, 30, 40]
    assert [row["value_any"] for row in data.rows("all")] == [0, 1, 2, 3, 4, 5, 30, 40]
    assert data.metrics["attempt"].to_list() == [0] * 6 + [1] * 2
    assert data.wide()["a"].to_list() == [0, 1, 2, 30, 40]
    assert list(data.pandas()["value"]) == [0, 1, 2, 3, 4, 5, 30, 40]


@pytest.mark.parametrize("durability", ["power", "process"])
def test_contents_survive_what_the_records_that_name_them_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: str) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(journal_writer, "_sync_file", synced.append)
    monkeypatch.setenv("TRACKBRIDGE_DURABILITY", durability)
    (tmp_path / "model.pt").write_bytes(b"weights")
    run = trackbridge.init()
    trackbridge.log({"look": trackbridge.Image(numpy.zeros((4, 4, 3), "uint8"))})
    trackbridge.log_artifact(tmp_path / "model.pt")
    if durability == "process":
        run.finish()  # else by the sync thread, some time
    contents = {path for path in (run.directory / "files").iterdir() if path.is_file()}
    assert len(contents) == 2
    assert {*contents, run.directory / "files"} <= set(synced)


def test_a_rule_of_the_summary_counts_what_the_run_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least loss of rank 0 is not that of rank 1, nor one that a rewind took back."""
    monkeypatch.setenv("TRACKBRIDGE_RANKS", "all")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("TRACKBRIDGE_RUN_ID", "both")
    for rank, losses in ((0, [3.0, 0.5, 2.0]), (1, [1.0])):
        monkeypatch.setenv("RANK", str(rank))
        run = trackbridge.init()
        run.define_metric("*loss", summary="min")
        for step, loss in enumerate(losses):
            trackbridge.log({"loss": loss}, step=step)
        if rank == 0:
            run.rewind(1)
            trackbridge.log({"loss": 2.5}, step=1)
        trackbridge.finish()
    summary = trackbridge.read("both").summary
    assert summary["loss"] == 2.5
    assert summary["rank1/loss"] == 1.0


def test_a_rewind_of_one_rank_takes_nothing_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKBRIDGE_RANKS", "all")
    monkeypatch.setenv("SLURM_JOB_ID", "78")
    for rank in (0, 1):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")
        run = trackbridge.init(resume="auto")
        for step in range(4):
            trackbridge.log({"a": step + rank / 2}, step=step)
        run.rewind(2)
        trackbridge.log({"a": 20 + rank / 2}, step=2)
        trackbridge.finish()
    rows = [(row["key"], row["value_any"]) for row in trackbridge.read(run.directory).rows()]
    assert [value for key, value in rows if key == "a"] == [0, 1, 20]
    assert [value for key, value in rows if key != "a"] == [0.5, 1.5, 20.5]


def test_a_metric_may_be_called_step() -> None:
    run = trackbridge.init()
    trackbridge.log({"step": 7.0, "a": 1.0}, step=3)
    trackbridge.finish()
    wide = trackbridge.read(run.directory).wide()
    assert wide.to_dicts() == [{"_step": 3, "step": 7.0, "a": 1.0}]


def test_an_integer_that_nothing_can_hold_takes_nothing_with_it() -> None:
    run = trackbridge.init(config={"huge": 10**5000, "lr": 0.1})
    trackbridge.log({"loss": 0.5, "huge": 10**5000, "large": 10**4250, "negative": -(10**4298)})
    trackbridge.finish()
    assert points(run) == {"loss": [0.5], "large": [10**4250], "negative": [-(10**4298)]}
    assert trackbridge.read(run.directory).config == {"lr": 0.1}
    assert reasons(run)["unsupported"] == ["config/huge", "huge"]


@pytest.mark.parametrize("name", ["\U0001f600" * 60, "\u00e9" * 120, "x" * 300])
def test_a_long_name_of_a_file_is_cut_once(tmp_path: Path, name: str) -> None:
    cut, other = safe_name(name), safe_name(name + "y")
    assert cut != other
    assert all(len(part.encode()) <= 200 for part in (cut, other))
    assert safe_name("x" * 200) == "x" * 200


def test_logging_without_init_raises_nothing_where_the_folder_is_gone_or_odd(tmp_path: Path) -> None:
    code = """
import os, sys, trackbridge
os.mkdir(os.fsencode(sys.argv[1]) + b"/caf\\xe9")
os.chdir(os.fsencode(sys.argv[1]) + b"/caf\\xe9")
if sys.argv[2] == "gone":
    os.rmdir(os.getcwdb())
trackbridge.log({"a": 1})
print("goes on", trackbridge.finish().records)
"""
    for how in ("odd", "gone"):
        (tmp_path / how).mkdir()
        variables = os.environ | {"TRACKBRIDGE_DIR": str(tmp_path / "journals")}
        command = [sys.executable, "-c", code, str(tmp_path / how), how]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("goes on ")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("redis://:hunter22@host/0", "redis://[redacted]@host/0"),
        ("postgres://u:p@ss@host/db", "postgres://[redacted]@host/db"),
        ("https://ghp_0123456789abcdefghij@github.com/x", "https://[redacted]@github.com/x"),
        ("ssh://git@github.com/x", "ssh://git@github.com/x"),
        ("http://host:80/a:b@c", "http://host:80/a:b@c"),
    ],
)
def test_secrets_in_addresses(text: str, kept: str) -> None:
    assert Redactor({}).text(text) == kept


def test_resume_is_one_run_in_two_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    for part in range(2):
        run = trackbridge.init(resume="auto", name="mine")
        trackbridge.log({"a": part})
        trackbridge.finish()
    assert run.id == "slurm-77"
    assert points(run) == {"a": [0, 1]}
    monkeypatch.delenv("SLURM_JOB_ID")
    with pytest.raises(SettingsError, match="exists"):
        trackbridge.init(id="slurm-77")


def test_two_launches_of_one_job_are_two_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two ``srun`` of a job script, with two ranks each; what is to go on after a requeue (``auto``) is the job's, as ever."""
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    monkeypatch.setenv("SLURM_PROCID", "0")
    ids = []
    for step in ("0", "1", str(0xFFFFFFFB)):
        monkeypatch.setenv("SLURM_STEP_ID", step)
        ids.append(trackbridge.init().id)
        trackbridge.finish()
    assert ids == ["slurm-77", "slurm-77-step1", "slurm-77"]
    assert trackbridge.init(resume="auto").id == "slurm-77"
    trackbridge.finish()


def test_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SettingsError, match="TRACKBRIDGE_RUN_ID"):
        trackbridge.init()
    monkeypatch.setenv("TRACKBRIDGE_RUN_ID", "shared")
    monkeypatch.setenv("RANK", "1")
    silent = trackbridge.init()
    trackbridge.log({"a": 1})
    silent.config.update(x=1)
    trackbridge.finish()
    assert not Path(os.environ["TRACKBRIDGE_DIR"], "shared").exists()
    monkeypatch.setenv("TRACKBRIDGE_RANKS", "all")
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        run = trackbridge.init()
        trackbridge.log({"a": int(rank)})
        trackbridge.finish()
    assert points(run) == {"a": [0], "rank1/a": [1]}


def test_disabled_and_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    with trackbridge.init(mode="disabled") as run:
        trackbridge.log({"a": 1})
        run.summary["b"] = 2
        assert run.summary["b"] == 2
    assert not Path(os.environ["TRACKBRIDGE_DIR"]).exists()
    run = trackbridge.init(mode="offline", backend="jsonl")
    trackbridge.log({"a": 1})
    assert trackbridge.finish().targets == []
    assert not Path("jsonl-runs").exists()


def test_a_with_block_that_fails_is_failed() -> None:
    with pytest.raises(ZeroDivisionError), trackbridge.init() as run:
        _ = 1 / 0
    assert trackbridge.read(run.directory).info.status == "failed"


def test_logging_after_the_end_is_refused_and_told(capsys: pytest.CaptureFixture[str]) -> None:
    run = trackbridge.init()
    run.log({"a": 1})
    run.finish()
    run.log({"a": 2})
    run.summary["x"] = 1
    assert points(run) == {"a": [1]}
    assert capsys.readouterr().err.count("is finished") == 1


def test_what_comes_while_finish_waits_is_refused_and_begins_no_other_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """From another thread, and from a forked child, which has not the thread that holds the lock."""
    run = trackbridge.init()
    trackbridge.log({"a": 1})
    children: list[int] = []

    def late() -> None:
        trackbridge.log({"late": 1})
        child = os.fork()
        if child == 0:
            signal.alarm(30)
            trackbridge.log({"child": 1})
            trackbridge.current()
            os._exit(0)
        children.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    def wait(seconds: float) -> bool:
        thread = threading.Thread(target=late)
        thread.start()
        thread.join(60)
        return not thread.is_alive()

    monkeypatch.setattr(run._forwarding, "wait", wait)
    assert trackbridge.finish().delivered
    assert children == [0]
    assert points(run) == {"a": [1]}
    assert [info.id for info in trackbridge.runs()] == [run.id]


def test_the_end_comes_also_where_no_more_files_can_be_opened(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run = trackbridge.init()
    trackbridge.log({"a": 1})

    def dup(fd: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr(os, "dup", dup)
        run._journal.sync()
        assert trackbridge.finish().delivered
    assert "cannot be synced now: Too many open files" in capsys.readouterr().err
    assert points(run) == {"a": [1]}


def test_typed_values(tmp_path: Path) -> None:
    run = trackbridge.init()
    (tmp_path / "clip.mp4").write_bytes(b"film")
    image = numpy.arange(75, dtype=numpy.uint8).reshape(5, 5, 3)
    trackbridge.log(
        {
            "image": trackbridge.Image(image, caption="c"), "again": trackbridge.Image(image), "chw": trackbridge.Image(image.transpose(2, 0, 1)),
            "audio": trackbridge.Audio(numpy.zeros(10), 8000), "video": trackbridge.Video(tmp_path / "clip.mp4"), "text": trackbridge.Text("hello"),
            "histogram": trackbridge.Histogram([1.0, 2.0, float("nan")], bins=4), "table": trackbridge.Table(["a"], [[1], ["x"]]),
            "list": [trackbridge.Image(image), trackbridge.Image(image)], "file": trackbridge.File(tmp_path / "clip.mp4"),
        },
        step=3,
    )  # fmt: skip
    trackbridge.log({"bad": trackbridge.Image(numpy.zeros((2, 2, 9))), "ok": 1})
    trackbridge.finish()
    media = {item.key: item for item in trackbridge.read(run.directory).media}
    assert media.keys() == {"image", "again", "chw", "audio", "video", "text", "histogram", "table", "list/0", "list/1", "file"}
    assert len({media[key].file.digest for key in ("image", "again", "chw", "list/0")}) == 1, "a content is stored once"
    assert media["histogram"].inline["counts"] == [1, 0, 0, 1]
    assert media["histogram"].meta == {"nonfinite": 1}
    assert media["table"].inline == {"columns": ["a"], "rows": [[1], ["x"]]}
    assert reasons(run) == {"unsupported": ["bad"]}
    from PIL import Image

    stored = numpy.asarray(Image.open(run.directory / "files" / media["image"].file.digest))
    assert (stored == image).all()


def test_artifacts_are_copies(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "w.bin").write_bytes(b"one")
    (folder / "sub" / "empty").write_bytes(b"")
    (folder / "link").symlink_to("/etc/hostname")
    run = trackbridge.init()
    trackbridge.log_artifact(folder, name="m", type="model", metadata={"a": 1})
    (folder / "w.bin").write_bytes(b"two")
    trackbridge.log_artifact("s3://bucket/huge", by_reference=True)
    trackbridge.log_artifact("absent")
    trackbridge.finish()
    first, second = trackbridge.read(run.directory).artifacts
    assert {file.path: file.size for file in first.files} == {"w.bin": 3, "sub/empty": 0}
    contents = {file.path: (run.directory / "files" / file.digest).read_bytes() for file in first.files}
    assert contents == {"w.bin": b"one", "sub/empty": b""}
    assert second.uri == "s3://bucket/huge"


def test_secrets_never_reach_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_SERVICE_TOKEN", "canary-in-the-environment")
    run = trackbridge.init(
        config={"api_key": "canary-by-name", "nested": {"password": "canary-nested"}, "url": "https://u:canary-url@host/x", "max_tokens": 4096, "num_key_value_heads": "eight-heads"},
        notes="see canary-in-the-environment", tags=("tag canary-in-the-environment",), backend="none",
    )  # fmt: skip
    trackbridge.log({"text": "canary-in-the-environment!", "typed": trackbridge.Text("a canary-in-the-environment")})
    run.summary["secret"] = "canary-summary"
    trackbridge.finish()
    for path in Path(os.environ["TRACKBRIDGE_DIR"]).rglob("*"):
        if path.is_file():
            assert b"canary" not in path.read_bytes(), path
    data = trackbridge.read(run.directory)
    assert data.config["max_tokens"] == 4096
    assert data.config["num_key_value_heads"] == "eight-heads"
    assert len(reasons(run)["redacted"]) == 8


def test_arguments_and_environment_are_not_captured(tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text("import trackbridge\ntrackbridge.log({'a': 1})\n")
    environment = os.environ | {"UNNAMED": "canary-environment"}
    subprocess.run([sys.executable, str(script), "--key=canary-argument"], env=environment, check=True, cwd=tmp_path)
    (info,) = trackbridge.runs()
    assert info.provenance["script"] == "train.py"
    for path in Path(os.environ["TRACKBRIDGE_DIR"]).rglob("*.tbj"):
        assert b"canary" not in path.read_bytes()


def test_power_durability_syncs_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    from trackbridge.journal import writer

    synced: list[int] = []
    monkeypatch.setenv("TRACKBRIDGE_DURABILITY", "power")
    run = trackbridge.init(backend="none")
    monkeypatch.setattr(writer, "_datasync", synced.append)
    for call in range(5):
        trackbridge.log({"a": call})
    assert len(synced) >= 5
    trackbridge.finish()
    assert points(run) == {"a": [0, 1, 2, 3, 4]}


def test_read_of_what_is_absent_names_the_remedy() -> None:
    with pytest.raises(trackbridge.RunNotFound, match="TRACKBRIDGE_DIR"):
        trackbridge.read("absent")


@pytest.mark.parametrize(
    ("environment", "run_id"),
    [
        ({"WANDB_RUN_ID": "abc123"}, "abc123"),
        ({"CLEARML_TASK_ID": "f" * 32}, "f" * 32),
        ({"RUN_ID": "abc", "RUN_DIR": "/runs/abc"}, "abc"),
        ({"MLFLOW_RUN_ID": "e" * 32, "TRACKBRIDGE_RUN_ID": "mine"}, "mine"),
    ],
)
def test_the_run_of_a_launcher_is_adopted_unless_the_user_names_one(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], run_id: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    for _ in range(2):  # the launcher may start it again
        assert trackbridge.init(resume="allow").id == run_id
        trackbridge.finish()


@pytest.mark.parametrize("environment", [{"RUN_ID": "abc"}, {"MLFLOW_RUN_ID": ""}, {"WANDB_RUN_ID": "../escape"}])
def test_other_variables_are_no_launcher(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert len(trackbridge.init().id) == 10
    trackbridge.finish()


@pytest.mark.parametrize(
    ("name", "value"), [("MAX_BYTES", "-1"), ("MAX_BYTES", "inf"), ("FINISH_TIMEOUT", "nan"), ("FINISH_TIMEOUT", "-5")]
)
def test_a_number_that_a_setting_cannot_have_is_refused(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"TRACKBRIDGE_{name} is '{value}'; it must be a number that is not negative"):
        variables.read({f"TRACKBRIDGE_{name}": value})
    assert variables.read({"TRACKBRIDGE_FINISH_TIMEOUT": "inf"}).finish_timeout == float("inf")


def test_a_folder_with_a_part_that_cannot_be_read_is_no_artifact_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whose copy is quietly smaller than what was logged would be lost."""
    folder = tmp_path / "model"
    (folder / "closed").mkdir(parents=True)
    (folder / "weights").write_bytes(b"1")
    scandir = os.scandir

    def closed(path: str) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    run = trackbridge.init()
    monkeypatch.setattr(os, "scandir", closed)
    trackbridge.log_artifact(folder)
    monkeypatch.setattr(os, "scandir", scandir)
    trackbridge.finish()
    assert "Permission denied: '" in capsys.readouterr().err
    assert trackbridge.read(run.id).artifacts == []
