"""How much a sidecar may unpack to: what any journal does, and not what fills the memory."""

from __future__ import annotations

import zlib

import pytest

import trackbridge
from trackbridge import sidecar


def test_a_large_journal_comes_back_and_a_hostile_sidecar_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    run = trackbridge.init()
    for step in range(20_000):
        trackbridge.log({"the/same/metric/again/and/again": 0.0}, step=step)
    trackbridge.finish()
    packed, _ = sidecar.build(run.directory)
    monkeypatch.setattr(sidecar, "LARGEST", 1 << 10)
    assert len(zlib.decompress(packed)) > 2 * len(packed) > 2 << 10, "it needs more than the bound, as one of gibibytes does"
    assert len(sidecar.read(packed)) >= 20_000
    with pytest.raises(ValueError, match="unpacks to more than 200 times its size"):
        sidecar.read(zlib.compress(bytes(10_000_000), 9))
