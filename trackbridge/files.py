"""The run's store of contents: each stored once under ``RUN/files/<sha256>``."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from trackbridge.errors import SettingsError, Unavailable
from trackbridge.records import FileRef

if TYPE_CHECKING:
    import hashlib

_CHUNK = 1 << 20
_FICLONE = 0x40049409  # linux/fs.h: share the blocks of another file


@contextlib.contextmanager
def outage(path: Path) -> Iterator[None]:
    """A file system that is full, read-only or gone is an outage: what it refuses now it may take later.

    Raises:
        Unavailable: the body met an OSError.
    """
    try:
        yield
    except OSError as error:
        raise Unavailable(f"{path}: {error.strerror or error}") from error


def add_bytes(store: Path, data: bytes, name: str) -> FileRef:
    """Store `data`; `name` is the relative name that users see."""
    digest = _sha256(data).hexdigest()
    if not (store / digest).exists():
        with _new(store, digest) as file:
            file.write(data)
    return FileRef(name, digest, len(data))


def add_file(store: Path, source: Path, name: str) -> FileRef:
    """Store a copy of `source` as it is now: a reflink where the file system can, else a copy. Later changes of `source` do not matter.

    Raises:
        SettingsError: `source` is no readable regular file.
    """
    try:
        with source.open("rb") as original:
            if not stat.S_ISREG(os.fstat(original.fileno()).st_mode):
                raise SettingsError(f"{source} is not a regular file")
            store.mkdir(parents=True, exist_ok=True, mode=0o700)
            partial = store / f".{os.urandom(8).hex()}.part"
            hasher, size = _sha256(), 0
            try:
                with open(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "r+b") as copy:
                    cloned = _clone(original.fileno(), copy.fileno())
                    while chunk := (copy if cloned else original).read(_CHUNK):
                        hasher.update(chunk)
                        size += len(chunk)
                        if not cloned:
                            copy.write(chunk)
                digest = hasher.hexdigest()
                os.replace(partial, store / digest)
            finally:
                partial.unlink(missing_ok=True)
    except OSError as error:
        raise SettingsError(f"cannot log {source}: {error.strerror or error}") from error
    return FileRef(name, digest, size)


def reference(path: Path, name: str) -> FileRef:
    """The file at `path` as it is now, under `name`."""
    import hashlib

    with path.open("rb") as file:
        return FileRef(name, hashlib.file_digest(file, "sha256").hexdigest(), file.seek(0, os.SEEK_END))


def put(path: Path, content: bytes | Path) -> None:
    """Write `content`, or what the file there holds, to `path`; a file is never read whole."""
    import shutil

    if isinstance(content, Path):
        shutil.copyfile(content, path)
    else:
        path.write_bytes(content)


def replace(path: Path, data: bytes, *, sync: bool = True, mode: int = 0o666) -> None:
    """Put `data` at `path`, so that whenever this process dies the file is whole: the old one or the new one.

    Args:
        sync: it is so after a power cut too.
        mode: permissions, less what the umask takes.
    """
    partial = path.with_name(f".{path.name}-{os.getpid()}.part")
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(data)
        if sync:
            file.flush()
            os.fsync(file.fileno())
    os.replace(partial, path)


def tree(root: Path, folder: str = "") -> Iterator[tuple[Path, str]]:
    """(file, relative name) of a file, or of all regular files below a folder in a fixed order. Links are not followed.

    Raises:
        OSError: a folder in it cannot be listed; without what lies there it would not be the folder that was meant.
    """

    def give_up(error: OSError) -> None:
        raise error

    if not root.is_dir():
        yield root, safe_name(folder or root.name)
        return
    for path in sorted(Path(place) / name for place, _, names in os.walk(root, onerror=give_up) for name in names):
        if path.is_file() and not path.is_symlink():
            yield path, safe_name(path.relative_to(root).as_posix())


def safe_name(name: str) -> str:
    """`name` as a relative path that cannot leave its folder: no root, drive, ``..``, backslash or control character.

    Parts that would do so are percent-encoded; the result of two different names differs.
    """
    parts = []
    for part in name.replace("%", "%25").replace("\\", "%5C").split("/"):
        clean = "".join(char if char.isprintable() else f"%{ord(char):02X}" for char in part)
        if clean in ("", ".", ".."):
            clean = clean.replace(".", "%2E") or "%"
        if len(clean) > 1 and clean[1] == ":":
            clean = clean.replace(":", "%3A", 1)
        if len(long := clean.encode("utf-8", "surrogatepass")) > 200:
            clean = long[:180].decode("utf-8", "ignore") + "%-" + _sha256(part.encode("utf-8", "surrogatepass")).hexdigest()[:16]
        parts.append(clean)
    return str(PurePosixPath(*parts))


def _sha256(data: bytes = b"") -> hashlib._Hash:
    import hashlib  # only those who log files wait for it

    return hashlib.sha256(data)


@contextlib.contextmanager
def _new(store: Path, digest: str) -> Iterator[BinaryIO]:
    """A file that appears under its name only when it is whole."""
    store.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = store / f".{os.urandom(8).hex()}.part"
    try:
        with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield file
        os.replace(partial, store / digest)
    finally:
        partial.unlink(missing_ok=True)


def _clone(source: int, target: int) -> bool:
    try:
        import fcntl

        fcntl.ioctl(target, _FICLONE, source)
    except (ImportError, OSError):
        return False
    return True
