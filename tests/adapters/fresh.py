"""What the tests of single adapters share: contents of a run, reading in a fresh process, and scripts where the client is."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import wave
from collections.abc import Mapping
from pathlib import Path

import msgspec

from trackbridge import environments
from trackbridge.adapters import Target
from trackbridge.records import FileRef, Record, RunInfo
from trackbridge.testing.read import Found


def add(run: Path, data: bytes, path: str) -> FileRef:
    """Put `data` among the contents of the run in folder `run`."""
    digest = hashlib.sha256(data).hexdigest()
    (run / "files").mkdir(parents=True, exist_ok=True)
    (run / "files" / digest).write_bytes(data)
    return FileRef(path, digest, len(data))


def sound() -> bytes:
    """A tenth of a second of silence."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(bytes(1600))
    return buffer.getvalue()


def found(target: Target, run_id: str, tmp: Path) -> tuple[RunInfo, list[Record]]:
    """What a fresh process reads, with the tracker's own reader."""
    out = tmp / "found.msgpack"
    subprocess.run([sys.executable, "-m", "trackbridge.testing.read", target.name, str(target), str(out), run_id], check=True, timeout=120)
    (one,) = msgspec.msgpack.decode(out.read_bytes(), type=list[Found])
    return one.unpack()


def there(backend: str, script: str, *arguments: object, variables: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """Run `script` in the environment of `backend`; what it prints. `variables`: all of its environment, this process's by default."""
    environment = environments.create(backend)
    code = f"import sys; sys.path.insert(0, {str(environments.source(backend))!r})\n{script}"
    command = [str(environment.interpreter), "-I", "-W", "ignore", "-c", code, *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=variables, cwd=cwd, timeout=180, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


NO_FOLDER = """
try:
    opened()
except Unavailable as error:
    print("outage")
"""
"""To follow a script that has ``opened``, where a file lies in the way of the folder."""

FULL_DISK = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
out, _ = opened()
out.write(series(10)); held = out.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
try:
    out.write(series(5000, 10)); out.flush()
except Unavailable as error:
    print("unavailable", end=" ")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
out, held = opened(position=held)
out.write(series(5000, held.sequences["r0"])); out.close("finished", T0)
print(points() == [n / 2 for n in range(5010)])
"""
"""To follow a script that has ``opened``, ``series``, ``points`` and ``T0``."""
