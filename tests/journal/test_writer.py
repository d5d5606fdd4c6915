"""The writer where things go wrong: bounds, full and failing disks, forks, threads."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from trackbridge.errors import JournalError
from trackbridge.journal import sync
from trackbridge.journal import writer as module
from trackbridge.journal.reader import JournalReader
from trackbridge.journal.repair import repair
from trackbridge.journal.writer import ShardWriter, refused
from trackbridge.records import Config, End, Metrics, Start

GIB = 1024**3


def begin(folder: Path, **options: object) -> ShardWriter:
    writer = ShardWriter(folder / "journal", "run", "r0-h-1-aa", **({"max_bytes": 10**9} | options))  # type: ignore[arg-type]
    writer.known.update(("a", "thread"))
    writer.append([Start(1, "run", host="elsewhere", pid=1)])
    return writer


def calls(folder: Path) -> list[Metrics]:
    reader = JournalReader(folder)
    found = []
    while batch := reader.poll(over=True):
        found += [record.event for record in batch if isinstance(record.event, Metrics)]
    return found


def test_segments_roll_and_read_as_one(tmp_path: Path) -> None:
    writer = begin(tmp_path, segment_bytes=1500)
    for call in range(500):
        assert writer.metrics({"a": call}, call) or writer.append([Metrics(1, call, call, {"a": call})], is_call=True)
    writer.close()
    assert len(list((tmp_path / "journal").glob("*.tbj"))) > 10
    assert [event.values["a"] for event in calls(tmp_path)] == list(range(500))


def test_a_block_larger_than_a_segment_has_one_of_its_own(tmp_path: Path) -> None:
    writer = begin(tmp_path, segment_bytes=1000)
    for _ in range(3):
        assert writer.append([Config(1, {"text": "x" * 5000})])
    writer.close()
    assert len(list(JournalReader(tmp_path))) == 4


def test_the_bound_refuses_counts_and_keeps_what_was_accepted(tmp_path: Path) -> None:
    told: list[str] = []
    writer = begin(tmp_path, max_bytes=5000, warn=told.append)
    accepted = 0
    for call in range(500):
        if writer.metrics({"a": call}, call) or writer.append([Metrics(1, call, call, {"a": call})], is_call=True):
            accepted += 1
    assert 0 < accepted < 500
    assert writer.size <= 5000
    assert writer.append([End(1, "finished")], vital=True), "the end of the run is kept beyond the bound"
    writer.close()
    assert len(calls(tmp_path)) == accepted
    assert refused(tmp_path / "journal", "r0-h-1-aa") == (500 - accepted, 500 - accepted)
    assert len(told) == 1
    assert "TRACKBRIDGE_MAX_BYTES" in told[0]


def test_files_are_private(tmp_path: Path) -> None:
    begin(tmp_path)
    for path in (tmp_path / "journal").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "journal").stat().st_mode) == 0o700


def test_an_unwritable_folder_names_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("a file in the way")
    with pytest.raises(JournalError, match="TRACKBRIDGE_DIR"):
        begin(tmp_path)


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.99])
def test_a_short_write_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fraction: float) -> None:
    """`os.write` on a full disk may write a part and raise nothing."""
    writer = begin(tmp_path)
    assert writer.metrics({"a": 0}, 0)
    real = os.write

    def short(fd: int, data: bytes) -> int:
        return real(fd, data[: int(len(data) * fraction)])

    monkeypatch.setattr(module, "_write", short)
    assert not writer.metrics({"a": 1}, 1)
    monkeypatch.setattr(module, "_write", real)
    monkeypatch.setattr(module.os, "write", short)
    assert not writer.append([Metrics(1, 1, 1, {"a": 1})], is_call=True)
    monkeypatch.setattr(module.os, "write", real)
    assert writer.metrics({"a": 2}, 2)
    assert [event.values["a"] for event in calls(tmp_path)] == [0, 2]
    assert writer.refused_values == 1


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
sys.path[:0] = sys.argv[2:]
from tests.journal.test_writer import begin
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
writer = begin(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, resource.RLIM_INFINITY))
from trackbridge.records import Metrics
good = [call for call in range(1000) if writer.metrics({"a": call}, call) or writer.append([Metrics(1, call, call, {"a": call})], is_call=True)]
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
more = [call for call in range(1000, 1100) if writer.metrics({"a": call}, call)]
writer.close()
print(len(good), len(more), writer.refused_calls)
print(*good, *more)
"""


def test_a_full_disk_refuses_counts_and_resumes(tmp_path: Path) -> None:
    """With a real limit of the kernel, which cuts a write short and then fails it."""
    root = str(Path(__file__).resolve().parents[2])
    result = subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path), root], capture_output=True, text=True, check=True)
    counts, accepted = result.stdout.splitlines()
    good, more, refusals = map(int, counts.split())
    assert (good + refusals, more) == (1000, 100)
    assert refusals > 0
    reader = JournalReader(tmp_path)
    assert [record.event.values["a"] for record in reader if isinstance(record.event, Metrics)] == [int(call) for call in accepted.split()]
    assert reader.damage == []


