"""Inside a task that KFP runs, where the run's files grow in the task's own output artifact."""

import pytest

from trackbridge.testing import Subject
from trackbridge.testing.suite import *  # noqa: F403


@pytest.fixture(scope="module")
def subject() -> Subject:
    return Subject("kubeflow", options=(("mode", "task"),))
