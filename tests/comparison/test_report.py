"""The report is rendered from data.json alone, and no text of it can be markup."""

from __future__ import annotations

import ast
import base64
import hashlib
import json
import re
from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trackbridge_comparison import schema
from trackbridge_comparison.report import brief, render, view
from trackbridge_comparison.report.answer import answer
from trackbridge_comparison.report.render import to_html, to_markdown
from trackbridge_comparison.report.words import LOOKS, fence, markdown, number, percent, shown
from trackbridge_comparison.schema import Data, Kind, Status, Way

from tests.comparison.samples import HOSTILE, cell, comparison, everything, few, reading
from trackbridge import registry

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
    "strong",
    "em",
    "s",
    "span",
    "figcaption",
    "blockquote",
    "dl",
    "dt",
    "dd",
    "button",
    "fieldset",
    "legend",
    "label",
    "input",
    "output",
    "dialog",
    "form",
    "script",
}
VOID = ("meta", "input")


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
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


@pytest.mark.parametrize("make", [comparison, everything])
def test_hostile_texts_stay_texts_in_the_page(make: Callable[[str], Data]) -> None:
    tags = parsed(to_html(make(HOSTILE)))
    assert [attributes.get("type") for tag, attributes in tags.found if tag == "script"] == ["application/json", "module"]
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


