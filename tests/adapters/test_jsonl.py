"""jsonl: the fixed format, and its recovery. (That it keeps everything is asked by tests/conformance.)"""

from __future__ import annotations

import errno
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from trackbridge_adapters import jsonl

from trackbridge.adapters import Position, Target
from trackbridge.errors import Rejected, RunNotFound, Unavailable
from trackbridge.projection import same
from trackbridge.records import Artifact, Config, Event, FileRef, Media, Metrics, Record, RunInfo, Start, Summary
from trackbridge.testing.canon import Files
from trackbridge.testing.random_runs import trees

RUN = RunInfo(id="r1", name="first", project="mnist", start=5)


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target("jsonl", str(tmp_path / "out"))


def records(*events: Event, first: int = 0) -> list[Record]:
    return [Record("s", first + number, event) for number, event in enumerate(events)]


def points(count: int, first: int = 0) -> list[Record]:
    return records(*(Metrics(100 + step, step, step, {"loss": step / 4}) for step in range(first, first + count)), first=first)


def opened(target: Target, run: RunInfo = RUN, position: Position | None = None) -> tuple[jsonl.JsonlWriter, Position]:
    writer = jsonl.adapter.writer(target)
    return writer, writer.open(run, position)


def metrics(target: Target, run_id: str = "r1") -> list[tuple[int | None, dict[str, Any]]]:
    events = [record.event for record in jsonl.adapter.reader(target).read(run_id)]
    return [(event.step, event.values) for event in events if isinstance(event, Metrics)]


def folder(target: Target) -> Path:
    return Path(target.location) / "mnist" / "r1"


def test_a_call_of_log_is_one_object_in_a_line(target: Target) -> None:
    writer, _ = opened(target)
    writer.write(
        records(Metrics(1763870000123456789, 0, 3, {"train/loss": 0.31}), Metrics(2, 1, None, {"n": 1, "x": 1.0, "ok": True, "s": "NaN"}))
    )
    lines = (folder(target) / "metrics.jsonl").read_text().splitlines()
    assert lines == [
        '{"step":3,"time_ns":1763870000123456789,"metrics":{"train/loss":0.31}}',
        '{"step":null,"time_ns":2,"metrics":{"n":1,"x":1.0,"ok":true,"s":"NaN"}}',
    ]


def test_what_json_lacks_has_a_form_of_its_own(target: Target) -> None:
    writer, _ = opened(target)
    writer.write(records(Metrics(1, 0, 0, {"a": math.nan, "b": math.inf, "c": -math.inf, "d": -0.0, "e": 2**70})))
    line = (folder(target) / "metrics.jsonl").read_text()
    values = json.loads(line)["metrics"]
    assert values == {"a": {"$": "NaN"}, "b": {"$": "Infinity"}, "c": {"$": "-Infinity"}, "d": -0.0, "e": 2**70}
    assert '"d":-0.0' in line
    writer.flush()
    assert same(metrics(target), [(0, {"a": math.nan, "b": math.inf, "c": -math.inf, "d": -0.0, "e": 2**70})])


@given(value=trees())
def test_any_value_of_the_configuration_comes_back(value: Any) -> None:
    plain = jsonl.to_json(value)
    assert same(jsonl.from_json(json.loads(json.dumps(plain, allow_nan=False))), value)


def test_the_description_lies_in_run_json(target: Target) -> None:
    writer, _ = opened(target)
    writer.write(records(Start(5, "r1"), Config(6, {"lr": 0.1, "m": {"depth": 2}}), Summary(7, {"best": math.nan})))
    writer.close("finished", 9)
    about = json.loads((folder(target) / "run.json").read_text())
    assert about["config"] == {"lr": 0.1, "m": {"depth": 2}}
    assert about["summary"] == {"best": {"$": "NaN"}}
    assert (about["id"], about["name"], about["status"], about["start_ns"], about["end_ns"]) == ("r1", "first", "finished", 5, 9)


def test_runs_lie_in_a_folder_of_their_project(target: Target) -> None:
    for run_id, project in (("Run", "A/b"), ("run", "A/b"), ("../up", "")):
        opened(target, RunInfo(id=run_id, project=project))
    found = sorted(str(path.parent.relative_to(target.location)) for path in Path(target.location).rglob("run.json"))
    assert found == ["A%2f%b/%52%un", "A%2f%b/run", "default/..%2f%up"]
    assert [run.id for run in jsonl.adapter.reader(target).runs()] == ["Run", "run", "../up"]


def test_the_targets_project_comes_before_the_runs(target: Target) -> None:
    other = Target("jsonl", target.location, "other")
    opened(other)[0].flush()
    assert (Path(target.location) / "other" / "r1" / "run.json").exists()
    assert [run.project for run in jsonl.adapter.reader(other).runs()] == ["mnist"]
    assert list(jsonl.adapter.reader(Target("jsonl", target.location, "mnist")).runs()) == []


def test_the_default_location_is_below_the_working_directory(tmp_path: Path) -> None:
    assert jsonl.adapter.resolve(Target("jsonl"), tmp_path).location == str(tmp_path / "jsonl-runs")
    assert jsonl.adapter.resolve(Target("jsonl", "x"), tmp_path).location == str(tmp_path / "x")


def test_open_cuts_back_to_the_position(target: Target) -> None:
    writer, _ = opened(target)
    writer.write(points(3))
    position = writer.flush()
    writer.write(points(2, first=3))
    writer.flush()
    writer, again = opened(target, position=position)
    assert again.sequences == {"s": 3}
    writer.write(points(1, first=3))
    writer.flush()
    assert [step for step, _ in metrics(target)] == [0, 1, 2, 3]


