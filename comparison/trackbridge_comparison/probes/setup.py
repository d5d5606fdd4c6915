"""Setup effort: what must be installed and supplied, and how long it is until the first metric can be read."""

from __future__ import annotations

import ast
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from trackbridge import environments
from trackbridge.environments import Environment
from trackbridge_comparison import natives, tools
from trackbridge_comparison.bench import NO_CLIENT, Bench, Finding, Job, spec, unsupported, versions
from trackbridge_comparison.children import ChildFailed
from trackbridge_comparison.portable import excerpt
from trackbridge_comparison.schema import Spec
from trackbridge_comparison.statistics import median

AXIS = "setup"
TITLE = "Setup effort"
METHOD = """The environment of a tool holds what its pinned requirements name, its adapter's own (a server's client, a checksum) included: packages
are the distributions in it, megabytes (10^6 bytes) all files of its site-packages, counted when it was made. Install is a fresh installation of it by uv with every
download and build cached; cold install the same with an empty cache, so that it includes the downloads and says as much of this machine's network. Python
versions are those from 3.8 to 3.14 for which uv can resolve the tool's distributions from wheels alone. Cold installs and Python versions are asked
once for each pinned file and kept, with their date. First metric is the time of a fresh process in that environment from its start until a value was
logged, the run ended and the value read back, in an empty folder. Facts are what a user must supply before the first run in the mode that is measured, from
tools.toml; statements those of the native script that begin a run, log and end it, with what they call and import."""

NOTHING = "nothing is installed: the standard library is enough"
PYTHONS = tuple(f"3.{minor}" for minor in range(8, 15))


class Asked(msgspec.Struct, frozen=True):
    """What was asked of the package index. `cold`: seconds of an installation into an empty cache."""

    cold: float
    pythons: dict[str, str]
    date: str


def jobs(bench: Bench) -> Iterator[Job]:
    for backend in bench.backends:
        yield _job(backend, "about", _about_specs(backend), about, 2.0, alone=False)
        yield _job(backend, "install", _install_specs(backend), install, 8.0)
        yield _job(backend, "first", _first_specs(backend), first, 4.0 * bench.sizes.repeats)
        yield _job(backend, "index", _index_specs(backend), index, 60.0, long=not _known(bench, backend).is_file())


def _job(
    backend: str,
    name: str,
    specs: tuple[Spec, ...],
    work: Callable[[Bench, str], Iterator[Finding]],
    estimate: float,
    alone: bool = True,
    long: bool = False,
) -> Job:
    def run(bench: Bench, wanted: frozenset[str]) -> Iterator[Finding]:
        return work(bench, backend) if natives.script(backend) else unsupported(specs, NO_CLIENT)

    return Job(f"{AXIS}/{backend}/{name}", specs, run, estimate, alone, long, (backend,))


def _about_specs(backend: str) -> tuple[Spec, ...]:
    return (
        spec(backend, AXIS, "packages", "packages", "packages"),
        spec(backend, AXIS, "megabytes", "site-packages", "MB"),
        spec(backend, AXIS, "facts", "facts that a user must supply", "facts"),
        spec(backend, AXIS, "statements", "statements of native code", "statements"),
    )


def _install_specs(backend: str) -> tuple[Spec, ...]:
    return (spec(backend, AXIS, "install", "install, downloads cached", "s"),)


def _first_specs(backend: str) -> tuple[Spec, ...]:
    return (spec(backend, AXIS, "first_metric", "process start to first readable metric", "s"),)


def _index_specs(backend: str) -> tuple[Spec, ...]:
    return (
        spec(backend, AXIS, "install_cold", "install, downloads included", "s"),
        spec(backend, AXIS, "pythons", "Python versions that have wheels", "versions"),
    )


def about(bench: Bench, backend: str) -> Iterator[Finding]:
    """What can be counted without running the tool.

    Raises:
        BackendError: its environment cannot be made.
    """
    packages, megabytes, facts, statements = _about_specs(backend)
    bench.interpreter(backend)
    made = environments.find(backend) or Environment(backend, "", "", {}, 0.0, 0.0)
    words = ", ".join(f"{name} {version}" for name, version in sorted(made.versions.items())) or "the standard library is enough"
    yield _one(packages, len(made.versions), words)
    yield _one(megabytes, made.megabytes, f"Python {made.python}" if made.python else words)
    supplied = tools.entry(backend).facts
    listed = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in supplied.items())
    yield _one(facts, sum(map(len, supplied.values())), listed or "none")
    path = natives.script(backend)
    assert path is not None
    yield _one(statements, count_statements(path.read_text("utf-8")), f"natives/{path.name}")


