"""DVCLive's TSV files: in the commit of an experiment, which git shows; those of a run that goes on, or was killed, in the workspace."""

import csv
import subprocess
from pathlib import Path

METRICS = "dvclive/plots/metrics"


def read(folder, name):
    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout

    commits = [line.split()[0] for line in git("show-ref").splitlines() if line.endswith(f"/{name}") and " refs/exps/" in line]
    if commits:
        paths = git("ls-tree", "-r", "--name-only", commits[0], METRICS).splitlines()
        texts = {path: git("show", f"{commits[0]}:{path}") for path in paths}
    else:
        texts = {str(path.relative_to(folder)): path.read_text() for path in (Path(folder) / METRICS).rglob("*.tsv")}
    series = {}
    for path, text in texts.items():
        key = path.removeprefix(f"{METRICS}/").removesuffix(".tsv")
        rows = csv.DictReader(text.splitlines(), delimiter="\t")
        series[key] = [(int(row["step"]), float(row[key.rpartition("/")[2]])) for row in rows]
    return series
