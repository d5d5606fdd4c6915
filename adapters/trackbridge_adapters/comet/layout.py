"""What of a run lies where in Comet's archives, in which form, and what is declared to change."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from trackbridge import projection
from trackbridge.deviations import Reason
from trackbridge.names import Names, from_text, to_text
from trackbridge.projection import Projection, scalar_rule

LENGTH, TEXT_LENGTH = 100, 1000
"""Characters of a name and of a text that the client takes; it cuts longer ones."""

KEYS = Names(r"[^\x00-\x1f\x7f]", mark="·", max_length=LENGTH)
SUMMARY, ENTRIES = "summary/", Names(KEYS.allowed, mark="·", max_length=LENGTH - len("summary/"))
PATHS = Names(r"[^\x00-\x1f\x7f]", mark="·", max_length=200)

META, MESSAGES, JOURNAL = "experiment.json", "messages.json", "journal.tbj.z"
"""Files of an archive: two that the client has in each, and the sidecar."""

OWN = "trackbridge/"
RUN_ID, POSITION, DIGEST, DEVIATIONS, ORIGINAL = (OWN + word for word in ("run_id", "position", "sidecar", "deviations", "key/"))
FIELDS = {"name": "Name", "group": "group", "job_type": "job_type", "notes": "notes"}
STATUS = "status"
"""Names under Other. The client itself puts a run's name there as ``Name``."""

UPLOADS = {"audio": "audio", "video": "video", "text": "text-sample"}
PICTURES = ("png", "jpg", "jpeg", "gif", "webp", "bmp", "svg")
NUMBERS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}

PROJECTION = Projection(
    projection.drop("scalar", Reason.UNSUPPORTED, "None is not stored", "a metric is a number or a text", projection.is_none),
    projection.bools_become_integers("a metric is a number or a text, and only numbers are drawn"),
    scalar_rule(
        Reason.RETYPED,
        'the texts "NaN", "Infinity" and "-Infinity" become numbers',
        "the client writes these numbers as these texts",
        lambda point: type(point.value) is str and point.value in NUMBERS,
        value=lambda point: NUMBERS[str(point.value)],
    ),
    scalar_rule(
        Reason.TRUNCATED,
        f"a text is cut at {TEXT_LENGTH} characters",
        "the client's limit",
        lambda point: type(point.value) is str and len(point.value) > TEXT_LENGTH,
        value=lambda point: str(point.value)[:TEXT_LENGTH],
    ),
    projection.time_to_milliseconds("a message has whole milliseconds"),
)


def experiment_key(run_id: str) -> str:
    """A key that Comet takes: 32 to 50 letters and digits."""
    if re.fullmatch("[0-9A-Za-z]{32,50}", run_id):
        return run_id
    return re.sub("[^0-9A-Za-z]", "", run_id)[:18] + hashlib.sha256(run_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def shown(value: Any) -> Any:
    """`value` as a parameter or under Other: as JSON has it where it comes back from there, else as a text with JSON."""
    plain = isinstance(value, bool | int) or (isinstance(value, float) and value - value == 0.0)
    return value if plain else to_text(value)


def told(held: Any) -> Any:
    """The inverse of :func:`shown`."""
    return from_text(held) if isinstance(held, str) else held


class Fragment:
    """One archive, or the folder that will become one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name.removesuffix(".zip")

    @property
    def live(self) -> bool:
        return self.path.is_dir()

    @functools.cached_property
    def _archive(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(self.path)

    def open(self, name: str) -> IO[bytes]:
        """A file of it.

        Raises:
            LookupError: it has none of this name.
        """
        try:
            return (self.path / Path(name).name).open("rb") if self.live else self._archive.open(name)
        except OSError as error:
            raise LookupError(f"{name} is not in {self.path}") from error

    def content(self, name: str) -> bytes:
        with self.open(name) as file:
            return file.read()

    @functools.cached_property
    def meta(self) -> dict[str, Any]:
        found = json.loads(self.content(META))
        if not self.live:  # many are looked at, and few are read
            self._archive.close()
            del self._archive
        return dict(found)

    @property
    def size(self) -> int:
        """Bytes of the messages in a folder."""
        path = self.path / MESSAGES
        return path.stat().st_size if path.exists() else 0

    def lines(self) -> Iterator[bytes]:
        """The whole lines of its messages."""
        with contextlib.suppress(LookupError), self.open(MESSAGES) as file:
            for line in file:
                if line.endswith(b"\n"):
                    yield line

    def messages(self, metrics: bool = True) -> Iterator[tuple[str, dict[str, Any]]]:
        """Type and payload of each message. `metrics`: also those that are nearly all."""
        for line in self.lines():
            if metrics or b'"type":"metric_msg"' not in line[-24:]:
                message = json.loads(line)
                yield message["type"], message["payload"]

    def position(self) -> tuple[dict[str, int], int]:
        """What its last entry :data:`POSITION` says is held, and where that ends."""
        held, end, place = dict[str, int](), 0, 0
        for line in self.lines():
            place += len(line)
            if POSITION.encode() in line:
                payload = json.loads(line)["payload"]
                if payload.get("key") == POSITION:
                    held, end = json.loads(payload["value"]), place
        return held, end


def fragments(location: Path, key: str = "") -> dict[str, list[Fragment]]:
    """What lies in `location`, by the key of the experiment (of this one, if it is given), in the order in which it was begun."""
    found: dict[str, list[Fragment]] = {}
    folders = (path.parent for path in location.glob(f"{key}*/{META}"))
    archives = {path.stem: path for path in location.glob(f"{key}*.zip")}
    for name, path in sorted(({folder.name: folder for folder in folders} | archives).items()):
        fragment = Fragment(path)
        with contextlib.suppress(LookupError, ValueError, zipfile.BadZipFile):  # the client begins with an empty archive
            found.setdefault(fragment.meta.get("offline_id") or name, []).append(fragment)
    return found


def described(parts: list[Fragment]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `parts` hold as parameters and under Other, by name: the last value of each. A parameter that was taken away is None."""
    parameters: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for part in parts:
        for kind, payload in part.messages(metrics=False):
            if kind == "parameter_msg":
                held = payload.get("param") or payload.get("params") or {}
                parameters[held["paramName"]] = held["paramValue"]
            elif kind == "log_other":
                others[payload["key"]] = payload["value"]
            elif kind == "file_upload":
                about = payload.get("metadata") or {}
                if about.get("kind") in ("parameter", "other"):  # a long text
                    values = parameters if about["kind"] == "parameter" else others
                    values[about["name"]] = part.content(payload["file_path"]).decode("utf-8", "surrogatepass")
    return parameters, others


def originals(others: dict[str, Any], encoding: Names = KEYS) -> dict[str, str]:
    """The originals of shortened names."""
    return {encoding.encode(original): original for name, original in others.items() if name.startswith(ORIGINAL)}
