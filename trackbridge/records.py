"""The schema: every kind of Record, and how it lies in a journal block.

An *event* is what happened (a call of ``log``, a change of the configuration, the end of the run); a :class:`Record` is an event with
its identity, the pair (shard, sequence). On disk an event is a msgpack array ``[kind, time, ...]`` whose fields come in the
order below; readers ignore fields that they do not know at its end, and keep kinds that they do not know as :class:`Unknown`. So new
fields go to the end and have a default, and a new kind breaks nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

SCHEMA_VERSION = 1

Scalar = bool | int | float | str | None
"""What a metric may be. ``bool`` stays bool and a string stays a string; integers may have any size."""


class Status(StrEnum):
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"  # an exception left the script or the ``with`` block
    CRASHED = "crashed"  # no end record: the process was killed


class FileRef(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A file of the run. Its bytes lie in ``RUN/files/<digest>`` unless it was logged by reference."""

    path: str  # relative name with forward slashes, as the user sees it
    digest: str  # SHA-256, lower-case hexadecimal; "" by reference
    size: int  # bytes


class Event(msgspec.Struct, frozen=True, array_like=True, gc=False, tag_field="event"):
    """Base of all events. `time`: nanoseconds since 1970 (UTC)."""

    time: int


class Start(Event, tag="start", frozen=True):
    """A process began to write this shard."""

    run_id: str
    project: str = ""
    name: str = ""
    group: str = ""
    job_type: str = ""
    notes: str = ""
    rank: int = 0
    world_size: int = 1
    host: str = ""
    pid: int = 0
    forked: bool = False  # a forked child of the process that called init
    targets: list[str] = []
    provenance: dict[str, Any] = {}
    library: str = ""
    ticks: int = 0  # when the process was started, in clock ticks since boot; 0 where the system does not tell


class Metrics(Event, tag="m", frozen=True):
    """The scalars of one call of ``log``. `call` counts the calls of the shard, from 0."""

    call: int
    step: int | None
    values: dict[str, Any]


class Media(Event, tag="media", frozen=True):
    """One typed value of one call of ``log``.

    `kind` is ``image audio video histogram table text figure file``; `format` says how to read the content: ``png``, ``wav`` ... for
    bytes in `file`; ``counts``, ``rows``, ``text`` for what lies in `inline`, or in `file` as msgpack when it is over 1 MiB.
    """

    call: int
    step: int | None
    key: str
    kind: str
    format: str
    inline: Any = None
    file: FileRef | None = None
    meta: dict[str, Any] = {}


class Artifact(Event, tag="artifact", frozen=True):
    """A named file or folder. `uri` is where it lies when it was logged by reference."""

    name: str
    type: str
    files: list[FileRef]
    uri: str = ""
    metadata: dict[str, Any] = {}


class Config(Event, tag="config", frozen=True):
    """Top-level entries of the configuration that were set; the last one wins."""

    values: dict[str, Any]


class Summary(Event, tag="summary", frozen=True):
    """Explicit summary values; the last one wins."""

    values: dict[str, Any]


class Tags(Event, tag="tags", frozen=True):
    """The run's tags from now on, all of them."""

    values: list[str]


class Define(Event, tag="define", frozen=True):
    """``define_metric``: keys that match the glob `pattern` have this step axis and this summary rule from now on."""

    pattern: str
    step: str | None = None
    summary: str | None = None


class Rewind(Event, tag="rewind", frozen=True):
    """A new attempt starts at `step`: points of earlier attempts at `step` or later are no longer on the surviving branch."""

    step: int


class Deviations(Event, tag="deviations", frozen=True):
    """What changed before it was written: ``redacted``, ``merged``, ``refused`` ..."""

    items: list[Any]  # Deviation rows


class Heartbeat(Event, tag="alive", frozen=True):
    """The writing process lives. Tells another host, which cannot see the process."""


class End(Event, tag="end", frozen=True):
    """The shard is complete."""

    status: str
    message: str = ""


class Unknown(Event, frozen=True):
    """An event of a newer schema, kept as it is. `fields` holds the whole array, kind and time included."""

    fields: list[Any]


KNOWN = Start | Metrics | Media | Artifact | Config | Summary | Tags | Define | Rewind | Deviations | Heartbeat | End
AnyEvent = KNOWN | Unknown


