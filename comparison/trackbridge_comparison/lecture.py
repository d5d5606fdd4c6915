"""The lecture's table again: its six criteria for its eleven tools, for Aim and for two newcomers, each cell made of evidence.

The slide's entries of 2021 are in ``lecture.toml``. The entries of today are put together from measured cells and from claims, and name both; a
part that is not there is named with the reason. Nothing is judged: the table says what was found.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from trackbridge_comparison.claims import TOPICS, expired
from trackbridge_comparison.report.words import number, percent, unit
from trackbridge_comparison.schema import Cell, Claim, Data, LectureCell, Status

SLIDE = Path(__file__).with_name("lecture.toml")
ABSENT = "not on the slide"
UNKNOWN = "not known"
PHYSICAL = ("us", "ms", "s", "B", "MB")
"""Units that are written behind a figure; the others are nouns, which the sentences below have."""


@dataclass(frozen=True)
class Measured:
    """A part of an entry that is a cell. `name`: axis/quantity, with ``N`` for the largest size; `words`: ``{}`` is its figure, ``N`` its size."""

    name: str
    words: str
    title: str


@dataclass(frozen=True)
class Cited:
    """A part of an entry that is a claim. `optional`: nothing is said where there is none."""

    topic: str
    words: str = "{}"
    optional: bool = False


CRITERIA: dict[str, tuple[str, tuple[Measured | Cited, ...]]] = {
    "open_source": (
        "open source",
        (
            Cited("client_licence", "client {}"),
            Cited("server_licence", "server {}", optional=True),
            Cited("server", "server needed: {}"),
            Cited("end_of_service", "end of service: {}", optional=True),
        ),
    ),
    "agnostic": (
        "platform and language agnostic",
        (
            Cited("client_languages", "clients: {}"),
            Measured("setup/pythons", "installs on {} Python versions", "Python versions"),
            Measured("exit/recoverable", "{} of the values read without its package", "values read without its package"),
        ),
    ),
    "storage": (
        "experiment data storage",
        (Cited("hosting"), Measured("storage/bytes_per_point", "{} a point", "bytes a point")),
    ),
    "setup": (
        "easy to set up",
        (
            Measured("setup/packages", "{} packages", "packages"),
            Measured("setup/megabytes", "{}", "size"),
            Measured("setup/facts", "{} facts to supply", "facts to supply"),
            Measured("setup/first_metric", "first metric after {}", "time to the first metric"),
        ),
    ),
    "visualizations": ("custom visualizations", (Cited("custom_visualisations"),)),
    "scalable": (
        "scalable for large numbers of experiments",
        (
            Measured("scalability/list_N_runs", "N runs listed in {}", "listing of runs"),
            Measured("scalability/runs_exponent", "time grows with runs to the power of {}", "growth with runs"),
            Measured("scalability/write_exponent", "and with points to the power of {}", "growth with points"),
            Cited("limits", "limit: {}", optional=True),
        ),
    ),
}
"""Key in ``lecture.toml`` -> the slide's words, and what an entry is made of."""


@dataclass(frozen=True)
class _Evidence:
    """All that an entry can be made of. `earlier`: the ids whose cell is of the last full report."""

    cells: Mapping[str, Cell]
    earlier: frozenset[str]
    claims: Mapping[str, Claim]
    today: date
    mode: str


@dataclass
class _Entry:
    """One cell while it is put together."""

    words: list[str] = field(default_factory=list)
    evidence: list[str] = field(default_factory=list)
    measured: list[Status] = field(default_factory=list)
    missing: list[Status] = field(default_factory=list)
    cited: bool = False


def slide() -> dict[str, dict[str, str]]:
    """Backend -> key of the criterion -> the entry of 2021; empty for a tool that is not on the slide."""
    return tomllib.loads(SLIDE.read_text("utf-8"))


