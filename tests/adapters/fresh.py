"""What the tests of single adapters share: contents of a run, and reading in a fresh process."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import wave
from pathlib import Path

import msgspec

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
