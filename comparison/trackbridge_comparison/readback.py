"""``python -m trackbridge_comparison.readback OUT BACKEND TARGET RUN ...``: read runs back from one tracker, in this fresh process.

RUN is a run's folder (its journal). Writes to OUT a JSON list of :class:`~trackbridge_comparison.schema.Readback`, one for each run.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

import trackbridge
from trackbridge.adapters import Target
from trackbridge.reading import RunData
from trackbridge.transfer.verify import verify
from trackbridge_comparison.portable import portable
from trackbridge_comparison.schema import Readback, Reading

SHOWN = 20
"""At most so many differences are listed for a run."""


def exact(value: Any) -> str:
    """`value` as text that no other value has: 1, 1.0, True and '1' stay apart."""
    return repr(value)


def last_points(run: RunData) -> dict[str, Any]:
    """For each metric its last value."""
    return {row["key"]: row["value_any"] for row in run.rows()}


def results_table(run: RunData) -> dict[str, Any]:
    """The rows (metric, value) of the table ``results`` that was logged last."""
    rows: dict[str, Any] = {}
    for media in run.media:
        if media.key == "results" and media.kind == "table" and isinstance(media.inline, dict):
            rows = {str(row[0]): row[1] for row in media.inline.get("rows", ()) if len(row) == 2}
    return rows


def holds(run: RunData) -> dict[str, dict[str, Any]]:
    """What a run holds of its results, by the place where it holds it."""
    summary = {key: value for key, value in run.summary.items() if not isinstance(value, dict)}
    return {"series": last_points(run), "summary": summary, "results table": results_table(run)}


def readings(logged: RunData, native: RunData, restored: RunData) -> list[Reading]:
    """The result table of `logged`, as the tracker holds it natively and with its sidecar."""
    wanted = results_table(logged) or {key: value for key, value in logged.summary.items() if not key.startswith("time/")}
    there, again = holds(native), last_points(restored) | results_table(restored)
    found = []
    for metric, value in wanted.items():
        held = {place: exact(values[metric]) for place, values in there.items() if metric in values}
        first = next(iter(held.values()), "")
        found.append(
            Reading(
                metric=metric,
                logged=exact(value),
                native=first,
                restored=exact(again[metric]) if metric in again else "",
                sources=list(held),
                differing={place: text for place, text in held.items() if text != first},
            )
        )
    return found


def read_back(folder: Path, backend: str, target: str) -> Readback:
    """Read one run back and compare it with its journal."""
    try:
        logged = trackbridge.read(folder)
        native = trackbridge.read(folder.name, target, sidecar=False)
        restored = trackbridge.read(folder.name, target)
        result = verify(folder, Target.parse(target))
    except Exception as error:
        return Readback(backend=backend, error=portable(f"{type(error).__name__}: {error}")[:2000])
    differences = [f"native: {difference}" for difference in result.native]
    differences += [f"with sidecar: {difference}" for difference in result.restored]
    differences += [f"edited: {deviation.subject}" for deviation in result.edited]
    return Readback(
        backend=backend,
        readings=readings(logged, native, restored),
        points=result.points,
        verified=result.verified,
        differences=[portable(text)[:500] for text in differences[:SHOWN]],
    )


def main(arguments: Sequence[str]) -> None:
    out, backend, target, *folders = arguments
    found = [read_back(Path(folder), backend, target) for folder in folders]
    Path(out).write_bytes(msgspec.json.encode(found))


if __name__ == "__main__":
    main(sys.argv[1:])
