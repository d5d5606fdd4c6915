"""Numbers and texts as the report shows them. Every figure comes from a cell."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import msgspec
from markupsafe import Markup

from trackbridge_comparison import statistics
from trackbridge_comparison.schema import Cell, Data, Item, Kind, Machine, Status, Way


class Look(NamedTuple):
    """How a status shows: a sign that differs without colour, and a short word."""

    sign: str
    word: str


LOOKS = {
    Status.MEASURED: Look("●", "measured"),
    Status.OFFLINE: Look("◐", "offline"),
    Status.EMULATED: Look("◍", "emulator"),
    Status.FAILED: Look("✖", "failed"),
    Status.NOT_REACHED: Look("⧖", "not reached"),
    Status.NOT_RUN_QUICK: Look("…", "not run in quick"),
    Status.NOT_RUN_FULL: Look("⋯", "not run in full"),
    Status.NEEDS_ACCOUNT: Look("◇", "needs account"),
    Status.ENDED: Look("†", "service ended"),
    Status.UNSUPPORTED: Look("∅", "unsupported"),
    Status.CITED: Look("❝", "cited"),
}
KINDS = {
    Kind.STORE: "Stores: they can be queried where they lie",
    Kind.SPOOL: "Spools: written to be uploaded later",
    Kind.EMULATED: "Emulated or replayed services: compatibility alone, no time, size, scale or score",
    Kind.REFERENCE: "References: of this project, never ranked",
}
WAYS = {
    Way.NATIVE: Look("●", "the tracker's own client, as its documentation shows it"),
    Way.TUNED: Look("■", "the tracker's own client, with the settings that our adapter uses where they are not the default ones"),
    Way.THROUGH: Look("▲", "through TrackBridge"),
    Way.CONTROL: Look("", "control of the measurement itself"),
}
COUNTED = {"points", "packages", "files", "count", "facts", "statements"}
"""Units that a title names already."""


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
    return figure(cell) if cell.status.has_value and cell.value is not None else str(cell.status)


def figure(cell: Cell) -> str:
    """The value of a cell that has one, with its unit."""
    assert cell.value is not None
    return quantity(cell.value, cell.spec.unit)


def quantity(value: float, name: str) -> str:
    """A value with its unit, as tables show it."""
    if name == "%":
        return f"{percent(value)} %"
    if name in ("exponent", "ratio"):
        return f"{value:.2f}"
    if name in COUNTED:
        return f"{value:,.0f}"
    return f"{number(value)} {unit(name)}"


def signed(value: float, name: str) -> str:
    """A difference with its unit."""
    return ("+" if value > 0 else "−" if value < 0 else "±") + quantity(abs(value), name)


def order(value: float | None) -> str:
    """A value to sort by; "" sorts last."""
    return "" if value is None else repr(value)


def percent(value: float) -> str:
    """One decimal; 100 only when nothing is missing, but for the rounding of a sum of shares."""
    return "100" if value > 100 - 1e-9 else f"{min(value, 99.9):.1f}"


def share(value: float | None) -> str:
    """A share of one, in percent."""
    return "" if value is None else f"{percent(100 * value)} %"


def score(value: float | None) -> str:
    """A score between 0 and 1."""
    return "" if value is None else f"{value:.3f}"


def unit(name: str) -> str:
    return {"us": "µs"}.get(name, name)


def interval(cell: Cell) -> tuple[float, float] | None:
    """The interval of the median of the samples, where there are several of the cell's own unit."""
    if cell.value is None or len(cell.samples) < 2 or not min(cell.samples) <= cell.value <= max(cell.samples):
        return None
    return statistics.interval(cell.samples)


def spread(cell: Cell) -> str:
    """The interval in words; "" where there is none, or nothing varies."""
    found = interval(cell)
    if found is None or found[0] == found[1]:
        return ""
    low, high = map(percent if cell.spec.unit == "%" else number, found)
    return f"{low} to {high}"


def day(time: str) -> str:
    """The date of an ISO 8601 time."""
    return time.partition("T")[0]


def circumstances(data: Data) -> str:
    """When, where and with which commits `data` was measured."""
    bare = {_bare(machine) for machine in (data.machine, *(sitting.machine for sitting in data.resumed))}
    on = "on one machine" if len(bare) == 1 else f"on {len(bare)} machines"
    text = f"Measured {data.started}, mode {data.mode}, {number(data.spent)} s, {on}: {_machine(data.machine)}"
    for sitting in data.resumed:
        again = _bare(sitting.machine) == _bare(data.machine)
        text += f"; gone on with {sitting.time}" + (_commit(sitting.machine) if again else f" on {_machine(sitting.machine)}")
    return f"{text}."


def _bare(machine: Machine) -> Machine:
    """The machine apart from what was run on it."""
    return msgspec.structs.replace(machine, commit="")


def _machine(machine: Machine) -> str:
    memory = f"{number(machine.memory / 1e9)} GB"
    software = f"{machine.system}, {machine.file_system}, {machine.python}, TrackBridge {machine.trackbridge}{_commit(machine)}"
    return f"{machine.cpu}, {machine.cores} cores, {memory}, {software}"


def _commit(machine: Machine) -> str:
    return f" ({machine.commit})" if machine.commit else ""


class State(NamedTuple):
    """What became of a trait of the canonical run: its slug, and how it shows."""

    slug: str
    sign: str
    word: str


STATES = {
    "exact": State("exact", "●", "came back exactly"),
    "sidecar": State("sidecar", "◐", "not exact, as declared; exact with the sidecar"),
    "declared": State("declared", "○", "not exact, as declared"),
    "undeclared": State("undeclared", "✖", "not exact, and not declared"),
}


def state(item: Item) -> State:
    if item.exact:
        return STATES["exact"]
    if not item.reason:
        return STATES["undeclared"]
    return STATES["sidecar" if item.exact_restored else "declared"]


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
