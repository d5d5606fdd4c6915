"""How each tracker's own client is used, in one short script per backend, printed in the report so that anybody can judge whether it is fair.

A script is plain documented use with default settings (offline, telemetry off) and imports nothing of TrackBridge:

    start(folder, name)          begin a run
    log(run, values, step)       one call of the client for a mapping of scalars (one per key, where it takes no mapping)
    finish(run)                  end it
    read(folder, name)           {key: [(step, value), ...]} with the tracker's own reader
    prepare(folder)              (optional) what exists from a user's second run on; done before clocks start
    count_runs(folder)           (optional) how many runs the tracker's own listing finds

``driver`` runs them. A backend without a script gets the status ``unsupported`` in the cells of its own client.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
DRIVER = FOLDER / "driver.py"

DISTRIBUTIONS: dict[str, tuple[str, ...]] = {
    "jsonl": (),
    "mlflow": ("mlflow",),
    "tensorboard": ("tensorboard",),
    "wandb": ("wandb",),
}
"""What is installed to use a backend without TrackBridge."""


def script(backend: str) -> Path | None:
    """The script of this backend's own client, if there is one."""
    path = FOLDER / f"{backend}.py"
    return path if backend in DISTRIBUTIONS and path.is_file() else None


def sources() -> dict[str, str]:
    return {backend: path.read_text("utf-8") for backend in DISTRIBUTIONS if (path := script(backend)) is not None}
