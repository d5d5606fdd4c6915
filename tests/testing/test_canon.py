"""The canon is the same everywhere, holds what it says, and what carries it between processes changes nothing."""

from __future__ import annotations

import hashlib
import io
import struct
import wave
import zlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from trackbridge import sidecar, stream
from trackbridge.journal.reader import JournalReader, info
from trackbridge.normal import compare, normal
from trackbridge.projection import Projection
from trackbridge.records import Artifact, End, Media, Metrics, Record, Start, Tags
from trackbridge.testing import canon
from trackbridge.testing.random_runs import runs


@pytest.fixture(scope="module")
def workloads(tmp_path_factory: pytest.TempPathFactory) -> dict[str, canon.Workload]:
    return canon.build(tmp_path_factory.mktemp("canon"))


def test_the_canon_is_the_same_in_every_folder(workloads: dict[str, canon.Workload], tmp_path: Path) -> None:
    again = canon.build(tmp_path)
    for run_id, run in workloads.items():
        anywhere = [stream.dump(msgspec.structs.replace(copy.info, directory=None), copy.records) for copy in (run, again[run_id])]
        assert anywhere[0] == anywhere[1]


def test_traits_share_no_key(workloads: dict[str, canon.Workload]) -> None:
    """So that what happens to a key can be told of one trait. Runs that go on are the exception."""
    seen: dict[str, str] = {}
    for trait in workloads[canon.RUN].traits:
        for event in trait.events:
            for key in event.values if isinstance(event, Metrics) else ():
                if not key.startswith(("flow/", "loss", "rank3/")):
                    assert seen.setdefault(key, trait.name) == trait.name


def test_times_come_from_no_clock_and_sequences_have_no_gap(workloads: dict[str, canon.Workload]) -> None:
    for run in workloads.values():
        following: dict[str, int] = {}
        for record in run.records:
            assert record.sequence == following.get(record.shard, 0)
            following[record.shard] = record.sequence + 1
            assert canon.START <= record.event.time <= canon.START + 60 * 10**9
        assert all(isinstance(record.event, Start) for record in run.records if record.sequence == 0)


def test_every_file_is_there_under_its_digest(workloads: dict[str, canon.Workload]) -> None:
    for run in workloads.values():
        for record in run.records:
            event = record.event
            for file in [event.file] if isinstance(event, Media) else event.files if isinstance(event, Artifact) else []:
                if file is not None and file.digest:
                    content = run.info.content(file).read_bytes()
                    assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size, file.digest)


def test_images_and_sounds_are_valid() -> None:
    image = canon.png(4, 3)
    assert struct.unpack(">II", image[16:24]) == (4, 3)
    start = image.index(b"IDAT") + 4
    assert len(zlib.decompress(image[start:])) == 3 * (1 + 4 * 3)
    with wave.open(io.BytesIO(canon.wav(8000, 0.05))) as sound:
        assert (sound.getframerate(), sound.getnframes()) == (8000, 400)


def test_the_journal_says_what_the_records_say(workloads: dict[str, canon.Workload]) -> None:
    for run in workloads.values():
        run.write_journal()
        read = list(JournalReader(run.folder))
        assert compare(normal(run.records), normal(read), Projection(), native=False) == []
        described = info(run.folder)
        assert (described.id, described.name, described.tags) == (run.info.id, run.info.name, run.info.tags)
        assert compare(normal(run.records), normal(sidecar.read(sidecar.build(run.folder)[0])), Projection(), native=False) == []


def test_a_forwarder_would_hand_over_what_the_normal_form_holds(workloads: dict[str, canon.Workload]) -> None:
    """Two ways to say what is for a tracker, one of the forwarder and one of the normal form, agree."""
    for run in workloads.values():
        assert compare(normal(run.records), normal(run.routed), Projection(), native=False) == []


def test_of_other_ranks_and_of_forks_only_values_count(workloads: dict[str, canon.Workload]) -> None:
    form = normal(workloads[canon.RUN].records)
    assert [point.value for point in form.series["rank3/loss/train"]] == [0, 1, 2, 3]
    assert "flow/forked" not in form.series
    assert form.config["lr"] == 0.1
    assert form.summary["again"] == "last"
    assert form.tags == frozenset(canon.TAGS)
    assert form.status == "finished"
    assert form.artifacts["of rank 3", "shard.bin"].type == "data"


def test_status_is_that_of_the_process_that_began_last() -> None:
    def run(*events: object) -> str:
        return normal(Record(shard, 0, event) for shard, event in events).status

    first, second = Start(1, "r"), Start(3, "r")
    assert run(("a", first)) == "running"
    assert run(("a", first), ("a", End(2, "failed")), ("b", second)) == "running"
    assert run(("a", first), ("a", End(2, "failed")), ("b", second), ("b", End(4, "finished"))) == "finished"
    assert run(("a", first), ("b", second), ("b", End(4, "finished")), ("a", End(5, "failed"))) == "finished"


def test_large_inline_values_are_known_by_their_digest() -> None:
    """A table over 1 MiB lies in a file of a journal; a Reader may give it inline."""
    rows = {"columns": ["a"], "rows": [["x" * 1000]] * 1100}
    packed = msgspec.msgpack.encode(rows)
    inline = normal([Record("s", 0, Media(1, 0, 1, "k", "table", "rows", rows))])
    assert inline.media["k"][0].content == hashlib.sha256(packed).hexdigest()
    assert normal([Record("s", 0, Media(1, 0, 1, "k", "text", "text", "short"))]).media["k"][0].content == "short"


@settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(drawn=runs(Path("/nowhere"), "any"))
def test_a_stream_changes_nothing(drawn: tuple[canon.Workload, list[str]]) -> None:
    run = drawn[0]
    info, records = stream.load(stream.dump(run.info, run.records))
    assert info == run.info
    assert compare(normal(run.records), normal(records), Projection(), native=False) == []
    assert [record.event for record in records if isinstance(record.event, Tags)] == [
        r.event for r in run.records if isinstance(r.event, Tags)
    ]
