"""The support matrix."""

from __future__ import annotations

from pathlib import Path

import pytest

from trackbridge.deviations import Reason
from trackbridge.projection import Projection, drop, is_bool, is_none, scalar_rule
from trackbridge.testing import matrix
from trackbridge.testing.canon import Trait

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def traits() -> dict[str, Trait]:
    return {trait.name: trait for trait in matrix.rows()}


def test_a_cell_says_what_the_rules_change(traits: dict[str, Trait]) -> None:
    projection = Projection(
        drop("scalar", Reason.UNSUPPORTED, "None is not stored", "for the test", is_none),
        scalar_rule(Reason.RETYPED, "bool -> float", "for the test", is_bool, value=lambda point: float(point.value)),
        drop("status", Reason.UNSUPPORTED, "crashed is not told", "for the test", lambda entry: entry.value == "crashed"),
        drop("tags", Reason.UNSUPPORTED, "no tags", "for the test"),
        drop("field", Reason.UNSUPPORTED, "no group", "for the test", lambda entry: entry.key == "group"),
    )
    cells = {name: matrix.cell(trait, projection) for name, trait in traits.items()}
    changed = {name: words for name, words in cells.items() if words != "exact"}
    assert changed == {
        "scalar: None": "unsupported",
        "scalar: bool": "retyped",
        "scalar: int, float and bool of one value": "retyped",
        "scalar: kinds mixed in one key": "unsupported, retyped",
        "series: kinds together in a call": "retyped",
        "status: crashed": "unsupported",
        "field: name, project, group, job type, notes": "unsupported",
        "tags: set again, unicode, punctuation, 100 characters": "unsupported",
    }


def test_every_row_is_of_a_known_group_and_holds_something(traits: dict[str, Trait]) -> None:
    assert {trait.group for trait in traits.values()} == set(matrix.GROUPS)
    assert "series: a call without values" not in traits


def test_the_matrix_stands_between_its_markers() -> None:
    text = f"before\n{matrix.BEGIN}\nold\n{matrix.END}\nafter\n"
    written = matrix.replaced(text, "| new |", "2026-01-02")
    assert written == f"before\n{matrix.BEGIN}\nUnchanged since 2026-01-02.\n\n| new |\n{matrix.END}\nafter\n"
    assert matrix.replaced(written, "| new |", "2026-01-03") == written
    assert "2026-01-03" in matrix.replaced(written, "| newer |", "2026-01-03")
    with pytest.raises(ValueError, match="markers"):
        matrix.replaced("nothing", "| new |", "2026-01-02")


def test_drift_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "table", lambda: "| a |")
    file = tmp_path / "README.md"
    file.write_text(f"{matrix.BEGIN}\n{matrix.END}\n")
    assert matrix.main(["--check", str(file)]) == 1
    assert matrix.main(["--write", str(file)]) == 0
    assert matrix.main(["--check", str(file)]) == 0
    file.write_text(file.read_text().replace("| a |", "| b |"))
    assert matrix.main(["--check", str(file)]) == 1


def test_the_committed_matrix_is_what_the_adapters_declare() -> None:
    assert matrix.main(["--check", str(ROOT / matrix.FILE)]) == 0
