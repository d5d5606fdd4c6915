"""Runs at rest as Parquet, for analysis."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from trackbridge.records import Status


def compact(run: Path, out: Path) -> Path | None:
    """Write all points of the run in folder `run` to ``OUT/project=<project>/run=<id>.parquet``; the journal stays.

    The frame is that of :attr:`trackbridge.reading.RunData.metrics`, sorted by key, with zstd: 8 bytes a point measured on random doubles.

    Returns:
        The file, or None when the run goes on.

    Raises:
        SettingsError: polars is not installed.
    """
    from trackbridge.reading import read

    data = read(run)
    if data.info.status == Status.RUNNING:
        return None
    folder = out / f"project={quote(data.info.project, safe='')}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"run={data.info.id}.parquet"
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    data.metrics.sort("key", maintain_order=True).write_parquet(temporary, compression="zstd", compression_level=3)
    os.replace(temporary, path)
    return path
