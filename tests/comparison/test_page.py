"""The page in Debian's Chromium, from disk: it sorts, weighs, shows its evidence, asks for nothing and lets no text be markup.

``UI_SCREENSHOTS=docs/screenshots pytest tests/comparison/test_page.py`` also takes the pictures of the last comparison.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from trackbridge_comparison import schema
from trackbridge_comparison.report import words
from trackbridge_comparison.report.render import to_html
from trackbridge_comparison.schema import Data, Kind, Way
from trackbridge_comparison.scores import weighted

from tests.comparison.samples import HOSTILE, QUANTITIES, TOOLS, everything, few
from tests.ui import browser
from tests.ui.browser import CHROMIUM, SIZE, Visitor

pytestmark = [*browser.browser, pytest.mark.xdist_group("page")]

TITLES = {title for title, _, _ in TOOLS.values()}
FEW = ("alpha", "bravo", "juliett", "lima", "oscar")
"""Of each kind one or two, for what takes long with fifteen."""

PHONE = {"width": 360, "height": 740}
OPEN = "document.querySelectorAll('details').forEach(one => (one.open = true))"
RESULTS = Path(__file__).parent.parent.parent / "comparison" / "results"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"]) as started:
        yield started


@pytest.fixture(scope="module")
def data() -> Data:
    return everything()


@pytest.fixture(scope="module")
def address(data: Data, tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(data, tmp_path_factory.mktemp("plain"))


def written(data: Data, folder: Path) -> str:
    path = folder / "report.html"
    path.write_text(to_html(data), "utf-8")
    return path.as_uri()


@pytest.fixture
def page(chromium: Any, address: str) -> Iterator[Any]:
    with opened(chromium, address) as found:
        yield found


@contextlib.contextmanager
def opened(chromium: Any, address: str, today: str = "2026-03-05", **options: Any) -> Iterator[Any]:
    """The page on a day. It asks for nothing but itself, says nothing on the console, and opens no dialog of the browser."""
    page = chromium.new_page(**{"viewport": SIZE, **options})
    page.set_default_timeout(60_000)
    met: list[str] = []
    page.on("console", lambda message: met.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: met.append(str(error)))
    page.on("dialog", lambda dialog: (met.append(f"alert: {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: None if request.url == address else met.append(f"request: {request.url}"))
    try:
        page.clock.set_fixed_time(f"{today}T12:00:00Z")
        page.goto(address)
        yield page
    finally:
        page.close()
    assert met == []


def test_a_heading_sorts_and_what_has_no_value_stays_last(page: Any, data: Data) -> None:
    table = near(page, "table[data-axis=outage]")
    from playwright.sync_api import expect

    heading = table.get_by_role("columnheader", name="longest_call")
    cells = {cell.spec.backend: cell.value for cell in data.cells if cell.spec.quantity == "longest_call"}
    order = sorted((name for name in cells if cells[name] is not None), key=lambda name: cells[name] or 0.0)
    assert len(order) == 14
    heading.get_by_role("button").click()
    expect(heading).to_have_attribute("aria-sort", "ascending")
    assert tools(table) == [*order, "juliett"]
    heading.get_by_role("button").press("Enter")
    expect(heading).to_have_attribute("aria-sort", "descending")
    assert tools(table) == [*order[::-1], "juliett"]


def test_nothing_moves_when_a_table_begins_to_work(page: Any) -> None:
    sizes = "table => [...table.rows].map(row => [...row.cells].map(cell => [cell.offsetWidth, cell.offsetHeight]))"
    for axis in QUANTITIES:
        table = page.locator(f"table[data-axis={axis}]").first
        before = table.evaluate(sizes)
        assert near(page, f"table[data-axis={axis}]").evaluate(sizes) == before


def near(page: Any, selector: str) -> Any:
    """The first such table, scrolled to, and at work: tables begin when they come near."""
    table = page.locator(selector).first
    table.scroll_into_view_if_needed()
    table.locator("button.open[aria-label]").first.wait_for(state="attached")
    return table


def tools(table: Any) -> list[str]:
    return [name.lower() for name in table.locator("tbody th").all_inner_texts()]


def weighs(page: Any, weights: dict[str, float]) -> None:
    for name, weight in weights.items():
        page.locator(f"input[name={name}]").evaluate(
            "(slider, weight) => { slider.value = weight; slider.dispatchEvent(new Event('input', { bubbles: true })) }", weight
        )


def rows(page: Any) -> dict[str, list[str]]:
    """rank, total and coverage of every row of the scores."""
    found = page.locator("table.scores tbody tr").evaluate_all(
        "rows => rows.map(row => [row.dataset.key, ...['.rank', '.total', '.coverage'].map(name => row.querySelector(name).textContent)])"
    )
    return {key: rest for key, *rest in found}


def test_sliders_recompute_the_scores_to_the_digits_of_python(page: Any, data: Data) -> None:
    assert rows(page) == expected(data, dict.fromkeys(QUANTITIES, 1.0), equal=True)
    for weights in ({"fidelity": 80.0, "overhead": 3.0}, {"setup": 0.0, "exit": 0.0}, {"outage": 0.0, "durability": 61.7}):
        page.get_by_role("button", name="equal", exact=True).click()
        weighs(page, weights)
        assert rows(page) == expected(data, {**dict.fromkeys(QUANTITIES, 12.5), **weights})
    page.get_by_role("button", name="authors").click()
    assert rows(page) == expected(data, data.weights["authors"])
    assert page.get_by_role("button", name="authors").get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="equal", exact=True).click()
    assert rows(page) == expected(data, dict.fromkeys(QUANTITIES, 1.0), equal=True)


def expected(data: Data, weights: dict[str, float], equal: bool = False) -> dict[str, list[str]]:
    found = {f"{score.backend}/{score.way}": (score, *weighted(score, weights)) for score in data.scores}
    ranks: dict[str, int] = {}
    for kind in (Kind.STORE, Kind.SPOOL):
        totals = {
            key: total for key, (score, _, total) in found.items() if total is not None and (score.kind, score.way) == (kind, Way.NATIVE)
        }
        ranks |= {key: place for place, key in enumerate(sorted(totals, key=lambda key: -totals[key]), 1)}
    return {
        key: [str((score.rank if equal else ranks.get(key)) or "–"), words.score(total) or "no total", words.share(coverage)]
        for key, (score, coverage, total) in found.items()
    }


def test_ranks_are_within_a_kind_and_references_and_other_ways_have_none(page: Any, data: Data) -> None:
    weighs(page, {"fidelity": 50.0})
    found = rows(page)
    for score in data.scores:
        rank = found[f"{score.backend}/{score.way}"][0]
        assert score.rank is None or rank != "–", score
        assert rank == "–" or (score.way is Way.NATIVE and score.kind in (Kind.STORE, Kind.SPOOL))
    for kind, count in ((Kind.STORE, 5), (Kind.SPOOL, 5)):
        there = {found[f"{score.backend}/{score.way}"][0] for score in data.scores if score.kind is kind and score.way is Way.NATIVE}
        assert there - {"–"} == set(map(str, range(1, count + 1)))
    assert page.locator("table.scores tr.other:visible").count() == 0
    page.get_by_label("also show").check()
    assert page.locator("table.scores tr.other:visible").count() > 0


def test_evidence_opens_by_mouse(page: Any, data: Data) -> None:
    near(page, "table[data-axis=overhead]").get_by_role("button", name="Bravo, overhead: cpu_per_call: ").click()
    dialog = page.get_by_role("dialog")
    text = dialog.inner_text()
    cell = data.cell("bravo/overhead/cpu_per_call")
    assert cell
    for wanted in (
        repr(cell.value),
        cell.command,
        "bravo-client 1.2.3",
        cell.time,
        "1.5 s",
        cell.log,
        cell.lock,
        *(f"{one:.6g}" for one in cell.samples),
    ):
        assert wanted in text, wanted
    dialog.get_by_role("button", name="Close").click()
    assert not dialog.is_visible()


def test_evidence_opens_by_keyboard_and_gives_the_focus_back(page: Any) -> None:
    table = near(page, "table[data-axis=overhead]")
    first = table.locator("button.open").first
    assert table.locator("button.open[tabindex='0']").count() == 1, "one stop of Tab in a table"
    first.focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    assert "charlie/overhead/log_p50_burst" in page.get_by_role("dialog").inner_text()
    page.keyboard.press("Escape")
    assert not page.get_by_role("dialog").is_visible()
    assert page.evaluate("document.activeElement.ariaLabel").startswith("Charlie, overhead: log_p50_burst: ")


def test_a_cell_of_the_lecture_opens_all_that_it_rests_on(page: Any) -> None:
    page.get_by_role("button", name="Alpha, experiment data storage").click()
    text = page.get_by_role("dialog").inner_text()
    for wanted in (
        "2021",
        "not legible",
        "alpha/client_licence",
        "alpha/overhead/log_p50_burst",
        "alpha/hosting",
        "https://example.org/evidence",
        "expired on 2026-02-01",
    ):
        assert wanted in text, wanted


def test_a_trait_opens_what_was_written_and_what_came_back(page: Any, data: Data) -> None:
    near(page, "table.heat").get_by_role("button", name="Bravo, trait 0").click()
    text = page.get_by_role("dialog").inner_text()
    item = next(item for item in data.items if (item.backend, item.trait) == ("bravo", "trait 0"))
    for wanted in (item.written, item.native, item.restored, item.reason, words.state(item).word):
        assert wanted in text


def test_a_score_opens_its_parts(page: Any, data: Data) -> None:
    near(page, "table.scores").get_by_role("button", name="Bravo, native/storage").click()
    text = page.get_by_role("dialog").inner_text()
    for quantity in QUANTITIES["storage"]:
        assert quantity in text
    assert "megabytes" not in text


def test_a_cell_that_was_not_run_shows_the_last_full_run_and_its_date(page: Any, data: Data) -> None:
    id = data.earlier[0].spec.id
    backend, axis, _ = id.split("/")
    shown = near(page, f"table[data-axis={axis}]").locator(f"tr[data-key={backend}] button.earlier").first
    assert "2025-12-24" in shown.inner_text()
    assert "77.5" in shown.inner_text()
    assert "not run in" in shown.inner_text()
    shown.click()
    assert "The last full run" in page.get_by_role("dialog").inner_text()


def test_a_claim_that_expires_after_the_report_shows_as_expired_then(chromium: Any, address: str) -> None:
    for today, wanted in (("2027-04-30", 1), ("2027-05-01", 2)):
        with opened(chromium, address, today) as page:
            claims = page.locator("dl.claims").first
            assert claims.locator(".expired").count() == wanted


def test_hostile_texts_are_inert(chromium: Any, tmp_path: Path) -> None:
    data = few(everything(HOSTILE), *FEW)
    data.tools = [msgspec.structs.replace(tool, title=f"{tool.title} {HOSTILE}") for tool in data.tools]
    with opened(chromium, written(data, tmp_path)) as page:
        assert page.locator("script").count() == 2
        assert page.locator("img, iframe, object, embed, link").count() == 0
        page.evaluate(OPEN)
        for table in ("lecture", "cell", "item", "score"):
            near(page, f"table[data-view={table}]").locator("button.open").first.click()
            dialog = page.get_by_role("dialog")
            assert dialog.locator("script, img").count() == 0
            if table in ("lecture", "cell"):
                assert "<script>alert(1)</script>" in dialog.inner_text(), "the text itself is shown"
            page.keyboard.press("Escape")
        assert page.locator("main a[href]").evaluate_all("links => links.every(link => link.getAttribute('href').startsWith('#'))")


def test_a_source_is_a_link_only_where_it_is_an_address_of_the_web(chromium: Any, tmp_path: Path) -> None:
    data = few(everything(), *FEW)
    data.claims = [msgspec.structs.replace(claim, source="javascript:alert(1)") if "alpha" in claim.id else claim for claim in data.claims]
    with opened(chromium, written(data, tmp_path)) as page:
        for name, links in (("Alpha", 0), ("Bravo", 1)):
            page.get_by_role("button", name=f"{name}, open source").click()
            assert page.get_by_role("dialog").locator("a").count() == links
            page.keyboard.press("Escape")


def test_the_policy_lets_nothing_else_run_or_load(chromium: Any, address: str) -> None:
    page = chromium.new_page()
    page.goto(address)
    blocked = page.evaluate(
        """async () => {
            const blocked = [];
            document.addEventListener("securitypolicyviolation", (event) => blocked.push(event.effectiveDirective));
            const add = (name, attributes) => document.body.appendChild(Object.assign(document.createElement(name), attributes));
            add("script", { textContent: "window.ran = true" });
            add("style", { textContent: "body { display: none }" });
            add("img", { src: "https://example.org/x.png" });
            add("p", { innerHTML: "<b onclick='window.ran = true' style='color: red'>x</b>" }).firstChild.click();
            await fetch("https://example.org/x").catch(() => 0);
            for (let waits = 0; blocked.length < 6 && waits < 200; waits++) await new Promise((done) => setTimeout(done, 10));
            return [...blocked, String(window.ran)];
        }"""
    )
    page.close()
    assert set(blocked) == {"script-src-elem", "style-src-elem", "img-src", "script-src-attr", "style-src-attr", "connect-src", "undefined"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_no_page_to_scroll_sideways(chromium: Any, tmp_path: Path, scheme: str) -> None:
    address = written(few(everything(HOSTILE), *FEW), tmp_path)
    with opened(chromium, address, viewport=PHONE, color_scheme=scheme) as page:
        page.evaluate(OPEN)
        assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
        wide = page.locator(".wide").first
        assert wide.evaluate("box => box.scrollWidth > box.clientWidth"), "the table scrolls by itself"
        near(page, "table.lecture").locator("button.open").first.click()
        box = page.get_by_role("dialog").bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= PHONE["width"]
        light = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (light == "rgb(255, 255, 255)") == (scheme == "light")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_fault(chromium: Any, tmp_path: Path, scheme: str) -> None:
    """Names, roles, contrast, order: the rules of axe-core for WCAG and good practice, with everything open, and in the dialog."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with opened(chromium, written(few(everything(), *FEW), tmp_path), color_scheme=scheme) as page:
        page.evaluate(OPEN)
        faults = axe.run(page).response["violations"]
        near(page, "table.lecture").locator("button.open").first.click()
        faults += axe.run(page, context="#evidence").response["violations"]
    assert [f"{fault['id']}: {fault['help']}: {fault['nodes'][0]['html'][:300]}" for fault in faults] == []


