"""Trains small EfficientNets (arXiv 1905.11946) and EfficientNetV2s (arXiv 2104.00298), one or a study of several.

    python -m trackbridge_examples.efficientnet --optimizer madgrad   # one EfficientNetV2
    python -m trackbridge_examples.efficientnet --study scaling       # deeper, wider, larger images, or all three
    python -m trackbridge_examples.efficientnet --study versions      # MBConv against Fused-MBConv, in two layouts
    python -m trackbridge_examples.efficientnet --study progressive   # image size and regularisation that rise together
    python -m trackbridge_examples.efficientnet --study papers        # count the papers' models
    python -m trackbridge_examples.efficientnet --table               # the lecture's table, counted

The images are Fashion-MNIST.  Where it cannot be had, a run trains on 5,000 MNIST digits instead, says so in its
configuration, and the tables of a study show no accuracy.  A study that was stopped goes on with the same command.
"""

from collections.abc import Sequence

from trackbridge_examples.data import DatasetUnavailable
from trackbridge_examples.efficientnet.augment import Stage
from trackbridge_examples.efficientnet.network import SMALL
from trackbridge_examples.efficientnet.options import parse
from trackbridge_examples.efficientnet.papers import log_papers
from trackbridge_examples.efficientnet.progressive import progressive
from trackbridge_examples.efficientnet.run import Finished, Plan, Result, train
from trackbridge_examples.efficientnet.scaling import scaling
from trackbridge_examples.efficientnet.table import log_table
from trackbridge_examples.efficientnet.tasks import load
from trackbridge_examples.efficientnet.versions import versions

STUDIES = {"scaling": scaling, "versions": versions, "progressive": progressive}


def main(argv: Sequence[str] | None = None) -> list[Result]:
    """The results of the trainings that the command line asks for; none where it asks for counts."""
    args = parse(argv, __doc__)
    if args.table:
        log_table(args.project)
        return []
    if args.study == "papers":
        log_papers(args.project)
        return []
    try:
        task = load(args)
        if args.study:
            return STUDIES[args.study](args, task, Finished(args))
        return [train(args, Plan(f"{SMALL}-{args.optimizer}", (Stage(args.size),)), task)]
    except DatasetUnavailable as reason:
        raise SystemExit(str(reason)) from None
