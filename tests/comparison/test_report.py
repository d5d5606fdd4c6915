"""The report is rendered from data.json alone, and no text of it can be markup."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trackbridge_comparison import schema
from trackbridge_comparison.report import brief, render, view
from trackbridge_comparison.report.answer import answer
from trackbridge_comparison.report.render import to_html, to_markdown
from trackbridge_comparison.report.words import fence, markdown, number, percent, shown
from trackbridge_comparison.schema import Way

from tests.comparison.samples import HOSTILE, cell, comparison, reading

DRAWING = {"svg", "g", "path", "rect", "text", "line", "defs", "clippath", "style", "title", "desc", "tspan"}
PAGE = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "main",
    "h1",
    "h2",
    "h3",
    "h4",
    "p",
    "ul",
    "li",
    "nav",
    "a",
    "section",
    "div",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "small",
    "figure",
    "details",
    "summary",
    "pre",
    "code",
}


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parsed(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    tags.close()
    assert tags.open == []
    return tags


def test_hostile_texts_stay_texts_in_the_page() -> None:
    tags = parsed(to_html(comparison(HOSTILE)))
    assert {tag for tag, _ in tags.found} <= PAGE | DRAWING
    for tag, attributes in tags.found:
        assert not [name for name in attributes if name.startswith("on")], tag
        assert (attributes.get("href") or "#").startswith("#")
        assert not attributes.get("src")
    assert "<script>alert(1)</script>" in "".join(tags.text), "the text itself is shown"
    assert "{{ 7*7 }}" in "".join(tags.text), "and is no template"


def test_hostile_backend_name_is_inert_in_charts_too() -> None:
    data = comparison()
    data.backends = [HOSTILE.replace("/", "").replace("\n", " ") if name == "beta" else name for name in data.backends]
    data.cells = [cell(f"{data.backends[index % 2]}/overhead/log{number}", value=1.0 + index) for index, number in enumerate((0, 0, 1, 1))]
    page = to_html(data)
    tags = parsed(page)
    assert "<svg" in page
    assert {tag for tag, _ in tags.found} <= PAGE | DRAWING


def test_the_page_may_load_and_run_nothing() -> None:
    page = to_html(comparison(HOSTILE))
    policy = next(
        attributes["content"] for tag, attributes in parsed(page).found if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert page.index("Content-Security-Policy") < page.index("<style")
    assert len(page) < 3_000_000


def test_markdown_tables_keep_their_columns() -> None:
    text = to_markdown(comparison(HOSTILE))
    lines, inside, fenced = text.splitlines(), 0, ""
    tables = 0
    for line in lines:
        if fenced or line.startswith("```"):
            mark = re.match(r"`+", line)
            if mark and not fenced:
                fenced = mark[0]
            elif line == fenced:
                fenced = ""
            continue
        if line.startswith("|"):
            columns = len(re.findall(r"(?<!\\)(?:\\\\)*\|", line))
            assert not inside or columns == inside, line
            tables += not inside
            inside = columns
        else:
            inside = 0
    assert fenced == ""
    assert tables >= 7


def test_markdown_has_no_markup_of_the_data() -> None:
    outside = re.sub(r"(?s)<details><summary>alpha</summary>.*?</details>", "", to_markdown(comparison("<b>x</b> [a](b) `c`")))
    outside = outside.replace("`<b>x</b> [a](b) `c``", "")  # the command, between backticks, as it is typed
    assert "<b>" not in outside
    assert "[a](b)" not in outside


@given(st.text())
def test_an_escaped_text_is_one_line_without_bare_pipes(text: str) -> None:
    line = str(markdown(text))
    assert "\n" not in line
    assert "<" not in line
    assert not re.search(r"(?<!\\)(?:\\\\)*[|`\[]", line)


@given(st.text(alphabet="`a\n", max_size=30))
def test_no_line_of_a_source_ends_its_fence(source: str) -> None:
    assert fence(source) not in source


def test_differences_are_flagged_with_both_values() -> None:
    data = comparison()
    for text in (to_markdown(data), to_html(data)):
        assert "12.500001" in text
        assert "iffers" in text.lower()
    data.experiments[0].runs[0].readbacks.pop()
    assert "12.500001" not in to_html(data)


def test_every_status_is_shown_and_what_was_never_reached() -> None:
    data = comparison()
    data.state = "running"
    for text in (to_markdown(data), to_html(data)):
        for words in ("failed", "unsupported", "not run in quick", "missing (the comparison ended before)", "partial"):
            assert words in text, words
    data.state = "finished"
    assert "partial" not in to_html(data)


def test_the_answer_is_made_of_cells() -> None:
    data = comparison()
    text = " ".join(answer(data))
    assert "3.25 µs (alpha, range 2.25 to 5.25)" in text
    assert "4,321" in text or "4,320" in text
    assert "4 values" in text
    assert "3 are identical" in text
    data.cells, data.experiments = [], []
    assert not re.search(r"\d", " ".join(answer(data))), "without cells there is no figure"


def test_render_reads_the_file_and_writes_both(tmp_path: Path) -> None:
    data = comparison()
    schema.save(data, tmp_path)
    paths = render(tmp_path)
    assert [path.name for path in paths] == ["report.md", "report.html"]
    assert paths[0].read_text("utf-8") == to_markdown(data)
    with pytest.raises(FileNotFoundError):
        render(tmp_path / "absent")


@given(st.floats(min_value=1e-6, max_value=1e12))
@settings(max_examples=200)
def test_a_number_is_shown_to_three_digits(value: float) -> None:
    assert float(number(value).replace(",", "")) == pytest.approx(value, rel=0.0051)


def test_a_share_is_only_full_when_nothing_is_missing() -> None:
    assert percent(100.0) == "100"
    assert percent(99.99999) == "99.9"
    assert shown(cell("a/b/c", "%", 99.996)) == "99.9 %"


def test_a_reading_is_identical_only_to_the_last_bit() -> None:
    assert reading("m", 0.1).identical
    assert not reading("m", 0.1, native=0.1 + 2**-56).identical
    assert not reading("m", 0.1, differing={"summary": "0.2"}).identical


def test_the_table_for_the_readme_has_each_quantity_of_each_backend_once() -> None:
    data = comparison()
    lines = brief.table(data).splitlines()
    planned = {(spec.title, str(spec.way)) for spec in data.planned if spec.way is not Way.CONTROL}
    rows = [line.split(" | ") for line in lines if line.count("|") == len(data.backends) + 3 and not line.startswith(("| **", "| |", "|-"))]
    assert sorted((title.removeprefix("| "), way) for title, way, *_ in rows) == sorted(
        (str(markdown(title)), way) for title, way in planned
    )
    for title, way, *values in rows:
        for backend, value in zip(data.backends, values, strict=True):
            (found,) = [
                one for one in data.cells if (str(markdown(one.spec.title)), one.spec.way, one.spec.backend) == (title[2:], way, backend)
            ] or [None]
            assert value.removesuffix(" |") == (str(markdown(shown(found))) if found else view.MISSING)
