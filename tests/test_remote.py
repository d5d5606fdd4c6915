"""Reading through a child that may die: what is whole comes, and then an error that says what became of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import trackbridge
from tests.adapters.servers import free_port
from trackbridge import registry
from trackbridge.adapters import Target
from trackbridge.errors import BackendError
from trackbridge.remote import RemoteReader

DIES = """
import os, signal, struct, sys
from trackbridge import stream
from trackbridge.records import RunInfo
frame = stream.dump(RunInfo(id="whole"), [])
sys.stdout.buffer.write(struct.pack("<Q", len(frame)) + frame + struct.pack("<Q", len(frame)) + frame[:5])
sys.stdout.buffer.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_reader_that_is_killed_within_a_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "command", lambda name, module: [sys.executable, "-c", DIES])
    found = RemoteReader(Target("jsonl", str(tmp_path))).runs()
    assert next(found).id == "whole"
    with pytest.raises(BackendError, match="cannot be read: killed by SIGKILL"):
        next(found)


def test_what_a_client_raises_there_is_told_as_here() -> None:
    target = Target("mlflow", f"http://127.0.0.1:{free_port()}")
    for reader in (RemoteReader(target), registry.ToldReader(target)):
        with pytest.raises(BackendError) as told:
            list(reader.runs())
        assert str(told.value).startswith(f"{target} cannot be read: MlflowException: ")
        assert "Traceback" not in str(told.value)


def test_a_remote_reader_reads_what_is_there(tmp_path: Path) -> None:
    run = trackbridge.init("p", backend=f"jsonl:{tmp_path}/out")
    trackbridge.log({"a": 1.5}, step=3)
    assert trackbridge.finish().delivered
    reader = RemoteReader(Target("jsonl", f"{tmp_path}/out"))
    assert [info.id for info in reader.runs()] == [run.id]
    assert any(getattr(record.event, "values", None) == {"a": 1.5} for record in reader.read(run.id))
