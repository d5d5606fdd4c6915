"""MLflow's SQLite store."""

import sqlite3

QUERY = "SELECT key, step, value FROM metrics JOIN runs USING (run_uuid) WHERE name = ? AND NOT is_nan ORDER BY timestamp, step"


def read(folder, name):
    series = {}
    for key, step, value in sqlite3.connect(f"{folder}/mlflow.db").execute(QUERY, (name,)):
        series.setdefault(key, []).append((step, value))
    return series
