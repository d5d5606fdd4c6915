"""Delivery of 100,000 points, 20 keys a step, into each tracker: our forwarder's code against the best path of the tracker's own client.

Both in fresh processes where the client is, in turns, on the same values, from after the run is open until it is closed; the sidecar is
excluded. Beside them the plain calls of the client's documentation, once each time. A sample counts only when the tracker's reader then finds
every point.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from trackbridge_comparison import tools

from benchmarks.statistics import ratio
from tests.adapters.moto import AWS, moto_server

SHOWS_NOT = (
    "servers and vendors' clouds (all local or offline; SageMaker is moto on loopback, whose time both pay); other shapes than 20 floats a call; "
    "the start of the client, which both pay"
)
LIMIT = 1 / 0.9  # time against time: at least 0.9 of the client's speed
MEMORY_MIB = 64
ROOT = Path(__file__).resolve().parent.parent
BACKENDS = (
    "jsonl", "tensorboard", "mlflow", "wandb", "trackio", "aim", "swanlab", "dvc", "dagshub", "guild", "kubeflow", "comet", "neptune",
    "sagemaker", "clearml",
)  # fmt: skip
REPEATS = {"clearml": 3, "neptune": 3, "sagemaker": 3, "wandb": 25, "trackio": 25}
"""A sample of the client takes a minute or more of the first three; those of the last two spread."""
RUN = "import sys; sys.path[:0] = sys.argv[1].split(':'); from benchmarks.deliver_once import main; main(*sys.argv[2:])"


def run(options: Namespace) -> Iterator[dict[str, object]]:
    for backend in options.backends.split(",") if options.backends else BACKENDS:
        with server(backend) as variables:
            samples = [_turn(backend, variables) for _ in range(options.repeats or REPEATS.get(backend, 7))]
        ours, best = ([turn[who]["seconds"] for turn in samples] for who in ("ours", "best"))
        row = ratio(f"{backend}: our seconds / the client's best path", ours, best, LIMIT)
        extra = median(turn["ours"]["mib"] for turn in samples) - median(turn["best"]["mib"] for turn in samples)
        speeds = {who: round(median(turn[who]["points"] / turn[who]["seconds"] for turn in samples)) for who in ("plain", "best", "ours")}
        row |= {"backend": backend, "points_per_s": speeds, "memory_over_client_mib": round(extra, 1)}
        row |= {"memory_verdict": "met" if extra <= MEMORY_MIB else "missed"}
        yield row


@contextlib.contextmanager
def server(backend: str) -> Iterator[dict[str, str]]:
    """What a tracker that is a service needs here: the variables of a stand-in for it."""
    if backend != "sagemaker":
        yield {}
        return
    with tempfile.TemporaryDirectory() as folder, moto_server(Path(folder)) as url:
        yield AWS | {"AWS_ENDPOINT_URL": url}


def _turn(backend: str, variables: dict[str, str]) -> dict[str, Any]:
    return {who: _sample(backend, who, variables) for who in ("plain", "best", "ours")}


def _sample(backend: str, who: str, variables: dict[str, str]) -> dict[str, float]:
    from trackbridge import environments, registry
    from trackbridge.adapters import Target

    adapter = registry.get(backend)
    lacking = registry.missing(adapter.requires)
    home = environments.create(backend) if lacking else None
    interpreter, places = (str(home.interpreter), [str(ROOT), str(environments.source(backend))]) if home else (sys.executable, [str(ROOT)])
    with tempfile.TemporaryDirectory() as folder:
        place = variables.get("AWS_ENDPOINT_URL") or f"{folder}/target"
        target = adapter.resolve(Target(backend, "" if backend == "wandb" else place, options=OFFLINE.get(backend, {})), Path(folder))
        command = [interpreter, "-I", "-W", "ignore", "-c", RUN, ":".join(places), backend, who, str(target), folder]
        environment = os.environ | tools.variables([backend], Path(folder)) | variables
        result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
        if result.returncode:
            raise RuntimeError(f"{backend} {who} failed:\n{result.stderr[-3000:]}")
        found: dict[str, float] = json.loads(result.stdout.splitlines()[-1])
        return found


OFFLINE = {name: {"mode": "offline"} for name in ("comet", "clearml")}
