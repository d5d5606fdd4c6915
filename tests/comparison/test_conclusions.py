"""``--check`` and ``--baseline``, and what is drawn from the cells: as a comparison leaves it, it is valid."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from trackbridge_comparison import check, conclusions, report, schema
from trackbridge_comparison.cli import main

from tests.comparison.test_check import data, write


def test_what_is_drawn_is_valid_and_check_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = msgspec.structs.replace(data(), claims=[], lecture=[], scores=[], weights={}, changes=[], baseline="")
    write(made, tmp_path)
    assert main(["--check", str(tmp_path)]) == 1
    assert "lecture's table" in capsys.readouterr().out
    conclusions.draw(made, data())
    write(made, tmp_path)
    assert main(["--check", str(tmp_path)]) == 0
    assert "is valid" in capsys.readouterr().out
    assert {change.verdict for change in made.changes} == {"not changed", "undecided"}
    assert made.baseline == data().started


def test_check_of_no_report(tmp_path: Path) -> None:
    assert main(["--check", str(tmp_path / "none")]) == 1


def test_pages_that_are_rendered_again_are_sealed(tmp_path: Path) -> None:
    write(data(), tmp_path)
    (tmp_path / "report.md").write_text("something else")
    assert main(["--render", "--out", str(tmp_path)]) == 0
    assert check.folder(tmp_path) == []


@pytest.mark.parametrize(("content", "says"), [(None, "cannot be read"), ("[]", "cannot be read"), ('{"format": 1}', "has format 1")])
def test_a_baseline_that_is_none_is_an_error(content: str | None, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "data.json"
    if content is not None:
        file.write_text(content)
    assert main(["--smoke", "--backends", "jsonl", "--out", str(tmp_path / "out"), "--baseline", str(file)]) == 2
    assert says in " ".join(capsys.readouterr().out.split())
    assert not (tmp_path / "out").exists()


def test_a_comparison_is_valid_and_is_compared_with_its_baseline(tmp_path: Path) -> None:
    arguments = ["--smoke", "--backends", "jsonl", "--only", "overhead"]
    assert main([*arguments, "--out", str(tmp_path / "old")]) == 0
    assert main([*arguments, "--out", str(tmp_path / "new"), "--baseline", str(tmp_path / "old" / "data.json")]) == 0
    assert check.folder(tmp_path / "new") == []
    new = schema.load(tmp_path / "new")
    assert new.changes
    assert all(change.verdict in ("undecided", "not changed") for change in new.changes), "one repeat decides nothing"
    assert report.render(tmp_path / "new")
