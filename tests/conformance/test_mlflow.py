import pytest

from trackbridge.testing import Subject
from trackbridge.testing.suite import *  # noqa: F403


@pytest.fixture(scope="module")
def subject() -> Subject:
    return Subject("mlflow", "sqlite:///{}/mlflow.db", once=True)