def test_the_page_may_load_nothing_and_run_its_own_script_alone() -> None:
    page = to_html(everything(HOSTILE, 121))
    policy = next(
        attributes["content"] or "" for tag, attributes in parsed(page).found if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules.pop("default-src") == "'none'"
    for name, element in (("script-src", '<script type="module">'), ("style-src", "<style>")):
        text = page.partition(element)[2].partition(f"</{element[1:].split()[0].rstrip('>')}>")[0]
        assert rules.pop(name) == f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
    assert set(rules.values()) == {"'none'"}
    assert page.index("Content-Security-Policy") < page.index("<style")
    assert not re.search(r"\sstyle=", re.sub(r"(?s)<script.*?</script>", "", page)), "which the policy would not let through"
    assert len(page.encode()) < 3_000_000


def test_the_json_block_is_json_and_has_the_texts() -> None:
    block = json.loads(
        re.findall(r'(?s)<script type="application/json" id="data">(.*?)</script>', to_html(few(everything(HOSTILE), "alpha", "golf")))[0]
    )
    assert block["texts"][block["cells"]["alpha/setup/packages"]["detail"]] == HOSTILE
    assert block["claims"]["alpha/hosting"]["quote"] == HOSTILE


def test_the_same_data_give_the_same_pages() -> None:
    assert to_html(few(everything(), "alpha", "golf")) == to_html(few(everything(), "alpha", "golf"))
    assert to_markdown(everything()) == to_markdown(everything())


@pytest.mark.parametrize(("make", "least"), [(comparison, 5), (everything, 30)])
def test_markdown_tables_keep_their_columns(make: Callable[[str], Data], least: int) -> None:
    text = to_markdown(make(HOSTILE))
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
    assert tables >= least


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
    assert "3.25 µs (2.25 to 5.25) in alpha to 4,320 µs (4,320 to 4,320) in beta" in text
    assert "of the 4 results" in text.lower()
    assert "3 are identical" in text
    data.cells, data.experiments = [], []
    assert not re.search(r"\d", " ".join(answer(data))), "without cells there is no figure"


def test_the_answer_names_the_leaders_of_each_kind_and_calls_no_tool_best_that_does_not_win_nine_in_ten() -> None:
    data = everything()
    first = {kind: next(row for row in data.scores if row.kind is kind and row.rank == 1) for kind in (Kind.STORE, Kind.SPOOL)}
    leaders, *_, depends = answer(data)
    for row in first.values():
        assert f"{row.backend.capitalize()} with {row.total:.3f} ({row.low:.3f} to {row.high:.3f})" in leaders
    assert "none of the stores is best" in depends
    data.scores = [msgspec.structs.replace(row, wins=0.89 if row is first[Kind.STORE] else row.wins) for row in data.scores]
    assert "the best of" not in answer(data)[-1]
    first[Kind.STORE] = next(row for row in data.scores if row.wins == 0.89)
    data.scores = [msgspec.structs.replace(row, wins=0.9 if row is first[Kind.STORE] else row.wins) for row in data.scores]
    assert f"{first[Kind.STORE].backend.capitalize()} is the best of the stores" in answer(data)[-1]


@cache
def page() -> str:
    """The page of everything."""
    return to_html(everything())


def test_the_first_sentence_says_what_the_number_is_and_whose_interest_it_serves() -> None:
    for text in (to_markdown(everything()), page()):
        first = re.sub(r"<[^>]*>", "", text.partition("The number in this report")[2])
        for words in ("UI, search and collaboration", "authors of TrackBridge"):
            assert words in first[:600]


def test_every_status_has_a_sign_and_a_look_of_its_own() -> None:
    assert set(LOOKS) == set(Status)
    assert len({look.sign for look in LOOKS.values()}) == len({look.word for look in LOOKS.values()}) == len(Status)
    text = page()
    for status in Status:
        assert str(status) in text
        if not status.has_value and status is not Status.CITED:
            assert f'class="open {view.slug(status)}"' in text or status in (Status.NOT_RUN_QUICK, Status.NOT_RUN_FULL), status


def test_what_was_not_run_shows_the_last_full_run_and_its_day() -> None:
    data = everything()
    for text in (to_markdown(data), page()):
        assert "full run of 2025-12-24" in text
    data.earlier = []
    assert "full run of" not in to_markdown(data)


def test_a_service_that_ended_is_struck_through() -> None:
    data = everything()
    assert "~~Juliett~~" in to_markdown(data)
    assert "<s>Juliett</s>" in page()
    assert "~~Alpha~~" not in to_markdown(data)


def test_what_the_bridge_costs_is_through_less_tuned() -> None:
    data = comparison()
    data.cells = [
        cell("alpha/overhead/log_tuned", value=10.0, way=Way.TUNED),
        cell("alpha/overhead/log_through", value=7.5, way=Way.THROUGH),
        cell("beta/overhead/log_through", value=7.5, way=Way.THROUGH),
    ]
    (axis,) = [axis for axis in view.axes(data) if axis.name == "overhead"]
    assert axis.bridge
    (row,) = axis.bridge.rows
    assert (row[0].backend, row[1][0].text) == ("alpha", "−2.50 µs")


def test_expired_claims_are_marked() -> None:
    data = everything()
    assert view.expired(data) == {claim.id for claim in data.claims if claim.id.endswith("hosting")}
    assert to_markdown(data).count("**expired 2026-02-01**") == len(data.backends)


TEMPLATES = Path(render.__code__.co_filename).parent / "templates"
YEAR = "2021"
"""Of the lecture's slide, which is no figure about a tool."""


def test_no_figure_and_no_tool_is_written_into_the_templates() -> None:
    for path in TEMPLATES.glob("*.j2"):
        text = re.sub(r"(?s){%.*?%}|{{.*?}}|<!--.*?-->", "", path.read_text("utf-8"))
        text = re.sub(r"<[^>]*>|initial-scale=1", " ", text).replace(YEAR, "")
        assert not re.search(r"\d", text), path.name
    code = "".join(path.read_text("utf-8") for path in [*TEMPLATES.iterdir(), *TEMPLATES.parent.glob("*.py")])
    for name in set(registry.names()) - {"memory"}:
        assert not re.search(rf"\b{name}\b", code, re.IGNORECASE), name


def test_no_figure_is_written_into_the_prose_of_the_code() -> None:
    """Texts of a word and more in the report's code, docstrings apart."""
    for path in TEMPLATES.parent.glob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told and " " in node.value:
                assert not re.search(r"(?<![\w<])\d", node.value) or "(?" in node.value or node.value.startswith("<"), (
                    path.name,
                    node.value,
                )


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


def test_the_table_for_the_readme_has_each_tool_once_and_its_own_values() -> None:
    data = everything()
    lines = [line.split(" | ") for line in brief.table(data).splitlines() if line.startswith("| ") and not line.startswith("| **")][1:]
    assert sorted(name.strip("|~ ").lower() for name, *_ in lines) == sorted(data.backends)
    for name, total, *values in lines:
        backend = name.strip("|~ ").lower()
        score = next((one for one in data.scores if one.backend == backend and one.way is Way.NATIVE and one.total), None)
        assert total == (f"{score.total:.3f} ({score.low:.3f} to {score.high:.3f})" if score else "–")
        for column, value in zip(brief.COLUMNS, values, strict=True):
            found = data.cell(f"{backend}/{column}")
            assert value.removesuffix(" |").startswith(str(markdown(shown(found)))) if found else view.NOT_PLANNED in value


def test_the_table_for_the_readme_of_a_comparison_without_tools_and_scores() -> None:
    lines = brief.table(comparison()).splitlines()
    assert [line.split(" | ")[0] for line in lines if line.startswith("| ")] == ["| tool", "| alpha", "| beta"]