def test_without_a_position_what_was_confirmed_is_kept(target: Target) -> None:
    """The cursor was lost: run.json says what is held, and what came after the last flush is cut off."""
    writer, _ = opened(target)
    writer.write(points(3))
    writer.flush()
    writer.write(points(2, first=3))
    assert opened(target)[1].sequences == {"s": 3}
    assert [step for step, _ in metrics(target)] == [0, 1, 2]


@pytest.mark.parametrize("damage", ["metrics.jsonl", "run.json"])
def test_a_position_that_the_files_do_not_have_is_not_believed(target: Target, damage: str) -> None:
    writer, _ = opened(target)
    writer.write([*points(3), *records(Config(1, {"lr": 1}), first=3)])
    position = writer.flush()
    (folder(target) / damage).write_bytes(b"")
    assert opened(target, position=position)[1].sequences == {}
    assert metrics(target) == []


def test_a_line_that_is_not_whole_is_not_yet_read(target: Target) -> None:
    writer, _ = opened(target)
    writer.write(points(2))
    writer.flush()
    with (folder(target) / "metrics.jsonl").open("ab") as file:
        file.write(b'{"step":2,"time_ns":1,"met')
    assert [step for step, _ in metrics(target)] == [0, 1]


def test_a_full_disk_is_waited_for(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that ends in the middle of a line leaves nothing, and the same batch can be sent again."""
    writer, _ = opened(target)
    writer.write(points(2))

    class Full:
        def __init__(self, file: Any) -> None:
            self.file, self.room = file, 10

        def write(self, data: memoryview) -> int:
            if not self.room:
                raise OSError(errno.ENOSPC, "No space left on device")
            count, self.room = self.file.write(data[: self.room]), 0
            return int(count)

        def truncate(self, length: int) -> None:
            self.file.truncate(length)

    with monkeypatch.context() as patch:
        patch.setitem(writer._files, "metrics.jsonl", Full(writer._files["metrics.jsonl"]))
        with pytest.raises(Unavailable, match="No space left"):
            writer.write(points(2, first=2))
    assert writer.flush().sequences == {"s": 2}
    writer.write(points(2, first=2))
    assert writer.flush().sequences == {"s": 4}
    assert [step for step, _ in metrics(target)] == [0, 1, 2, 3]


def test_a_folder_that_cannot_be_made_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file stands in the way")
    with pytest.raises(Unavailable, match="cannot write to"):
        opened(Target("jsonl", str(tmp_path / "out")))


@pytest.mark.parametrize(
    "event",
    [
        Metrics(1, 0, 0, {"x": b"bytes"}),
        Metrics(1, 0, 0, {"x": [1]}),
        Config(1, {"x": b"bytes"}),
        Media(1, 0, 0, "k", "image", "png", None, FileRef("gone.png", "0" * 64, 1)),
        Artifact(1, "a", "data", [FileRef("gone.bin", "0" * 64, 1)]),
    ],
    ids=lambda event: type(event).__name__,
)
def test_a_record_that_cannot_be_kept_is_rejected_and_nothing_of_its_batch_is_written(target: Target, tmp_path: Path, event: Event) -> None:
    writer, _ = opened(target, RunInfo(id="r1", project="mnist", directory=tmp_path))
    batch = [*points(2), *records(event, first=2), *points(1, first=3)]
    with pytest.raises(Rejected) as caught:
        writer.write(batch)
    assert caught.value.index == 2
    assert writer.flush().sequences == {}
    assert metrics(target) == []


def test_files_of_one_artifact_that_differ_by_case_have_files_of_their_own(target: Target, tmp_path: Path) -> None:
    """Also where the file system does not tell cases apart."""
    files = Files(tmp_path)
    writer, _ = opened(target, RunInfo(id="r1", project="mnist", directory=tmp_path))
    writer.write(records(Artifact(1, "a", "data", [files.add("Read.me", b"1"), files.add("read.ME", b"2")])))
    stored = [path.name for path in (folder(target) / "artifacts" / "a" / "0").iterdir()]
    assert len({name.casefold() for name in stored}) == 2


def test_a_reader_does_not_follow_a_path_out_of_the_run(target: Target, tmp_path: Path) -> None:
    """The files of a run may come from elsewhere."""
    (tmp_path / "secret").write_text("s")
    writer, _ = opened(target)
    writer.flush()
    for path in ("../../../secret", str(tmp_path / "secret")):
        file = {"path": path, "name": "x", "digest": "d", "size": 1}
        line = json.dumps({"step": 1, "time_ns": 1, "key": "k", "kind": "image", "format": "png", "file": file})
        (folder(target) / "media.jsonl").write_text(line + "\n")
        media = [record.event for record in jsonl.adapter.reader(target).read("r1") if isinstance(record.event, Media)]
        assert media[0].file == FileRef("x", "", 1)


def test_a_file_that_is_changed_has_another_digest(target: Target, tmp_path: Path) -> None:
    """The Reader tells what is there, not what was promised."""
    file = Files(tmp_path).add("a.bin", b"original")
    writer, _ = opened(target, RunInfo(id="r1", project="mnist", directory=tmp_path))
    writer.write(records(Artifact(1, "a", "data", [file])))
    writer.flush()
    (folder(target) / "artifacts" / "a" / "0" / "a.bin").write_bytes(b"edited")
    found = [record.event for record in jsonl.adapter.reader(target).read("r1") if isinstance(record.event, Artifact)]
    assert found[0].files[0].digest not in ("", file.digest)


def test_an_unknown_run_is_not_found(target: Target) -> None:
    with pytest.raises(RunNotFound):
        jsonl.adapter.reader(target).read("r1")
    with pytest.raises(RunNotFound):
        jsonl.adapter.reader(target).sidecar("r1")
