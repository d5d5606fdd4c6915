"""No figure of the pages is written into templates or code: reports of other numbers have no figure in common."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from trackbridge_comparison import lecture, report, schema, scores
from trackbridge_comparison.schema import Data

from tests.comparison.test_check import data

FIGURE = re.compile(r"(?<![\w.,])\d+(?:[.,]\d+)*(?=\s?(?:µs|us|ms|s|MB|kB|B|%|points|packages)(?![\w/]))")
METHOD = {0, 80, 90, 98.4, 99, 100}
"""Of the method itself, in percent: the least coverage, the share of weightings that a best tool wins, the intervals; and nothing and all."""


class Text(HTMLParser):
    """What a reader sees of a page, but for drawings."""

    HIDDEN = ("style", "script", "svg")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self._hidden = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._hidden += tag in self.HIDDEN

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in self.HIDDEN

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)


def other(made: Data, factor: float, drop: str) -> Data:
    """The same report with all its figures multiplied, and without the cells whose names end with `drop`, so that coverages differ."""
    cells = [
        msgspec.structs.replace(cell, value=cell.value and cell.value * factor, samples=[factor * sample for sample in cell.samples])
        for cell in made.cells
        if not cell.spec.id.endswith(drop)
    ]
    again = msgspec.structs.replace(made, cells=cells, planned=[cell.spec for cell in cells], claims=[], changes=[])
    return msgspec.structs.replace(again, lecture=lecture.table(again), scores=scores.scores(again, again.seed))


def figures(made: Data, folder: Path) -> dict[str, set[float]]:
    folder.mkdir()
    schema.save(made, folder)
    report.render(folder)
    texts = {"report.md": (folder / "report.md").read_text("utf-8"), "report.html": (folder / "report.html").read_text("utf-8")}
    texts["report.html"] = " ".join(Text(texts["report.html"]).words)
    return {name: {float(found.replace(",", "")) for found in FIGURE.findall(text.replace("\\", ""))} for name, text in texts.items()}


@pytest.mark.parametrize("name", ["report.md", "report.html"])
def test_reports_of_other_numbers_have_no_figure_in_common(name: str, tmp_path: Path) -> None:
    one, another = (figures(other(data(), factor, drop), tmp_path / drop)[name] for factor, drop in ((0.731, "_through"), (1.293, "facts")))
    assert len(one) > 30, "the pattern finds figures"
    assert one & another <= METHOD
