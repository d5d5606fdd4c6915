"""What is asked of an adapter. A check takes a :class:`~trackbridge.testing.lab.Lab` and returns what is wrong, in words; [] passes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

from trackbridge.adapters import Adapter, Capabilities, Concurrency, Reader, Recovery, Requirements, Sidecar, Writer
from trackbridge.names import Names
from trackbridge.normal import Difference, Normal, compare, expected, normal
from trackbridge.projection import Entry, Projection, Rule, same
from trackbridge.sidecar import restore
from trackbridge.testing import canon
from trackbridge.testing.canon import Workload
from trackbridge.testing.lab import END, Job, Lab, form
from trackbridge.testing.read import Found

Check = Callable[[Lab], list[str]]

ITEMWISE = ("scalar", "config", "summary", "media", "artifact")
"""What a Writer sees one by one, so that it must report each change in `write`."""


def contract(lab: Lab) -> list[str]:
    """The adapter has the parts that the contract asks for, and its capabilities are whole."""
    adapter = lab.subject.adapter()
    capabilities = lab.capabilities
    wanted: list[tuple[bool, str]] = [
        (isinstance(adapter, Adapter), "it is no Adapter"),
        (bool(adapter.name), "it has no name"),
        (isinstance(adapter.requires, Requirements), "`requires` is no Requirements"),
        (isinstance(adapter.writer(lab.target), Writer), "writer() returns no Writer"),
        (isinstance(adapter.reader(lab.target), Reader), "reader() returns no Reader"),
        (isinstance(capabilities, Capabilities) and bool(capabilities.flavour), "capabilities() has no flavour"),
        (isinstance(adapter.ui(lab.target), list), "ui() returns no list"),
    ]
    wanted += [
        (bool(rule.what and rule.why), f"rule {rule.reason} on {rule.on} says not what happens, and why nothing avoids it")
        for rule in capabilities.projection.rules
    ]
    return [problem for holds, problem in wanted if not holds]


def names(lab: Lab) -> list[str]:
    """No two keys get one name, each name can be read back, and is one that the tracker takes."""
    return injective(lab.capabilities.names, {key for run in lab.canon.values() for key in form(run).series})


def injective(encoding: Names, keys: set[str]) -> list[str]:
    """What is wrong with the names of `keys`, and of keys that look like their names."""
    keys = keys | {encoding.encode(key) for key in keys}
    found: dict[str, str] = {}
    problems = []
    for key in sorted(keys):
        name = encoding.encode(key)
        if found.setdefault(name, key) != key:
            problems.append(f"{key!r} and {found[name]!r} are both named {name!r}")
        if encoding.decode(name, {name: key} if encoding.shortened(key) else None) != key:
            problems.append(f"{key!r} is named {name!r}, which is read back as {encoding.decode(name)!r}")
        if encoding.max_length is not None and encoding.measure(name) > encoding.max_length:
            problems.append(f"{key!r} is named {name!r}, which is over {encoding.max_length}")
    return problems


def native(lab: Lab) -> list[str]:
    """In a fresh process the tracker's own reader returns exactly what the projection makes of what was logged."""
    problems = _rejected(lab.delivered)
    for run_id, (logged, found) in lab.forms.items():
        problems += [f"{run_id}: {difference}" for difference in compare(logged, found, lab.capabilities.projection)]
    return problems


def declared(lab: Lab) -> list[str]:
    """Each rule happens: one that changes nothing of the canon is stale. (That it happens as declared is `native`.)"""
    fired = {id(rule) for run in lab.canon.values() for rule in fires(form(run), lab.capabilities.projection)}
    return [
        f"rule {rule.reason} on {rule.on} ({rule.what}) changes nothing of the canon"
        for rule in lab.capabilities.projection.rules
        if id(rule) not in fired
    ]


def reported(lab: Lab) -> list[str]:
    """`write` reports the deviations that are declared: every reason that applies, and no other."""
    rules = [rule for run in lab.canon.values() for rule in fires(form(run), lab.capabilities.projection)]
    wanted = {str(rule.reason) for rule in rules if rule.on in ITEMWISE}
    allowed = {str(rule.reason) for rule in lab.capabilities.projection.rules}
    rows = {row.reason: row for row in reversed(lab.deviations)}
    problems = [f"write() does not report {reason}, which is declared and happens" for reason in sorted(wanted - rows.keys())]
    return problems + [
        f"write() reports {row.reason}, which is not declared: {row.subject!r} {row.example}"
        for row in rows.values()
        if row.reason not in allowed
    ]


def listed(lab: Lab) -> list[str]:
    """`runs` names each run once, `read` of an unknown one raises RunNotFound."""
    problems = [f"runs() names {run_id} {found.listed} times" for run_id, found in lab.found.items() if found.listed != 1]
    unknown = lab.read(["no-such-run"])["no-such-run"]
    return problems + ([] if unknown.error == "RunNotFound" else [f"read() of an unknown run: {unknown.error or 'no error'}"])


