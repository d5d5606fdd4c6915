"""``python -m trackbridge.testing.read NAME TARGET OUT [RUN_ID ...]``: read runs in a fresh process, with the tracker's own reader.

Writes to the file OUT a msgpack list of rows ``[run id, run or nil, sidecar or nil, digest, error]``: `run` as :mod:`~trackbridge.stream`
makes it, `error` why it could not be read. Without run ids it reads every run that the target has.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import msgspec

from trackbridge import stream
from trackbridge.adapters import Target
from trackbridge.errors import RunNotFound
from trackbridge.normal import Normal, normal
from trackbridge.records import Record, RunInfo
from trackbridge.testing.subject import load


class Found(msgspec.Struct, array_like=True):
    """What a fresh process found of a run."""

    id: str
    run: bytes | None = None
    sidecar: bytes | None = None
    digest: str = ""
    error: str = ""
    listed: int = 0  # how many times ``runs()`` named it

    def unpack(self) -> tuple[RunInfo, list[Record]]:
        assert self.run is not None, f"run {self.id} cannot be read: {self.error}"
        return stream.load(self.run)

    def form(self) -> Normal:
        """The normal form of what was found; nothing at all if there is no such run."""
        if self.error == "RunNotFound":
            return Normal()
        info, records = self.unpack()
        return normal(records, info)


def read(name: str, target: Target, run_ids: Sequence[str]) -> list[Found]:
    """The runs of these ids (all that there are, if none is given)."""
    reader = load(name).reader(target)
    infos: dict[str, RunInfo] = {}
    listed: dict[str, int] = {}
    for info in reader.runs():
        infos[info.id] = info
        listed[info.id] = listed.get(info.id, 0) + 1
    result = []
    for run_id in run_ids or list(infos):
        found = Found(run_id, listed=listed.get(run_id, 0))
        try:
            records = list(reader.read(run_id))
            found.run = stream.dump(infos[run_id], records)
            attached = reader.sidecar(run_id)
            if attached is not None:
                found.sidecar, found.digest = attached
        except RunNotFound:
            found.error = "RunNotFound"
        except Exception:
            found.error = traceback.format_exc()
        result.append(found)
    return result


def main(arguments: Sequence[str]) -> None:
    name, target, out, *run_ids = arguments
    found = read(name, Target.parse(target), run_ids)
    Path(out).write_bytes(msgspec.msgpack.encode(found))


if __name__ == "__main__":
    main(sys.argv[1:])
