"""Blocks and the reader against truncation, flipped bits, random bytes and hostile msgpack."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trackbridge.journal import blocks
from trackbridge.journal.reader import JournalReader
from trackbridge.journal.writer import ShardWriter
from trackbridge.records import Metrics, Start, decode, encode

SCALARS = st.one_of(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=20))


def journal(folder: Path, calls: int) -> bytes:
    """The bytes of a one-segment journal of `calls` calls."""
    writer = ShardWriter(folder / "journal", "run", "r0-h-1-aa", max_bytes=10**9)
    writer.known.update("abc")
    writer.append([Start(1, "run", host="elsewhere", pid=1)])
    for call in range(calls):
        assert writer.metrics({"a": call * 1.5, "b": call, "c": True}, call)
    writer.close()
    return (folder / "journal" / "r0-h-1-aa-000000.tbj").read_bytes()


def read(folder: Path, data: bytes, over: bool = True) -> tuple[list[int], JournalReader]:
    """The numbers of the calls that a reader finds in `data`."""
    (folder / "journal").mkdir(exist_ok=True)
    (folder / "journal" / "r0-h-1-aa-000000.tbj").write_bytes(data)
    reader = JournalReader(folder)
    found = []
    while batch := reader.poll(over=over):
        found += [record.event.call for record in batch if isinstance(record.event, Metrics)]
    return found, reader


@given(st.lists(st.dictionaries(st.text(), SCALARS), max_size=5))
def test_any_scalar_comes_back_as_it_was(calls: list[dict[str, object]]) -> None:
    events = [Metrics(5, index, None, values) for index, values in enumerate(calls)]
    for before, after in zip(events, decode(encode(events)), strict=True):
        assert isinstance(after, Metrics)
        assert repr(before) == repr(after)


def test_truncated_at_every_byte(tmp_path: Path) -> None:
    """Whatever is cut off, what stands before the cut is read, and nothing else; nothing raises."""
    data = journal(tmp_path / "whole", 60)
    ends = [block.end for block in blocks.scan(data)]
    for length in range(len(data)):
        found, reader = read(tmp_path, data[:length])
        whole = sum(end <= length for end in ends) - 2  # the segment's header and the start record
        assert found == list(range(max(0, whole)))
        torn = length - max([end for end in ends if end <= length], default=0)
        assert (reader.torn, reader.damaged) == (torn, 0)


def test_an_incomplete_tail_of_a_live_shard_means_wait(tmp_path: Path) -> None:
    data = journal(tmp_path / "whole", 3)
    found, reader = read(tmp_path, data[:-5], over=False)
    assert found == [0, 1]
    assert reader.damage == []
    with (tmp_path / "journal" / "r0-h-1-aa-000000.tbj").open("ab") as file:
        file.write(data[-5:])
    assert [record.event.call for record in reader.poll()] == [2]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 8))
def test_flipped_bits_lose_only_their_block(tmp_path_factory: pytest.TempPathFactory, seed: int, flips: int) -> None:
    folder = tmp_path_factory.mktemp("flips")
    data, chance = bytearray(journal(folder / "whole", 40)), random.Random(seed)
    spans = [(block.offset, block.end) for block in blocks.scan(bytes(data))]
    places = [chance.randrange(len(data)) for _ in range(flips)]
    for place in set(places):
        data[place] ^= 1 << chance.randrange(8)
    hit = {index for index, (start, end) in enumerate(spans) if any(start <= place < end for place in set(places))}
    found, reader = read(folder, bytes(data))
    assert found == [index - 2 for index in range(2, len(spans)) if index not in hit]
    assert bool(reader.damage) == bool(hit)
    last = max([-1, *found])
    assert reader.missing == sum(index - 2 < last for index in hit if index >= 1), "those after the last whole block cannot be counted"


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=2000))
def test_random_bytes_are_never_records(data: bytes) -> None:
    assert list(blocks.scan(data)) == []
    blocks.shallow(data)


def test_a_damaged_middle_is_counted_and_passed(tmp_path: Path) -> None:
    data = bytearray(journal(tmp_path / "whole", 10))
    spans = [(block.offset, block.end) for block in blocks.scan(bytes(data))]
    data[spans[5][0] + 30] ^= 0xFF
    found, reader = read(tmp_path, bytes(data))
    assert found == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert reader.missing == 1
    assert [damage.length for damage in reader.damage] == [spans[5][1] - spans[5][0]]
    assert reader.damaged == spans[5][1] - spans[5][0]


def nested(depth: int) -> bytes:
    return b"\x91" * depth + b"\xc0"


@pytest.mark.parametrize("depth", [1, 63, 64])
def test_shallow_payloads_pass(depth: int) -> None:
    assert blocks.shallow(nested(depth))


@pytest.mark.parametrize("depth", [65, 1_000, 1_000_000])
def test_deep_payloads_are_refused(depth: int) -> None:
    assert not blocks.shallow(nested(depth))


@given(st.recursive(SCALARS.filter(lambda value: not isinstance(value, int) or -(2**63) <= value < 2**64), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=200))  # fmt: skip
def test_depth_is_that_of_the_value(value: object) -> None:
    def depth(item: object) -> int:
        if isinstance(item, dict):
            return 1 + max(map(depth, item.values()), default=0)
        return 1 + max(map(depth, item), default=0) if isinstance(item, list) else 0

    payload = msgspec.msgpack.encode(value)
    for limit in (0, 1, 2, 3):
        # few container bytes settle it without a look, so a payload may pass a limit that it exceeds only where that many cannot be there
        containers = sum(0x80 <= byte <= 0x9F or 0xDC <= byte <= 0xDF for byte in payload)
        assert blocks.shallow(payload, limit) == (depth(value) <= limit or containers <= limit)


def test_deep_nesting_ends_no_interpreter(tmp_path: Path) -> None:
    """A million levels, read in a thread with a small stack, where a decoder would overrun it."""
    code = """
import threading
from trackbridge.journal import blocks
payload = b"\\x91" * 1_000_000 + b"\\xc0"
block = blocks.at(blocks.frame(payload, 0), 0)
threading.stack_size(256 * 1024)
thread = threading.Thread(target=lambda: print(blocks.read_records(block, "s", 0)))
thread.start(); thread.join()
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (result.returncode, result.stdout.strip()) == (0, "None")


def test_a_second_reader_in_forty_lines_agrees(tmp_path: Path) -> None:
    """A reader written from format.md alone, sharing no code with ours."""
    import struct
    import zlib

    data, place, calls, following = journal(tmp_path, 50), 0, [], 0
    while place < len(data):
        magic, length, crc, sequence = struct.unpack_from("<4sIII", data, place)
        payload = data[place + 16 : place + 16 + length]
        assert magic == b"\xabTBJ"
        assert zlib.crc32(payload, sequence) == crc
        place += 16 + length
        items = msgspec.msgpack.decode(payload)
        records = [items] if isinstance(items[0], str) else items
        if records[0][0] != "segment":
            assert sequence == following
            following += len(records)
            calls += [record for record in records if record[0] == "m"]
    assert [item[2] for item in calls] == list(range(50))
    assert [item[4]["a"] for item in calls] == [call * 1.5 for call in range(50)]


@given(st.integers(0, 2**40), st.integers(-(2**30), 2**30))
def test_the_whole_sequence_is_found_from_its_low_bits(near: int, distance: int) -> None:
    sequence = max(0, near + distance)
    assert blocks.full_sequence(sequence & 0xFFFFFFFF, near) == sequence
