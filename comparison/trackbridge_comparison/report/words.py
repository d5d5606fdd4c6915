"""Numbers and texts as the report shows them. Every figure comes from a cell."""

from __future__ import annotations

import math
import re

from markupsafe import Markup

from trackbridge_comparison.schema import Cell, Status


def number(value: float) -> str:
    """Three significant digits, thousands apart: 0.0123, 4.56, 1,230."""
    if not math.isfinite(value):
        return repr(value)
    if value == 0:
        return "0"
    digits = 2 - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    return f"{rounded:,.{max(0, digits)}f}" if digits < 8 else f"{value:.3g}"


def shown(cell: Cell) -> str:
    """A cell in a table: its value and unit, or its status."""
    if cell.status is not Status.MEASURED or cell.value is None:
        return str(cell.status)
    if cell.spec.unit == "%":
        return f"{percent(cell.value)} %"
    if cell.spec.unit in ("exponent", "ratio"):
        return f"{cell.value:.2f}"
    if cell.spec.unit in ("points", "packages", "files"):
        return f"{cell.value:,.0f}"
    return f"{number(cell.value)} {unit(cell.spec.unit)}"


def percent(value: float) -> str:
    """One decimal; 100 only when nothing is missing."""
    return "100" if value == 100 else f"{min(value, 99.9):.1f}"


def unit(name: str) -> str:
    return {"us": "µs"}.get(name, name)


def spread(cell: Cell) -> str:
    """The range of the samples, where there are several of the cell's own unit."""
    if cell.value is None or len(cell.samples) < 2 or not min(cell.samples) <= cell.value <= max(cell.samples):
        return ""
    low, high = min(cell.samples), max(cell.samples)
    if low == high:
        return ""
    if cell.spec.unit == "%":
        return f"{percent(low)} to {percent(high)}"
    return f"{number(low)} to {number(high)}"


def result(text: str) -> str:
    """A value of a result table, which :func:`repr` wrote, with two decimals."""
    try:
        return f"{float(text):.2f}"
    except ValueError:
        return text or "nothing"


_MARKS = re.compile(r"([\\`*_\[\]|~#$!@]|:(?=//))")


def markdown(text: object) -> Markup:
    """`text` as the text of a Markdown table or paragraph: nothing in it is markup, and it is one line."""
    line = re.sub(r"\s+", " ", str(text))
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return Markup(_MARKS.sub(r"\\\1", line))


def fence(text: str) -> str:
    """A fence of backticks that no line of `text` ends."""
    return "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
