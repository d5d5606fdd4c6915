"""What a task works with: sizes, a work folder, the tracker's own client and TrackBridge in fresh processes, and a time limit."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trackbridge import environments, registry
from trackbridge.adapters import Target
from trackbridge.errors import BackendError
from trackbridge_comparison import children, natives, services, tools
from trackbridge_comparison.engines import Engine, Here
from trackbridge_comparison.portable import portable
from trackbridge_comparison.schema import SUFFIX, Experiment, Item, Spec, Status, Way


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Args:
        points: sizes of a run, in points (a point is one value of one metric), for storage and scalability.
        keys: metrics in one call of these.
        widths: metrics in one call, for their growth.
        repeats: fresh processes for each timing.
        scale_repeats: the same for the times of scalability.
        calls, burst: calls timed in one process, at 2 ms and in a row.
        kills: killed processes for each way.
        kill_after: the kill comes at a random time in this range, in seconds after the first call returned.
        flushes: the range reaches at least over so many of the flush intervals that the tool documents.
        runs: runs that are written and listed; the last number is that of the listing.
        writers: processes that write into one store at the same time.
        preset: the option of the example scripts.
        box: seconds after which one write or read is stopped.
        everything: measure also what takes long.
    """

    name: str
    points: tuple[int, ...] = (1_000, 10_000)
    keys: int = 10
    widths: tuple[int, ...] = (10, 100, 1_000)
    repeats: int = 3
    scale_repeats: int = 1
    calls: int = 250
    burst: int = 400
    kills: int = 3
    kill_after: tuple[float, float] = (0.5, 6.0)
    flushes: int = 0
    runs: tuple[int, ...] = (5, 20)
    writers: int = 3
    preset: tuple[str, ...] = ("--quick",)
    box: float = 30.0
    everything: bool = False

    def kill_range(self, flush: float) -> tuple[float, float]:
        """Earliest and latest kill in seconds, for a tool with this flush interval."""
        earliest, latest = self.kill_after
        return earliest, max(latest, self.flushes * flush)


QUICK = Sizes("quick")
FULL = Sizes(
    "full",
    points=(1_000, 10_000, 100_000, 1_000_000),
    widths=(10, 100, 1_000, 10_000),
    repeats=14,
    scale_repeats=3,
    calls=500,
    burst=1000,
    kills=8,
    kill_after=(0.5, 30.0),
    flushes=3,
    runs=(10, 100, 1_000),
    writers=4,
    preset=(),
    box=60.0,
    everything=True,
)
SMOKE = Sizes(
    "smoke",
    (20, 60),
    widths=(2, 6),
    repeats=1,
    calls=5,
    burst=5,
    kills=1,
    kill_after=(0.1, 0.3),
    runs=(1, 2),
    writers=2,
    preset=("--smoke",),
)
SIZES = {sizes.name: sizes for sizes in (QUICK, FULL, SMOKE)}


@dataclass(frozen=True)
class Finding:
    """One result of a task, before it becomes a cell."""

    id: str
    value: float | None = None
    samples: Sequence[float] = ()
    detail: str = ""
    status: Status = Status.MEASURED


@dataclass(frozen=True)
class Job:
    """A piece of work that yields the cells `specs`.

    Args:
        run: does it; it is handed the bench with the job's time limit, and may raise ChildFailed or OutOfTime.
        estimate: seconds that it will take on two cores, until this machine's own time is known.
        alone: it measures times, so nothing else may run beside it.
        long: too long for a quick comparison, unless it is asked for by name.
        backends: of which it measures something.
    """

    name: str
    specs: tuple[Spec, ...]
    run: Callable[[Bench, frozenset[str]], Iterable[Finding]]
    estimate: float
    alone: bool = True
    long: bool = False
    backends: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where one run is written: by `script` of ``natives/``, run by `python` with `variables`, in `folder`; `store` is the tracker's."""

    backend: str
    script: str
    python: str
    folder: Path
    variables: Mapping[str, str]

    @property
    def store(self) -> Path:
        return self.folder / "store" if self.script == natives.THROUGH else self.folder


class Log:
    """What the children of one job printed, in one file of the report."""

    def __init__(self, path: Path, portable: Callable[[str], str]) -> None:
        self.path, self._portable = path, portable
        self._lock = threading.Lock()
        self._written = False

    def __bool__(self) -> bool:
        """Whether something was printed."""
        return self._written

    def add(self, command: Sequence[str], printed: str) -> None:
        text = self._portable(printed).strip()
        with self._lock:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a" if self._written else "w", encoding="utf-8") as file:
                file.write(f"$ {self._portable(' '.join(command))}\n" + (f"{text[-KEPT:]}\n" if text else ""))
            self._written = True


KEPT = 20_000
"""Of a child's output at most so many characters are kept, the last ones."""


def nowhere(kept: Experiment | list[Item]) -> None:
    """Keeps nothing."""


