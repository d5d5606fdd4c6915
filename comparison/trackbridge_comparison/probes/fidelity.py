"""Fidelity: what share of the conformance suite's hostile run comes back exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from trackbridge.adapters import Sidecar
from trackbridge.normal import Normal, compare, expected, normal
from trackbridge.projection import Entry, MediaItem, Point, Projection
from trackbridge.records import Record, Status
from trackbridge.sidecar import restore
from trackbridge.testing import canon
from trackbridge.testing.canon import Trait
from trackbridge.testing.lab import Lab
from trackbridge.testing.subject import Subject
from trackbridge_comparison import tools
from trackbridge_comparison.bench import Bench, Finding, Job
from trackbridge_comparison.schema import Item, Spec, Way

AXIS = "fidelity"
TITLE = "Fidelity"
METHOD = """The canonical run of the conformance suite goes through the adapter's Writer in one process and is read by the tracker's own reader in
another. Natively is what the tracker itself tells its user, in its UI or by its reader; no hidden copy is read. The run is cut into traits
(scalar: NaN, key: case only, step: repeated ...); a trait counts when everything in it is equal, value, type, step and order, and the time to
the nanosecond in the traits that are about time. Ordinary is what most training scripts log; hostile is all the rest. With the sidecar, scalars,
configuration, summary and text are taken from the attached journal; other traits count as they are natively. Measured through TrackBridge's Writer, which already avoids
what can be avoided; what the trackers' own clients would change on top is not measured here."""

KINDS = ("ordinary", "hostile")
ENTRIES = ("config", "summary", "field")
VALUES, WIDTH = 8, 120
"""An excerpt shows so many parts of at most so many characters."""

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

        yield Job(f"{AXIS}/{backend}", specs, run, 20.0, alone=False, backends=(backend,))


def measure(bench: Bench, backend: str) -> Iterator[Finding]:
    """Deliver the canonical run, read it back, and count the traits that are exact.

    Raises:
        AssertionError: a child failed; the message has what it printed.
    """
    items = compared(bench, backend)
    bench.keep(items)
    for suffix, exact in (("", "exact"), ("_sidecar", "exact_restored")):
        for kind in KINDS:
            chosen = [item for item in items if item.ordinary == (kind == "ordinary")]
            inexact = [item.trait for item in chosen if not getattr(item, exact)]
            good = len(chosen) - len(inexact)
            detail = f"{good} of {len(chosen)} traits" + (f"; not exact: {'; '.join(inexact)}" if inexact else "")
            yield Finding(f"{backend}/{AXIS}/{kind}{suffix}", 100 * good / len(chosen), [100 * good / len(chosen)], detail)


def compared(bench: Bench, backend: str) -> list[Item]:
    """Each trait of the canonical run, as written and as it came back."""
    folder = bench.folder(f"{AXIS}-{backend}")
    entry = tools.entry(backend)
    address = next(iter(bench.service(backend).values()), Subject.location)
    variables = tuple(bench.environment([backend], folder).items())
    lab = Lab(Subject(backend, address, tuple(entry.options.items()), environment=variables), folder)
    bench.target(backend, lab.place / "target")
    run = canon.main(folder / "journal", canon.RUN)
    lab.drive([lab.job(run).script(["open", "write rest", "flush", "save", "attach sidecar", "close"])])
    found = lab.read([run.info.id])[run.info.id]
    info, records = found.unpack()
    logged, native = normal(run.records, run.info), normal(records, info)
    whole = native
    if found.sidecar is not None and lab.capabilities.sidecar is not Sidecar.NONE:
        restored, _edited = restore(records, info, found.sidecar, lab.capabilities.projection)
        whole = with_sidecar(native, normal(restored, run.info))
    projection = lab.capabilities.projection
    forms = (logged, expected(logged, projection), native, whole)
    return [item(backend, trait, cut, projection) for trait, cut in restricted(run.traits, *forms)]


