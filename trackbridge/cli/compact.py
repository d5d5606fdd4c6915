"""``trackbridge compact``: write runs as Parquet, for analysis."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trackbridge.cli.common import FAILED, Where, console, for_each_run
from trackbridge.journal import compact as parquet


def compact(
    where: Where = None, out: Annotated[Path, typer.Option("--out", help="The folder of the Parquet set.")] = Path("trackbridge-parquet")
) -> None:
    """Write the points of runs that have ended as Parquet, partitioned by project: polars, DuckDB and Spark read it without TrackBridge."""

    def one(path: Path) -> None:
        written = parquet.compact(path, out)
        console.print(str(written) if written else f"{path.name}: goes on, left for later", markup=False, highlight=False)

    if not for_each_run(where, one):
        raise typer.Exit(FAILED)