def sidecar(lab: Lab) -> list[str]:
    """The last sidecar comes back byte for byte with the digest that was recorded beside it."""
    if lab.capabilities.sidecar == Sidecar.NONE:
        return [f"{run_id}: a sidecar is not declared, and there" for run_id, found in lab.found.items() if found.sidecar is not None]
    problems = []
    for run_id, job in lab.delivered.items():
        found, wanted = lab.found[run_id], (job.folder / "sidecar.bin").read_bytes()
        if found.sidecar != wanted:
            problems.append(f"{run_id}: the sidecar is {'absent' if found.sidecar is None else 'another'}")
        elif found.digest != hashlib.sha256(wanted).hexdigest():
            problems.append(f"{run_id}: the sidecar's digest is {found.digest!r}")
    return problems


def restored(lab: Lab) -> list[str]:
    """With the sidecar scalars, configuration, summary and text are exact, whatever the tracker changed of them."""
    if lab.capabilities.sidecar == Sidecar.NONE:
        return []
    problems = []
    for run_id, run in lab.canon.items():
        found = lab.found[run_id]
        if found.sidecar is None:
            problems.append(f"{run_id}: no sidecar")
            continue
        info, records = found.unpack()
        try:
            whole, deviations = restore(records, info, found.sidecar, lab.capabilities.projection)
        except ValueError as error:
            problems.append(f"{run_id}: {error}")
            continue
        exact = compare(form(run), normal(whole, run.info), Projection(), native=False)
        problems += [f"{run_id}: {difference}" for difference in exact]
        problems += [f"{run_id}: taken to be {row.reason}: {row.subject!r}" for row in deviations]
    return problems


def positions(lab: Lab) -> list[str]:
    """`open` of a new run claims nothing, and the last `flush` confirms all that was written."""
    problems = []
    for run_id, job in lab.delivered.items():
        opened, flushed = job.position("opened"), job.position("flushed")
        if opened is None or opened.sequences:
            problems.append(f"{run_id}: open() of a new run claims {opened}")
        missing = [record for record in job.routed if flushed is None or not flushed.holds(record)]
        if missing and lab.capabilities.recovery != Recovery.AT_END:
            problems.append(f"{run_id}: flush() does not confirm {len(missing)} of {len(job.routed)} records, first {missing[0]!r:.200}")
    return problems


def outside(lab: Lab) -> list[str]:
    """Hostile names of artifacts, files and keys leave nothing outside the target, nor in the working directory."""
    assert lab.found
    stray = sorted(lab.outside() - lab.before)
    stray += [str(path) for path in map(Path, ("/trackbridge-escape", "/trackbridge-escape.png")) if path.exists()]
    return [f"outside the target: {path}" for path in stray]


def poison(lab: Lab) -> list[str]:
    """Records that nobody can take are rejected, or held in part, each alone: the others arrive once, and no other error is raised."""
    run, keys = canon.poisoned(lab.root / "journal", "poison")
    job = lab.job(run).script(["open", "write rest 50", "flush", "save", "close"])
    lab.drive([job])
    logged, found = form(run), lab.read(["poison"])["poison"].form()
    return [str(difference) for difference in compare(logged, found, lab.capabilities.projection) if not _concerns(difference, keys)]


def held(lab: Lab, point: str) -> list[str]:
    """What `flush` had confirmed is readable after SIGKILL of the process and of all that it started."""
    job, position = lab.kills.jobs[point], lab.kills.flushed[point]
    if position is None:
        return []
    confirmed = [record for record in job.run.records if position.holds(record)]
    found = lab.kills.interrupted[job.run.info.id]
    if not confirmed:
        return []
    if found.run is None:
        return [f"flush() had confirmed {len(confirmed)} records; the run cannot be read: {found.error}"]
    return [f"flush() had confirmed {lost}" for lost in _lost(lab, Workload(job.run.info, confirmed), found)]


def killed(lab: Lab, point: str) -> list[str]:
    """After the kill, another process completes the run from the saved position: nothing is missing, nothing is there twice."""
    job = lab.kills.jobs[point]
    return _rejected({point: job}) + _differences(lab, job.run, lab.kills.completed[job.run.info.id])


def recovered(lab: Lab, point: str) -> list[str]:
    """`open` after the kill claims what the declared recovery says: the saved position (truncate), nothing (replay, at_end)."""
    opened, cursor = lab.kills.jobs[point].position("opened"), lab.kills.cursors[point]
    claims = {} if opened is None else opened.sequences
    recovery = lab.capabilities.recovery
    if recovery == Recovery.TRUNCATE and cursor is not None and claims != cursor.sequences:
        return [f"recovery is declared as truncate; the cursor was at {cursor.sequences}, open() claims {claims}"]
    if recovery in (Recovery.REPLAY, Recovery.AT_END) and claims:
        return [f"recovery is declared as {recovery}, and open() claims {claims}"]
    return []


def resumed(lab: Lab) -> list[str]:
    """A run that was closed is opened by another process, goes on, and is closed again with another status."""
    run = lab.steady("resumed")
    job = lab.job(run)
    for script in (
        ["open", "write 30 8", "flush", "save", "attach early", "close crashed"],
        ["open", "write rest 8", "flush", "save", *END],
    ):
        lab.drive([job.script(script)])
    return _differences(lab, run, lab.read([run.info.id])[run.info.id])


