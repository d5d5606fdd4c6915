"""Typed values: what ``log`` takes besides numbers and strings.

Arrays are duck-typed (anything with ``__array__``: numpy, torch, jax, tensorflow), so that nothing is imported for them. Images and audio are
encoded losslessly when they are logged, once: every tracker then gets the same bytes, and one digest verifies them everywhere.
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from trackbridge.errors import SettingsError


@dataclass(frozen=True)
class Content:
    """What a typed value is made of: `data` bytes, or `path`, or `inline` (a small structure)."""

    kind: str
    format: str
    data: bytes | None = None
    path: Path | None = None
    inline: Any = None
    meta: dict[str, Any] = field(default_factory=dict)


class TypedValue(Protocol):
    """A value that can be logged under a key and is not a scalar."""

    def content(self) -> Content:
        """Raises SettingsError when the value cannot be stored; the message names what can."""


@dataclass(frozen=True)
class Image:
    """An image.

    Args:
        data: a path (bytes are kept as they are), a PIL image, or an array of shape (H, W), (H, W, C) or (C, H, W) with C = 1, 3 or 4:
            uint8, or floats in [0, 1]. Where both could be meant, (H, W, C) is.
        caption: shown beside it.
    """

    data: Any
    caption: str | None = None

    def content(self) -> Content:
        meta: dict[str, Any] = {"caption": self.caption} if self.caption else {}
        if isinstance(self.data, (str, Path)):
            path = Path(self.data)
            return Content("image", path.suffix.lstrip(".").lower(), path=path, meta=meta)
        pixels, height, width, channels = _pixels(self.data)
        meta |= {"width": width, "height": height, "channels": channels}
        return Content("image", "png", data=png(pixels, width, height, channels), meta=meta)


@dataclass(frozen=True)
class Audio:
    """A sound.

    Args:
        data: a path, or an array of shape (samples,) or (samples, channels): int16, or floats in [-1, 1] (stored as 16-bit PCM).
        sample_rate: samples per second.
    """

    data: Any
    sample_rate: int = 44100
    caption: str | None = None

    def content(self) -> Content:
        meta: dict[str, Any] = {"sample_rate": self.sample_rate} | ({"caption": self.caption} if self.caption else {})
        if isinstance(self.data, (str, Path)):
            path = Path(self.data)
            return Content("audio", path.suffix.lstrip(".").lower(), path=path, meta=meta)
        array = _array(self.data)
        if array.ndim not in (1, 2):
            raise SettingsError(f"Audio takes an array of shape (samples,) or (samples, channels), got {array.shape}")
        if array.dtype.kind == "f":
            array = (array.clip(-1.0, 1.0) * 32767.0).round()
        buffer = io.BytesIO()
        import wave

        with wave.open(buffer, "wb") as out:
            out.setnchannels(1 if array.ndim == 1 else int(array.shape[1]))
            out.setsampwidth(2)
            out.setframerate(self.sample_rate)
            out.writeframes(array.astype("<i2").tobytes())
        return Content("audio", "wav", data=buffer.getvalue(), meta=meta)


@dataclass(frozen=True)
class Video:
    """A film.

    Args:
        data: a path, or the bytes of an encoded film. Frames are not encoded here: write them with imageio or torchvision first.
        format: ``mp4``, ``gif``, ``webm``; taken from the path when it is one.
    """

    data: Any
    format: str = ""
    caption: str | None = None

    def content(self) -> Content:
        meta = {"caption": self.caption} if self.caption else {}
        if isinstance(self.data, (str, Path)):
            path = Path(self.data)
            return Content("video", self.format or path.suffix.lstrip(".").lower(), path=path, meta=meta)
        if isinstance(self.data, (bytes, bytearray)) and self.format:
            return Content("video", self.format, data=bytes(self.data), meta=meta)
        raise SettingsError(
            "Video takes a path, or encoded bytes with format='mp4'; encode frames first, for example with imageio.mimwrite"
        )


@dataclass(frozen=True)
class Histogram:
    """A distribution.

    Args:
        values: numbers to be counted into `bins` equal bins over their finite range; those that are not finite are counted in the metadata.
        counts, edges: a histogram that was counted already: n counts and n + 1 increasing edges.
        bins: number of bins for `values`.
    """

    values: Any = None
    counts: Any = None
    edges: Any = None
    bins: int = 64

    def content(self) -> Content:
        meta: dict[str, Any] = {}
        if self.counts is not None and self.edges is not None:
            counts, edges = _numbers(self.counts), _numbers(self.edges)
        elif self.values is not None:
            counts, edges, nonfinite = _count(self.values, self.bins)
            if nonfinite:
                meta["nonfinite"] = nonfinite
        else:
            raise SettingsError("Histogram takes values, or counts and edges")
        if len(edges) != len(counts) + 1 or any(right < left for left, right in pairwise(edges)):
            raise SettingsError(f"Histogram needs n counts and n + 1 increasing edges, got {len(counts)} and {len(edges)}")
        return Content("histogram", "counts", inline={"edges": edges, "counts": counts}, meta=meta)


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        columns: names, unique.
        rows: one sequence of scalars for each row. A pandas or polars frame may be given alone, as `columns`.
    """

    columns: Any
    rows: Any = None

    def content(self) -> Content:
        columns, rows = self.columns, self.rows
        if rows is None and hasattr(columns, "iter_rows"):
            columns, rows = columns.columns, columns.iter_rows()
        elif rows is None and hasattr(columns, "itertuples"):
            columns, rows = columns.columns, columns.itertuples(index=False)
        elif rows is None:
            raise SettingsError("Table takes columns and rows, or a pandas or polars frame")
        names = [str(name) for name in columns]
        cells = [[scalar(cell) for cell in row] for row in rows]
        if len(set(names)) != len(names) or any(len(row) != len(names) for row in cells):
            raise SettingsError(f"Table needs unique column names, and {len(names)} cells in each row")
        return Content("table", "rows", inline={"columns": names, "rows": cells})


