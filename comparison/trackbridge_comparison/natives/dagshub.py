"""DAGsHub's open-source logger, which writes its CSV file at each call."""

from pathlib import Path

from dagshub.logger import DAGsHubLogger


def start(folder, name):
    place = Path(folder) / name
    place.mkdir(parents=True)
    return DAGsHubLogger(metrics_path=str(place / "metrics.csv"), hparams_path=str(place / "params.yml"))


def log(run, values, step):
    run.log_metrics(values, step_num=step)


def finish(run):
    run.save()
    run.close()
