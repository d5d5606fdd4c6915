"""W&B offline, as without an account: its log file is uploaded later by ``wandb sync``, and read here by the vendor's ``wandb leet inspect``."""

import json
import subprocess
import sys
from pathlib import Path

import wandb


def start(folder, name):
    return wandb.init(mode="offline", dir=folder, project="comparison", id=name)


def tuned_start(folder, name):
    """No metrics of the system, no description of the machine, floats to the last bit, and a flush every half second."""
    settings = wandb.Settings(
        console="off",
        disable_code=True,
        disable_git=True,
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_history_value_encoding="json,typed",
        x_save_requirements=False,
        x_transaction_log_flush_interval=0.5,
    )
    return wandb.init(mode="offline", dir=folder, project="comparison", id=name, settings=settings)


def log(run, values, step):
    run.log(values)


def finish(run):
    run.finish()


def read(folder, name):
    (path,) = Path(folder).glob(f"wandb/offline-run-*-{name}/run-{name}.wandb")
    command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(path)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    series = {}
    for record in map(json.loads, printed.splitlines()):
        if record["type"] == "history":
            row = record["history"]["item"]
            for key, value in row.items():
                if not key.startswith("_"):
                    series.setdefault(key, []).append((row["_step"], value))
    return series
