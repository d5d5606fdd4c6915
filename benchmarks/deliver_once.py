"""One sample of the delivery benchmark, in the interpreter where the client is: prints seconds and peak memory as JSON.

``plain``: the client as its documentation shows it, by the script in comparison/trackbridge_comparison/natives; fewer steps, since some take
minutes. ``best``: its best path, of benchmarks/best.py. ``ours``: our forwarder's Delivery of a journal that is there already.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import best

KEYS, STEPS, PLAIN_STEPS = 20, 5_000, 250
NAMES = [f"train/metric_{number:02d}" for number in range(KEYS)]
DRIVER = Path(__file__).parents[1] / "comparison/trackbridge_comparison/natives/driver.py"
START_NS = 1_763_870_000_000_000_000


def row(step: int) -> dict[str, float]:
    return {name: math.sin(step * 0.01 + number) * 1.2345678901234567 for number, name in enumerate(NAMES)}


def rows(steps: int) -> Iterator[tuple[int, dict[str, float]]]:
    return ((step, row(step)) for step in range(steps))


def plain(client: Any, folder: Path, steps: int) -> Callable[[], None]:
    run = client.start(folder, best.NAME)

    def deliver() -> None:
        for step, values in rows(steps):
            client.log(run, values, step)
        client.finish(run)

    return deliver


def ours(backend: str, target: str, folder: Path) -> Callable[[], None]:
    from trackbridge.adapters import Target
    from trackbridge.forward.delivery import Delivery
    from trackbridge.journal.writer import ShardWriter
    from trackbridge.records import End, Event, Metrics, Start

    events: list[Event] = [Start(START_NS, best.NAME, "benchmark", host="elsewhere", pid=1)]
    events += [Metrics(START_NS + step * 10_000_000, step, step, values) for step, values in rows(STEPS)]
    writer = ShardWriter(folder / "run" / "journal", best.NAME, "r0-h-1-aa", max_bytes=1 << 30)
    for event in [*events, End(START_NS + STEPS * 10_000_000, "finished")]:
        writer.append([event], is_call=isinstance(event, Metrics))
    writer.close()
    delivery = Delivery(folder / "run", Target.parse(target), _adapter(backend), attach_sidecar=False)
    delivery.prepare()

    def deliver() -> None:
        while not delivery.done:
            delivery.step()

    return deliver


def count(backend: str, target: str) -> int:
    """How many points the tracker's own reader finds of a run that we wrote."""
    from trackbridge.adapters import Target
    from trackbridge.records import Metrics

    reader = _adapter(backend).reader(Target.parse(target))
    return sum(len(record.event.values) for record in reader.read(best.NAME) if isinstance(record.event, Metrics))


def _driver() -> Any:
    """It needs nothing of its package, which is not in the tracker's environment."""
    spec = importlib.util.spec_from_file_location("driver", DRIVER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _adapter(backend: str) -> Any:
    return importlib.import_module(f"trackbridge_adapters.{backend}").adapter


def main(backend: str, who: str, target: str, place: str) -> None:
    folder, steps = Path(place), PLAIN_STEPS if who == "plain" else STEPS
    driver = _driver()
    client = driver.load(backend)  # imports the tracker, before the clock starts
    if who == "ours":
        deliver = ours(backend, target, folder)
    else:
        driver.prepare(client, folder)
        make = getattr(best, backend, None) if who == "best" else None
        bulk = make(folder, client) if make else None
        deliver = plain(client, folder, steps) if bulk is None else lambda: bulk(rows(steps))
    begin = time.perf_counter()
    deliver()
    seconds = time.perf_counter() - begin
    mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = (
        count(backend, target)
        if who == "ours"
        else sum(len(points) for key, points in client.read(folder, best.NAME).items() if key in NAMES)
    )
    if found != KEYS * steps:
        sys.exit(f"the reader finds {found} of {KEYS * steps} points")
    print("\n" + json.dumps({"seconds": seconds, "mib": mib, "points": found}))
    sys.stdout.flush()
    os._exit(0)