@dataclass(frozen=True)
class Bench:
    """`deadline`: the value of the monotonic clock at which the job has to be over; `keep` is given what is no cell; `log` is the job's; `engine`
    runs what may run elsewhere."""

    work: Path
    sizes: Sizes
    backends: tuple[str, ...]
    seed: int
    cache: Path
    deadline: float = float("inf")
    command: Sequence[str] = ()
    keep: Callable[[Experiment | list[Item]], None] = nowhere
    log: Log | None = None
    engine: Engine = field(default_factory=Here)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _known: dict[Any, Any] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _services: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def of(self, deadline: float, log: Log | None = None) -> Bench:
        """This bench for one job."""
        return dataclasses.replace(self, deadline=deadline, log=log)

    def close(self) -> None:
        """End what was started for several jobs."""
        self._services.close()

    def left(self, at_most: float = float("inf")) -> float:
        """Seconds that a child may take now."""
        return max(0.1, min(at_most, self.deadline - time.monotonic()))

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """The result of `make`, or its failure to set something up, made once for each key: probes that need the same thing share it."""
        with self._lock:
            lock = self._known.setdefault(("lock", key), threading.Lock())
        with lock:
            if key not in self._known:
                try:
                    self._known[key] = make()
                except BackendError as error:
                    self._known[key] = error
            if isinstance(self._known[key], BackendError):
                raise self._known[key]
            return self._known[key]

    def folder(self, name: str) -> Path:
        """A fresh folder."""
        path = self.work / f"{name}-{next(self._numbers)}"
        path.mkdir(parents=True)
        return path

    def portable(self, text: str) -> str:
        return portable(text, {self.work: "<work>", self.cache: "<cache>", environments.root(): "<cache>"})

    # -- fresh processes -----------------------------------------------------------------------------------------------------------------

    def run(
        self,
        command: Sequence[str],
        work: Path,
        variables: Mapping[str, str] | None = None,
        at_most: float = float("inf"),
        engine: Engine | None = None,
    ) -> str:
        """Run a child in the folder `work`, on this machine or by `engine`; what it printed.

        Raises:
            ChildFailed: it ended with an error.
            OutOfTime: the job's time was over.
            TooLong: `at_most` seconds were over.
        """
        printed, boxed = "", at_most < self.left()
        try:
            printed = (engine or Here()).run(command, work, self.left(at_most), self.variables(work, variables))
        except children.OutOfTime as error:
            if boxed and not children.stopping():
                raise children.TooLong(str(error)) from error
            raise
        except children.ChildFailed as error:
            printed = str(error)
            raise
        finally:
            if self.log is not None:
                self.log.add(command, printed)
        return printed

    def variables(self, work: Path, variables: Mapping[str, str] | None = None) -> dict[str, str]:
        """`variables`, and a folder for temporary files that is removed with all the rest."""
        temporary = self.work / "tmp"
        temporary.mkdir(parents=True, exist_ok=True)
        return {"TMPDIR": str(temporary), **(variables or {})}

    def python(self, *arguments: str, work: Path, backends: Iterable[str] = (), at_most: float = float("inf")) -> str:
        """Run this interpreter on `arguments` in the folder `work`, with what these backends need; what it printed."""
        return self.run([sys.executable, "-I", *arguments], work, self.environment(backends, work), at_most)

    def driving(self, place: Place, verb: str, *rest: object) -> list[str]:
        """The command that runs one verb of the driver at `place`."""
        isolated = ["-I", "-S"] if place.script.startswith(natives.FOREIGN) else ["-I"]  # a foreign reader sees no package at all
        return [place.python, *isolated, str(natives.DRIVER), place.script, verb, str(place.folder), *map(str, rest)]

    def drive(self, place: Place, verb: str, *rest: object, at_most: float = float("inf")) -> dict[str, Any]:
        """Run one verb of the driver at `place`, and return what it found."""
        printed = self.run(self.driving(place, verb, *rest), place.folder, place.variables, at_most)
        return told(printed)

    def begin(self, place: Place, verb: str, *rest: object, pass_fds: Sequence[int]) -> tuple[subprocess.Popen[bytes], Path]:
        """Start one verb of the driver at `place`; the child, which the caller ends, and the file that its output goes to."""
        log = place.folder / f".log-{verb}-{time.monotonic_ns()}"
        variables = self.variables(place.folder, place.variables)
        return children.start(self.driving(place, verb, *rest), place.folder, variables, log, pass_fds), log

    def result(self, child: subprocess.Popen[bytes], log: Path, at_most: float) -> dict[str, Any]:
        """What a child of :meth:`begin` found, when it has ended by itself.

        Raises:
            ChildFailed: it ended with an error.
            OutOfTime: it did not end in time.
        """
        try:
            code = child.wait(self.left(at_most))
        except subprocess.TimeoutExpired:
            raise children.OutOfTime(f"it did not end in {self.left(at_most):.0f} s") from None
        printed = log.read_text("utf-8", "replace")
        if self.log is not None:
            self.log.add(child.args if isinstance(child.args, list) else [str(child.args)], printed)
        if code:
            raise children.ChildFailed(f"exit code {code}\n{printed}")
        return told(printed)

    def interpreter(self, backend: str) -> str:
        """Where the backend's own client is: its environment, made when it is not there; this interpreter for one without requirements.

        Raises:
            BackendError: it cannot be made.
        """
        if environments.requirements(backend) is None:
            return sys.executable
        made: environments.Environment = self.once(("environment", backend), lambda: environments.create(backend))
        return str(made.interpreter)

    def environment(self, backends: Iterable[str], folder: Path) -> dict[str, str]:
        """The variables of these backends, with the addresses of those that are emulated."""
        backends = list(backends)
        found = tools.variables(backends, folder)
        for backend in backends:
            if address := self.service(backend):
                found |= address
        return found

    def service(self, backend: str) -> dict[str, str]:
        """The variable that leads to the emulator of this backend's service, which is started; nothing for one without."""
        name = tools.entry(backend).emulator
        if not name:
            return {}

        def make() -> dict[str, str]:
            return self._services.enter_context(services.emulator(name, self.folder(f"emulator-{name}")))

        variable: dict[str, str] = self.once(("service", name), make)
        return variable

    # -- places to write to ----------------------------------------------------------------------------------------------------------------

    def place(self, backend: str, way: Way, name: str) -> Place:
        """A fresh place for one run in this way: for a client of its own with what exists from a user's second run on; through TrackBridge,
        ``store`` below its folder is the backend's, ``journals`` ours."""
        if way is Way.THROUGH:
            folder = self.folder(f"{name}-{backend}-through")
            (folder / "target.txt").write_text(self.target(backend, folder / "store"), "utf-8")
            return Place(backend, natives.THROUGH, sys.executable, folder, self.environment([backend], folder))
        folder = self.folder(f"{name}-{backend}")
        shutil.copytree(self.prepared(backend), folder, dirs_exist_ok=True)
        return self.native(backend, folder, tuned=way is Way.TUNED)

    def native(self, backend: str, folder: Path, tuned: bool = False) -> Place:
        """The backend's own client in `folder`, as it is."""
        script = f"{backend}:tuned" if tuned else backend
        return Place(backend, script, self.interpreter(backend), folder, self.environment([backend], folder))

    def target(self, backend: str, folder: Path) -> str:
        """Make `folder` the backend's store, as it is before the first run; its target, as ``TRACKBRIDGE_BACKEND`` takes it."""
        shutil.copytree(self.prepared(backend), folder, dirs_exist_ok=True)
        location = next(iter(self.service(backend).values()), str(folder))
        return str(registry.get(backend).resolve(Target(backend, location, options=tools.entry(backend).options), folder))

    def prepared(self, backend: str) -> Path:
        """The store as it is before the first run: a new database needs seconds to be made, once for each user."""

        def make() -> Path:
            folder = self.folder(f"prepared-{backend}")
            if natives.offers(backend, "prepare"):
                self.drive(self.native(backend, folder), "prepare")
            return folder

        path: Path = self.once(("prepared", backend), make)
        return path

    def ways(self, backend: str) -> list[Way]:
        """The ways in which this backend can be written."""
        ways = {
            Way.NATIVE: natives.script(backend) is not None,
            Way.TUNED: natives.offers(backend, "tuned_start"),
            Way.THROUGH: True,
        }
        return [way for way, there in ways.items() if there]


