"""MLflow's fluent interface and a local SQLite file, which is its default store; calls are synchronous, as by default."""

import os
import sqlite3
import sys

import mlflow
from mlflow.tracking import MlflowClient


def uri(folder):
    server = os.environ.get("TRACKER_ADDRESS")
    return f"http://{server}" if server else f"sqlite:///{folder}/mlflow.db"


def prepare(folder):
    MlflowClient(uri(folder)).search_experiments()  # makes the tables


def start(folder, name):
    mlflow.set_tracking_uri(uri(folder))
    return mlflow.start_run(run_name=name)


def log(run, values, step):
    mlflow.log_metrics(values, step=step)


def finish(run):
    mlflow.end_run()


def read(folder, name):
    client = MlflowClient(uri(folder))
    (run,) = client.search_runs(["0"], f"attributes.run_name = '{name}'")
    histories = {key: client.get_metric_history(run.info.run_id, key) for key in run.data.metrics}
    return {key: [(point.step, point.value) for point in history] for key, history in histories.items()}


def count_runs(folder):
    return len(MlflowClient(uri(folder)).search_runs(["0"], max_results=50_000))


def filter_runs(folder, name):
    return len(MlflowClient(uri(folder)).search_runs(["0"], f"attributes.run_name = '{name}'"))


def compact(folder):
    sqlite3.connect(f"{folder}/mlflow.db").execute("VACUUM")


def serve(folder, port):
    place = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", f"{folder}/artifacts"]
    return [sys.executable, "-m", "mlflow", "server", *place, "--host", "127.0.0.1", "--port", port, "--workers", "1"]
