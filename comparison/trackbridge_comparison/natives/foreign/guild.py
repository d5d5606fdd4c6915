"""A Guild run's event files, as TensorBoard's."""

from pathlib import Path

import wire


def read(folder, name):
    return wire.scalars((Path(folder) / "runs" / name).rglob("*events.*"))
