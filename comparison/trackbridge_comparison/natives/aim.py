"""Aim's Run in a local repository, which is its default. Its reader finds what is indexed, as ``aim up`` does it, and here the read."""

import aim
from aim import Repo
from aim.sdk.index_manager import RepoIndexManager


def repo(folder):
    return Repo(str(folder), init=not Repo.exists(str(folder)))


def prepare(folder):
    repo(folder)


def start(folder, name):
    run = aim.Run(repo=repo(folder), experiment="comparison")
    run.name = name
    return run


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
