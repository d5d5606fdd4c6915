"""The two plots of the bias experiments: MMD by bias variable, and IOSM by group, a box for each method."""

from collections.abc import Sequence
from typing import Any

import altair

from trackbridge_examples.bias.factors import FACTORS
from trackbridge_examples.report.document import Chart
from trackbridge_examples.report.measured import SIDES, STANDARD, Measured

COLOURS = ("#0072B2", "#D55E00")
COLUMNS = 4


def mmd_chart(name: str, title: str, measured: Sequence[Measured]) -> Chart:
    """A panel for each factor; a box has all runs of a method, its whiskers are the smallest and the largest."""
    rows = [
        {"factor": factor, "method": label(runs), "value": mmd, "told": "explicit" if factor in runs.explicit else "implicit"}
        for runs in measured
        for factor in FACTORS
        for mmd in runs.mmd([factor])
    ]
    return Chart(name, title, boxes(rows, "MMD (points)", "told", ("explicit", "implicit"), list(map(label, measured))))


def iosm_chart(name: str, title: str, measured: Sequence[Measured]) -> Chart:
    """A panel for each factor, a box for each method and side."""
    others = [runs for runs in measured if runs.method != STANDARD]
    rows = [
        {"factor": factor, "method": label(runs), "value": gain, "side": side}
        for runs in others
        for factor in FACTORS
        for side in SIDES
        for gain in runs.iosm(factor, side)
    ]
    return Chart(name, title, boxes(rows, "IOSM (points)", "side", SIDES, list(map(label, others))))


def label(runs: Measured) -> str:
    return f"{runs.method} (collapsed)" if runs.collapsed else runs.method


def boxes(rows: Sequence[dict[str, Any]], axis: str, colour: str, colours: Sequence[str], methods: Sequence[str]) -> dict[str, Any]:
    """The Vega-Lite specification; a value that is NaN cannot be drawn."""
    drawn = [row for row in rows if row["value"] == row["value"]]
    chart = (
        altair.Chart(altair.Data(values=drawn))
        .mark_boxplot(extent="min-max", size=8)
        .encode(
            x=altair.X("value:Q", title=axis),
            y=altair.Y("method:N", sort=list(methods), title=None),
            yOffset=altair.YOffset(f"{colour}:N"),
            color=altair.Color(f"{colour}:N", title=None, scale=altair.Scale(domain=list(colours), range=list(COLOURS))),
            facet=altair.Facet("factor:N", columns=COLUMNS, title=None, sort=list(FACTORS)),
        )
        .properties(width=170, height={"step": 12})
        .configure(background="white")
    )
    spec: dict[str, Any] = chart.to_dict()
    return spec
