"""The contract between TrackBridge and a tracker: Adapter, Writer, Reader, Capabilities.

Written for whoever adds a tracker; ``adapters/README.md`` teaches it in a page. A Writer turns Records into the calls of the tracker's own
client, a Reader turns what the tracker holds back into Records. Both run in a process of their own, never in the training process.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import msgspec

from trackbridge.deviations import Deviation
from trackbridge.errors import SettingsError
from trackbridge.names import Names
from trackbridge.projection import Projection
from trackbridge.records import Record, RunInfo


class Recovery(StrEnum):
    """How an adapter comes to deliver effectively once after its process was killed."""

    APPEND = "append"  # the backend tells its position, or takes the same record twice without effect
    TRUNCATE = "truncate"  # files that we write: the cursor holds their length, and they are cut back to it
    REPLAY = "replay"  # the fragment is set aside and the run written again from the journal
    FRAGMENTS = "fragments"  # a new fragment continues; the Reader joins them and drops repeats by sequence
    AT_END = "at_end"  # the tracker takes a run only whole


class Concurrency(StrEnum):
    """How many runs one process of the client can serve."""

    CONCURRENT = "concurrent"
    SERIAL = "serial"
    ONE_PER_PROCESS = "one_per_process"


SIDECAR_FILE = "trackbridge/journal.tbj.z"
"""The sidecar's name among the files of a run, in every tracker."""


class Sidecar(StrEnum):
    """Where the run's journal lies beside the native values."""

    STORED = "stored"  # in the tracker, by its client
    BESIDE = "beside"  # our file next to its files
    NONE = "none"


@dataclass(frozen=True)
class Capabilities:
    """What one flavour of a tracker keeps. `flavour`: ``sqlite``, ``http``, ``offline``, ``online``, ``files`` ..."""

    flavour: str
    projection: Projection
    names: Names
    recovery: Recovery
    sidecar: Sidecar
    runs: Concurrency = Concurrency.CONCURRENT


@dataclass(frozen=True)
class Requirements:
    """What must be installed for an adapter to run.

    Args:
        extra: ``pip install 'trackbridge[<extra>]'`` installs it.
        distributions: distribution names with the lowest version that is asked for, ``"mlflow>=3.17"``.
        tested: exact versions that the conformance suite ran with; another one warns, once.
        python: lowest and lowest excluded minor version of Python 3: ``(11, 15)``.
        pins: further requirements of its own environment, ``"setuptools<81"``.
        credentials: the variables (``MLFLOW_TRACKING_TOKEN``) and files (``~/.netrc``) in which the client looks for some.
        notice: what a user should know before choosing it, such as that its service has ended.
    """

    extra: str
    distributions: tuple[str, ...]
    tested: dict[str, str] = field(default_factory=dict)
    python: tuple[int, int] = (11, 15)
    pins: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()
    notice: str = ""

    @property
    def names(self) -> list[str]:
        """The names of the distributions."""
        return [one.partition(">=")[0] for one in self.distributions]


class Position(msgspec.Struct, frozen=True):
    """What a backend holds for certain.

    Args:
        sequences: for each shard the number of its records that are held: all with a lower sequence.
        token: the adapter's own note, such as the byte lengths of its files (recovery ``truncate``).
    """

    sequences: dict[str, int] = {}
    token: dict[str, Any] = {}

    def advanced(self, batch: Iterable[Record], token: dict[str, Any] | None = None) -> Position:
        """This position after `batch` is held too."""
        sequences = dict(self.sequences)
        for record in batch:
            sequences[record.shard] = max(sequences.get(record.shard, 0), record.sequence + 1)
        return Position(sequences, self.token if token is None else token)

    def holds(self, record: Record) -> bool:
        return record.sequence < self.sequences.get(record.shard, 0)


CREDENTIALS = "TRACKBRIDGE_TARGET_CREDENTIALS"
"""Variable that hands the ``user:password`` of a target's URL to a child process."""


