import pytest

from trackbridge.testing import Subject
from trackbridge.testing.suite import *  # noqa: F403


@pytest.fixture(scope="session")
def subject() -> Subject:
    return Subject("neptune", "{}/target", (("client", "neptune"),))
