"""The command line: ``python -m trackbridge.compare``, ``trackbridge compare``, ``make compare``."""

from __future__ import annotations

import argparse
import random
import shlex
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from math import inf
from os import environ, getpid, kill
from pathlib import Path

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trackbridge import registry
from trackbridge.errors import BackendError, TrackBridgeError
from trackbridge_comparison import (
    bench,
    budget,
    check,
    children,
    conclusions,
    experiments,
    natives,
    probes,
    report,
    schema,
    statistics,
    tables,
    tools,
)
from trackbridge_comparison.bench import SIZES, Bench, Job
from trackbridge_comparison.engines import ENGINE, ENGINES, Engine
from trackbridge_comparison.machine import describe
from trackbridge_comparison.progress import Display
from trackbridge_comparison.report import brief
from trackbridge_comparison.report.words import shown, spread
from trackbridge_comparison.schedule import Limits, Schedule
from trackbridge_comparison.schema import Cell, Data, Experiment, Item, Sitting, Spec, Status, Task

PROGRAM = "python -m trackbridge.compare"
RESULTS = Path("comparison") / "results"
"""The last comparison of each mode lies in a folder of its name; a quick one shows cells of the full one where it has none of its own."""

QUICK_SECONDS = 55.0
"""A quick comparison's budget for each backend, environments made."""

TRAINING_SECONDS = 300.0
"""And for the experiments, which all backends share."""

FULL_SECONDS = 6 * 3600.0
INTERRUPTED = 130
FEW = 60
"""So many cells are printed one by one."""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Train the same experiments through every backend, read them back, measure each, and write a report.",
        epilog="Exit code: 0; 1 when a backend failed, a read-back differs or the disk is full; 2 for a wrong option; 130 after Ctrl-C.",
    )
    everyone = ",".join(tools.entries())
    parser.add_argument("--backends", default=everyone, help="separated by commas (%(default)s)")
    parser.add_argument("--axes", default="", help="measure these alone, separated by commas: fidelity,durability ...")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PROBE_OR_CELL",
        help="measure these alone: an axis (overhead, experiments ...), a backend, or a cell such as mlflow/overhead/log_p50_burst; repeatable",
    )
    parser.add_argument(
        "--separate", action="store_true", help="train each experiment once for each backend alone, and measure nothing else"
    )
    parser.add_argument(
        "--engine", choices=ENGINES, default=ENGINE, help="where --separate trains: here, or on a Ray cluster that shares this folder"
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--quick", dest="mode", action="store_const", const="quick", help="at most twenty minutes (the default)")
    mode.add_argument("--full", dest="mode", action="store_const", const="full", help="more repeats, larger sizes: at most six hours")
    mode.add_argument("--smoke", dest="mode", action="store_const", const="smoke", help="tiny sizes that test the comparison itself")
    parser.add_argument(
        "--out", type=Path, help=f"folder of the report ({RESULTS}/quick, /full or /separate; of --only and --axes one of the cache)"
    )
    parser.add_argument("--budget", type=float, metavar="SECONDS", help=f"for all of it ({QUICK_SECONDS:.0f} for each backend of --quick)")
    parser.add_argument("--seed", type=int, help="of the kill times and the order of measurements (random)")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the comparison in --out, as it was begun: measure what has no value there yet"
    )
    parser.add_argument(
        "--render",
        action="store_true",
        help="measure nothing; draw the conclusions from the cells of data.json in --out, and render the report, again",
    )
    parser.add_argument("--baseline", type=Path, metavar="FILE", help="the data.json of an earlier report: say what has changed since")
    parser.add_argument("--check", type=Path, metavar="DIR", help="measure nothing; say what is wrong with the results in this folder")
    parser.add_argument("--list", action="store_true", help="measure nothing; list the cells that would be measured")
    options = parser.parse_args(arguments)
    options.mode = options.mode or "quick"
    options.backends = _names(options.backends)
    options.axes = _names(options.axes)
    if options.engine != ENGINE and not options.separate:
        parser.error("--engine is for --separate: whatever else is measured is measured on this machine")
    options.part = bool(options.only or options.axes)
    options.out = options.out or (RESULTS / ("separate" if options.separate else options.mode) if not options.part else None)
    return options


