"""The processes of the conformance suite: each of its own, with a client that may be imported once for all of them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from trackbridge.testing import Subject
from trackbridge.testing.checks import killed, positions
from trackbridge.testing.lab import Lab

ADAPTER = """
from trackbridge_adapters.memory import MemoryAdapter

class Slow(MemoryAdapter):
    def writer(self, target):
        import slow_client
        return super().writer(target)
"""
CLIENT = """
import os
with open({file!r}, "a") as file:
    file.write(f"{{os.getpid()}}\\n")
"""
THREAD = """
import threading
threading.Thread(target=threading.Event().wait, name="of the client", daemon=True).start()
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "slow_adapter.py").write_text(ADAPTER)
    (tmp_path / "slow_client.py").write_text(CLIENT.format(file=str(tmp_path / "imports")))
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    yield tmp_path
    sys.modules.pop("slow_adapter", None)


def imports(site: Path, once: bool) -> tuple[int, set[str]]:
    """How often the client was imported, and by which processes."""
    with Lab(Subject("slow_adapter:Slow", once=once), site / "lab") as lab:
        assert positions(lab) == []
        assert killed(lab, "twice") == []
    lines = (site / "imports").read_text().split()
    return len(lines), set(lines)


def test_a_client_is_imported_by_each_process(site: Path) -> None:
    count, processes = imports(site, once=False)
    assert count == len(processes) > 10


def test_a_client_is_imported_by_the_first_process_and_once_for_all_others(site: Path) -> None:
    count, processes = imports(site, once=True)
    assert count == len(processes) == 2


def test_a_client_whose_import_starts_threads_is_refused(site: Path) -> None:
    with (site / "slow_client.py").open("a") as client:
        client.write(THREAD)
    with pytest.raises(AssertionError, match=r"starts threads.*of the client"):
        imports(site, once=True)


def test_a_process_that_cannot_be_started_says_why(tmp_path: Path) -> None:
    broken = (("PYTHONHOME", "/nowhere"), ("PYTHONPATH", "/nowhere"))
    with (
        Lab(Subject("memory", environment=broken), tmp_path) as lab,
        pytest.raises(AssertionError, match=r"could not be started[\s\S]*encodings"),
    ):
        positions(lab)
