"""Outage: what a client does while its server is away for ten seconds."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

from trackbridge_comparison import children, natives, services
from trackbridge_comparison.bench import NO_CLIENT, Bench, Finding, Job, Place, spec, unsupported
from trackbridge_comparison.probes.durability import KEYS, await_first
from trackbridge_comparison.schema import Spec, Way
from trackbridge_comparison.services import Server

AXIS = "outage"
TITLE = "Outage of the server"
METHOD = """The tracker's own server runs on loopback and its client, with default settings, logs three scalars every 50 ms for 15 seconds. After two of
them the server is killed, and started again on its port ten seconds later (refused); in a second run it is stopped and continued instead (hung). When the client
has ended its run, the server's store is read: kept is the share of the calls whose values are all there, the worse of the two. A call that raised an exception
counts as lost, and the program goes on; most programs would end there. Through TrackBridge the same is done to its
forwarder, and the store is read when it says that all is delivered. The longest call is how long a training process stood still. Trackers that are measured
without a server have none to lose."""

AWAY = 10.0
BEFORE = 2.0
AFTER = 3.0
PAUSE = 0.05


def jobs(bench: Bench) -> Iterator[Job]:
    for backend in bench.backends:
        for way in (Way.NATIVE, Way.THROUGH):

            def run(bench: Bench, wanted: frozenset[str], backend: str = backend, way: Way = way) -> Iterator[Finding]:
                return measure(bench, backend, way)

            name = f"{AXIS}/{backend}/{way.name.lower()}"
            yield Job(name, _specs(backend, way), run, 90.0, alone=False, long=True, backends=(backend,))


def _specs(backend: str, way: Way) -> tuple[Spec, Spec]:
    return (
        spec(backend, AXIS, "kept_after_outage", "calls kept over an outage of 10 s", "%", way),
        spec(backend, AXIS, "longest_call", "longest call during an outage of 10 s", "ms", way),
    )


@contextmanager
def refused(server: Server) -> Iterator[None]:
    server.kill()
    yield
    server.start()


@contextmanager
def hung(server: Server) -> Iterator[None]:
    server.hang()
    yield
    server.go_on()


def measure(bench: Bench, backend: str, way: Way) -> Iterator[Finding]:
    kept, longest = _specs(backend, way)
    if not natives.offers(backend, "serve"):
        yield from unsupported((kept, longest), NO_CLIENT if natives.script(backend) is None else "it has no server that runs here")
        return
    shares, calls, details = [], [], []
    for outage in (refused, hung):
        share, seconds, detail = _live_through(bench, backend, way, outage)
        shares.append(share)
        calls.append(1000 * seconds)
        details.append(f"{outage.__name__}: {detail}")
    yield Finding(kept.id, min(shares), shares, "; ".join(details))
    yield Finding(longest.id, max(calls), calls, "refused, hung")


def _live_through(
    bench: Bench, backend: str, way: Way, outage: Callable[[Server], AbstractContextManager[None]]
) -> tuple[float, float, str]:
    """Share of the calls that are kept in percent, seconds of the longest, and words, for one outage."""
    place = bench.place(backend, Way.NATIVE, AXIS)
    port = services.free_port()
    address = f"127.0.0.1:{port}"
    command = bench.drive(place, "serve", port)["command"]
    client = replace(place, variables={**place.variables, "TRACKER_ADDRESS": address})
    if way is Way.THROUGH:
        scheme = "aim" if backend == "aim" else "http"
        (place.folder / "target.txt").write_text(f"{backend}:{scheme}://{address}", "utf-8")
        client = replace(client, script=natives.THROUGH, python=sys.executable)
    with services.server(command, place.folder, port, bench.variables(place.folder, place.variables)) as server:
        found = _lasting(bench, client, server, outage)
        if way is Way.THROUGH:
            steps = bench.drive(client, "kept", "lasting", found["calls"], KEYS)
    if way is not Way.THROUGH:
        steps = bench.drive(place, "kept", "lasting", found["calls"], KEYS)
    share = 100 * len(steps["kept"]) / found["calls"]
    raised = f", {found['raised']} raised ({found['errors'][0]})" if found["raised"] else ""
    error = f" ({steps['error']})" if steps.get("error") else ""
    return share, found["longest"], bench.portable(f"{len(steps['kept'])} of {found['calls']} calls kept{raised}{error}")


def _lasting(bench: Bench, client: Place, server: Server, outage: Callable[[Server], AbstractContextManager[None]]) -> dict[str, Any]:
    """Let the client log over the outage; what it tells when it has ended its run.

    Raises:
        ChildFailed: it ended with an error.
        OutOfTime: it did not end in time.
    """
    reading, writing = os.pipe()
    child, log = bench.begin(client, "lasting", "lasting", writing, BEFORE + AWAY + AFTER, PAUSE, KEYS, pass_fds=[writing])
    try:
        os.close(writing)
        await_first(reading, bench.left(120.0), log)
        time.sleep(BEFORE)
        with outage(server):
            time.sleep(AWAY)
        return bench.result(child, log, 180.0)
    finally:
        children.end(child)
        os.close(reading)