def item(backend: str, trait: Trait, forms: Sequence[Normal], projection: Projection) -> Item:
    """One trait; `forms`: what was logged of it, what the adapter declares that the tracker holds, what it holds, and that with its sidecar."""
    logged, declared, native, whole = forms
    exact = not compare(logged, native, Projection())
    as_declared = not exact and not compare(declared, native, Projection())
    return Item(
        backend=backend,
        trait=trait.name,
        ordinary=trait.name in ORDINARY,
        written=words(logged, trait.group),
        native=words(native, trait.group),
        restored=words(whole, trait.group),
        exact=exact,
        exact_restored=not compare(logged, whole, Projection()),
        reason="; ".join(reasons(logged, projection)) if as_declared else "",
    )


def with_sidecar(native: Normal, restored: Normal) -> Normal:
    """What a reader has with the sidecar: scalars, configuration, summary and text of it, the rest as the tracker holds it."""
    text = {key: items for key, items in restored.media.items() if all(item.kind == "text" for item in items)}
    return msgspec.structs.replace(
        native, series=restored.series, config=restored.config, summary=restored.summary, media=native.media | text
    )


def restricted(traits: Sequence[Trait], *forms: Normal) -> Iterator[tuple[Trait, list[Normal]]]:
    """For each trait what each of the forms has of it, the first being what was logged. Traits that log no value are left out."""
    for trait in traits:
        part = normal(Record(trait.shard, index, event) for index, event in enumerate(trait.events))
        cut = [restrict(form, part, trait.group) for form in forms]
        if cut[0] != Normal(status=cut[0].status) or trait.group == "status":
            yield trait, cut


def reasons(logged: Normal, projection: Projection) -> list[str]:
    """What the adapter declares of this: each rule that changes something, in words."""
    groups: list[tuple[str, Sequence[Any]]] = [
        ("status", [Entry("status", logged.status)]),
        ("tags", [logged.tags] if logged.tags else []),
        *((name, [Entry(key, value) for key, value in getattr(logged, name + "s" * (name == "field")).items()]) for name in ENTRIES),
        ("media", [one for items in logged.media.values() for one in items]),
        ("artifact", list(logged.artifacts.values())),
    ]
    rules = [rule for on, items in groups for one in items for rule in projection.apply(on, one)[1]]
    for points in logged.series.values():
        held = [projection.apply("scalar", point) for point in points]
        rules += [rule for _, changed in held for rule in changed]
        rules += projection.apply("series", [point for point, _ in held if point is not None])[1]
    return list(dict.fromkeys(f"{rule.reason}: {rule.what}" for rule in rules))


def words(form: Normal, group: str) -> str:
    """An excerpt of `form`: the first of its values, cut to a line. Steps and times are told in the traits that are about them."""
    if group == "status":
        return str(form.status)
    parts = [f"{key!r}: {', '.join(_point(point, group) for point in points[:VALUES])}" for key, points in form.series.items()]
    parts += [f"{key!r} = {value!r}" for name in ("config", "summary", "fields") for key, value in getattr(form, name).items()]
    parts += [f"tags {sorted(form.tags)!r}"] if form.tags else []
    parts += [f"{key!r}: {', '.join(map(_media, items[:VALUES]))}" for key, items in form.media.items()]
    parts += [f"{file.name!r}/{file.path!r} sha256 {file.digest[:8]}" for file in form.artifacts.values()]
    text = "; ".join(part if len(part) <= WIDTH else f"{part[:WIDTH]}..." for part in parts[:VALUES])
    return (text + (f"; {len(parts) - VALUES} more" if len(parts) > VALUES else "")) or "nothing"


def _point(point: Point, group: str) -> str:
    about = {"step": f" at step {point.step}", "time": f" at {point.time} ns"}
    return f"{point.value!r}{about.get(group, '')}"


def _media(one: MediaItem) -> str:
    held = f"sha256 {one.content[:8]}" if isinstance(one.content, str) and one.kind != "text" else repr(one.content)
    return f"{one.kind} ({one.format}) {held}"[:WIDTH]


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
