"""DVCLive's TSV files in the commit of an experiment, which git shows."""

import csv
import subprocess


def read(folder, name):
    def git(*arguments):
        return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout

    (commit,) = (line.split()[0] for line in git("show-ref").splitlines() if line.endswith(f"/{name}") and " refs/exps/" in line)
    series = {}
    for path in git("ls-tree", "-r", "--name-only", commit, "dvclive/plots/metrics").splitlines():
        key = path.partition("plots/metrics/")[2].removesuffix(".tsv")
        rows = csv.DictReader(git("show", f"{commit}:{path}").splitlines(), delimiter="\t")
        series[key] = [(int(row["step"]), float(row[key.rpartition("/")[2]])) for row in rows]
    return series
