"""TensorBoard's event files: protobuf in TensorFlow's records."""

from pathlib import Path

import wire


def read(folder, name):
    return wire.scalars((Path(folder) / name).glob("events.*"))
