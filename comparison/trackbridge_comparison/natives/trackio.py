"""trackio's own calls and its SQLite file; it sends a batch every half second."""

import os


def start(folder, name):
    os.environ["TRACKIO_DIR"] = str(folder)
    import trackio

    return trackio.init(project="comparison", name=name)


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
