"""The whole test module of the package: the conformance suite of TrackBridge on its backend."""

import pytest

from trackbridge.testing import Subject
from trackbridge.testing.suite import *  # noqa: F403


@pytest.fixture(scope="module")
def subject():
    return Subject("sqlite", "{}/runs.sqlite", light=True)
