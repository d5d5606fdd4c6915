"""Blocks: how records lie in bytes. ``format.md`` specifies them."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from zlib import crc32

import msgspec

from trackbridge.records import AnyEvent, Record, decode

MAGIC = b"\xabTBJ"
HEADER = struct.Struct("<4sIII")
MAX_PAYLOAD = 16 * 1024 * 1024
MAX_DEPTH = 64
FORMAT_VERSION = 1
_MASK = 0xFFFFFFFF


class Block(NamedTuple):
    """A whole, correct block. `low`: the low 32 bits of its first sequence; `offset`, `end`: its place in the buffer that was scanned."""

    low: int
    payload: bytes
    offset: int
    end: int


def frame(payload: bytes, sequence: int) -> bytes:
    """The bytes of one block."""
    low = sequence & _MASK
    return HEADER.pack(MAGIC, len(payload), crc32(payload, low), low) + payload


def segment_header(run_id: str, shard: str, segment: int, sequence: int, time: int) -> bytes:
    """The first block of a segment; it takes no sequence number, and tells that of the next block."""
    return frame(msgspec.msgpack.encode(["segment", time, FORMAT_VERSION, run_id, shard, segment, sequence]), sequence)


class Segment(NamedTuple):
    """What the first block of a segment says. `sequence`: of the first record that follows."""

    time: int
    shard: str
    sequence: int


def segment(block: Block) -> Segment | None:
    """What `block` says if it is the first of a segment, else None."""
    if block.payload[1:9] != b"\xa7segment" or not shallow(block.payload):
        return None
    try:
        _, time, _, _, shard, _, sequence, *_ = msgspec.msgpack.decode(block.payload)
    except (msgspec.DecodeError, ValueError):
        return None
    return Segment(time, shard, sequence)


def full_sequence(low: int, near: int) -> int:
    """The sequence with these low 32 bits that is nearest to `near`."""
    ahead = (low - near) & _MASK
    return near + ahead if ahead < 1 << 31 else near + ahead - (1 << 32)


def at(data: bytes, offset: int) -> Block | None:
    """The block at `offset`, or None when the bytes there do not make a whole, correct one."""
    if offset + HEADER.size > len(data):
        return None
    magic, length, crc, low = HEADER.unpack_from(data, offset)
    end = offset + HEADER.size + length
    if magic != MAGIC or length > MAX_PAYLOAD or end > len(data):
        return None
    payload = data[offset + HEADER.size : end]
    if crc32(payload, low) != crc:
        return None
    return Block(low, payload, offset, end)


def needed(data: bytes, offset: int) -> int:
    """How many bytes the block at `offset` takes if its header is to be believed, else 0."""
    if offset + HEADER.size > len(data):
        return HEADER.size
    magic, length, *_ = HEADER.unpack_from(data, offset)
    return HEADER.size + length if magic == MAGIC and length <= MAX_PAYLOAD else 0


def following(data: bytes, offset: int) -> Block | None:
    """The first whole, correct block at `offset` or later."""
    while (offset := data.find(MAGIC, offset)) >= 0:
        block = at(data, offset)
        if block is not None:
            return block
        offset += 1
    return None


def unfinished(data: bytes, offset: int) -> int:
    """Where a block begins, at `offset` or later, that reaches beyond `data` if its header is to be believed; -1 if none does."""
    while (offset := data.find(MAGIC, offset)) >= 0 and needed(data, offset) <= len(data) - offset:
        offset += 1
    return offset


def scan(data: bytes, offset: int = 0) -> Iterator[Block]:
    """All whole, correct blocks; damaged places are passed."""
    while (block := following(data, offset)) is not None:
        yield block
        offset = block.end


def read_records(block: Block, shard: str, sequence: int) -> list[Record] | None:
    """The records of `block`, whose first has this sequence; None when its payload is no list of events (a correct CRC over what no writer of
    ours makes)."""
    if not shallow(block.payload):
        return None
    try:
        events: Sequence[AnyEvent] = decode(block.payload)
    except msgspec.DecodeError:
        return None
    return [Record(shard, sequence + index, event) for index, event in enumerate(events)]


_CONTAINER_BYTES = bytes([*range(0x80, 0xA0), *range(0xDC, 0xE0)])
_OTHER_BYTES = bytes(sorted(set(range(256)) - set(_CONTAINER_BYTES)))
# length of the head, and of the fixed body, of each scalar type; containers and variable lengths are treated apart
_FIXED = {0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8} | {
    0xD4 + power: 1 + (1 << power) for power in range(5)
}
_SIZED = {0xC4: (1, 0), 0xC5: (2, 0), 0xC6: (4, 0), 0xC7: (1, 1), 0xC8: (2, 1), 0xC9: (4, 1), 0xD9: (1, 0), 0xDA: (2, 0), 0xDB: (4, 0)}
_CONTAINERS = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}


def shallow(payload: bytes, limit: int = MAX_DEPTH) -> bool:
    """Whether msgpack `payload` nests at most `limit` levels.

    Decoders recurse: deeply nested input can end the interpreter in a thread with a small stack (msgspec issue 1073), so nothing is decoded
    before this check. A payload with fewer container bytes than `limit` cannot be deeper, which settles most blocks at once.
    """
    if len(payload.translate(None, _OTHER_BYTES)) <= limit:
        return True
    position, size, open_items = 0, len(payload), [1]
    while position < size:
        while open_items and open_items[-1] == 0:
            open_items.pop()
        if not open_items:
            return True
        open_items[-1] -= 1
        head = payload[position]
        position += 1
        if 0x80 <= head <= 0x9F:
            items = (head & 0x0F) * (2 if head < 0x90 else 1)
        elif head in _CONTAINERS:
            width, factor = _CONTAINERS[head]
            items = int.from_bytes(payload[position : position + width], "big") * factor
            position += width
        else:
            if 0xA0 <= head <= 0xBF:
                position += head & 0x1F
            elif head in _FIXED:
                position += _FIXED[head]
            elif head in _SIZED:
                width, extra = _SIZED[head]
                position += width + extra + int.from_bytes(payload[position : position + width], "big")
            continue
        open_items.append(items)
        if len(open_items) - 1 > limit:
            return False
    return True
