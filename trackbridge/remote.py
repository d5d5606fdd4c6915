"""Reading where the tracker's client is: ``python -m trackbridge.remote TARGET runs``, ``... read RUN_ID``, ``... sidecar RUN_ID``.

:class:`RemoteReader` is a Reader whose work is done by a child in the tracker's own environment. The child writes frames to its standard output,
each a length of 8 bytes and as many bytes; whatever else the client prints goes to standard error.
"""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import IO

import msgspec

from trackbridge import registry, stream
from trackbridge.adapters import Target
from trackbridge.errors import BackendError, RunNotFound, TrackBridgeError
from trackbridge.records import Record, RunInfo

LENGTH = struct.Struct("<Q")
RECORDS = 5000
"""Records of a frame: what both sides have in memory at once."""

FAILED, NOT_FOUND = 4, 3
"""Exit codes of the child: the last line that it wrote is the error's. Another code is that of an interpreter that broke down."""


class RemoteReader:
    """Reads `target` by a child process, which runs this module where the client is.

    Raises:
        BackendError: the client is nowhere.
    """

    def __init__(self, target: Target) -> None:
        self._target, self._command = target, registry.command(target.name, __name__)

    def runs(self) -> Iterator[RunInfo]:
        for frame in self._ask("runs"):
            yield stream.load(frame)[0]

    def read(self, run_id: str) -> Iterator[Record]:
        for frame in self._ask("read", run_id):
            yield from stream.load(frame)[1]

    def sidecar(self, run_id: str) -> tuple[bytes, str] | None:
        for frame in self._ask("sidecar", run_id):
            return msgspec.msgpack.decode(frame, type=tuple[bytes, str])
        return None

    def _ask(self, *request: str) -> Iterator[bytes]:
        command = [*self._command, str(self._target), *request]
        with tempfile.TemporaryFile() as said:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, env=self._target.child_environment()
            )
            assert child.stdout is not None
            try:
                with child.stdout as frames:
                    yield from _frames(frames)
                code = child.wait()
            finally:
                child.kill()
                child.wait()
            if code:
                said.seek(0)
                text = said.read().decode("utf-8", "replace").strip()
                if code in (NOT_FOUND, FAILED):
                    raise (RunNotFound if code == NOT_FOUND else BackendError)(text.splitlines()[-1])
                ended = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
                raise BackendError(f"{self._target} cannot be read: {text[-2000:] or ended}")


def _frames(file: IO[bytes]) -> Iterator[bytes]:
    while len(head := file.read(LENGTH.size)) == LENGTH.size:
        (length,) = LENGTH.unpack(head)
        frame = file.read(length)
        if len(frame) < length:  # its writer died: its exit code tells
            return
        yield frame


def main(arguments: Sequence[str]) -> int:
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the client prints is no frame

    def send(data: bytes) -> None:
        output.write(LENGTH.pack(len(data)) + data)
        output.flush()

    text, request, *run_id = arguments
    target = Target.of_parent(text)
    try:
        registry.check(target.name)
        reader = registry.ToldReader(target)
        if request == "runs":
            for info in reader.runs():
                send(stream.dump(info, []))
        elif request == "read":
            records, nobody = reader.read(*run_id), RunInfo(id="")
            while part := list(islice(records, RECORDS)):
                send(stream.dump(nobody, part))
        elif (found := reader.sidecar(*run_id)) is not None:
            send(msgspec.msgpack.encode(found))
    except TrackBridgeError as error:
        print(" ".join(str(error).split("\n")), file=sys.stderr)
        return NOT_FOUND if isinstance(error, RunNotFound) else FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
