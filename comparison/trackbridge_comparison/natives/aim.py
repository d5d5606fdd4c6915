"""Aim's Run in a local repository, which is its default. Its reader finds what is indexed, as ``aim up`` does it, and here the read."""

import os
import sys
from pathlib import Path

import aim
from aim import Repo
from aim.sdk.index_manager import RepoIndexManager


def repo(folder):
    return Repo(str(folder), init=not Repo.exists(str(folder)))


def prepare(folder):
    repo(folder)


def start(folder, name, **options):
    server = os.environ.get("TRACKER_ADDRESS")
    run = aim.Run(repo=f"aim://{server}" if server else repo(folder), experiment="comparison", **options)
    run.name = name
    return run


def tuned_start(folder, name):
    """Neither metrics of the system nor what is printed."""
    return start(folder, name, system_tracking_interval=None, capture_terminal_logs=False, log_system_params=False)


def log(run, values, step):
    run.track(values, step=step)


def finish(run):
    run.close()


def read(folder, name):
    index = RepoIndexManager(repo(folder))
    for run in repo(folder).list_all_runs():
        index.index(run)
    found = repo(folder).query_metrics(f"run.name == '{name}'", report_mode=0).iter_runs()
    series = {}
    for metric in (metric for run in found for metric in run if not metric.name.startswith("__")):
        steps, (values, *_) = metric.data.numpy()
        series[metric.name] = list(zip(steps.tolist(), values.tolist(), strict=True))
    return series


def count_runs(folder):
    return len(repo(folder).list_all_runs())


def filter_runs(folder, name):
    return sum(1 for _ in repo(folder).query_runs(f"run.name == '{name}'", report_mode=0).iter_runs())


def compact(folder):
    repo(folder).prune()


def serve(folder, port):
    return [str(Path(sys.executable).with_name("aim")), "server", "--host", "127.0.0.1", "--port", port, "--repo", str(folder)]