def _names(text: str) -> list[str]:
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says; the exit code."""
    options = parse(arguments)
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    if options.check:
        return _check(options.check, console)
    cache = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trackbridge" / "compare"
    out = options.out or cache / "only"
    if options.render:
        return _render(out, console)
    try:
        baseline = _baseline(options.baseline) if options.baseline else None
        begun = _begun(out) if options.resume else None
        for name in begun.backends if begun else options.backends:
            registry.get(name)
        engine = ENGINES[options.engine]()
    except TrackBridgeError as error:
        console.print(f"compare: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        return 2
    work = _work(cache)
    try:
        return Comparison(options, console, cache, work, out, engine, begun, baseline).run()
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _work(cache: Path) -> Path:
    """A fresh folder to work in, named after this process; those of processes that were killed are removed, with what still works there."""
    cache.mkdir(parents=True, exist_ok=True)
    for left in cache.glob("work-*-*"):
        try:
            kill(int(left.name.split("-")[1]), 0)
        except PermissionError:  # it lives, and is another user's
            continue
        except ProcessLookupError:
            children.end_left(left)
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"work-{getpid()}-", dir=cache))


def _begun(out: Path) -> Data:
    """The comparison that --resume goes on with.

    Raises:
        TrackBridgeError: there is none.
    """
    try:
        return schema.load(out)
    except (OSError, msgspec.DecodeError) as error:
        raise TrackBridgeError(f"--resume finds no comparison in {out}: {error}; name its folder with --out") from error


class Comparison:
    """One comparison: its plan, its data, and the file that they are kept in. `begun`: the one to go on with; `baseline`: the one that changes
    are counted from."""

    def __init__(
        self,
        options: argparse.Namespace,
        console: Console,
        cache: Path,
        work: Path,
        out: Path,
        engine: Engine,
        begun: Data | None,
        baseline: Data | None,
    ) -> None:
        self._options, self._console, self._out, self._baseline = options, console, out, baseline
        self._lock = threading.Lock()
        self._began, self._before = time.monotonic(), begun.spent if begun else 0.0
        mode, backends = (begun.mode, begun.backends) if begun else (options.mode, options.backends)
        seed = options.seed if options.seed is not None else begun.seed if begun else random.SystemRandom().randrange(2**31)
        command = [PROGRAM]
        if backends != list(tools.entries()):
            command += ["--backends", shlex.quote(",".join(backends))]
        if mode != "quick":
            command += [f"--{mode}"]
        self._bench = Bench(work, SIZES[mode], tuple(backends), seed, cache, command=command, keep=self._keep, engine=engine)
        everything = [*experiments.jobs(self._bench), *probes.jobs(self._bench)]
        self.data = begun or self._plan(everything, seed)
        there = {cell.spec.id for cell in self.data.cells if cell.status is not Status.FAILED and not cell.status.left_out}
        self._wanted = frozenset(spec.id for spec in self.data.planned if spec.id not in there)
        self._jobs: list[Job] = [job for job in everything if any(spec.id in self._wanted for spec in job.specs)]
        self._memory = budget.Memory(cache / "durations.json", mode)
        self._limits = self._limit(mode, len(backends))

    def _plan(self, everything: Sequence[Job], seed: int) -> Data:
        """A comparison that is to begin."""
        options = self._options
        total = self._limit(options.mode, len(options.backends)).total
        chosen = [("--only", pattern) for pattern in options.only] + [("--axes", axis) for axis in options.axes]
        return Data(
            mode=options.mode,
            command=" ".join(
                [
                    *self._bench.command,
                    *(f"{name} {shlex.quote(one)}" for name, one in chosen),
                    *(["--separate"] if options.separate else []),
                    *(["--engine", options.engine] if options.engine != ENGINE else []),
                ]
            ),
            backends=options.backends,
            started=_now(),
            budget=None if total == inf else total,
            seed=seed,
            machine=describe(self._bench.work),
            versions={backend: bench.versions(backend) for backend in options.backends},
            axes=_methods(),
            planned=[spec for job in everything for spec in job.specs if self._asked(spec)],
            natives={name: text for name, text in natives.sources().items() if name in options.backends},
            tools=[tools.entry(backend).tool for backend in options.backends],
        )

    def _asked(self, spec: Spec) -> bool:
        """Whether the command line asks for this cell."""
        options = self._options
        alone = experiments.SEPARATE in spec.id
        if options.only:
            return budget.any_match(spec.id, options.only) and (not alone or any(experiments.SEPARATE in only for only in options.only))
        return alone == options.separate and (not options.axes or spec.axis in options.axes)

    def _limit(self, mode: str, backends: int) -> Limits:
        options = self._options
        named = options.part or options.separate
        if options.budget is not None:
            return Limits(total=options.budget, long=mode != "quick" or named)
        if named or mode == "smoke":
            return Limits()
        if mode == "full":
            return Limits(total=FULL_SECONDS)
        return Limits(total=TRAINING_SECONDS + QUICK_SECONDS * backends, backend=QUICK_SECONDS, long=False)

    def run(self) -> int:
        """Measure, report, and say how it went."""
        if not self.data.planned:
            asked = [*self._options.only, *self._options.axes]
            self._console.print(f"compare: nothing is called {' or '.join(asked)}; --list shows the cells", markup=False, style="red")
            return 2
        if self._options.list:
            for spec in self.data.planned:
                self._console.print(f"{spec.id}  {spec.title} ({spec.unit}), {spec.way}", markup=False, highlight=False, soft_wrap=True)
            return 0
        interrupted = False
        full: OSError | None = None
        paths: Sequence[Path] = ()
        try:
            with self._lock:
                self.data.cells = [cell for cell in self.data.cells if cell.spec.id not in self._wanted]
                self.data.state = "running"
                if self._options.resume and self._jobs:
                    self.data.axes = _methods()
                    self.data.resumed.append(Sitting(time=_now(), machine=describe(self._bench.work)))
                self._save()
            self._prepare()
            self._measure()
            self.data.state = "finished"
        except KeyboardInterrupt:
            interrupted = True
            self.data.state = "interrupted"
        except OSError as error:
            full = error
            self.data.state = "interrupted"
        finally:
            children.end_all()
            self._bench.close()
            children.restart()
        try:
            paths = self._report()
        except OSError as error:
            full = full or error
        self._conclude(paths)
        if full is not None:
            say = f"compare: {full}. What is in {self._out / schema.FILE} is whole; make room, then go on with --resume --out {self._out}"
            self._console.print(say, style="red", markup=False, highlight=False, soft_wrap=True)
            return 1
        return INTERRUPTED if interrupted else 1 if self.data.problems() else 0

    def _prepare(self) -> None:
        """Make the environments before the clock starts: it is done once on a machine, and its downloads take what they take."""
        for backend in dict.fromkeys(spec.backend for spec in self.data.planned if spec.id in self._wanted):
            # what fails here is met again by the tasks, which tell
            with self._console.status(f"environment of {escape(backend)}"), suppress(BackendError):
                self._bench.interpreter(backend)
        self.data.versions = {backend: bench.versions(backend) for backend in self.data.backends}

    def _measure(self) -> None:
        self._began = time.monotonic()
        shares = {job.name: 1 if job.alone else self._bench.engine.at_once for job in self._jobs}
        will_run = [job for job in self._jobs if self._limits.long or not job.long]
        estimates = [(job.name, self._memory.estimate(job.name, job.estimate) / shares[job.name]) for job in will_run]
        with Display(self._console, estimates, None if self._limits.total == inf else self._limits.total) as display:
            schedule = Schedule(
                self._bench,
                self._jobs,
                self._wanted,
                self._limits,
                self._memory,
                self._out,
                self._record,
                self._note,
                display,
            )
            schedule.run()

    def _report(self) -> Sequence[Path]:
        """Write the report of what is there; the files."""
        conclusions.draw(self.data, self._baseline, _last_full())
        self._save()
        return _write(self.data, self._out)

    def _record(self, cell: Cell) -> None:
        with self._lock:
            self.data.cells.append(cell)
            self._save()

    def _note(self, task: Task) -> None:
        with self._lock:
            self.data.tasks = [one for one in self.data.tasks if one.name != task.name] + [task]
            self._save()

    def _keep(self, kept: Experiment | list[Item]) -> None:
        with self._lock:
            if isinstance(kept, Experiment):
                self.data.experiments.append(kept)
            else:
                again = {(item.backend, item.trait) for item in kept}
                self.data.items = [item for item in self.data.items if (item.backend, item.trait) not in again] + kept
            self._save()

    def _save(self) -> None:
        order = {spec.id: index for index, spec in enumerate(self.data.planned)}
        self.data.cells.sort(key=lambda cell: order[cell.spec.id])
        self.data.experiments.sort(key=lambda one: one.name)
        self.data.updated, self.data.spent = _now(), round(self._before + time.monotonic() - self._began, 1)
        schema.save(self.data, self._out)

    def _conclude(self, paths: Sequence[Path]) -> None:
        print_summary(self.data, self._console)
        if self._options.part:
            self._compare_with_last()
        say = self._console.print
        for problem in self.data.problems():
            say(problem, style="red", markup=False)
        left_out = [cell.spec for cell in self.data.left_out()]
        if left_out:
            say(f"left out for time: {_places(left_out)}", style="yellow", markup=False, highlight=False)
        if self.data.state == "interrupted":
            say(f"interrupted; missing: {_places(self.data.missing())}", style="yellow", markup=False, highlight=False)
        say(
            f"{self.data.spent:.0f} s; {', '.join(map(str, (self._out / schema.FILE, *paths)))}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )

    def _compare_with_last(self) -> None:
        """The same cells in the last report, if there is one here."""
        try:
            last = schema.load(RESULTS / self.data.mode)
        except (OSError, msgspec.DecodeError):
            return
        for cell in self.data.cells:
            old = last.cell(cell.spec.id)
            if old is not None and old.value is not None:
                verdict = statistics.agreement(cell.samples, old.samples)
                text = f"{cell.spec.id}: {shown(cell)} now; in {RESULTS / self.data.mode} {shown(old)}"
                text += f" (range {spread(old)})" if spread(old) else ""
                self._console.print(f"{text}, {old.time}, load {old.load}: {verdict}", markup=False, highlight=False, soft_wrap=True)


def print_summary(data: Data, console: Console) -> None:
    """A row for each tool, with what a reader asks for first; where few cells were asked for, a row for each."""
    if len(data.planned) <= FEW:
        table = Table("cell", "", "value", "interval", title=f"compare, {data.mode}")
        for cell in data.cells:
            table.add_row(*map(escape, (cell.spec.id, cell.spec.title, shown(cell), spread(cell))))
    else:
        table = Table(*brief.HEAD, title=f"compare, {data.mode}")
        for tools_of_kind in brief.rows(data).values():
            for tool, cells in tools_of_kind:
                table.add_row(*map(escape, (tool.title, *cells)))
            table.add_section()
    console.print(table)


def _methods() -> dict[str, str]:
    """Title and method of each axis, as this version measures it."""
    return {module.AXIS: f"{module.TITLE}\n{module.METHOD}" for module in (experiments, *probes.PROBES)}


def _places(specs: Sequence[Spec]) -> str:
    """How many cells, and of which backend and axis."""
    counts = Counter(f"{spec.backend}/{spec.axis}" for spec in specs)
    return f"{len(specs)} cells: " + ", ".join(f"{place} ({count})" for place, count in counts.items())


def _baseline(file: Path) -> Data:
    """The earlier report.

    Raises:
        TrackBridgeError: there is none, or it is of another format.
    """
    try:
        return schema.read(file)
    except (OSError, msgspec.DecodeError) as error:
        raise TrackBridgeError(f"--baseline {file} cannot be read: {error}; name the data.json of an earlier report") from error


def _last_full() -> Data | None:
    """The last full comparison that is kept with this project."""
    try:
        return schema.load(RESULTS / "full")
    except (OSError, msgspec.DecodeError):
        return None


def _check(folder: Path, console: Console) -> int:
    problems = check.folder(folder)
    for problem in problems:
        console.print(problem, style="red", markup=False, highlight=False, soft_wrap=True)
    if not problems:
        console.print(f"{folder} is valid", markup=False, highlight=False, soft_wrap=True)
    return 1 if problems else 0


def _write(data: Data, out: Path) -> Sequence[Path]:
    """The tables and the report of `data`, which lies in `out`, and their seal; the report's files."""
    tables.write(data, out)
    paths = report.render(out)
    check.seal(out)
    return paths


def _render(out: Path, console: Console) -> int:
    try:
        data = schema.load(out)
        conclusions.draw(data, last=_last_full())
        schema.save(data, out)
        paths = _write(data, out)
    except (OSError, msgspec.DecodeError) as error:
        console.print(f"compare: {out / schema.FILE} cannot be rendered: {error}", style="red", markup=False)
        return 2
    console.print(f"rendered {', '.join(map(str, paths))}", markup=False, highlight=False, soft_wrap=True)
    return 0


def _now() -> str:
    return datetime.now(UTC).strftime(schema.TIME)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
