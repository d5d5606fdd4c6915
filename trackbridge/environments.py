"""An isolated environment for each tracker, made with uv, so that its client never meets the training environment, nor another client.

An environment lies in ``~/.cache/trackbridge/environments/NAME-KEY``. The key is the hash of the pinned and hashed requirements that lie beside
the adapter (``environments/NAME.txt`` in its package), of the interpreter and of the platform. The library itself is no part of it: a copy of what
is installed here, an editable checkout too, lies in ``sources/HASH`` and is put before the environment's packages when a module is run there. Both
are made in a folder of their own and renamed when they are whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import msgspec

from trackbridge import registry
from trackbridge.errors import BackendError

DESCRIPTION = "environment.json"
BOOT = "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
"""What an environment's interpreter is started with: the library's copy comes first, and nothing of the user's own paths."""


class Environment(msgspec.Struct, frozen=True):
    """One environment, as its description says.

    Args:
        backend: of which backend.
        key: hash of the requirements, the interpreter and the platform.
        python: version of its interpreter.
        versions: of each distribution in it.
        megabytes: of its packages on the disk.
        seconds: that it took to make.
        path: where it lies.
    """

    backend: str
    key: str
    python: str
    versions: dict[str, str]
    megabytes: float
    seconds: float
    path: str = ""

    @property
    def interpreter(self) -> Path:
        return Path(self.path) / "bin" / "python"

    def command(self, module: str) -> list[str]:
        """The beginning of a command that runs `module` of this library there; its arguments follow."""
        return [str(self.interpreter), "-I", "-c", BOOT, str(source(self.backend)), module]