def _one(one: Spec, value: float, detail: str) -> Finding:
    return Finding(one.id, float(value), [float(value)], detail)


def count_statements(source: str) -> int:
    """The statements of ``start``, ``log`` and ``finish``, of the functions and imports that they use, and of nothing else."""
    tree = ast.parse(source)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    todo, used, names = ["start", "log", "finish"], [], set()
    while todo:
        name = todo.pop()
        if name in functions:
            node = functions.pop(name)
            used.append(node)
            mentioned = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
            names |= mentioned
            todo += mentioned
    inside = [part for node in used for part in ast.walk(node) if isinstance(part, ast.stmt) and part is not node and not _is_text(part)]
    imports = [
        node
        for node in tree.body
        if isinstance(node, ast.Import | ast.ImportFrom) and any((one.asname or one.name.split(".")[0]) in names for one in node.names)
    ]
    return len(inside) + len(imports)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def install(bench: Bench, backend: str) -> Iterator[Finding]:
    (one,) = _install_specs(backend)
    if environments.requirements(backend) is None:
        yield from unsupported([one], NOTHING)
        return
    bench.interpreter(backend)  # what it installs is cached then
    seconds = _install(bench, backend, cache=None)
    yield Finding(one.id, seconds, [seconds], "one installation")


def _install(bench: Bench, backend: str, cache: Path | None) -> float:
    """Seconds of an installation into a fresh environment; `cache`: an empty folder instead of uv's own."""
    folder = bench.folder(f"install-{backend}")
    options = ["--cache-dir", str(cache)] if cache else []
    begin = time.perf_counter()
    _uv(bench, folder, "venv", "--quiet", *options, "--python", bench.interpreter(backend), str(folder / "venv"))
    into = ["--python", str(folder / "venv" / "bin" / "python")]
    pinned = str(environments.requirements(backend))
    _uv(bench, folder, "pip", "install", "--quiet", *options, *into, "--require-hashes", "--requirement", pinned)
    seconds = time.perf_counter() - begin
    shutil.rmtree(folder)
    return seconds


def _uv(bench: Bench, work: Path, *arguments: str) -> str:
    return bench.run([sys.executable, "-m", "uv", *arguments], work)


def first(bench: Bench, backend: str) -> Iterator[Finding]:
    (one,) = _first_specs(backend)
    samples = []
    for _ in range(bench.sizes.repeats):
        place = bench.native(backend, bench.folder(f"first-{backend}"))
        begin = time.perf_counter()
        bench.drive(place, "first")
        samples.append(time.perf_counter() - begin)
    yield Finding(one.id, median(samples), samples, f"{len(samples)} fresh processes")


def _known(bench: Bench, backend: str) -> Path:
    """Where the answers of the index are kept, for these requirements."""
    made = environments.find(backend)
    return bench.cache / "index" / f"{backend}-{made.key if made else 'none'}.json"


def index(bench: Bench, backend: str) -> Iterator[Finding]:
    """What only the package index can tell; asked once."""
    cold, pythons = _index_specs(backend)
    if environments.requirements(backend) is None:
        yield from unsupported((cold, pythons), NOTHING)
        return
    path = _known(bench, backend)
    if not path.is_file():
        fresh = bench.folder(f"cache-{backend}")
        seconds = _install(bench, backend, cache=fresh)
        shutil.rmtree(fresh)
        asked = Asked(seconds, {python: _resolves(bench, backend, python) for python in PYTHONS}, datetime.now(UTC).date().isoformat())
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.encode(asked))
    known = msgspec.json.decode(path.read_bytes(), type=Asked)
    yield Finding(cold.id, known.cold, [known.cold], f"one installation, {known.date}; the network of this machine is part of it")
    good = [python for python, why in known.pythons.items() if not why]
    refused = "; ".join(f"not {python}: {why}" for python, why in known.pythons.items() if why)
    yield _one(pythons, len(good), f"{known.date}: {', '.join(good)}" + (f"; {refused}" if refused else ""))


def _resolves(bench: Bench, backend: str, python: str) -> str:
    """Why uv cannot resolve the tool's distributions for this Python from wheels alone; "" if it can."""
    folder = bench.folder(f"wheels-{backend}")
    wanted = folder / "wanted.in"
    wanted.write_text("".join(f"{name}=={version}\n" for name, version in versions(backend).items()), "utf-8")
    try:
        _uv(bench, folder, "pip", "compile", "--quiet", "--no-header", "--only-binary", ":all:", "--python-version", python, str(wanted))
    except ChildFailed as error:
        return " ".join(excerpt(bench.portable(str(error)), lines=4).split())
    return ""
