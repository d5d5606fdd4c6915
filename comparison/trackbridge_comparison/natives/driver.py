"""``python -I driver.py SCRIPT VERB FOLDER [...]``: runs one of the scripts beside this file, and measures it from outside.

It needs nothing but the standard library and the tracker, so that it also runs in the tracker's own environment. SCRIPT is the name of one, of a
reader ``foreign/NAME``, or ``NAME:tuned`` for its tuned functions. Prints one line of JSON.

    prepare FOLDER                    what exists from a user's second run on
    first FOLDER                      one value logged, the run ended, the value read back
    write FOLDER NAME CALLS KEYS      seconds from the first call until the run is ended, and megabytes of memory
    read FOLDER NAME CALLS KEYS       seconds of the read, and whether every value came back
    time FOLDER NAME CALLS PAUSE BURST KEYS
                                      nanoseconds of each of CALLS calls with PAUSE seconds in between, then of BURST calls in a row; processor
                                      time of all of them and the end, and memory
    steps FOLDER NAME COUNT KEYS LOG  seconds of each of COUNT steps of computation; with a call after each if LOG is 1
    runs FOLDER COUNT                 writes COUNT runs of one call each
    list FOLDER                       seconds of the tracker's listing of runs, and how many it finds
    filter FOLDER NAME                the same of its query for the runs of a name
    compact FOLDER                    makes the store smaller
    serve FOLDER PORT                 the command of its server
    forever FOLDER NAME DESCRIPTOR PAUSE KEYS
                                      logs until it is killed; after each call that returned, its step goes to the file descriptor
    lasting FOLDER NAME DESCRIPTOR SECONDS PAUSE KEYS
                                      logs for so long and ends the run; after the first call a byte goes to the file descriptor
    kept FOLDER NAME CALLS KEYS       how many of the first CALLS calls came back whole
    await FOLDER NAME DESCRIPTOR SECONDS
                                      says over the descriptor that it begins; reads again and again until the run has a value, and tells when
    export FOLDER NAME                seconds until a run of TrackBridge is a file of CSV
"""

import hashlib
import importlib.util
import json
import math
import os
import resource
import sys
import time
import types
from pathlib import Path

PLACE = Path(__file__).resolve().parent
STEP = bytes(1 << 20)


def values(step, keys):
    """Finite floats that change from call to call, none of them a round number."""
    return {f"metric/{key}": ((step * 31 + key * 7) % 997 + 1) / 7 for key in range(keys)}


def same(found, wanted):
    """Equal to the precision of float32: whether every point is there is asked here, how exact it is elsewhere."""
    return isinstance(found, (int, float)) and math.isclose(found, wanted, rel_tol=1e-6)


def load(script):
    name, _, tuned = script.partition(":")
    path = PLACE / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"native_{name.replace('/', '_')}", path)
    module = importlib.util.module_from_spec(spec)
    if path.parent != PLACE:
        sys.path.append(str(path.parent))  # what the readers share
    spec.loader.exec_module(module)
    client = types.SimpleNamespace(**vars(module))
    if tuned:
        client.start, client.log = client.tuned_start, getattr(client, "tuned_log", client.log)
    if not hasattr(client, "read"):
        client.read = load(f"foreign/{name}").read
    return client


