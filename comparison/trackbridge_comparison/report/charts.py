"""A dot plot for each axis and unit, as SVG that takes its colours from the page and needs no script."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import altair
import vl_convert

from trackbridge_comparison.report.words import unit
from trackbridge_comparison.schema import Cell, Status, Way

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8A6FB0", "#7F7F7F")
UNITS = ("us", "%", "B", "ms", "s", "MB")
INK = "currentColor"
LOG_FROM = 30.0
"""The scale is logarithmic when the largest value is so many times the smallest."""


def charts(cells: Sequence[Cell]) -> list[str]:
    """One SVG for each unit of which there are two values or more; `cells` are those of one axis."""
    found = []
    for name in UNITS:
        chosen = [cell for cell in cells if cell.spec.unit == name and cell.status is Status.MEASURED and cell.value is not None]
        chosen = [cell for cell in chosen if cell.spec.way is not Way.CONTROL]
        if len(chosen) > 1:
            found.append(svg(chosen, name))
    return found


def svg(cells: Sequence[Cell], name: str) -> str:
    """The dots of `cells`, a row for each quantity, with the range of the samples where they have the same unit."""
    values = [cell.value for cell in cells if cell.value is not None]
    logarithmic = min(values) > 0 and max(values) / min(values) > LOG_FROM
    rows = [
        {
            "quantity": cell.spec.title,
            "backend": cell.spec.backend,
            "way": str(cell.spec.way),
            "value": cell.value,
            "low": min([cell.value, *_range(cell, logarithmic)]),
            "high": max([cell.value, *_range(cell, logarithmic)]),
        }
        for cell in cells
        if cell.value is not None
    ]
    order = list(dict.fromkeys(cell.spec.title for cell in cells))
    backends = list(dict.fromkeys(cell.spec.backend for cell in cells))
    colours = [COLOURS[index % len(COLOURS)] for index in range(len(backends))]
    scale = altair.Scale(type="log") if logarithmic else altair.Scale(zero=True, **({"domain": [0, 100]} if name == "%" else {}))
    legend = altair.Legend(symbolType="circle", symbolOpacity=1)
    base = altair.Chart(altair.Data(values=rows)).encode(
        y=altair.Y("quantity:N", sort=order, title=None, axis=altair.Axis(labelLimit=300)),
        yOffset=altair.YOffset("backend:N", sort=backends),
        color=altair.Color("backend:N", sort=backends, scale=altair.Scale(domain=backends, range=colours), legend=legend, title=None),
    )
    lines = base.mark_rule(strokeWidth=2, opacity=0.5).encode(
        x=altair.X("low:Q", scale=scale, title=unit(name) + (", logarithmic" if logarithmic else "")), x2="high:Q"
    )
    dots = base.mark_point(filled=True, size=70, opacity=1).encode(
        x=altair.X("value:Q", scale=scale),
        shape=altair.Shape(
            "way:N",
            title=None,
            legend=altair.Legend(symbolFillColor=INK, symbolStrokeColor=INK),
            scale=altair.Scale(domain=[str(Way.NATIVE), str(Way.THROUGH)], range=["circle", "triangle-up"]),
        ),
    )
    words = {"labelColor": INK, "titleColor": INK}
    chart = (
        (lines + dots)
        .properties(width=420, height={"step": 9})
        .configure(background="transparent", font="sans-serif")
        .configure_axis(**words, domainColor="#888", tickColor="#888", gridColor="#8884")
        .configure_legend(**words, orient="bottom", symbolStrokeWidth=0)
        .configure_view(stroke=None)
    )
    drawn = str(vl_convert.vegalite_to_svg(json.loads(chart.to_json())))
    size = re.search(r'<svg[^>]*? width="([\d.]+)"', drawn)
    width = float(size[1]) if size else 640.0
    return re.sub(
        r'(<svg[^>]*?) width="[\d.]+" height="[\d.]+"', rf'\1 style="width:100%;max-width:{width:.0f}px" role="img"', drawn, count=1
    )


def _range(cell: Cell, logarithmic: bool) -> list[float]:
    inside = cell.value is not None and len(cell.samples) > 1 and min(cell.samples) <= cell.value <= max(cell.samples)
    return [sample for sample in cell.samples if sample > 0 or not logarithmic] if inside else []