@dataclass(frozen=True)
class Text:
    """A text, shown as one (a plain string is a value of a metric)."""

    text: str

    def content(self) -> Content:
        return Content("text", "text", inline=str(self.text))


@dataclass(frozen=True)
class Figure:
    """A matplotlib figure, rendered to PNG when it is logged, or a plotly figure, kept as HTML."""

    figure: Any
    caption: str | None = None

    def content(self) -> Content:
        meta = {"caption": self.caption} if self.caption else {}
        if hasattr(self.figure, "savefig"):
            buffer = io.BytesIO()
            self.figure.savefig(buffer, format="png")
            return Content("figure", "png", data=buffer.getvalue(), meta=meta)
        if hasattr(self.figure, "to_html"):
            return Content("figure", "html", data=self.figure.to_html().encode(), meta=meta)
        raise SettingsError(f"Figure takes a matplotlib or plotly figure, got {type(self.figure).__name__}")


@dataclass(frozen=True)
class File:
    """Any file, logged under a key at a step. For models and data sets see ``log_artifact``."""

    path: str | Path

    def content(self) -> Content:
        path = Path(self.path)
        return Content("file", path.suffix.lstrip(".").lower(), path=path)


TYPED = (Image, Audio, Video, Histogram, Table, Text, Figure, File)


def scalar(value: Any) -> Any:
    """A Python scalar of `value`: numbers of numpy and 0-d arrays and tensors by their ``item()``.

    Raises:
        TypeError: it is none.
    """
    kind = type(value)
    if kind in (float, int, bool, str) or value is None:
        return value
    item = getattr(value, "item", None)
    if item is not None and getattr(value, "shape", ()) in ((), (1,)):
        value = item()
        if type(value) in (float, int, bool, str):
            return value
    numpy = getattr(value, "numpy", None)
    if numpy is not None and not hasattr(value, "item"):  # a tensorflow tensor
        return scalar(numpy())
    if isinstance(value, bool):
        return bool(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, str):
        return str(value)
    if hasattr(value, "__float__") and not hasattr(value, "__len__"):  # Decimal, Fraction, 0-d types without item()
        return float(value)
    raise TypeError(f"{kind.__name__} is no scalar")


def png(pixels: bytes, width: int, height: int, channels: int) -> bytes:
    """A PNG file (W3C PNG specification, third edition) of rows of 8-bit pixels with 1, 2, 3 or 4 channels."""
    stride = width * channels
    rows = b"".join(b"\0" + pixels[start : start + stride] for start in range(0, stride * height, stride))
    head = struct.pack(">IIBBBBB", width, height, 8, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


def _array(data: Any) -> Any:
    for step in ("detach", "cpu"):  # torch: off the graph and the device
        if hasattr(data, step):
            data = getattr(data, step)()
    if not hasattr(data, "__array__") and not hasattr(data, "__array_interface__") and not isinstance(data, Sequence):
        raise SettingsError(f"an array is needed, got {type(data).__name__}")
    try:
        import numpy
    except ImportError:
        raise SettingsError("arrays need numpy: pip install numpy") from None
    return numpy.asarray(data)


def _pixels(data: Any) -> tuple[bytes, int, int, int]:
    """Rows of 8-bit pixels, height, width, channels."""
    array = _array(data)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3:
        raise SettingsError(f"Image takes an array of shape (H, W), (H, W, C) or (C, H, W), got {array.shape}")
    if array.shape[2] not in (1, 2, 3, 4) and array.shape[0] in (1, 3, 4):
        array = array.transpose(1, 2, 0)
    if array.shape[2] not in (1, 2, 3, 4) or not array.size:
        raise SettingsError(f"Image takes 1, 3 or 4 channels and at least one pixel, got an array of shape {array.shape}")
    if array.dtype.kind == "b":
        array = array.astype("uint8") * 255
    elif array.dtype.kind == "f":
        array = (array.clip(0.0, 1.0) * 255.0).round()
        array[array != array] = 0
    elif array.dtype != "uint8":
        array = array.clip(0, 255)
    array = array.astype("uint8")
    height, width, channels = (int(size) for size in array.shape)
    return array.tobytes(), height, width, channels


def _numbers(values: Any) -> list[Any]:
    if hasattr(values, "__array__") or hasattr(values, "detach"):
        return list(_array(values).ravel().tolist())
    return [scalar(value) for value in values]


def _count(values: Any, bins: int) -> tuple[list[int], list[float], int]:
    """Counts of the finite values in `bins` equal bins, the edges, and how many are not finite."""
    if hasattr(values, "__array__") or hasattr(values, "detach"):
        import numpy

        array = _array(values).ravel()
        kept = array[numpy.isfinite(array)].astype("float64")
        array_counts, array_edges = numpy.histogram(kept, bins)
        return array_counts.tolist(), array_edges.tolist(), int(array.size - kept.size)
    numbers = [float(value) for value in _numbers(values)]
    finite = [value for value in numbers if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    width = (high - low) / bins
    edges = [low + width * index for index in range(bins)] + [high]
    counts = [0] * bins
    for value in finite:
        counts[min(bins - 1, int((value - low) / width))] += 1
    return counts, edges, len(numbers) - len(finite)
