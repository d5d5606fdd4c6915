"""The options of whatever makes many runs: where they are made, and where they are read back from."""

import argparse

from trackbridge_examples.sweep.engines import ENGINES
from trackbridge_examples.training import positive


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """``--engine``, ``--jobs`` and ``--source``."""
    parser.add_argument("--engine", choices=ENGINES, default="joblib", help="this machine, or a Ray cluster (%(default)s)")
    parser.add_argument("--jobs", type=positive, help="runs at the same time (as many as there are cores)")
    parser.add_argument("--source", help="where finished runs are read back from: a backend (the journals)")