class Target(msgspec.Struct, frozen=True):
    """One entry of ``TRACKBRIDGE_BACKEND``: ``name[:location][#project]``, options after ``?``.

    A location is a folder, a file or a URL; ``%2C`` and ``%23`` stand for ``,`` and ``#``. `credentials` (``user:password``) is what
    stood before the ``@`` of a URL; it is never part of the text form, so it is never written to a journal or a log.
    """

    name: str
    location: str = ""
    project: str = ""
    options: dict[str, str] = {}
    credentials: str = ""

    @classmethod
    def parse(cls, text: str) -> Target:
        """Parse one target.

        Raises:
            SettingsError: there is no name.
        """
        head, _, project = text.strip().partition("#")
        place, _, query = head.partition("?")
        name, _, location = place.partition(":")
        if not name.strip():
            raise SettingsError(f"backend {text!r} has no name; write name[:location][#project], for example mlflow or tensorboard:./tb")
        return cls(name.strip(), unquote(location), unquote(project), dict(parse_qsl(query))).without_credentials()

    @classmethod
    def of_parent(cls, text: str) -> Target:
        """The target `text`, with the credentials that the parent process handed over by :meth:`child_environment`."""
        target, credentials = cls.parse(text), os.environ.pop(CREDENTIALS, "")
        return msgspec.structs.replace(target, credentials=credentials) if credentials else target

    def child_environment(self) -> dict[str, str]:
        """The environment of a process that works on this target: credentials are in no file and no argument."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return environment | ({CREDENTIALS: self.credentials} if self.credentials else {})

    @classmethod
    def parse_all(cls, text: str | None) -> tuple[Target, ...]:
        """Parse a comma-separated list; ``none``, ``""`` and None mean the journal alone. Repeats are dropped."""
        targets = [cls.parse(part) for part in (text or "").split(",") if part.strip() and part.strip().lower() != "none"]
        return tuple({str(target): target for target in targets}.values())

    def in_folder(self, base: Path, default: str) -> Target:
        """:meth:`absolute`, in the folder `default` of `base` when no location is given: for trackers that are files."""
        return self.absolute(base) if self.location else msgspec.structs.replace(self, location=str(base.absolute() / default))

    def without_credentials(self) -> Target:
        if "://" not in self.location or "@" not in self.location:
            return self
        parts = urlsplit(self.location)
        userinfo, _, host = parts.netloc.rpartition("@")
        if not userinfo:
            return self
        location = urlunsplit(parts._replace(netloc=host))
        return msgspec.structs.replace(self, location=location, credentials=userinfo)

    @property
    def is_path(self) -> bool:
        return bool(self.location) and "://" not in self.location

    def absolute(self, base: Path) -> Target:
        """The same target with a relative folder made absolute, so that a forwarder with another working directory finds it."""
        if not self.is_path:
            return self
        return msgspec.structs.replace(self, location=os.path.abspath(base / Path(self.location).expanduser()))

    def __str__(self) -> str:
        text = self.name
        if self.location or self.options:
            text += ":" + quote(self.location, safe="/:@~+=&\\ ")
        if self.options:
            text += "?" + urlencode(self.options)
        return text + ("#" + quote(self.project, safe="/:@~+= ") if self.project else "")

    @property
    def slug(self) -> str:
        """A short name for files: the backend and a digest of the whole target."""
        return f"{self.name}-{hashlib.sha256(str(self).encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Place:
    """Where a run lies in a backend, told as soon as the Writer has opened it.

    Args:
        id: the backend's own id of the run.
        where: a folder or URL for people.
        url: an address that a browser opens, or "".
        hint: what to do next, such as the vendor's upload command, or "".
        mode: ``local``, ``online``, ``offline``.
    """

    id: str
    where: str
    url: str = ""
    hint: str = ""
    mode: str = "local"


@runtime_checkable
class Writer(Protocol):
    """Turns Records into the calls of a tracker's client. Used by one thread of one process."""

    def open(self, run: RunInfo, position: Position | None) -> Position:
        """Adopt or make the run; say what the backend already holds. `position` is what an earlier Writer's `flush` returned."""

    def write(self, batch: Sequence[Record]) -> Sequence[Deviation]:
        """Hand `batch` to the client; may buffer. Keys come with the prefix of their rank. A record that `flush` has confirmed may come
        again after a restart, and changes nothing then. An empty batch comes at the end, for what the last `flush` met.

        Returns:
            What the declared rules changed, and what the tracker refused since the last call.

        Raises:
            Unavailable: the tracker cannot take anything now; the Writer is dropped, and another one opens the run later.
            Rejected: it can never take one record of `batch`, the one at `index`. Nothing of the batch was taken.
        """

    def flush(self) -> Position:
        """Return only when all that was written is readable whatever dies; say what is held."""

    def attach(self, sidecar: bytes, digest: str) -> None:
        """Place the sidecar with the run, replacing an earlier one, then record `digest` natively."""

    def close(self, status: str, end: int) -> None:
        """Close the run with a :class:`~trackbridge.records.Status`; `end` in nanoseconds. After it the Writer is not used again."""

    def place(self) -> Place:
        """Where the run lies. Called after `open`."""


@runtime_checkable
class Reader(Protocol):
    """Turns what a tracker holds back into Records, through the tracker's own reader where it has one."""

    def runs(self) -> Iterator[RunInfo]: ...

    def read(self, run_id: str) -> Iterator[Record]:
        """The run's native values as Records of the shard ``native``, in the tracker's order.

        Raises:
            RunNotFound: no run of this id is there.
        """

    def sidecar(self, run_id: str) -> tuple[bytes, str] | None:
        """The sidecar's bytes and the digest that was recorded natively ("" if none), or None."""


@runtime_checkable
class Adapter(Protocol):
    """One tracker. The registry finds it by the entry point group ``trackbridge.adapters``.

    An adapter whose capabilities depend on the location has an attribute ``flavours``: an example location of each, for the support matrix.
    """

    name: ClassVar[str]
    requires: ClassVar[Requirements]

    def resolve(self, target: Target, base: Path) -> Target:
        """`target` with every default made explicit and every path absolute, so that a forwarder, or a `sync` a year later in another
        working directory, means the same place. `base`: the working directory of the training process."""

    def capabilities(self, target: Target, client_version: str = "") -> Capabilities: ...

    def writer(self, target: Target) -> Writer: ...

    def reader(self, target: Target) -> Reader: ...

    def ui(self, target: Target) -> list[str]:
        """The command that opens the tracker's own UI on `target`, or [] when a browser opens the run's URL. A word of it that is or ends
        in ``{host}`` or ``={port}`` gets where the UI listens."""
