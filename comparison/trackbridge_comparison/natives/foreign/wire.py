"""What the trackers' binary files have in common: protobuf's wire format, TensorFlow's records, and LevelDB's log."""

import struct


def fields(data):
    """(number, value) of each field of a protobuf message; a varint is an int, all else bytes."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value, at = _varint(data, at)
        else:
            size, at = _varint(data, at) if kind == 2 else ({1: 8, 5: 4}[kind], at)
            value, at = data[at : at + size], at + size
        yield number, value


def _varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def double(data):
    return struct.unpack("<d", data)[0]


def records(path):
    """The records of a file of TensorFlow's; a torn one ends it."""
    data, at = path.read_bytes(), 0
    while at + 12 <= len(data):
        (size,) = struct.unpack_from("<Q", data, at)
        if at + 16 + size > len(data):
            return
        yield data[at + 12 : at + 12 + size]
        at += 16 + size


def scalars(paths):
    """{tag: [(step, value), ...]} of event files, of float32 and float64 alike."""
    series = {}
    for path in sorted(paths):
        for event in records(path):
            step = next((value for number, value in fields(event) if number == 2), 0)
            summaries = [value for number, value in fields(event) if number == 5]
            for part in (value for summary in summaries for number, value in fields(summary) if number == 1):
                about = dict(fields(part))
                if (value := _scalar(about)) is not None:
                    series.setdefault(about[1].decode(), []).append((step, value))
    return series


def _scalar(about):
    """The number of a value of a summary: simple_value, or a tensor's float_val or double_val."""
    if 2 in about:
        return struct.unpack("<f", about[2])[0]
    tensor = dict(fields(about.get(8, b"")))
    if 6 in tensor:
        return double(tensor[6][:8])
    return struct.unpack("<f", tensor[5][:4])[0] if 5 in tensor else None


def log(path):
    """The records of a LevelDB log with a header of seven bytes, as W&B and SwanLab write it; a torn one ends it."""
    data, at, parts = path.read_bytes(), 7, []
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:  # the rest of a block that holds no header
            at += 32768 - at % 32768
            continue
        _, size, kind = struct.unpack_from("<IHB", data, at)
        parts.append(data[at + 7 : at + 7 + size])
        at += 7 + size
        if at > len(data) or kind == 0:
            return
        if kind in (1, 4):
            yield b"".join(parts)
            parts = []