def family():
    """This process and those that descend from it: process -> (seconds of processor time, highest resident bytes). Linux."""
    tick, found, parents = os.sysconf("SC_CLK_TCK"), {}, {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
            with open(f"/proc/{entry}/status") as file:
                peak = next((int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM")), 0)
        except (OSError, IndexError):
            continue
        parents[int(entry)] = int(fields[1])
        found[int(entry)] = ((int(fields[11]) + int(fields[12])) / tick, peak)
    mine = {os.getpid()}
    while more := {process for process, parent in parents.items() if parent in mine} - mine:
        mine |= more
    return {process: found[process] for process in mine}


def processor():
    """Seconds of processor time of this process, of its children that ended, and of all that descend from it."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    others = sum(seconds for process, (seconds, _) in family().items() if process != os.getpid())
    return time.process_time() + ended.ru_utime + ended.ru_stime + others


def memory():
    """Highest resident bytes of this process and of all that descend from it, added up."""
    return sum(peak for _, peak in family().values())


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
    logged, peak = time.perf_counter(), memory()
    client.finish(run)
    return {"logged": logged - begin, "seconds": time.perf_counter() - begin, "memory": max(peak, memory())}


def read(client, folder, name, calls, keys):
    begin = time.perf_counter()
    series = client.read(folder, name)
    seconds = time.perf_counter() - begin
    points = sum(map(len, series.values()))
    whole_steps = len(whole(series, int(calls), int(keys)))
    complete = whole_steps == int(calls) and points == int(calls) * int(keys)
    return {"seconds": seconds, "points": points, "good": whole_steps * int(keys), "complete": complete}


def time_calls(client, folder, name, calls, pause, burst, keys):
    calls, burst, pause, keys = int(calls), int(burst), float(pause), int(keys)
    rows = [values(step, keys) for step in range(calls + burst)]
    run = client.start(folder, name)
    clock, log, sleep = time.perf_counter_ns, client.log, time.sleep
    log(run, rows[0], 0)  # the first call may set things up
    used = processor()
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
    peak, spent = memory(), processor()
    begin = clock()
    client.finish(run)
    end = clock() - begin
    spent = max(spent, processor()) - used
    return {"paced": paced, "burst": burst_times, "finish": end, "cpu": spent, "memory": max(peak, memory())}


def steps(client, folder, name, count, keys, log):
    run, seconds = client.start(folder, name), []
    for step in range(int(count)):
        row = values(step, int(keys))
        begin = time.perf_counter()
        for _ in range(8):
            hashlib.sha256(STEP).digest()
        if log == "1":
            client.log(run, row, step)
        seconds.append(time.perf_counter() - begin)
    client.finish(run)
    return {"steps": seconds}


def runs(client, folder, count):
    begin = time.perf_counter()
    for number in range(int(count)):
        run = client.start(folder, f"run{number:05}")
        client.log(run, values(number, 2), 0)
        client.finish(run)
    return {"seconds": time.perf_counter() - begin}


def list_runs(client, folder):
    begin = time.perf_counter()
    found = client.count_runs(folder)
    return {"seconds": time.perf_counter() - begin, "runs": found}


def filter_runs(client, folder, name):
    begin = time.perf_counter()
    found = client.filter_runs(folder, name)
    return {"seconds": time.perf_counter() - begin, "runs": found}


def compact(client, folder):
    client.compact(folder)
    return {}


def serve(client, folder, port):
    return {"command": client.serve(folder, port)}


def forever(client, folder, name, descriptor, pause, keys):
    run = client.start(folder, name)
    step, pause, keys, out = 0, float(pause), int(keys), int(descriptor)
    while True:
        client.log(run, values(step, keys), step)
        os.write(out, step.to_bytes(8, "little"))
        step += 1
        time.sleep(pause)


def lasting(client, folder, name, descriptor, seconds, pause, keys):
    run = client.start(folder, name)
    step, longest, errors, end = 0, 0.0, [], None
    while end is None or time.monotonic() < end:
        begin = time.perf_counter()
        try:
            client.log(run, values(step, int(keys)), step)
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}"[:200])
        longest = max(longest, time.perf_counter() - begin)
        if end is None:
            os.write(int(descriptor), b"1")
            end = time.monotonic() + float(seconds)
        step += 1
        time.sleep(float(pause))
    client.finish(run)
    return {"calls": step, "longest": longest, "errors": errors[:5], "raised": len(errors)}


def kept(client, folder, name, calls, keys):
    try:
        series = client.read(folder, name)
    except Exception as error:
        return {"kept": [], "error": f"{type(error).__name__}: {error}"}
    return {"kept": sorted(whole(series, int(calls), int(keys)))}


def await_value(client, folder, name, descriptor, seconds):
    os.write(int(descriptor), b"1")
    end, error = time.time() + float(seconds), ""
    while time.time() < end:
        try:
            if any(client.read(folder, name).values()):
                return {"seen": time.time()}
        except Exception as reason:
            error = f"{type(reason).__name__}: {reason}"[:300]
        time.sleep(0.05)
    return {"seen": None, "error": error}


def export(client, folder, name):
    begin = time.perf_counter()
    client.export(folder, name)
    return {"seconds": time.perf_counter() - begin}


VERBS = {
    "prepare": prepare,
    "first": first,
    "write": write,
    "read": read,
    "time": time_calls,
    "steps": steps,
    "runs": runs,
    "list": list_runs,
    "filter": filter_runs,
    "compact": compact,
    "serve": serve,
    "forever": forever,
    "lasting": lasting,
    "kept": kept,
    "await": await_value,
    "export": export,
}


if __name__ == "__main__":
    script, verb, folder, *rest = sys.argv[1:]
    result = VERBS[verb](load(script), folder, *rest)
    print("\n" + json.dumps(result))
