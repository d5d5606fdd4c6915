"""Setup effort: what must be installed, and how long it is until the first metric can be read."""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import msgspec

from trackbridge import registry
from trackbridge_comparison import children, natives
from trackbridge_comparison.bench import NO_CLIENT, Bench, Finding, Job, unsupported
from trackbridge_comparison.portable import root
from trackbridge_comparison.schema import Spec
from trackbridge_comparison.statistics import median

AXIS = "setup"
TITLE = "Setup effort"
METHOD = """The tracker's own distribution is installed with uv into a fresh virtual environment: packages are the distributions in it,
megabytes (10^6 bytes) all files of its site-packages without compiled bytecode, install the second installation, with every download cached. First
metric is the time of a fresh process in that environment from its start until a value was logged, the run ended and the value read back, in an
empty folder. Environments are kept; one that was made earlier is shown with the date of its measurement."""


class Environment(msgspec.Struct, frozen=True):
    """What was measured when an environment was made. `seconds`: of the warm installation."""

    distributions: dict[str, str]
    bytes: int
    seconds: float
    date: str


def jobs(bench: Bench) -> Iterator[Job]:
    for backend in bench.backends:

        def run(bench: Bench, wanted: frozenset[str], backend: str = backend) -> Iterator[Finding]:
            return measure(bench, backend)

        yield Job(f"{AXIS}/{backend}", _specs(backend), run, 15.0, backends=(backend,))


def _specs(backend: str) -> tuple[Spec, ...]:
    return (
        Spec(f"{backend}/{AXIS}/packages", "packages", "packages"),
        Spec(f"{backend}/{AXIS}/megabytes", "site-packages", "MB"),
        Spec(f"{backend}/{AXIS}/install", "install, downloads cached", "s"),
        Spec(f"{backend}/{AXIS}/first_metric", "process start to first readable metric", "s"),
    )


def measure(bench: Bench, backend: str) -> Iterator[Finding]:
    specs = _specs(backend)
    if not natives.script(backend):
        yield from unsupported(specs, NO_CLIENT)
        return
    folder = environment(bench, backend)
    made = msgspec.json.decode((folder / "measured.json").read_bytes(), type=Environment)
    words = ", ".join(f"{name} {version}" for name, version in sorted(made.distributions.items())) or "the standard library is enough"
    dated = f"measured {made.date}"
    yield Finding(specs[0].id, float(len(made.distributions)), [float(len(made.distributions))], f"{dated}: {words}")
    yield Finding(specs[1].id, made.bytes / 1e6, [made.bytes / 1e6], dated)
    yield Finding(specs[2].id, made.seconds, [made.seconds], dated)
    samples = []
    for _ in range(bench.sizes.repeats):
        place = bench.folder(f"first-{backend}")
        begin = time.perf_counter()
        bench.drive(backend, "first", place, python=str(folder / "venv" / "bin" / "python"))
        samples.append(time.perf_counter() - begin)
    yield Finding(specs[3].id, median(samples), samples, "")


def requirements(backend: str) -> list[str]:
    """The requirements of the tracker's own distributions, with the versions that TrackBridge's extra for it asks for."""
    extra = registry.get(backend).requires.extra
    asked = metadata.requires("trackbridge") or []
    found = {}
    for requirement in asked:
        text, _, marker = requirement.partition(";")
        if re.search(rf"extra\s*==\s*['\"]{re.escape(extra)}['\"]", marker):
            found[re.split(r"[^\w.-]", text.strip(), maxsplit=1)[0].lower()] = text.strip()
    return [found.get(name, name) for name in natives.DISTRIBUTIONS[backend]]


def environment(bench: Bench, backend: str) -> Path:
    """The folder of the backend's environment: ``venv`` and ``measured.json``. Made when there is none for these requirements.

    Raises:
        ChildFailed: it cannot be installed; the message has what the installer printed.
    """
    wanted = requirements(backend)
    constraints = root() / "constraints.txt"
    pinned = constraints.read_bytes() if constraints.is_file() else b""
    key = hashlib.sha256(repr((backend, wanted, sys.version, sys.executable)).encode() + pinned).hexdigest()[:16]
    folder = bench.cache / key
    if (folder / "measured.json").is_file():
        return folder
    scratch = bench.cache / f".{key}-{bench.folder('env').name}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    seconds = 0.0
    for _ in range(2):  # the first fills the cache of downloads
        shutil.rmtree(scratch / "venv", ignore_errors=True)
        begin = time.perf_counter()
        _uv(bench, scratch, "venv", "--quiet", "--relocatable", "--python", sys.executable, str(scratch / "venv"))
        if wanted:
            options = ["--constraint", str(constraints)] if pinned else []
            interpreter = str(scratch / "venv" / "bin" / "python")
            _uv(bench, scratch, "pip", "install", "--quiet", "--python", interpreter, *options, *wanted)
        seconds = time.perf_counter() - begin
    (packages,) = (scratch / "venv" / "lib").glob("python*/site-packages")
    made = Environment(
        distributions={name: item.version for item in metadata.distributions(path=[str(packages)]) if (name := item.metadata["Name"])},
        bytes=sum(path.lstat().st_size for path in packages.rglob("*") if path.is_file() and path.suffix != ".pyc"),
        seconds=seconds,
        date=datetime.now(UTC).date().isoformat(),
    )
    (scratch / "measured.json").write_bytes(msgspec.json.encode(made))
    shutil.rmtree(folder, ignore_errors=True)
    scratch.rename(folder)
    return folder


def _uv(bench: Bench, work: Path, *arguments: str) -> None:
    children.run([sys.executable, "-m", "uv", *arguments], work, bench.left(600.0))