@pytest.mark.parametrize("roll", [False, True])
def test_after_a_failed_sync_the_unsynced_part_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, roll: bool) -> None:
    """The kernel may drop pages and mark them clean: the old file is never trusted, and readers see each record once."""
    told: list[str] = []
    writer = begin(tmp_path, warn=told.append)
    for call in range(10):
        writer.metrics({"a": call}, call)
    writer.sync()
    for call in range(10, 20):
        writer.metrics({"a": call}, call)
    real, failures = module._datasync, [OSError(errno.EIO, "input/output error")]

    def failing(fd: int) -> None:
        if failures:
            raise failures.pop()
        real(fd)

    monkeypatch.setattr(module, "_datasync", failing)
    if roll:
        writer._room = -1
    else:
        writer.sync()
    for call in range(20, 30):
        assert writer.metrics({"a": call}, call) or (roll and writer.append([Metrics(1, call, call, {"a": call})], is_call=True))
    writer.close()
    assert [event.values["a"] for event in calls(tmp_path)] == list(range(30))
    segments = sorted((tmp_path / "journal").glob("*.tbj"))
    assert len(segments) == 2
    segments[0].write_bytes(segments[0].read_bytes()[: segments[0].stat().st_size // 2])  # the pages that were lost
    assert [event.values["a"] for event in calls(tmp_path)][-20:] == list(range(10, 30))
    assert any("syncing" in message for message in told)


def test_threads_never_tear_or_reorder(tmp_path: Path) -> None:
    writer = begin(tmp_path, segment_bytes=20_000)

    def work(thread: int) -> None:
        for call in range(500):
            if not writer.metrics({"thread": thread, "a": call}, call):
                writer.append([Metrics(1, call, call, {"thread": thread, "a": call})], is_call=True)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    found = calls(tmp_path)
    for number in range(8):
        assert [event.values["a"] for event in found if event.values["thread"] == number] == list(range(500))


def test_repair_cuts_a_torn_tail_and_keeps_what_it_cut(tmp_path: Path) -> None:
    writer = begin(tmp_path)
    for call in range(5):
        writer.metrics({"a": call}, call)
    writer.append([End(1, "finished")], vital=True)
    writer.close()
    path = next((tmp_path / "journal").glob("*.tbj"))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:30])
    lines = repair(tmp_path)
    assert len(lines) == 1
    assert "30 torn bytes" in lines[0]
    assert path.read_bytes() == whole
    assert path.with_name(path.name + ".broken").read_bytes() == whole + whole[:30]
    assert repair(tmp_path) == []


def test_repair_leaves_the_evidence_of_what_was_lost(tmp_path: Path) -> None:
    """The last blocks of a run that has ended are whole but wrong: they were accepted, so they are no torn tail."""
    writer = begin(tmp_path)
    for call in range(10):
        writer.append([Metrics(1, call, call, {"a": call})], is_call=True)
    writer.close()
    (path,) = (tmp_path / "journal").glob("*.tbj")
    data = bytearray(path.read_bytes())
    data[-1] ^= 0xFF
    path.write_bytes(data)
    os.utime(path, (0, 0))
    (line,) = repair(tmp_path)
    assert "are damaged" in line
    assert path.read_bytes() == data
    reader = JournalReader(tmp_path)
    while reader.poll(over=True):
        pass
    assert reader.damaged > 0
    path.write_bytes(data + data[:20])
    os.utime(path, (0, 0))
    assert "torn" not in "".join(repair(tmp_path)), "nor where a torn tail follows"


def test_a_large_block_behind_a_damaged_one_is_read(tmp_path: Path) -> None:
    writer = begin(tmp_path)
    writer.append([Metrics(1, 0, 0, {"a": 0})], is_call=True)
    place = next((tmp_path / "journal").glob("*.tbj")).stat().st_size
    writer.append([Config(1, {"text": "x" * (6 << 20)})])
    writer.append([Metrics(1, 1, 1, {"a": 1})], is_call=True)
    writer.close()
    (path,) = (tmp_path / "journal").glob("*.tbj")
    with path.open("r+b") as file:
        file.seek(place - 1)
        last = file.read(1)
        file.seek(place - 1)
        file.write(bytes([last[0] ^ 1]))
    reader = JournalReader(tmp_path)
    found = []
    while batch := reader.poll(over=True):
        found += [type(record.event).__name__ for record in batch]
    assert found == ["Start", "Config", "Metrics"]
    assert (reader.missing, reader.damaged < 100) == (1, True)


def test_repair_refuses_a_live_journal(tmp_path: Path) -> None:
    begin(tmp_path).metrics({"a": 1}, 1)
    with pytest.raises(JournalError, match="being written"):
        repair(tmp_path)


@pytest.mark.parametrize(
    ("total", "free", "usable"),
    [
        (1000 * GIB, 100 * GIB, 50 * GIB),
        (1000 * GIB, 40 * GIB, -10 * GIB),
        (100_000 * GIB, 4000 * GIB, 3936 * GIB),
        (100_000 * GIB, 60 * GIB, -4 * GIB),
    ],
)
def test_what_is_left_to_others_of_a_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, total: int, free: int, usable: int) -> None:
    """A twentieth, and of a cluster's file system no more than 64 GiB."""
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(total=total, free=free))
    assert sync.room(tmp_path) == usable
