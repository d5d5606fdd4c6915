"""One training, logged as a run."""

import argparse
import time

import numpy as np
import torch
from torch import nn

import trackbridge
from trackbridge_examples.bias.network import make_network
from trackbridge_examples.data import Dataset, Images
from trackbridge_examples.madgrad.options import DATASETS
from trackbridge_examples.optimizers import OPTIMIZERS
from trackbridge_examples.training import (
    accuracy,
    confusion_table,
    evaluate,
    gradient_norm,
    grey_input,
    histograms,
    image_grid,
    log_checkpoint,
    log_results,
    seed_everything,
    shuffled_batches,
    steps_in_all,
)

NOT_SETTINGS = ("project", "group", "study", "engine", "jobs", "source")  # options that do not change what is trained
SELECTED_BY = "validation/accuracy"


def train(args: argparse.Namespace) -> dict[str, float]:
    """One run; its headline results.  The test images are looked at once, after training."""
    seed_everything(args.seed)
    dataset = DATASETS[args.dataset](args.seed).subset(args.images, args.test_size, args.seed)
    train_set, validation = halves(dataset)
    model = make_network(args.width)
    optimizer = OPTIMIZERS[args.optimizer](model.parameters(), args.lr, args.weight_decay)
    steps = steps_in_all(len(train_set.labels), args.batch_size, args.epochs)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, args.lr, total_steps=steps, pct_start=0.2, cycle_momentum=False)

    name = f"{args.optimizer}-lr{args.lr:g}-decay{args.weight_decay:g}-seed{args.seed}"
    started = time.process_time()
    with trackbridge.init(
        project=args.project,
        name=name,
        group=args.group or f"madgrad-seed{args.seed}",
        tags=["madgrad", args.optimizer],
        config={
            **{option: value for option, value in vars(args).items() if option not in NOT_SETTINGS},
            "dataset": dataset.name,
            "dataset_note": dataset.note,
            "train_images": len(train_set.labels),
            "validation_images": len(validation.labels),
            "test_images": len(dataset.test.labels),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
        },
    ) as run:
        run.define_metric("validation/*", step="epoch")
        if args.log_level != "light":
            trackbridge.log({"samples": trackbridge.Image(image_grid(train_set.pixels[:80, :, :, None], columns=10))}, step=0)

        step = 0
        rng = np.random.default_rng(args.seed)
        for epoch in range(1, args.epochs + 1):
            model.train()
            for batch in shuffled_batches(len(train_set.labels), args.batch_size, rng):
                step += 1
                step_started = time.perf_counter()
                pixels, labels = train_set.take(batch)
                logits = model(grey_input(pixels))
                loss = nn.functional.cross_entropy(logits, torch.from_numpy(labels))
                optimizer.zero_grad()
                loss.backward()
                scalars = {
                    "train/loss": loss.item(),
                    "train/accuracy": accuracy(logits.detach().argmax(1).numpy() == labels),
                    "train/grad_norm": gradient_norm(model),
                    "train/lr": schedule.get_last_lr()[0],
                }
                optimizer.step()
                schedule.step()
                scalars["time/step_ms"] = 1e3 * (time.perf_counter() - step_started)
                trackbridge.log(scalars, step=step)

            predictions, losses = evaluate(model, *validation, grey_input)
            results = {SELECTED_BY: accuracy(predictions == validation.labels), "validation/loss": float(losses.mean())}
            values: dict[str, object] = {"epoch": epoch, **results}
            if args.log_level != "light":
                values |= histograms(model, gradients=args.log_level == "heavy")
            trackbridge.log(values, step=step)
            print(f"{name} epoch {epoch}: validation accuracy {results[SELECTED_BY]:.1f} % on {dataset.name}")

        predictions, losses = evaluate(model, *dataset.test, grey_input)
        results |= {"test/accuracy": accuracy(predictions == dataset.test.labels), "test/loss": float(losses.mean())}
        log_results(run, results, step)
        if args.log_level != "light":
            trackbridge.log({"confusion": confusion_table(dataset.test.labels, predictions, dataset.classes)}, step=step)
            log_checkpoint(model)
        run.summary["time/cpu_s"] = time.process_time() - started
    return results


def halves(dataset: Dataset) -> tuple[Images, Images]:
    """The images that train, and as many others that validate: settings are selected by these, never by the test."""
    index = np.arange(len(dataset.train.labels))
    return dataset.train.take(index[::2]), dataset.train.take(index[1::2])
