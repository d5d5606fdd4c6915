"""Fidelity: what share of the conformance suite's hostile run comes back exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from trackbridge.adapters import Sidecar
from trackbridge.normal import Normal, compare, normal
from trackbridge.projection import Projection
from trackbridge.records import Record, Status
from trackbridge.sidecar import restore
from trackbridge.testing import canon
from trackbridge.testing.canon import Trait
from trackbridge.testing.lab import Lab
from trackbridge.testing.subject import Subject
from trackbridge_comparison.bench import Bench, Finding, Job
from trackbridge_comparison.schema import Spec, Way

AXIS = "fidelity"
TITLE = "Fidelity"
METHOD = """The canonical run of the conformance suite goes through the adapter's Writer in one process and is read by the tracker's own reader in
another. Natively is what the tracker itself tells its user, in its UI or by its reader; no hidden copy is read. The run is cut into traits
(scalar: NaN, key: case only, step: repeated ...); a trait counts when everything in it is equal, value, type, step and order, and the time to
the nanosecond in the traits that are about time. Ordinary is what most training scripts log; hostile is all the rest. With the sidecar, scalars,
configuration, summary and text are taken from the attached journal; other traits count as they are natively. Measured through TrackBridge's Writer, which already avoids
what can be avoided; what the trackers' own clients would change on top is not measured here."""

KINDS = ("ordinary", "hostile")
ORDINARY = frozenset(
    {
        "scalar: float",
        "scalar: float single precision",
        "scalar: int",
        "step: present",
        "step: with gaps",
        "key: separators",
        "series: 1,000 keys in a call",
        "series: 20,000 steps",
        "config: numbers",
        "config: string",
        "config: bool",
        "config: nested",
        "summary: numbers",
        "media: image",
        "media: histogram",
        "media: table",
        "media: text",
        "media: figure",
        "media: file of 1 MB",
        "artifact: folder",
        "artifact: of 1 MB and of zero bytes",
        "status: finished",
    }
)
"""Of the traits those that most training scripts have; chosen by the authors, listed so that anybody can choose otherwise."""


def jobs(bench: Bench) -> Iterator[Job]:
    for backend in bench.backends:
        specs = tuple(
            Spec(f"{backend}/{AXIS}/{kind}{suffix}", f"{kind} traits exact, {words}", "%", Way.THROUGH)
            for suffix, words in (("", "natively"), ("_sidecar", "with sidecar"))
            for kind in KINDS
        )

        def run(bench: Bench, wanted: frozenset[str], backend: str = backend) -> Iterator[Finding]:
            return measure(bench, backend)

        yield Job(f"{AXIS}/{backend}", specs, run, 30.0, alone=False, backends=(backend,))


def measure(bench: Bench, backend: str) -> Iterator[Finding]:
    """Deliver the canonical run, read it back, and count the traits that are exact.

    Raises:
        AssertionError: a child failed; the message has what it printed.
    """
    folder = bench.folder(f"{AXIS}-{backend}")
    lab = Lab(Subject(backend), folder)
    bench.store(backend, lab.place / "target")
    run = canon.main(folder / "journal", canon.RUN)
    lab.drive([lab.job(run).script(["open", "write rest", "flush", "save", "attach sidecar", "close"])])
    found = lab.read([run.info.id])[run.info.id]
    info, records = found.unpack()
    logged, native = normal(run.records, run.info), normal(records, info)
    whole = native
    if found.sidecar is not None and lab.capabilities.sidecar is not Sidecar.NONE:
        restored, _edited = restore(records, info, found.sidecar, lab.capabilities.projection)
        whole = with_sidecar(native, normal(restored, run.info))
    for suffix, there in (("", native), ("_sidecar", whole)):
        verdicts = exactness(run.traits, logged, there)
        for kind in KINDS:
            chosen = {name: exact for name, exact in verdicts.items() if (name in ORDINARY) == (kind == "ordinary")}
            inexact = [name for name, exact in chosen.items() if not exact]
            good = len(chosen) - len(inexact)
            detail = f"{good} of {len(chosen)} traits" + (f"; not exact: {'; '.join(inexact)}" if inexact else "")
            yield Finding(f"{backend}/{AXIS}/{kind}{suffix}", 100 * good / len(chosen), [100 * good / len(chosen)], detail)


def with_sidecar(native: Normal, restored: Normal) -> Normal:
    """What a reader has with the sidecar: scalars, configuration, summary and text of it, the rest as the tracker holds it."""
    text = {key: items for key, items in restored.media.items() if all(item.kind == "text" for item in items)}
    return msgspec.structs.replace(
        native, series=restored.series, config=restored.config, summary=restored.summary, media=native.media | text
    )


def exactness(traits: Sequence[Trait], logged: Normal, there: Normal) -> dict[str, bool]:
    """For each trait whether all that it logged is in `there`, equal to the last bit. Traits that log no value are left out."""
    verdicts = {}
    for trait in traits:
        part = normal(Record(trait.shard, index, event) for index, event in enumerate(trait.events))
        then, now = restrict(logged, part, trait.group), restrict(there, part, trait.group)
        if then != Normal(status=then.status) or trait.group == "status":
            verdicts[trait.name] = not compare(then, now, Projection())
    return verdicts


def restrict(form: Normal, part: Normal, group: str) -> Normal:
    """Of `form` what has the keys of `part`; status and description only for a trait that is about them."""

    def those(name: str) -> dict[Any, Any]:
        held = getattr(form, name)
        return {key: held[key] for key in getattr(part, name) if key in held}

    def timed(name: str) -> dict[str, list[Any]]:
        """Without the times, but in the traits that are about them: else each point of a tracker that keeps milliseconds would differ."""
        kept: dict[str, list[Any]] = those(name)
        if group == "time":
            return kept
        return {key: [msgspec.structs.replace(item, time=0) for item in items] for key, items in kept.items()}

    return Normal(
        series=timed("series"),
        config=those("config"),
        summary=those("summary"),
        tags=form.tags if part.tags else frozenset(),
        fields=form.fields if group == "field" else {},
        status=form.status if group == "status" else Status.RUNNING,
        media=timed("media"),
        artifacts=those("artifacts"),
    )
