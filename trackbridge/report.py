"""What ``finish()`` returns and ``status()`` shows."""

from __future__ import annotations

from pathlib import Path

import msgspec

from trackbridge.deviations import Deviation, Ledger, words


class TargetReport(msgspec.Struct, frozen=True, kw_only=True):
    """One backend's side of a run.

    Args:
        target: as in ``TRACKBRIDGE_BACKEND``.
        state: ``starting healthy waiting degraded unavailable delivered``.
        message: what is wrong and the remedy, or "".
        delivered: values that the tracker holds for certain.
        pending: records that it does not hold yet.
        dead: records that it can never take, in the dead-letter file.
        deviations: what it does not hold exactly.
    """

    target: str
    state: str
    message: str = ""
    delivered: int = 0
    pending: int = 0
    dead: int = 0
    deviations: list[Deviation] = []
    id: str = ""
    where: str = ""
    url: str = ""
    hint: str = ""
    mode: str = ""

    @property
    def complete(self) -> bool:
        return self.state == "delivered" and not self.dead


class Report(msgspec.Struct, frozen=True):
    """The end of a run.

    Args:
        run_id, directory: which run, and its folder.
        status: ``finished`` or ``failed``.
        targets: one for each backend.
        deviations: what changed before it was journaled: redacted, merged, unsupported, refused.
        records: how many records the journal accepted from this process.
        finished_in_time: whether each backend had everything, or could not have it, when ``finish`` returned.
    """

    run_id: str
    directory: Path
    status: str
    targets: list[TargetReport]
    deviations: list[Deviation]
    records: int
    finished_in_time: bool

    @property
    def delivered(self) -> bool:
        """Whether every backend has everything, as far as it can hold it."""
        return all(target.complete for target in self.targets)

    def __str__(self) -> str:
        lines = [f"run {self.run_id} {self.status}: {self.records} records in {self.directory}"]
        for target in self.targets:
            line = f"  {target.target}: {target.state}, {target.delivered} values"
            if target.pending:
                line += f", {target.pending} records pending"
            if target.dead:
                line += f", {target.dead} rejected (dead-letters.jsonl)"
            if target.where:
                line += f", {target.url or target.where}"
            lines.append(line)
            totals = Ledger(target.deviations).by_reason()
            if totals:
                lines.append("    not exact there: " + words(totals))
            lines += [f"    {text}" for text in (target.message, target.hint) if text]
        own = Ledger(self.deviations).by_reason()
        if own:
            lines.append("  before it was journaled: " + words(own))
        if any(target.state != "delivered" for target in self.targets):
            lines.append(f"  what is pending stays in the journal; deliver it with: trackbridge sync {self.directory}")
        return "\n".join(lines)