def together(lab: Lab) -> list[str]:
    """Two runs that are written at the same time by one process do not mix, where the client is declared to serve several at once."""
    if lab.capabilities.runs != Concurrency.CONCURRENT:
        return []
    runs = [lab.steady(f"together-{number}") for number in range(2)]
    lab.drive([lab.job(run).script(["open", *["write 9 4", "flush", "save"] * 9, *END]) for run in runs], together=True)
    found = lab.read(run.info.id for run in runs)
    return [f"{run.info.id}: {problem}" for run in runs for problem in _differences(lab, run, found[run.info.id])]


FAILPOINTS = ("after_open", "after_write", "after_flush", "before_cursor", "after_cursor", "after_write", "before_close", "after_close")
"""Where the real forwarder dies."""

REPLAYED = 3_000
"""Steps of the longest series that it delivers: two of the kills make it repeat over a thousand of them, and it starts nine times."""


def forwarded(lab: Lab) -> list[str]:
    """The hostile run grows while the real forwarder delivers it and is killed at each of its fail points: it is whole, and there once.

    The forwarder finds adapters in the registry, so an adapter without an entry point is not asked.
    """
    if ":" in lab.subject.name:
        return []
    run = canon.main(lab.root / "journal", "forwarded", REPLAYED)
    for number, failpoint in enumerate(FAILPOINTS, 1):
        run.write_journal((len(run.records) - 3) * number // len(FAILPOINTS))
        lab.forward(run.folder, failpoint)
    run.write_journal()
    lab.forward(run.folder)
    return _differences(lab, run, lab.read([run.info.id])[run.info.id])


_ALL = (contract, names, native, declared, reported, listed, sidecar, restored, positions, outside, poison, resumed, together, forwarded)
CHECKS: dict[str, Check] = {check.__name__: check for check in _ALL}
KILL_CHECKS: dict[str, Callable[[Lab, str], list[str]]] = {check.__name__: check for check in (held, killed, recovered)}


def circle(lab: Lab, run: Workload, script: list[str]) -> list[str]:
    """Deliver `run` by `script`, and compare what a fresh process reads."""
    lab.drive([lab.job(run).script(script)])
    return _differences(lab, run, lab.read([run.info.id])[run.info.id])


def fires(logged: Normal, projection: Projection) -> list[Rule[Any]]:
    """The rules that change an item of `logged`, once for each item."""
    fired: list[Rule[Any]] = []

    def apply(on: str, item: Any) -> Any:
        for rule in projection.rules_on(on):
            after = rule.apply(item)
            if after is None or not same(after, item):
                fired.append(rule)
            item = after
            if item is None:
                break
        return item

    for points in logged.series.values():
        apply("series", [kept for point in points if (kept := apply("scalar", point)) is not None])
    for on, entries in (("config", logged.config), ("summary", logged.summary), ("field", logged.fields)):
        for key, value in entries.items():
            apply(on, Entry(key, value))
    if logged.tags:
        apply("tags", logged.tags)
    apply("status", Entry("status", logged.status))
    for media in logged.media.values():
        for item in media:
            apply("media", item)
    for file in logged.artifacts.values():
        apply("artifact", file)
    return fired


def _rejected(jobs: Mapping[str, Job]) -> list[str]:
    return [f"{name}: write() rejected {shard}/{sequence}: {reason}" for name, job in jobs.items() for shard, sequence, reason in job.dead]


def _differences(lab: Lab, run: Workload, found: Found) -> list[str]:
    """Where the run is not what the projection makes of it; it must be there once."""
    if found.run is None:
        return [f"the run cannot be read: {found.error}"]
    problems = [str(difference) for difference in compare(form(run), found.form(), lab.capabilities.projection)]
    return problems + ([f"runs() names the run {found.listed} times"] if found.listed != 1 else [])


def _concerns(difference: Difference, keys: set[str]) -> bool:
    return difference.key in keys or difference.key.split("/")[0] in keys


def _lost(lab: Lab, confirmed: Workload, found: Found) -> Iterator[str]:
    """Values of `confirmed` that were not found, or found otherwise. More may have been found, and description and status are not asked."""
    wanted, there = expected(normal(confirmed.records), lab.capabilities.projection), found.form()
    for key, points in wanted.series.items():
        held = there.series.get(key, [])
        for point, other in zip_longest(points, held[: len(points)]):
            if other is None or not same((point.value, point.step, point.time), (other.value, other.step, other.time)):
                yield f"series {key!r}: {point!r:.200}; found {other!r:.200}"
                break
    for key, items in wanted.media.items():
        if len(there.media.get(key, [])) < len(items):
            yield f"media {key!r}: {len(items)}; found {len(there.media.get(key, []))}"
    for name in ("config", "artifacts"):
        for key in getattr(wanted, name).keys() - getattr(there, name).keys():
            yield f"{name} {key!r}; found nothing"
