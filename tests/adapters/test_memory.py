"""memory: the reference implementation. (That it keeps everything is asked by tests/conformance.)"""

from __future__ import annotations

from pathlib import Path

import pytest
from trackbridge_adapters import memory

from trackbridge.adapters import Position, Target
from trackbridge.errors import Rejected, RunNotFound
from trackbridge.records import Artifact, FileRef, Metrics, Record, RunInfo


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return Target("memory", str(tmp_path))


def points(first: int, count: int) -> list[Record]:
    return [Record("s", step, Metrics(step, step, step, {"loss": 0.5})) for step in range(first, first + count)]


def test_it_holds_records_as_they_are(target: Target) -> None:
    writer = memory.adapter.writer(target)
    assert writer.open(RunInfo(id="r"), None) == Position()
    writer.write(points(0, 3))
    assert writer.flush() == Position({"s": 3})
    assert list(memory.adapter.reader(target).read("r")) == points(0, 3)
    assert [run.id for run in memory.adapter.reader(target).runs()] == ["r"]


def test_another_writer_is_told_what_is_held(target: Target) -> None:
    first = memory.adapter.writer(target)
    first.open(RunInfo(id="r"), None)
    first.write(points(0, 3))
    first.flush()
    first.write(points(3, 2))  # and dies
    assert memory.adapter.writer(target).open(RunInfo(id="r"), None) == Position({"s": 3})


def test_what_is_rejected_leaves_nothing_of_its_batch(target: Target, tmp_path: Path) -> None:
    writer = memory.adapter.writer(target)
    writer.open(RunInfo(id="r", directory=tmp_path), None)
    with pytest.raises(Rejected) as caught:
        writer.write([*points(0, 2), Record("s", 2, Artifact(1, "a", "data", [FileRef("gone", "0" * 64, 1)]))])
    assert caught.value.index == 2
    assert writer.flush() == Position()


def test_an_unknown_run_is_not_found(target: Target) -> None:
    with pytest.raises(RunNotFound):
        list(memory.adapter.reader(target).read("r"))
