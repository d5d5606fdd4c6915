"""Hypothesis strategies: keys that look like each other's escapes, and runs of random records in random batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from trackbridge.records import Config, End, Metrics, Record, Rewind, RunInfo, Start, Status, Summary, Tags
from trackbridge.testing.canon import FIRST, START, Workload

FLOATS = st.floats() | st.sampled_from([0.0, -0.0, 0.1, 5e-324, 1e308, float("nan"), float("inf"), float("-inf")])
SCALARS: st.SearchStrategy[Any] = st.one_of(
    FLOATS, st.integers(), st.integers(-(2**70), 2**70), st.booleans(), st.none(), st.text(max_size=8)
)
STEPS = st.one_of(st.none(), st.integers(-3, 12), st.integers(0, 2**31), st.integers(-(2**65), 2**65))
TICKS = st.sampled_from([0, 1, 999, 10**6, 10**9, -(10**6)])
"""Nanoseconds from one call to the next; clocks stand still and go back."""


def keys() -> st.SearchStrategy[str]:
    """Any text without surrogates, often of few characters that escapes are made of."""
    return st.text(alphabet="a/.:%~_- A2e40", max_size=6) | st.text(max_size=12)


def trees() -> st.SearchStrategy[Any]:
    """Values of the configuration."""
    leaves = SCALARS | st.text(max_size=20)
    return st.recursive(leaves, lambda below: st.lists(below, max_size=3) | st.dictionaries(keys(), below, max_size=3), max_leaves=6)


@st.composite
def events(draw: st.DrawFn) -> list[Any]:
    """The events of one process. Each key has a few points, so that repeats and orders are met."""
    pool = draw(st.lists(keys(), min_size=1, max_size=4, unique=True))
    time, call = START, 0
    found: list[Any] = []
    for kind in draw(st.lists(st.sampled_from("mmmmmmmcstr"), max_size=25)):
        time += draw(TICKS)
        if kind == "m":
            values = draw(st.dictionaries(st.sampled_from(pool), SCALARS, max_size=4))
            found.append(Metrics(time, call, draw(STEPS), values))
            call += 1
        elif kind == "c":
            found.append(Config(time, draw(st.dictionaries(keys(), trees(), max_size=3))))
        elif kind == "s":
            found.append(Summary(time, draw(st.dictionaries(keys(), SCALARS, max_size=3))))
        elif kind == "t":
            found.append(Tags(time, draw(st.lists(st.text(min_size=1, max_size=8), max_size=3, unique=True))))
        else:
            found.append(Rewind(time, draw(st.integers(0, 9))))
    return found


@st.composite
def runs(draw: st.DrawFn, folder: Path, run_id: str) -> tuple[Workload, list[str]]:
    """A run, and a script for :mod:`~trackbridge.testing.drive` that writes it in batches of random sizes with flushes between."""
    body = draw(events())
    tags = next((tuple(event.values) for event in reversed(body) if isinstance(event, Tags)), ())
    status = draw(st.sampled_from([Status.FINISHED, Status.FAILED, Status.CRASHED]))
    name, notes = draw(st.text(max_size=12)), draw(st.text(max_size=12))
    end = max([START, *(event.time for event in body)]) + 1
    info = RunInfo(id=run_id, name=name, project="random", notes=notes, tags=tags, status=status, start=START, end=end, directory=folder)
    last = [] if status == Status.CRASHED else [End(end, status)]
    all_events = [Start(START, run_id=run_id, project="random", name=name, notes=notes), *body, *last]
    script = ["open"]
    for _ in range(draw(st.integers(0, 3))):
        script += [
            f"write {draw(st.integers(0, 12))} {draw(st.integers(1, 6))}",
            *draw(st.sampled_from([[], ["flush", "save"], ["flush"]])),
        ]
    records = [Record(FIRST, sequence, event) for sequence, event in enumerate(all_events)]
    return Workload(info, records), [*script, "write rest 5", "flush", "close"]