def spec(backend: str, axis: str, quantity: str, title: str, unit: str, way: Way = Way.NATIVE) -> Spec:
    """The cell ``backend/axis/quantity`` with the suffix of its way."""
    return Spec(f"{backend}/{axis}/{quantity}{SUFFIX.get(way, '')}", title, unit, way)


def told(printed: str) -> dict[str, Any]:
    """The driver's line of JSON: the last line that can be one, since a client may print more when its process ends."""
    found: dict[str, Any] = json.loads(next(line for line in reversed(printed.splitlines()) if line.startswith("{")))
    return found


def versions(backend: str) -> dict[str, str]:
    """The versions of the tool's distributions, where its client is; nothing where it is not there."""
    try:
        made = environments.find(backend)
        known = tools.entries().get(backend)
        wanted = known.distributions if known else registry.get(backend).requires.names
        found = registry.versions(registry.get(backend).requires) if made is None else made.versions
    except BackendError:
        return {}
    there = {_normal(name): version for name, version in found.items()}
    return {name: there[_normal(name)] for name in wanted if _normal(name) in there}


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def unsupported(specs: Iterable[Spec], why: str) -> Iterator[Finding]:
    for one in specs:
        yield Finding(one.id, status=Status.UNSUPPORTED, detail=why)


NO_CLIENT = "there is no script for a client of its own in natives/"
