"""A sandbox for one subject: it starts the processes that write, die and read, and delivers the canonical runs once."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import zlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

import msgspec

from trackbridge import registry, sidecar, stream
from trackbridge.adapters import Capabilities, Concurrency, Position
from trackbridge.deviations import Deviation, Ledger
from trackbridge.forward.state import State, states
from trackbridge.normal import Normal, normal
from trackbridge.testing import canon
from trackbridge.testing.canon import Workload
from trackbridge.testing.nursery import Request
from trackbridge.testing.read import Found
from trackbridge.testing.subject import Subject

NURSERY, NURSERY_LOG = "trackbridge.testing.nursery", "nursery.log"

TIMEOUT = 300
"""Seconds after which a child is taken to hang."""

NOBODY = "999999999"
"""The process that the real forwarder is told is its parent: it sees that the training process is dead."""

DELIVER = ["open", "write 7 1", "flush", "save", "attach early", "write 5000", "flush", "save", "write rest 700", "flush", "save"]
END = ["attach sidecar", "close"]


class Job:
    """One run's folder for :mod:`~trackbridge.testing.drive`."""

    def __init__(self, folder: Path, run: Workload) -> None:
        self.folder = folder
        self.run = run
        self.routed = run.routed
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "run.msgpack").write_bytes(stream.dump(run.opened, self.routed))
        (folder / "closed.msgpack").write_bytes(msgspec.msgpack.encode(msgspec.structs.replace(run.info, directory=None)))
        run.write_journal()
        (folder / "sidecar.bin").write_bytes(sidecar.build(run.folder)[0])
        (folder / "early.bin").write_bytes(zlib.compress(b"an earlier one"))

    def script(self, steps: Sequence[str]) -> Job:
        (self.folder / "script.json").write_text(json.dumps(list(steps)), "utf-8")
        return self

    def position(self, name: str) -> Position | None:
        """What the Writer said: `name` is ``opened``, ``flushed`` or ``cursor``."""
        path = self.folder / f"{name}.json"
        return msgspec.json.decode(path.read_bytes(), type=Position) if path.exists() else None

    @property
    def deviations(self) -> list[Deviation]:
        return msgspec.msgpack.decode((self.folder / "deviations.msgpack").read_bytes(), type=list[Deviation])

    @property
    def dead(self) -> list[tuple[str, int, str]]:
        """(shard, sequence, reason) of the records that the Writer rejected."""
        return msgspec.json.decode((self.folder / "dead.json").read_bytes(), type=list[tuple[str, int, str]])


