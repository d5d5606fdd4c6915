"""Trains a small network with MADGRAD (arXiv 2101.11075), Adam, AdamW or SGD with momentum, or compares the four.

    python -m trackbridge_examples.madgrad --optimizer adamw --lr 3e-3 --weight-decay 0.1
    python -m trackbridge_examples.madgrad --study --jobs 2    # the search and the comparison; the same command goes on with them

The images are Fashion-MNIST.  Where it cannot be had, runs train on MNIST digits instead, say so, and have it in their
configuration.
"""

import sys
from collections.abc import Sequence

from trackbridge import TrackBridgeError
from trackbridge_examples.data import DatasetUnavailable
from trackbridge_examples.madgrad.options import parse
from trackbridge_examples.madgrad.study import run_study
from trackbridge_examples.madgrad.train import train
from trackbridge_examples.sweep.conduct import make_console


def main(argv: Sequence[str] | None = None) -> None:
    """Makes the run, or the runs of the study, that the command line asks for."""
    args = parse(argv, __doc__)
    try:
        if args.study:
            run_study(args, make_console())
        else:
            train(args)
    except (DatasetUnavailable, TrackBridgeError) as reason:
        sys.exit(str(reason))
