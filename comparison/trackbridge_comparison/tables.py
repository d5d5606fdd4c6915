"""What lies beside ``data.json`` for other programs: ``cells.csv``, ``samples.parquet``, ``environment.json`` and the pinned requirements."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import msgspec
import polars

from trackbridge import environments
from trackbridge_comparison.schedule import LOCKS
from trackbridge_comparison.schema import Data

COLUMNS = ("id", "backend", "axis", "quantity", "way", "title", "unit", "status", "value", "samples", "low", "high", "detail", "command")
LAST = ("time", "seconds", "load", "versions", "log", "lock")


def write(data: Data, folder: Path) -> None:
    """Write all of them into the report's folder."""
    with (folder / "cells.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow((*COLUMNS, *LAST))
        for cell in data.cells:
            spec, samples = cell.spec, cell.samples
            of = (spec.id, spec.backend, spec.axis, spec.quantity, spec.way, spec.title, spec.unit, cell.status)
            spread = (min(samples), max(samples)) if samples else ("", "")
            found = ("" if cell.value is None else cell.value, len(samples), *spread, cell.detail, cell.command)
            versions = " ".join(f"{name}=={version}" for name, version in cell.versions.items())
            table.writerow((*of, *found, cell.time, cell.seconds, cell.load, versions, cell.log, cell.lock))
    rows = [(cell.spec.id, index, sample, cell.spec.unit) for cell in data.cells for index, sample in enumerate(cell.samples)]
    types = {"id": polars.String, "index": polars.Int64, "value": polars.Float64, "unit": polars.String}
    polars.DataFrame(rows, schema=types, orient="row").write_parquet(folder / "samples.parquet")
    about = {
        "machine": data.machine,
        "resumed": data.resumed,
        "versions": data.versions,
        "mode": data.mode,
        "seed": data.seed,
        "command": data.command,
        "started": data.started,
        "updated": data.updated,
    }
    (folder / "environment.json").write_bytes(msgspec.json.format(msgspec.json.encode(about), indent=1) + b"\n")
    for backend in data.backends:
        if pinned := environments.requirements(backend):
            (folder / LOCKS).mkdir(exist_ok=True)
            shutil.copyfile(pinned, folder / LOCKS / f"{backend}.txt")
