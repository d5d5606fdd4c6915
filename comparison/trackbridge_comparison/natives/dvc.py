"""DVCLive in a git and DVC repository; ``next_step`` after each call and an experiment at the end, as by default."""

import csv
import os
import subprocess
import sys
from pathlib import Path

os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

from dvc.api import DVCFileSystem, exp_show
from dvc.scm import RevError
from dvclive import Live


def prepare(folder):
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"], ["git", "commit", "-q", "--allow-empty", "-m", "begin"]):
        subprocess.run(command, cwd=folder, check=True)


def start(folder, name):
    if not (Path(folder) / ".git").exists():
        prepare(folder)
    os.chdir(folder)
    return Live(exp_name=name)


def log(run, values, step):
    run.step = step
    for key, value in values.items():
        run.log_metric(key, value)
    run.next_step()


def finish(run):
    run.end()


def tables(folder, revision):
    files = DVCFileSystem(str(folder), rev=revision)
    return {path: files.read_text(path) for path in files.find("dvclive/plots/metrics")}


def read(folder, name):
    try:
        texts = tables(folder, name)
    except RevError:  # a run that goes on, or was killed, lies in the workspace
        texts = tables(folder, None)
    series = {}
    for path, text in texts.items():
        key = path.partition("plots/metrics/")[2].removesuffix(".tsv")
        rows = csv.DictReader(text.splitlines(), delimiter="\t")
        series[key] = [(int(row["step"]), float(row[key.rpartition("/")[2]])) for row in rows]
    return series


def count_runs(folder):
    return sum(1 for row in exp_show(repo=str(folder)) if row["Experiment"])


def filter_runs(folder, name):
    return sum(1 for row in exp_show(repo=str(folder)) if row["Experiment"] == name)


def compact(folder):
    subprocess.run(["git", "gc", "-q", "--prune=now"], cwd=folder, check=True)
