"""What a task works with: sizes, a work folder, the tracker's own client and TrackBridge in fresh processes, and a time limit."""

from __future__ import annotations

import dataclasses
import itertools
import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trackbridge import registry
from trackbridge.adapters import Target
from trackbridge.errors import BackendError
from trackbridge_comparison import children, natives
from trackbridge_comparison.portable import portable
from trackbridge_comparison.schema import Spec, Status


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Args:
        points: sizes of a run, in points (a point is one value of one metric), for storage and scalability.
        keys: metrics in one call of these.
        repeats: fresh processes for each timing.
        calls, burst: calls timed in one process, at 2 ms and in a row.
        kills: killed processes for each way.
        kill_after: the kill comes at a random time in this range, in seconds after the first call returned.
        runs: runs that are listed.
        preset: the option of the example scripts.
        box: seconds after which one write or read is stopped.
    """

    name: str
    points: tuple[int, ...] = (1_000, 10_000)
    keys: int = 10
    repeats: int = 3
    calls: int = 250
    burst: int = 400
    kills: int = 3
    kill_after: tuple[float, float] = (1.0, 9.0)
    runs: int = 20
    preset: tuple[str, ...] = ("--quick",)
    box: float = 60.0


QUICK = Sizes("quick")
FULL = Sizes(
    "full", (1_000, 10_000, 100_000), repeats=7, calls=500, burst=1000, kills=8, kill_after=(1.0, 45.0), runs=1000, preset=(), box=600.0
)
SMOKE = Sizes("smoke", (20, 60), repeats=1, calls=5, burst=5, kills=1, kill_after=(0.1, 0.3), runs=2, preset=("--smoke",), box=60.0)
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
        backends: whose versions are noted with its cells.
    """

    name: str
    specs: tuple[Spec, ...]
    run: Callable[[Bench, frozenset[str]], Iterable[Finding]]
    estimate: float
    alone: bool = True
    backends: tuple[str, ...] = ()


@dataclass(frozen=True)
class Bench:
    """`deadline`: the value of the monotonic clock at which the job has to be over."""

    work: Path
    sizes: Sizes
    backends: tuple[str, ...]
    seed: int
    cache: Path
    deadline: float = float("inf")
    command: Sequence[str] = ()
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _known: dict[Any, Any] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def until(self, deadline: float) -> Bench:
        return dataclasses.replace(self, deadline=deadline)

    def left(self, at_most: float = float("inf")) -> float:
        """Seconds that a child may take now."""
        return max(0.1, min(at_most, self.deadline - time.monotonic()))

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """The result of `make`, made once for each key: probes that need the same run share it."""
        with self._lock:
            lock = self._known.setdefault(("lock", key), threading.Lock())
        with lock:
            if key not in self._known:
                self._known[key] = make()
            return self._known[key]

    def folder(self, name: str) -> Path:
        """A fresh folder."""
        path = self.work / f"{name}-{next(self._numbers)}"
        path.mkdir(parents=True)
        return path

    def portable(self, text: str) -> str:
        return portable(text, {self.work: "<work>", self.cache: "<cache>"})

    # -- fresh processes -----------------------------------------------------------------------------------------------------------------

    def python(self, *arguments: str, work: Path, extra: Mapping[str, str] | None = None, at_most: float = float("inf")) -> str:
        """Run this interpreter on `arguments` in the folder `work`; what it printed."""
        return children.run([sys.executable, "-I", *arguments], work, self.left(at_most), extra)

    def drive(self, script: str, verb: str, folder: Path, *rest: object, at_most: float = float("inf"), python: str = "") -> dict[str, Any]:
        """Run one verb of the driver on a script: a backend's own client, or ``through``."""
        command = [python or sys.executable, "-I", str(natives.DRIVER), script, verb, str(folder), *map(str, rest)]
        printed = children.run(command, folder, self.left(at_most))
        result: dict[str, Any] = json.loads(printed.strip().splitlines()[-1])
        return result

    # -- places to write to ----------------------------------------------------------------------------------------------------------------

    def native(self, backend: str, name: str) -> Path:
        """A fresh folder for the backend's own client, with what exists from a user's second run on."""
        folder = self.folder(f"{name}-{backend}")
        shutil.copytree(self.prepared(backend), folder, dirs_exist_ok=True)
        return folder

    def through(self, backend: str, name: str) -> Path:
        """A fresh folder for ``natives/through.py``: ``store`` is the backend's, ``journals`` ours."""
        folder = self.folder(f"{name}-{backend}-through")
        (folder / "target.txt").write_text(self.store(backend, folder / "store"), "utf-8")
        return folder

    def store(self, backend: str, folder: Path) -> str:
        """Make `folder` the backend's store, as it is before the first run; its target, as ``TRACKBRIDGE_BACKEND`` takes it."""
        shutil.copytree(self.prepared(backend), folder, dirs_exist_ok=True)
        return str(registry.get(backend).resolve(Target(backend, str(folder)), folder))

    def place(self, backend: str, way: str, name: str) -> tuple[str, Path]:
        """The driver's script and a fresh folder for `way`: ``native`` or ``through``."""
        return (backend, self.native(backend, name)) if way == "native" else ("through", self.through(backend, name))

    def prepared(self, backend: str) -> Path:
        """The store as it is before the first run: a new database needs seconds to be made, once for each user."""

        def make() -> Path:
            folder = self.folder(f"prepared-{backend}")
            if natives.script(backend):
                self.drive(backend, "prepare", folder)
            for log in folder.glob(".log-*"):
                log.unlink()
            return folder

        path: Path = self.once(("prepared", backend), make)
        return path


def versions(backends: Iterable[str]) -> dict[str, dict[str, str]]:
    """For each backend the versions of the tracker's distributions that are installed here."""
    found = {}
    for backend in backends:
        try:
            installed = registry.versions(registry.get(backend).requires)
        except BackendError:
            installed = {}
        own = natives.DISTRIBUTIONS.get(backend, tuple(installed))
        found[backend] = {name: version for name, version in installed.items() if name in own}
    return found


def unsupported(specs: Iterable[Spec], why: str) -> Iterator[Finding]:
    for spec in specs:
        yield Finding(spec.id, status=Status.UNSUPPORTED, detail=why)


NO_CLIENT = "there is no script for a client of its own in natives/"
