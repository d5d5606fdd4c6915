"""Trains the small EfficientNetV2 on several processes, each with its share of every batch, as one run.

    TRACKBRIDGE_RANKS=zero torchrun --standalone --nproc-per-node 2 -m trackbridge_examples.data_parallel
    TRACKBRIDGE_RANKS=all torchrun --standalone --nproc-per-node 2 -m trackbridge_examples.data_parallel

Every process makes the same calls.  With ``zero``, the default, TrackBridge keeps those of rank 0 alone; with ``all``
each process writes a shard of the run's journal, and what rank 1 logs as ``train/loss`` is read as ``rank1/train/loss``.
The run's id is the launch's, so the ranks find each other; ``torchrun --rdzv-id`` or ``TRACKBRIDGE_RUN_ID`` chooses it.

A process trains on a CPU, and gradients are averaged through gloo.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import distributed, nn

import trackbridge
from trackbridge_examples.data import digits, fashion_mnist_or_digits
from trackbridge_examples.efficientnet.network import SMALL, make_network
from trackbridge_examples.training import (
    accuracy,
    add_common_options,
    evaluate,
    gradient_norm,
    grey_input,
    log_checkpoint,
    log_results,
    parse_with_presets,
    positive,
    positive_number,
    seed_everything,
    shuffled_batches,
)

DATASETS = {"fashion-mnist": fashion_mnist_or_digits, "digits": digits}
PRESETS: dict[str, dict[str, object]] = {
    "quick": {"epochs": 2},
    "smoke": {"epochs": 1, "train_size": 640, "test_size": 200, "dataset": "digits"},
}


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The settings of a run."""
    parser = argparse.ArgumentParser(
        prog="torchrun -m trackbridge_examples.data_parallel",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--lr", type=positive_number, default=0.1, help="of SGD with momentum (%(default)s)")
    parser.add_argument("--dataset", choices=DATASETS, default="fashion-mnist", help="(%(default)s)")
    parser.add_argument("--epochs", type=positive, default=4, help="(%(default)s)")
    parser.add_argument("--train-size", type=positive, default=6000, help="images (%(default)s)")
    parser.add_argument("--test-size", type=positive, default=1500, help="images (%(default)s)")
    parser.add_argument("--batch-size", type=positive, default=64, help="images of all processes together (%(default)s)")
    add_common_options(parser, project="efficientnet")
    args = parse_with_presets(parser, PRESETS, argv)
    if "WORLD_SIZE" not in os.environ:
        parser.error("torchrun starts it: torchrun --standalone --nproc-per-node 2 -m trackbridge_examples.data_parallel")
    if args.batch_size % int(os.environ["WORLD_SIZE"]):
        parser.error(
            f"--batch-size {args.batch_size} does not divide among {os.environ['WORLD_SIZE']} processes: their gradients count alike"
        )
    return args


def train(args: argparse.Namespace, rank: int, processes: int) -> None:
    """This process's part of the run; rank 0 also tests."""
    seed_everything(args.seed)
    dataset = DATASETS[args.dataset](args.seed).subset(args.train_size, args.test_size, args.seed)
    network = make_network(len(dataset.classes))
    model = nn.parallel.DistributedDataParallel(network)
    optimizer = torch.optim.SGD(model.parameters(), args.lr, momentum=0.9)

    started = time.process_time()
    with trackbridge.init(
        project=args.project,
        name=f"{SMALL}-{processes}-processes-seed{args.seed}",
        group=args.group or f"data-parallel-seed{args.seed}",
        tags=["efficientnet", "data-parallel"],
        config={**vars(args), "dataset": dataset.name, "dataset_note": dataset.note, "model": SMALL, "processes": processes},
    ) as run:
        run.define_metric("test/*", step="epoch")
        step = 0
        rng = np.random.default_rng(args.seed)
        results: dict[str, float] = {}
        for epoch in range(1, args.epochs + 1):
            model.train()
            for batch in shuffled_batches(len(dataset.train.labels), args.batch_size, rng):
                step += 1
                step_started = time.perf_counter()
                pixels, labels = dataset.train.take(batch[rank::processes])
                logits = model(grey_input(pixels))
                loss = nn.functional.cross_entropy(logits, torch.from_numpy(labels))
                optimizer.zero_grad()
                loss.backward()
                scalars = {
                    "train/loss": loss.item(),
                    "train/accuracy": accuracy(logits.detach().argmax(1).numpy() == labels),
                    "train/grad_norm": gradient_norm(model),
                }
                optimizer.step()
                scalars["time/step_ms"] = 1e3 * (time.perf_counter() - step_started)
                trackbridge.log(scalars, step=step)
            if rank == 0:
                predictions, losses = evaluate(network, *dataset.test, grey_input)
                results = {"test/accuracy": accuracy(predictions == dataset.test.labels), "test/loss": float(losses.mean())}
                trackbridge.log({"epoch": epoch, **results}, step=step)
                print(f"epoch {epoch}: accuracy {results['test/accuracy']:.1f} % on {dataset.name}")
        if rank == 0:
            log_results(run, results, step)
            log_checkpoint(network)
            run.summary["time/cpu_s"] = time.process_time() - started


def main(argv: Sequence[str] | None = None) -> None:
    """This process's part of the run that the command line asks for."""
    args = parse(argv)
    distributed.init_process_group("gloo")
    try:
        train(args, distributed.get_rank(), distributed.get_world_size())
    except trackbridge.TrackBridgeError as error:
        sys.exit(str(error))
    finally:
        distributed.destroy_process_group()


if __name__ == "__main__":
    main()
