"""A small run with something of everything, as a user's script: ``TRACKBRIDGE_BACKEND=... python train.py``. It prints the run's id."""

from __future__ import annotations

import math
import time

import numpy

import trackbridge
from trackbridge import capture

capture.INTERVAL = 0.2  # a run of a second has some samples too
random = numpy.random.default_rng(0)
config = {"lr": 0.003, "epochs": 20, "model": {"name": "resnet18", "pretrained": False}}
with trackbridge.init("digits", name="small-network", config=config, tags=("baseline", "vision"), notes="The loss falls.") as run:
    for step in range(60):
        trackbridge.log(
            {"train/loss": 2.3 * math.exp(-step / 20) + 0.05 * random.random(), "val/accuracy": 1 - 0.9 * math.exp(-step / 15)}, step
        )
        time.sleep(0.02)
    across, down = numpy.meshgrid(numpy.arange(96) // 24, numpy.arange(96) // 24)
    tiles = numpy.stack([across * 80, down * 80, 240 - 40 * (across + down)], axis=-1).astype("uint8")
    trackbridge.log({"samples": trackbridge.Image(tiles, caption="colours"), "remark": trackbridge.Text("It is a test.")}, 59)
    run.summary["best"] = 0.98
print(run.id)
