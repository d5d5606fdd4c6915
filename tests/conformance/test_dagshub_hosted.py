from collections.abc import Iterator

import pytest

from tests.adapters.test_dagshub import repository
from trackbridge.testing import Subject
from trackbridge.testing.suite import *  # noqa: F403

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    with repository(tmp_path_factory.mktemp("server")) as url:
        environment = (("DAGSHUB_CLIENT_HOST", url.removesuffix("/u/r")), ("DAGSHUB_USER_TOKEN", "token"))
        yield Subject("dagshub", url, once=True, environment=environment)
