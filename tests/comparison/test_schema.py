"""data.json round-trips, and a comparison that was killed leaves one that renders."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trackbridge_comparison import schema
from trackbridge_comparison.portable import excerpt, portable, root
from trackbridge_comparison.report import render
from trackbridge_comparison.schema import Cell, Spec, Status

from tests.comparison.samples import HOSTILE, cell, comparison


@given(st.text(), st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(Status))
def test_round_trip(text: str, value: float, status: Status) -> None:
    clean = text.encode("utf-8", "replace").decode()
    data = comparison(clean)
    data.cells.append(Cell(spec=Spec("a/b/c", clean, "s"), status=status, value=value, samples=[value]))
    again = msgspec.json.decode(schema.encode(data), type=schema.Data)
    assert again == data
    found = again.cells[-1].value
    assert found is not None
    assert math.copysign(1, found) == math.copysign(1, value)


def test_problems_name_what_failed_and_what_differs() -> None:
    problems = comparison().problems()
    assert any("beta/durability/kept_after_kill" in problem for problem in problems)
    assert any("beta differ" in problem for problem in problems)
    clean = comparison()
    clean.cells = [one for one in clean.cells if one.status is not Status.FAILED]
    clean.experiments[0].runs[0].readbacks.pop()
    assert clean.problems() == []


def test_missing_is_what_was_planned_and_not_reached() -> None:
    assert [spec.id for spec in comparison().missing()] == ["beta/storage/files"]


def test_a_killed_comparison_leaves_a_file_that_renders(tmp_path: Path) -> None:
    """A process that saves after every cell is killed in the middle of it."""
    code = """
import sys
from pathlib import Path
from trackbridge_comparison import schema
from tests.comparison.samples import cell, comparison
data = comparison()
data.planned, data.cells = [cell(f"alpha/overhead/log{n}").spec for n in range(10**6)], []
data.planned = data.planned[:400]
for number in range(10**6):
    data.cells = [cell(f"alpha/overhead/log{n}") for n in range(number % 300 + 1)]
    schema.save(data, Path(sys.argv[1]))
    print(number, flush=True)
"""
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], env=None)
    assert child.stdout is not None
    for _ in range(40):
        assert child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    data = schema.load(tmp_path)
    assert len(data.cells) >= 40
    assert data.state == "running"
    page = render(tmp_path)[1].read_text("utf-8")
    assert "This report is partial" in page
    assert data.missing()


def test_texts_name_no_folder_and_no_address(tmp_path: Path) -> None:
    text = f"{root()}/trackbridge/run.py at {tmp_path}/x {Path.home()}/secret/place.db /srv/machine/data/file.txt see https://host.example/a?b=1"
    shown = portable(text, {tmp_path: "<work>"})
    for part in (str(root()), str(tmp_path), "/srv/machine", "host.example", "https:"):
        assert part not in shown, part
    assert "<repository>/trackbridge/run.py" in shown
    assert "<work>/x" in shown
    assert "file.txt" in shown
    assert portable("accuracy/texture/majority 5 m/s 1/2") == "accuracy/texture/majority 5 m/s 1/2"
    assert "\x1b" not in portable("\x1b[31mred\x1b[0m")


def test_an_excerpt_is_the_end_of_the_log() -> None:
    text = excerpt("\n".join(f"line {number}" for number in range(100)), lines=3)
    assert text.splitlines() == ["line 97", "line 98", "line 99"]


def test_the_sample_holds_what_the_tests_need() -> None:
    assert {one.status for one in comparison(HOSTILE).cells} == {Status.MEASURED, Status.FAILED, Status.UNSUPPORTED, Status.NOT_RUN_QUICK}
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"cells": 5}', type=schema.Data)
    assert cell("a/b/c/d").spec.quantity == "c/d"