class Record(msgspec.Struct, frozen=True, gc=False):
    """An event with its identity. `source` tells where a Reader found it: ``native`` or ``sidecar``."""

    shard: str
    sequence: int
    event: AnyEvent
    source: str = "native"


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What identifies and describes a run. `start` and `end` in nanoseconds since 1970; `directory` of a journal's run only."""

    id: str
    name: str = ""
    project: str = ""
    group: str = ""
    job_type: str = ""
    notes: str = ""
    tags: tuple[str, ...] = ()
    status: str = Status.RUNNING
    start: int = 0
    end: int | None = None
    provenance: dict[str, Any] = {}
    directory: Path | None = None

    def content(self, ref: FileRef | None) -> Path:
        """The file in the run's folder that holds the bytes of `ref`.

        Raises:
            LookupError: there is none.
        """
        path = self.directory / "files" / ref.digest if ref and ref.digest and self.directory else None
        if path is None or not path.is_file():
            raise LookupError(f"the content of {ref and ref.path!r} is not in the folder of run {self.id}")
        return path

    def inline(self, media: Media) -> Any:
        """The value of `media` that is no file, wherever it lies: one over 1 MiB lies in the run's folder.

        Raises:
            LookupError: see :meth:`content`; or what lies there is damaged.
        """
        if media.file is None:
            return media.inline
        try:
            return unpack(self.content(media.file).read_bytes())
        except msgspec.DecodeError as error:
            raise LookupError(f"the content of {media.file.path!r} is damaged: {error}") from error


BIG_INTEGER = 1
"""msgpack extension type of an integer beyond 64 bits: its decimal digits in ASCII."""

INTEGER_DIGITS = 4300
"""Digits, and the sign, of the largest integer that is kept: Python's own limit where it turns one into text, which protects against hours of
computation
(https://docs.python.org/3/library/stdtypes.html#int-max-str-digits)."""

_ENCODER = msgspec.msgpack.Encoder()


def big_integers(value: Any) -> Any:
    """`value` with every integer that msgpack cannot hold replaced by an extension; containers are copied only then.

    Raises:
        ValueError: one has more than :data:`INTEGER_DIGITS` digits.
    """
    if type(value) is int and not -(2**63) <= value < 2**64:
        digits = str(value)
        if len(digits) > INTEGER_DIGITS:
            raise ValueError(f"an integer has more than {INTEGER_DIGITS - 1} digits")
        return msgspec.msgpack.Ext(BIG_INTEGER, digits.encode())
    if isinstance(value, dict):
        return {key: big_integers(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [big_integers(item) for item in value]
    return value


def _extension(code: int, data: memoryview) -> Any:
    if code == BIG_INTEGER and len(data) <= INTEGER_DIGITS:
        return int(bytes(data))
    return msgspec.msgpack.Ext(code, bytes(data))


def pack(value: Any) -> bytes:
    """A structure of dicts, lists and scalars as msgpack. Integers of any size are kept.

    Raises:
        TypeError, ValueError: something else is in it, or a text that is no UTF-8.
    """
    try:
        return _ENCODER.encode(value)
    except OverflowError:
        return _ENCODER.encode(big_integers(value))


def unpack(data: bytes) -> Any:
    """What :func:`pack` made `data` of."""
    return msgspec.msgpack.decode(data, ext_hook=_extension)


_DECODER = msgspec.msgpack.Decoder(list[KNOWN], ext_hook=_extension)
_ONE = msgspec.msgpack.Decoder(KNOWN, ext_hook=_extension)
_UNTYPED = msgspec.msgpack.Decoder(list[list[Any]], ext_hook=_extension)
_UNTYPED_ONE = msgspec.msgpack.Decoder(list[Any], ext_hook=_extension)
_STRING = range(0xA0, 0xC0)  # the first byte of a short string in msgpack


def encode(events: Sequence[Event]) -> bytes:
    """The payload of one journal block. Integers of any size are kept."""
    try:
        return _ENCODER.encode(list(events))
    except OverflowError:
        return _ENCODER.encode(big_integers(msgspec.to_builtins(list(events), builtin_types=(bytes,))))


def decode(payload: bytes) -> Sequence[AnyEvent]:
    """The events of one block: one event, whose array begins with the name of its kind, or an array of events.

    Raises:
        msgspec.DecodeError: the payload is not msgpack, or not events.
    """
    one = payload[1:2] and payload[1] in _STRING
    try:
        return [_ONE.decode(payload)] if one else _DECODER.decode(payload)
    except msgspec.ValidationError:
        return [_convert(fields) for fields in ([_UNTYPED_ONE.decode(payload)] if one else _UNTYPED.decode(payload))]


def _convert(fields: list[Any]) -> AnyEvent:
    try:
        known: KNOWN = msgspec.convert(fields, KNOWN)
        return known
    except msgspec.ValidationError:
        time = fields[1] if len(fields) > 1 and isinstance(fields[1], int) else 0
        return Unknown(time=time, fields=fields)
