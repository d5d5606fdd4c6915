"""``python -I driver.py SCRIPT VERB FOLDER [...]``: runs one of the scripts beside this file, and measures it from outside.

It needs nothing but the standard library and the tracker, so that it also runs in the tracker's own environment. Prints one line of JSON.

    prepare FOLDER                    what exists from a user's second run on
    first FOLDER                      one value logged, the run ended, the value read back
    write FOLDER NAME CALLS KEYS      seconds from the first call until the run is ended
    read FOLDER NAME CALLS KEYS       seconds of the read, and whether every value came back
    time FOLDER NAME CALLS PAUSE BURST KEYS
                                      nanoseconds of each of CALLS calls with PAUSE seconds in between, then of BURST calls in a row
    runs FOLDER COUNT                 writes COUNT runs of one call each
    list FOLDER                       seconds of the tracker's listing of runs, and how many it finds
    forever FOLDER NAME DESCRIPTOR PAUSE KEYS
                                      logs until it is killed; after each call that returned, its step goes to the file descriptor
    kept FOLDER NAME CALLS KEYS       how many of the first CALLS calls came back whole
"""

import importlib.util
import json
import math
import os
import sys
import time
from pathlib import Path

PLACE = Path(__file__).resolve().parent


def values(step, keys):
    """Finite floats that change from call to call, none of them a round number."""
    return {f"metric/{key}": ((step * 31 + key * 7) % 997 + 1) / 7 for key in range(keys)}


def same(found, wanted):
    """Equal to the precision of float32: whether every point is there is asked here, how exact it is elsewhere."""
    return isinstance(found, (int, float)) and math.isclose(found, wanted, rel_tol=1e-6)


def load(name):
    path = PLACE / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"native_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def whole(series, calls, keys):
    """The steps below `calls` of which every key has its value, exactly once."""
    good = None
    for key, _ in values(0, keys).items():
        points = {}
        for step, value in series.get(key, []):
            points.setdefault(step, []).append(value)
        here = {step for step, found in points.items() if step < calls and len(found) == 1 and same(found[0], values(step, keys)[key])}
        good = here if good is None else good & here
    return good or set()


def prepare(client, folder):
    if hasattr(client, "prepare"):
        client.prepare(folder)
    return {}


def first(client, folder):
    run = client.start(folder, "first")
    client.log(run, {"loss": 0.5}, 0)
    client.finish(run)
    found = client.read(folder, "first")
    assert found.get("loss") == [(0, 0.5)], found
    return {}


def write(client, folder, name, calls, keys):
    rows = [values(step, int(keys)) for step in range(int(calls))]
    run = client.start(folder, name)
    begin = time.perf_counter()
    for step, row in enumerate(rows):
        client.log(run, row, step)
    logged = time.perf_counter()
    client.finish(run)
    return {"logged": logged - begin, "seconds": time.perf_counter() - begin}


def read(client, folder, name, calls, keys):
    begin = time.perf_counter()
    series = client.read(folder, name)
    seconds = time.perf_counter() - begin
    points = sum(map(len, series.values()))
    whole_steps = len(whole(series, int(calls), int(keys)))
    return {"seconds": seconds, "points": points, "complete": whole_steps == int(calls) and points == int(calls) * int(keys)}


def time_calls(client, folder, name, calls, pause, burst, keys):
    calls, burst, pause, keys = int(calls), int(burst), float(pause), int(keys)
    rows = [values(step, keys) for step in range(calls + burst)]
    run = client.start(folder, name)
    clock, log, sleep = time.perf_counter_ns, client.log, time.sleep
    log(run, rows[0], 0)  # the first call may set things up
    paced, burst_times = [], []
    for step in range(1, calls):
        sleep(pause)
        begin = clock()
        log(run, rows[step], step)
        paced.append(clock() - begin)
    sleep(0.5)
    for step in range(calls, calls + burst):
        begin = clock()
        log(run, rows[step], step)
        burst_times.append(clock() - begin)
    begin = clock()
    client.finish(run)
    return {"paced": paced, "burst": burst_times, "finish": clock() - begin}


def runs(client, folder, count):
    for number in range(int(count)):
        run = client.start(folder, f"run{number:05}")
        client.log(run, values(number, 2), 0)
        client.finish(run)
    return {}


def list_runs(client, folder):
    begin = time.perf_counter()
    found = client.count_runs(folder)
    return {"seconds": time.perf_counter() - begin, "runs": found}


def forever(client, folder, name, descriptor, pause, keys):
    run = client.start(folder, name)
    step, pause, keys, out = 0, float(pause), int(keys), int(descriptor)
    while True:
        client.log(run, values(step, keys), step)
        os.write(out, step.to_bytes(8, "little"))
        step += 1
        time.sleep(pause)


def kept(client, folder, name, calls, keys):
    try:
        series = client.read(folder, name)
    except Exception as error:
        return {"kept": [], "error": f"{type(error).__name__}: {error}"}
    return {"kept": sorted(whole(series, int(calls), int(keys)))}


VERBS = {
    "prepare": prepare,
    "first": first,
    "write": write,
    "read": read,
    "time": time_calls,
    "runs": runs,
    "list": list_runs,
    "forever": forever,
    "kept": kept,
}

if __name__ == "__main__":
    script, verb, folder, *rest = sys.argv[1:]
    result = VERBS[verb](load(script), folder, *rest)
    print("\n" + json.dumps(result))