def table(data: Data) -> list[LectureCell]:
    """Every cell of the table, tool by tool in the slide's order.

    A cell that was left out for time is the one of the last full report, with its date. Claims are as old as they are when the report was started.
    """
    cells = {cell.spec.id: cell for cell in data.cells}
    earlier = {cell.spec.id: cell for cell in data.earlier if cell.spec.id not in cells or cells[cell.spec.id].status.left_out}
    evidence = _Evidence(
        cells | earlier,
        frozenset(earlier),
        {claim.id: claim for claim in data.claims},
        date.fromisoformat(data.started[:10]) if data.started else date.min,
        data.mode,
    )
    return [_cell(backend, key, then.get(key, ABSENT), evidence) for backend, then in slide().items() for key in CRITERIA]


def _cell(backend: str, key: str, then: str, there: _Evidence) -> LectureCell:
    title, parts = CRITERIA[key]
    entry = _Entry()
    for part in parts:
        if isinstance(part, Cited):
            _cite(entry, part, backend, there)
        else:
            _measure(entry, part, backend, there)
    return LectureCell(
        backend=backend,
        criterion=title,
        then=then,
        value="; ".join(entry.words),
        status=_status(entry, backend, there),
        evidence=entry.evidence,
    )


def _cite(entry: _Entry, part: Cited, backend: str, there: _Evidence) -> None:
    claim = there.claims.get(f"{backend}/{part.topic}")
    if claim is not None:
        late = f" (evidence expired {claim.expires})" if expired(claim, there.today) else ""
        entry.words.append(part.words.format(claim.value) + late)
        entry.evidence.append(claim.id)
        entry.cited = True
    elif not part.optional:
        entry.words.append(f"{TOPICS[part.topic]}: {UNKNOWN}")


def _measure(entry: _Entry, part: Measured, backend: str, there: _Evidence) -> None:
    found = _find(f"{backend}/{part.name}", there.cells)
    if found is None:
        entry.words.append(f"{part.title}: {UNKNOWN}")
        return
    cell, size = found
    entry.evidence.append(cell.spec.id)
    if cell.status.has_value:
        dated = f" ({cell.time[:10]})" if cell.spec.id in there.earlier else ""
        entry.words.append(part.words.replace("N", size).format(figure(cell)) + dated)
        entry.measured.append(cell.status)
    else:
        entry.words.append(f"{part.title}: {cell.status}")
        entry.missing.append(cell.status)


def _find(name: str, cells: Mapping[str, Cell]) -> tuple[Cell, str] | None:
    """The cell of this name, and the size where the name has one: the largest that has a value, else the largest."""
    pattern = re.compile(re.escape(name).replace("N", r"(\d+)"))
    matches = [(cell, match[1] if pattern.groups else "") for id, cell in cells.items() if (match := pattern.fullmatch(id))]
    return max(matches, key=lambda found: (found[0].status.has_value, int(found[1] or 0)), default=None)


def figure(cell: Cell) -> str:
    """The value of a cell as the table shows it."""
    value = cell.value or 0.0
    if cell.spec.unit == "%":
        return f"{percent(value)} %"
    text = f"{value:,.0f}" if value.is_integer() else number(value)
    return f"{text} {unit(cell.spec.unit)}" if cell.spec.unit in PHYSICAL else text


def _status(entry: _Entry, backend: str, there: _Evidence) -> Status:
    """The weakest of what was measured; without it that of the claims, else why there is nothing."""
    weakest: Sequence[Status] = (Status.EMULATED, Status.OFFLINE, Status.MEASURED)
    for status in weakest:
        if status in entry.measured:
            return status
    if entry.cited:
        ended = there.claims.get(f"{backend}/end_of_service")
        return Status.ENDED if ended is not None and _past(ended.value, there.today) else Status.CITED
    if entry.missing:
        return entry.missing[0]
    return Status.NOT_RUN_FULL if there.mode == "full" else Status.NOT_RUN_QUICK


def _past(value: str, today: date) -> bool:
    """Whether the claim is a day that has come; others are about a part of the service."""
    try:
        return date.fromisoformat(value) <= today
    except ValueError:
        return False
