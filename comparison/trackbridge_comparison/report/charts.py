"""Dot plots as SVG that takes its ink from the page, carries no style of its own and needs no script."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import altair
import vl_convert

from trackbridge_comparison.report import view
from trackbridge_comparison.report.words import interval, unit
from trackbridge_comparison.schema import Cell, Experiment, Status, Tool, Way

COLOURS = {Way.NATIVE: "#1F77D0", Way.TUNED: "#C98A00", Way.THROUGH: "#D1495B"}
SHAPES = {Way.NATIVE: "circle", Way.TUNED: "square", Way.THROUGH: "triangle-up"}
INK = "currentColor"
LOG_FROM = 30.0
"""The scale is logarithmic when the largest value is so many times the smallest."""


class Chart(NamedTuple):
    """`svg` has `title` as its accessible name."""

    title: str
    svg: str


def charts(axis: view.Axis, tools: Sequence[Tool]) -> list[Chart]:
    """A chart for each quantity that two tools or more have a value of, with all ways."""
    found: dict[str, list[Cell]] = {}
    for cell in axis.cells:
        if cell.status.has_value and cell.value is not None and cell.spec.way is not Way.CONTROL:
            found.setdefault(view.base(cell.spec), []).append(cell)
    titles = {tool.backend: tool.title for tool in tools}
    return [_dots(cells, titles) for cells in found.values() if len({cell.spec.backend for cell in cells}) > 1]


def _dots(cells: Sequence[Cell], titles: Mapping[str, str]) -> Chart:
    """A row for each tool, with the interval of the repeats; a hollow dot was not measured on the service itself."""
    first = cells[0].spec
    values = [cell.value for cell in cells if cell.value is not None]
    logarithmic = min(values) > 0 and max(values) / min(values) > LOG_FROM
    name = unit(first.unit)
    rows = [
        {"tool": titles[cell.spec.backend], "way": str(cell.spec.way), "value": cell.value, "low": low, "high": high, "full": full}
        for cell in cells
        for low, high in [interval(cell) or (cell.value, cell.value)]
        for full in [cell.status is Status.MEASURED]
        if low is not None and (low > 0 or not logarithmic)
    ]
    there = {row["tool"] for row in rows}
    order = [title for title in titles.values() if title in there]
    ways = [way for way in COLOURS if str(way) in {row["way"] for row in rows}]
    scale = altair.Scale(type="log") if logarithmic else altair.Scale(zero=True, **({"domain": [0, 100]} if name == "%" else {}))
    colour = altair.Scale(domain=list(map(str, ways)), range=[COLOURS[way] for way in ways])
    shape = altair.Scale(domain=list(map(str, ways)), range=[SHAPES[way] for way in ways])
    title = name + (", logarithmic" if logarithmic else "")
    base = altair.Chart(altair.Data(values=rows)).encode(
        y=altair.Y("tool:N", sort=order, title=None, axis=altair.Axis(labelLimit=150, grid=True, ticks=False)),
        yOffset=altair.YOffset("way:N", sort=list(map(str, ways)), scale=altair.Scale(paddingOuter=0.4)),
        color=altair.Color("way:N", scale=colour, legend=None),
    )
    lines = (
        base.transform_filter("datum.high > datum.low")
        .mark_rule(strokeWidth=2, opacity=0.5)
        .encode(x=altair.X("low:Q", scale=scale, title=title, axis=altair.Axis(tickCount=4, grid=True)), x2="high:Q")
    )
    dots = base.mark_point(size=30, strokeWidth=1, opacity=1).encode(
        x=altair.X("value:Q", scale=scale),
        shape=altair.Shape("way:N", scale=shape, legend=None),
        fill=altair.Fill("way:N", scale=colour, legend=None),
        fillOpacity=altair.condition("datum.full", altair.value(1), altair.value(0)),
    )
    drawn = (lines + dots).properties(width=230, height={"step": 6 if len(ways) > 1 else 14, "for": "offset"})
    return Chart(first.title, _svg(drawn, f"{first.title}, {title}, by tool"))


def results(experiment: Experiment) -> list[Chart]:
    """A chart for each run: the value that was logged as a bar, and what was read from the trackers as dots, those that differ in another colour."""
    return [_read(run.name, view.results(run)) for run in experiment.runs if run.readbacks]


def _read(name: str, rows: Sequence[view.Result]) -> Chart:
    values = []
    for row in rows:
        counts = Counter(reading.native for reading in row.readings.values() if _number(reading.native) is not None)
        values += [
            {
                "metric": row.metric,
                "logged": _number(row.logged),
                "value": _number(text),
                "told": "as logged" if text == row.logged else "differs",
            }
            for text in counts
        ]
    base = altair.Chart(altair.Data(values=values)).encode(
        y=altair.Y("metric:N", sort=[row.metric for row in rows], title=None, axis=altair.Axis(labelLimit=260, grid=True, ticks=False))
    )
    bars = base.mark_tick(thickness=2, color=INK, opacity=0.6).encode(x=altair.X("logged:Q", title="percent, or percentage points"))
    told = altair.Scale(domain=["as logged", "differs"], range=[COLOURS[Way.NATIVE], COLOURS[Way.THROUGH]])
    dots = base.mark_point(filled=True, size=40, opacity=1).encode(
        x="value:Q",
        color=altair.Color("told:N", scale=told, legend=None),
        shape=altair.Shape("told:N", scale=altair.Scale(domain=["as logged", "differs"], range=["circle", "cross"]), legend=None),
    )
    return Chart(
        name, _svg((bars + dots).properties(width=320, height={"step": 15}), f"Results of {name}: logged, and as read from the trackers")
    )


def _number(text: str) -> float | None:
    """A value of a result table that can be drawn."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None


def _svg(chart: Any, name: str) -> str:
    words = {"labelColor": INK, "titleColor": INK, "titleFontWeight": "normal"}
    configured = (
        chart.configure(background="transparent", font="sans-serif", aria=False)
        .configure_axis(**words, domainColor="#888", tickColor="#888", gridColor="#8883")
        .configure_view(stroke=None)
    )
    drawn = str(vl_convert.vegalite_to_svg(json.loads(configured.to_json())))
    slim = re.sub(r"<[^>]+>", lambda found: _slim(found[0]), drawn)
    return f'<svg role="img" aria-label="{html.escape(name)}"{slim.removeprefix("<svg")}'


_NEEDLESS = re.compile(
    r' (?:(?:pointer-events|aria-hidden|aria-roledescription|role|xmlns:xlink|version|class|font-family)="[^"]*"|(?:opacity|fill-opacity|stroke-width)="1")'
)


def _slim(tag: str) -> str:
    """A tag without what a page does not need: it has the picture's size from its style, and no pixel shows a second decimal."""
    tag = _NEEDLESS.sub("", tag)
    if tag in ('<path d="" display="none"/>', '<path d="M0,0h0v0h0Z"/>'):
        return ""
    if tag.startswith("<svg"):
        tag = re.sub(r' (?:width|height)="[^"]*"', "", tag)
    return re.sub(r"\d+\.\d{2,}", lambda found: f"{float(found[0]):.1f}", tag)