def root() -> Path:
    """The folder of all environments: ``XDG_CACHE_HOME`` or ``~/.cache``, then ``trackbridge``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trackbridge"


def requirements(backend: str) -> Path | None:
    """The pinned and hashed requirements that lie beside the adapter; None where there are none."""
    path = folder(backend) / f"{backend}.txt"
    return path if path.is_file() else None


def folder(backend: str) -> Path:
    """Where the requirements of `backend` lie: in the package of its adapter.

    Raises:
        BackendError: no adapter has this name.
    """
    *_, package = _packages(registry.point(backend)).values()
    return (package if package.is_dir() else package.parent) / "environments"


def find(backend: str, python: str | None = None) -> Environment | None:
    """The environment of `backend`, if it was made from its requirements as they are now."""
    pinned = requirements(backend)
    if pinned is None:
        return None
    found = [one for one in listing() if one.backend == backend and one.key == _key(pinned, one.python)]
    return next((one for one in found if python is None or one.python.startswith(python)), None)


def listing() -> list[Environment]:
    """All environments, those of former requirements too."""
    found = []
    for path in sorted(root().glob(f"environments/*/{DESCRIPTION}")):
        with contextlib.suppress(OSError, msgspec.DecodeError):
            one = msgspec.json.decode(path.read_bytes(), type=Environment)
            found.append(msgspec.structs.replace(one, path=str(path.parent)))
    return found


def create(backend: str, python: str | None = None) -> Environment:
    """Make the environment of `backend`, unless it is there.

    Args:
        python: version of the interpreter, ``3.11``; by default this one where the adapter allows it, else one that uv finds.

    Raises:
        BackendError: no such backend, it has no requirements of its own, there is no uv, or it cannot be installed; the message has the remedy.
    """
    pinned = requirements(backend)
    if pinned is None:
        raise BackendError(f"backend {backend!r} needs no environment of its own: pip install 'trackbridge[{backend}]' is enough")
    there = find(backend, python)
    if there is not None:
        return there
    with _locked(f"{backend}.lock"):
        return find(backend, python) or _make(backend, pinned, python)


def remove(backend: str) -> list[Environment]:
    """Remove all environments of `backend`, and return them."""
    gone = [one for one in listing() if one.backend == backend]
    for one in gone:
        shutil.rmtree(one.path)
    return gone


def export(environment: Environment, file: Path) -> None:
    """Write `environment` into one archive, for a machine without internet that has the same interpreter, system and architecture."""
    with tarfile.open(file, "w:gz") as archive:
        for path in sorted(Path(environment.path).rglob("*")):
            name = path.relative_to(environment.path)
            if (
                path.is_file()
                and not path.is_symlink()
                and name.parts[0] in ("bin", "lib", DESCRIPTION)
                and "__pycache__" not in name.parts
            ):
                archive.add(path, str(name), recursive=False)


def take(file: Path) -> Environment:
    """Make an environment from an archive of :func:`export`, without any network.

    Raises:
        BackendError: the archive is none, or there is no interpreter of its version here.
    """
    try:
        with tarfile.open(file, "r:gz") as archive:
            description = archive.extractfile(DESCRIPTION)
            told = msgspec.json.decode(description.read() if description else b"", type=Environment)
            if not re.fullmatch(r"[0-9a-f]{12}", told.key) or told.backend not in registry.names():  # they name the folder
                raise KeyError(f"backend {told.backend!r}, key {told.key!r}")
            with _locked(f"{told.backend}.lock"), _fresh(told.backend, told.key) as (scratch, final):
                uv("venv", "--quiet", "--offline", "--relocatable", "--python", told.python, str(scratch))
                for member in archive.getmembers():
                    archive.extract(member, scratch, filter="data")
                _put(scratch, final)
    except (OSError, EOFError, KeyError, tarfile.TarError, zlib.error, msgspec.DecodeError) as error:
        raise BackendError(f"{file} is no environment that `trackbridge env export` wrote: {error}") from error
    return msgspec.structs.replace(told, path=str(final))


def source(backend: str) -> Path:
    """A copy of this library and of the distribution that holds the adapter, by content; made when it is absent."""
    packages = _packages(registry.point("memory")) | _packages(registry.point(backend))
    files = {}
    for name, folder in packages.items():
        for path in sorted(folder.rglob("*")) if folder.is_dir() else [folder]:
            if path.is_file() and "__pycache__" not in path.parts:
                files[f"{name}/{path.relative_to(folder)}" if folder.is_dir() else path.name] = path
    digest = hashlib.sha256()
    for name, path in files.items():
        digest.update(f"{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    points = "".join(f"{name} = {registry.point(name).value}\n" for name in registry.names())
    digest.update(points.encode())
    final = root() / "sources" / digest.hexdigest()[:16]
    if final.is_dir():
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=final.parent, prefix=".") as scratch:
        for name, path in files.items():
            place = Path(scratch, name)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
        told = Path(scratch, "trackbridge-copy.dist-info")
        told.mkdir()
        told.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: trackbridge\nVersion: {metadata.version('trackbridge')}\n")
        told.joinpath("entry_points.txt").write_text(f"[{registry.GROUP}]\n{points}")
        with contextlib.suppress(OSError):  # another process was quicker
            os.rename(scratch, final)
            os.mkdir(scratch)
    return final


def _make(backend: str, pinned: Path, python: str | None) -> Environment:
    begun = time.monotonic()
    request = python or _allowed(backend)
    version = _version(request)
    key = _key(pinned, version)
    with _fresh(backend, key) as (scratch, final):
        uv("venv", "--quiet", "--relocatable", "--python", request, str(scratch))
        uv("pip", "install", "--quiet", "--python", str(scratch / "bin" / "python"), "--require-hashes", "--requirement", str(pinned))
        packages = next(scratch.glob("lib/python*/site-packages"))
        made = Environment(
            backend=backend,
            key=key,
            python=version,
            versions={found.name: found.version for found in metadata.distributions(path=[str(packages)])},
            megabytes=round(sum(path.stat().st_size for path in packages.rglob("*") if path.is_file()) / 1e6, 1),
            seconds=round(time.monotonic() - begun, 1),
        )
        (scratch / DESCRIPTION).write_bytes(msgspec.json.encode(made))
        _put(scratch, final)
    return msgspec.structs.replace(made, path=str(final))


@contextlib.contextmanager
def _fresh(backend: str, key: str) -> Iterator[tuple[Path, Path]]:
    """A folder to fill, which is removed when it was not renamed, and the place to rename it to."""
    final = root() / "environments" / f"{backend}-{key}"
    final.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{backend}-"))
    try:
        yield scratch, final
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _put(scratch: Path, final: Path) -> None:
    """In the place of what was there, such as one without a description that can be read; until then that stays."""
    if final.exists():
        former = Path(tempfile.mkdtemp(dir=final.parent, prefix=f".{final.name}-"))
        final.rename(former / "former")
        scratch.rename(final)
        shutil.rmtree(former, ignore_errors=True)
    else:
        scratch.rename(final)


@contextlib.contextmanager
def _locked(name: str) -> Iterator[None]:
    """Held by one process at a time; the system frees it when that dies."""
    root().mkdir(parents=True, exist_ok=True)
    with (root() / name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _key(pinned: Path, python: str) -> str:
    text = f"{python}\0{sys.platform}\0{platform.machine()}\0".encode() + pinned.read_bytes()
    return hashlib.sha256(text).hexdigest()[:12]


def _allowed(backend: str) -> str:
    """The interpreter to ask uv for: this one, where the adapter's range allows it."""
    low, high = registry.get(backend).requires.python
    return sys.executable if (3, low) <= sys.version_info[:2] < (3, high) else f">=3.{low},<3.{high}"


def _version(request: str) -> str:
    """Major and minor version of the interpreter that uv finds for `request`."""
    path = request if os.path.isabs(request) else uv("python", "find", "--no-project", request).strip()
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([path, "-I", "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def uv(*arguments: str) -> str:
    """Run uv.

    Raises:
        BackendError: there is none, or it failed; with the end of what it printed.
    """
    try:
        from uv import find_uv_bin

        binary = find_uv_bin()
    except (ImportError, FileNotFoundError):
        binary = shutil.which("uv") or ""
    if not binary:
        raise BackendError("environments are made with uv, which is not installed", "pip install uv")
    environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run([binary, *arguments], capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise BackendError(f"uv {' '.join(arguments[:2])} failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


def _packages(point: metadata.EntryPoint) -> dict[str, Path]:
    """The library, and the top-level package (or module) of an adapter: name -> where it lies."""
    found = {}
    for name in ("trackbridge", point.module.partition(".")[0]):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations:
            found[name] = Path(next(iter(spec.submodule_search_locations)))
        elif spec is not None and spec.origin:
            found[name] = Path(spec.origin)
    return found
