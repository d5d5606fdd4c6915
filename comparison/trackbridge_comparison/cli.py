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
from os import environ
from pathlib import Path

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trackbridge import registry
from trackbridge.errors import TrackBridgeError
from trackbridge_comparison import bench, budget, check, children, conclusions, experiments, natives, probes, report, schema
from trackbridge_comparison.bench import SIZES, Bench, Job
from trackbridge_comparison.children import ChildFailed, OutOfTime
from trackbridge_comparison.machine import describe
from trackbridge_comparison.probes import setup
from trackbridge_comparison.progress import Display
from trackbridge_comparison.report.words import shown, spread
from trackbridge_comparison.schedule import Schedule
from trackbridge_comparison.schema import Cell, Data, Experiment, Spec, Status

PROGRAM = "python -m trackbridge.compare"
BACKENDS = "jsonl,tensorboard,mlflow,wandb"
RESULTS = Path("comparison") / "results"
QUICK_SECONDS = 390.0
"""The budget of a quick comparison, environments made: seven minutes with the report."""

INTERRUPTED = 130


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Train the same experiments through every backend, read them back, measure each, and write a report.",
        epilog="Exit code: 0; 1 when a backend failed or a read-back differs; 2 for a wrong option; 130 after Ctrl-C.",
    )
    parser.add_argument("--backends", default=BACKENDS, help="separated by commas (%(default)s)")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="PROBE_OR_CELL",
        help="measure these alone: an axis (overhead, experiments ...), a backend, or a cell such as mlflow/overhead/log_p50_burst; repeatable",
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--quick", dest="mode", action="store_const", const="quick", help="some six minutes (the default)")
    mode.add_argument("--full", dest="mode", action="store_const", const="full", help="more repeats, larger sizes, no time limit")
    mode.add_argument("--smoke", dest="mode", action="store_const", const="smoke", help="tiny sizes that test the comparison itself")
    parser.add_argument("--out", type=Path, help=f"folder of the report ({RESULTS}; with --only a folder of the cache)")
    parser.add_argument("--budget", type=float, metavar="SECONDS", help=f"for all of it ({QUICK_SECONDS:.0f} for --quick)")
    parser.add_argument("--seed", type=int, help="of the kill times and the order of measurements (random)")
    parser.add_argument("--render", action="store_true", help="measure nothing; render the report from data.json in --out again")
    parser.add_argument("--baseline", type=Path, metavar="FILE", help="the data.json of an earlier report: say what has changed since")
    parser.add_argument("--check", type=Path, metavar="DIR", help="measure nothing; say what is wrong with the results in this folder")
    parser.add_argument("--list", action="store_true", help="measure nothing; list the cells that would be measured")
    options = parser.parse_args(arguments)
    options.mode = options.mode or "quick"
    options.backends = list(dict.fromkeys(name.strip() for name in options.backends.split(",") if name.strip()))
    return options


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says; the exit code."""
    options = parse(arguments)
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    if options.check:
        return _check(options.check, console)
    if options.render:
        return _render(options.out or RESULTS, console)
    try:
        for name in options.backends:
            registry.check(name)
        baseline = _baseline(options.baseline) if options.baseline else None
    except TrackBridgeError as error:
        console.print(f"compare: {error}", style="red", markup=False, highlight=False)
        return 2
    cache = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trackbridge" / "compare"
    cache.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="work-", dir=cache))
    try:
        return Comparison(options, console, cache, work, baseline).run()
    finally:
        shutil.rmtree(work, ignore_errors=True)


class Comparison:
    """One comparison: its plan, its data, and the file that they are kept in. `baseline`: the one that changes are counted from."""

    def __init__(self, options: argparse.Namespace, console: Console, cache: Path, work: Path, baseline: Data | None) -> None:
        self._options, self._console, self._cache, self._baseline = options, console, cache, baseline
        self._out: Path = options.out or (cache / "only" if options.only else RESULTS)
        self._lock = threading.Lock()
        self._began = time.monotonic()
        sizes = SIZES[options.mode]
        seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**31)
        command = [PROGRAM]
        if ",".join(options.backends) != BACKENDS:
            command += ["--backends", ",".join(options.backends)]
        if options.mode != "quick":
            command += [f"--{options.mode}"]
        self._bench = Bench(
            work, sizes, tuple(options.backends), seed, cache, command=[shlex.quote(word) if word != PROGRAM else word for word in command]
        )
        everything = [*experiments.jobs(self._bench, self._keep), *probes.jobs(self._bench)]
        wanted = {spec.id for job in everything for spec in job.specs if not options.only or budget.any_match(spec.id, options.only)}
        self._wanted = frozenset(wanted)
        self._jobs: list[Job] = [job for job in everything if any(spec.id in wanted for spec in job.specs)]
        self._budget: float | None = options.budget if options.budget is not None else (QUICK_SECONDS if options.mode == "quick" else None)
        self._memory = budget.Memory(cache / "durations.json", options.mode)
        modules = (experiments, *probes.PROBES)
        self.data = Data(
            mode=options.mode,
            command=" ".join([*self._bench.command, *(part for pattern in options.only for part in ("--only", shlex.quote(pattern)))]),
            backends=options.backends,
            started=_now(),
            budget=self._budget,
            seed=seed,
            machine=describe(work),
            versions=bench.versions(options.backends),
            axes={module.AXIS: f"{module.TITLE}\n{module.METHOD}" for module in modules},
            planned=[spec for job in self._jobs for spec in job.specs if spec.id in wanted],
            natives={name: text for name, text in natives.sources().items() if name in options.backends},
        )

    def run(self) -> int:
        """Measure, report, and say how it went."""
        if not self._jobs:
            self._console.print(
                f"compare: nothing is called {' or '.join(self._options.only)}; --list shows the cells", markup=False, style="red"
            )
            return 2
        if self._options.list:
            for spec in self.data.planned:
                self._console.print(f"{spec.id}  {spec.title} ({spec.unit}), {spec.way}", markup=False, highlight=False, soft_wrap=True)
            return 0
        self._save()
        interrupted = False
        children.restart()
        try:
            self._prepare()
            self._measure()
        except KeyboardInterrupt:
            interrupted = True
            children.end_all()
        self.data.state = "interrupted" if interrupted else "finished"
        conclusions.draw(self.data, self._baseline)
        self._save()
        paths = report.render(self._out)
        check.seal(self._out)
        self._conclude(paths, interrupted)
        return INTERRUPTED if interrupted else 1 if self.data.problems() else 0

    def _prepare(self) -> None:
        """Make the environments of the setup probe before the clock starts: it is done once on a machine, and its downloads take what they take."""
        for backend in self._options.backends:
            if natives.script(backend) and any(spec.backend == backend and spec.axis == setup.AXIS for spec in self.data.planned):
                # what fails here is met again by the probe, which tells
                with self._console.status(f"environment of {escape(backend)}"), suppress(ChildFailed, OutOfTime, OSError):
                    setup.environment(self._bench, backend)

    def _measure(self) -> None:
        self._began = time.monotonic()
        estimates = [(job.name, self._memory.estimate(job.name, job.estimate)) for job in self._jobs]
        with Display(self._console, estimates, self._budget) as display:
            schedule = Schedule(self._bench, self._jobs, self._wanted, self._budget, self._memory, self._record, display)
            self.data.tasks = schedule.tasks
            schedule.run()

    def _record(self, cell: Cell) -> None:
        with self._lock:
            self.data.cells.append(cell)
            self._save()

    def _keep(self, experiment: Experiment) -> None:
        with self._lock:
            self.data.experiments.append(experiment)
            self._save()

    def _save(self) -> None:
        order = {spec.id: index for index, spec in enumerate(self.data.planned)}
        self.data.cells.sort(key=lambda cell: order[cell.spec.id])
        self.data.experiments.sort(key=lambda one: one.name)
        self.data.updated, self.data.spent = _now(), round(time.monotonic() - self._began, 1)
        schema.save(self.data, self._out)

    def _conclude(self, paths: Sequence[Path], interrupted: bool) -> None:
        print_summary(self.data, self._console)
        if self._options.only:
            self._before()
        say = self._console.print
        for problem in self.data.problems():
            say(problem, style="red", markup=False)
        left_out = [cell.spec for cell in self.data.cells if cell.status in (Status.NOT_RUN_QUICK, Status.NOT_RUN_FULL)]
        if left_out:
            say(f"left out for time: {_places(left_out)}", style="yellow", markup=False, highlight=False)
        if interrupted:
            say(f"interrupted; missing: {_places(self.data.missing())}", style="yellow", markup=False, highlight=False)
        say(
            f"{self.data.spent:.0f} s; {', '.join(map(str, (self._out / schema.FILE, *paths)))}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )

    def _before(self) -> None:
        """The same cells in the last report, if there is one here."""
        try:
            last = schema.load(RESULTS)
        except (OSError, msgspec.DecodeError):
            return
        for cell in self.data.cells:
            old = last.cell(cell.spec.id)
            if old is not None and old.value is not None:
                text = f"{cell.spec.id}: {shown(cell)} now; in {RESULTS} {shown(old)}"
                text += f" (range {spread(old)})" if spread(old) else ""
                self._console.print(f"{text}, {old.time}, load {old.load}", markup=False, highlight=False, soft_wrap=True)


def print_summary(data: Data, console: Console) -> None:
    """A table of all cells: a row for each quantity, a column for each backend."""
    table = Table("axis", "quantity", "way", *map(escape, data.backends), title=f"compare, {data.mode}")
    rows: dict[tuple[str, str, str], dict[str, Cell]] = {}
    for cell in data.cells:
        rows.setdefault((cell.spec.axis, cell.spec.title, cell.spec.way), {})[cell.spec.backend] = cell
    before = ""
    for (axis, title, way), cells in rows.items():
        if before and axis != before:
            table.add_section()
        values = [escape(shown(cells[backend])) if backend in cells else "" for backend in data.backends]
        table.add_row(axis if axis != before else "", escape(title), way.removeprefix("through "), *values)
        before = axis
    console.print(table)


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
        found = msgspec.json.decode(file.read_bytes(), type=Data)
    except (OSError, msgspec.DecodeError) as error:
        raise TrackBridgeError(f"--baseline {file} cannot be read: {error}; name the data.json of an earlier report") from error
    if found.format != schema.FORMAT:
        raise TrackBridgeError(
            f"--baseline {file} has format {found.format}, not {schema.FORMAT}: its cells mean something else; measure it again"
        )
    return found


def _check(folder: Path, console: Console) -> int:
    problems = check.folder(folder)
    for problem in problems:
        console.print(problem, style="red", markup=False, highlight=False, soft_wrap=True)
    if not problems:
        console.print(f"{folder} is valid", markup=False, highlight=False, soft_wrap=True)
    return 1 if problems else 0


def _render(out: Path, console: Console) -> int:
    try:
        paths = report.render(out)
        check.seal(out)
    except (OSError, msgspec.DecodeError) as error:
        console.print(f"compare: {out / schema.FILE} cannot be rendered: {error}", style="red", markup=False)
        return 2
    console.print(f"rendered {', '.join(map(str, paths))}", markup=False, highlight=False, soft_wrap=True)
    return 0


def _now() -> str:
    return datetime.now(UTC).strftime(schema.TIME)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
