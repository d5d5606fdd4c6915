"""trackio's own calls and its SQLite file; it sends a batch every half second."""

import os
import sqlite3
import sys
from pathlib import Path


def start(folder, name):
    os.environ["TRACKIO_DIR"] = str(folder)
    import trackio

    server = os.environ.get("TRACKER_ADDRESS")
    url = f"http://{server}?write_token={os.environ['TRACKIO_WRITE_TOKEN']}" if server else None
    return trackio.init(project="comparison", name=name, server_url=url)


def log(run, values, step):
    run.log(values, step=step)


def finish(run):
    run.finish()


def storage(folder):
    os.environ["TRACKIO_DIR"] = str(folder)
    from trackio.sqlite_storage import SQLiteStorage

    return SQLiteStorage


def read(folder, name):
    series = {}
    for row in storage(folder).get_logs("comparison", name):
        for key, value in row.items():
            if key not in ("step", "timestamp"):
                series.setdefault(key, []).append((row["step"], value))
    return series


def count_runs(folder):
    return len(storage(folder).get_runs("comparison"))


def filter_runs(folder, name):
    return sum(1 for run in storage(folder).get_run_records("comparison") if run["name"] == name)


def compact(folder):
    for path in Path(folder).glob("*.db"):
        sqlite3.connect(path).execute("VACUUM")


def serve(folder, port):
    command = [str(Path(sys.executable).with_name("trackio")), "show", "--host", "127.0.0.1"]
    return ["env", f"TRACKIO_DIR={folder}", f"GRADIO_SERVER_PORT={port}", *command]