def test_every_button_says_whose_cell_it_opens(page: Any) -> None:
    page.evaluate(OPEN)
    for table in page.locator("table[data-view]").all():
        table.scroll_into_view_if_needed()
    page.wait_for_function("() => [...document.querySelectorAll('main td .open')].every(button => button.ariaLabel)")
    names = page.locator("main td .open").evaluate_all("buttons => buttons.map(button => button.ariaLabel)")
    assert len(names) > 1000
    assert all(name.endswith("; evidence") and name.split(",")[0] in TITLES for name in names)


def test_the_last_comparison(chromium: Any, tmp_path: Path) -> None:
    """The report that is committed, and its pictures."""
    address = written(schema.load(schema.latest(RESULTS)), tmp_path)
    assert len((tmp_path / "report.html").read_bytes()) < 3_000_000
    for name, options in (("comparison", {}), ("comparison-dark", {"color_scheme": "dark"}), ("comparison-phone", {"viewport": PHONE})):
        with opened(chromium, address, **options) as page:
            assert page.locator("button.open").count() > 0
            visitor = Visitor(page, "$^")
            visitor.takes(name)
            if not options:
                for section in ("scores", "axis-overhead", "heat", "experiments"):
                    page.locator(f"#{section}").evaluate("heading => heading.scrollIntoView()")
                    visitor.takes(f"comparison-{section.removeprefix('axis-')}")
