"""Is what a tracker holds what was logged?"""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from trackbridge import registry
from trackbridge.adapters import Target
from trackbridge.deviations import Deviation
from trackbridge.errors import RunNotFound
from trackbridge.forward.routing import routed
from trackbridge.journal.reader import JournalReader, info
from trackbridge.normal import Difference, compare, normal
from trackbridge.projection import Projection
from trackbridge.records import Status
from trackbridge.sidecar import restore


class Verification(msgspec.Struct, frozen=True):
    """The result.

    Args:
        points: how many points the journal holds for this target.
        native: where the tracker does not hold what its adapter declares.
        restored: where the run, read with its sidecar, is not what was logged (scalars, configuration and text).
        edited: what was changed in the tracker after it was logged.
        sidecar: whether the tracker has one.
        damaged: bytes of the journal that cannot be read, and `missing`: records that were accepted and are not in it; of these nobody can tell.
    """

    run: str
    target: str
    points: int
    native: list[Difference]
    restored: list[Difference]
    edited: list[Deviation]
    sidecar: bool
    damaged: int = 0
    missing: int = 0

    @property
    def verified(self) -> bool:
        return not (self.native or self.restored or self.edited or self.damaged or self.missing)

    def __str__(self) -> str:
        lines = [f"{self.run} in {self.target}: {self.points} points, {'verified' if self.verified else 'NOT VERIFIED'}"]
        lines += [f"  native: {difference}" for difference in self.native[:20]]
        lines += [f"  with sidecar: {difference}" for difference in self.restored[:20]]
        lines += [f"  edited: {deviation.subject} ({deviation.count})" for deviation in self.edited[:20]]
        if self.damaged or self.missing:
            lines.append(f"  the journal itself: {self.damaged} damaged bytes, {self.missing} records missing")
        if not self.sidecar:
            lines.append("  no sidecar there: what the tracker cannot hold cannot be read back from it")
        return "\n".join(lines)


def verify(run: Path, target: Target) -> Verification:
    """Read the run in folder `run` back from `target` with the tracker's own reader, and compare it point by point.

    Args:
        target: absolute.

    Raises:
        RunNotFound: the tracker does not hold the run.
        BackendError: its client is not installed here.
    """
    projection = registry.get(target.name).capabilities(target).projection
    here = info(run)
    journal = JournalReader(run)
    logged = list(routed(journal))
    lost = journal.damaged, journal.missing
    original = normal(logged)
    original.status = here.status if here.status != Status.RUNNING else original.status
    reader = registry.reader(target)
    there = next((found for found in reader.runs() if found.id == here.id), None)
    if there is None:
        raise RunNotFound(f"run {here.id} is not in {target}: deliver it with  trackbridge sync {run} --to '{target}'")
    held = list(reader.read(here.id))
    native = compare(original, normal(held, there), projection)
    attached = reader.sidecar(here.id)
    if attached is None:
        return Verification(here.id, str(target), original.points(), native, [], [], False, *lost)
    damage = [] if hashlib.sha256(attached[0]).hexdigest() == attached[1] else [Difference("sidecar", "sha256", attached[1], "another one")]
    try:
        records, edited = restore(held, there, attached[0], projection)
    except ValueError as error:
        damage.append(Difference("sidecar", "content", "the journal", str(error)))
        return Verification(here.id, str(target), original.points(), native, damage, [], True, *lost)
    again = normal(records)
    differences = [one for one in compare(original, again, Projection(), native=False) if one.what in ("series", "config", "summary")]
    return Verification(here.id, str(target), original.points(), native, damage + differences, edited, True, *lost)