class Lab:
    """The subject in its sandbox `root`.

    The target lies in ``root/sandbox/1/.../8/place``, so that a name with up to eight ``../`` that leaves it can be seen; children work in
    ``root/sandbox/work``, where nothing may appear.
    """

    def __init__(self, subject: Subject, root: Path) -> None:
        self.subject = subject
        self.root = root
        self.place = root / "sandbox" / "/".join("12345678") / "place"
        self.target = subject.target(self.place)
        for folder in (self.place, root / "sandbox" / "work", root / "home", root / "tmp", root / "journal"):
            folder.mkdir(parents=True, exist_ok=True)
        self.before = self.outside()
        self._nursery: subprocess.Popen[bytes] | None = None

    @cached_property
    def capabilities(self) -> Capabilities:
        return self.subject.capabilities(self.place)

    @cached_property
    def canon(self) -> dict[str, Workload]:
        return canon.build(self.root / "journal")

    @cached_property
    def delivered(self) -> dict[str, Job]:
        """The canonical runs, delivered by one process."""
        jobs = {run_id: self.job(run).script(DELIVER + END) for run_id, run in self.canon.items()}
        self.drive(jobs.values())
        return jobs

    @cached_property
    def found(self) -> dict[str, Found]:
        """The canonical runs, as a fresh process reads them."""
        return self.read(self.delivered)

    @cached_property
    def forms(self) -> dict[str, tuple[Normal, Normal]]:
        """Of each canonical run the normal form of what was logged and of what was found."""
        return {run_id: (form(run), self.found[run_id].form()) for run_id, run in self.canon.items()}

    @cached_property
    def kills(self) -> Kills:
        """The runs whose processes were killed."""
        return Kills(self)

    @cached_property
    def deviations(self) -> list[Deviation]:
        return Ledger(row for job in self.delivered.values() for row in job.deviations).rows()

    def steady(self, run_id: str) -> Workload:
        return canon.steady(self.root / "journal", run_id)

    def job(self, run: Workload) -> Job:
        return Job(self.root / "jobs" / run.info.id, run)

    def drive(self, jobs: Iterable[Job], dies: bool = False, together: bool = False) -> None:
        """Run the jobs' scripts.

        Args:
            dies: they end by SIGKILL, each in a process of its own; else they share one if the client can serve several runs.
            together: one step of each in turn.

        Raises:
            AssertionError: a process failed (or did not die); the message has what it printed.
        """
        folders = [str(job.folder) for job in jobs]
        alone = dies or self.capabilities.runs == Concurrency.ONE_PER_PROCESS
        flags = ["--together"] if together else []
        for group in [[folder] for folder in folders] if alone else [folders]:
            self._child("trackbridge.testing.drive", *flags, self.subject.name, str(self.target), *group, code=-9 if dies else 0)

    def forward(self, run: Path, failpoint: str = "") -> None:
        """Start the real forwarder on the run in folder `run`; it dies at `failpoint`, if one is named, else it delivers all."""
        name, _, passes = failpoint.partition(":")
        variables = {"TRACKBRIDGE_FAILPOINT": f"{name}:exit:{passes or 1}"} if failpoint else {}
        arguments = (str(run), str(self.target), "--parent", NOBODY)
        try:
            self._child("trackbridge.forward.worker", *arguments, code=-9 if failpoint else 0, variables=variables)
        except AssertionError as error:
            logs = [path.read_text("utf-8", "replace")[-2000:] for path in (run / "forward").glob("*/log.txt")]
            raise AssertionError("\n".join([f"at fail point {failpoint!r}: {error}", *logs])) from error
        degraded = [health.message for health in states(run) if health.state == State.DEGRADED]
        assert not degraded, f"the forwarder stopped: {degraded}"

    def read(self, run_ids: Iterable[str]) -> dict[str, Found]:
        """These runs, read by a fresh process, while their journals are out of reach: a link to a journal's file is no copy."""
        out = self.root / "found.msgpack"
        journal, away = self.root / "journal", self.root / "journal-away"
        journal.rename(away)
        try:
            self._child("trackbridge.testing.read", self.subject.name, str(self.target), str(out), *run_ids)
        finally:
            away.rename(journal)
        return {found.id: found for found in msgspec.msgpack.decode(out.read_bytes(), type=list[Found])}

    def outside(self) -> set[str]:
        """All files of the sandbox that do not belong to the target."""
        sandbox = self.root / "sandbox"
        own = Path(self.target.location) if self.target.is_path else self.place
        return {
            str(path.relative_to(sandbox))
            for path in sandbox.rglob("*")
            if own != path and own not in path.parents and path not in own.parents
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    def end(self) -> None:
        """End the process that starts the others, and those of its group."""
        if self._nursery is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._nursery.pid, signal.SIGKILL)
            self._nursery.communicate()
            self._nursery = None

    def _start(self) -> subprocess.Popen[bytes]:
        """The process that starts the others, where the client is."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TRACKBRIDGE_")}
        environment |= {"HOME": str(self.root / "home"), "TMPDIR": str(self.root / "tmp")}
        environment |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **dict(self.subject.environment)}
        here = ":" in self.subject.name or registry.home(self.subject.name) is None
        python = [sys.executable, "-m", NURSERY] if here else registry.command(self.subject.name, NURSERY)
        with (self.root / NURSERY_LOG).open("wb") as log:
            return subprocess.Popen(
                [*python, "--once"] if self.subject.once else python,
                cwd=self.root / "sandbox" / "work",
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                process_group=0,
            )

    def _child(self, module: str, *arguments: str, code: int = 0, variables: Mapping[str, str] | None = None) -> None:
        if self._nursery is None:
            self._nursery = self._start()
        assert self._nursery.stdin is not None
        assert self._nursery.stdout is not None
        log = self.root / "child.log"
        log.unlink(missing_ok=True)
        request = Request(module, list(arguments), dict(variables or {}), str(log))
        with contextlib.suppress(BrokenPipeError):
            self._nursery.stdin.write(msgspec.json.encode(request) + b"\n")
            self._nursery.stdin.flush()
        answered, _, _ = select.select([self._nursery.stdout], [], [], TIMEOUT)
        answer = self._nursery.stdout.readline() if answered else b""
        if not answer:
            self.end()
        if answer != b"%d\n" % code:
            told = [path.read_text("utf-8", "replace")[-4000:] for path in (log, self.root / NURSERY_LOG) if path.exists()]
            ended = f"ended with {answer.decode().strip()}" if answer else "did not end" if not answered else "could not be started"
            raise AssertionError("\n".join([f"{module.rpartition('.')[2]} {ended}, not with {code}:", *told]))


KILLS: dict[str, list[list[str]]] = {
    "after open": [["open", "kill"]],
    "after write, before any flush": [["open", "write 24 5", "kill"]],
    "after the first flush, before any cursor": [["open", "write 24 5", "flush", "kill"]],
    "after write, before flush": [["open", "write 24 5", "flush", "save", "write 17 5", "kill"]],
    "after flush, before the cursor": [["open", "write 24 5", "flush", "save", "write 17 5", "flush", "kill"]],
    "between many batches": [["open", *["write 2 1", "flush", "save", "write 1"] * 9, "write 5 1", "kill"]],
    "the process alone": [["open", "write 24 5", "flush", "save", "write 17 5", "die"]],
    "twice": [["open", "write 12 4", "flush", "save", "write 6 2", "kill"], ["open", "write 9 3", "flush", "save", "write 5 1", "kill"]],
    "after the sidecar": [["open", "write 24 5", "flush", "save", "attach early", "write 5", "flush", "save", "write 3", "kill"]],
    "before close": [["open", "write rest 9", "flush", "save", "kill"]],
}
"""Where the writing process dies: the scripts of the processes that are killed, one after the other. The next one completes the run."""


class Kills:
    """All points of :data:`KILLS`, each with a run of its own; the processes that need not die do their work for all of them at once."""

    def __init__(self, lab: Lab) -> None:
        self.jobs = {point: lab.job(lab.steady(f"kill-{number}")) for number, point in enumerate(KILLS)}
        for point, scripts in KILLS.items():
            for script in scripts:
                lab.drive([self.jobs[point].script(script)], dies=True)
        runs = [job.run.info.id for job in self.jobs.values()]
        self.cursors = {point: job.position("cursor") for point, job in self.jobs.items()}
        self.flushed = {point: job.position("flushed") for point, job in self.jobs.items()}
        self.interrupted = lab.read(runs)
        lab.drive(job.script(["open", "write rest 7", "flush", "save", *END]) for job in self.jobs.values())
        self.completed = lab.read(runs)


def form(run: Workload) -> Normal:
    """The normal form of what was logged."""
    return normal(run.records, run.info)
