"""trackio's SQLite store: a JSON object for each call."""

import json
import sqlite3


def read(folder, name):
    series = {}
    rows = sqlite3.connect(f"{folder}/comparison.db").execute("SELECT step, metrics FROM metrics WHERE run_name = ? ORDER BY id", (name,))
    for step, metrics in rows:
        for key, value in json.loads(metrics).items():
            series.setdefault(key, []).append((step, value))
    return series
