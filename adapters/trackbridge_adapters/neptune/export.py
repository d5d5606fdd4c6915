"""What Neptune's exporter left: Parquet files with a row for each value, and the downloaded files beside them. They are only read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trackbridge_adapters.neptune import layout
from trackbridge_adapters.neptune.layout import Held, Sets, Stored

COLUMNS = {"int": "int_value", "float": "float_value", "string": "string_value", "bool": "bool_value", "datetime": "datetime_value"}
COLUMNS |= {"string_set": "string_set_value", "float_series": "float_value", "string_series": "string_value"}
COLUMNS |= {"histogram_series": "histogram_value", "file": "file_value", "file_series": "file_value"}
FIRST = "_part_0.parquet"
ROWS = 10_000


class Run:
    """Reads one run, from all of its parts."""

    def __init__(self, first: Path, files: Path) -> None:
        self._parts = sorted(first.parent.glob(f"{first.name.removesuffix(FIRST)}_part_*.parquet"), key=_number)
        self._files = files
        row = next(self._rows(), {})
        self.project, self.run_id, self.name, self.start = row.get("project_id") or "", row.get("run_id") or first.stem, "", 0
        for held in self.held(series=False):
            if held.path == "sys/custom_run_id" and held.value:
                self.run_id = str(held.value)
            elif held.path == "sys/creation_time":
                self.start = held.time

    def _rows(self, kinds: tuple[str, ...] = tuple(COLUMNS)) -> Iterator[dict[str, Any]]:
        from pyarrow import parquet

        for part in self._parts:
            for batch in parquet.ParquetFile(part).iter_batches(ROWS):
                yield from (row for row in batch.to_pylist() if row["attribute_type"] in kinds)

    def held(self, series: bool = True) -> Iterator[Held]:
        kinds = tuple(kind for kind in COLUMNS if series or kind != "float_series")
        for row in self._rows(kinds):
            kind = row["attribute_type"]
            value = row[COLUMNS[kind]]
            if value is None:
                continue
            time = _nanoseconds(row["timestamp"])
            if kind == "datetime":
                time, value = _nanoseconds(value), value.isoformat()
            elif kind == "string_set":
                value = Sets(value)
            elif kind.startswith("file"):
                path = self._files / value["path"]
                value = Stored(path.name, path if path.is_file() else None)
            elif kind == "histogram_series":
                value = {"edges": value["edges"], "counts": value["values"]}
            yield Held(row["attribute_path"], value, kind.endswith("_series"), layout.whole(row["step"]), time)


def runs(location: Path) -> Iterator[Run]:
    """The runs that were exported to `location`, or to ``data`` in it; the files lie in ``files`` beside the data."""
    for data in (location, location / "data"):
        for first in sorted(data.glob(f"*/*{FIRST}")):
            yield Run(first, data.parent / "files")


def _number(part: Path) -> int:
    return int(re.sub(r".*_part_", "", part.stem))


def _nanoseconds(time: Any) -> int:
    """pyarrow gives a datetime of whole milliseconds, with its zone."""
    return round(time.timestamp() * 1000) * 1_000_000 if time is not None else 0
