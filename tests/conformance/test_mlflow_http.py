from collections.abc import Iterator

import pytest

from tests.adapters.servers import mlflow_server
from trackbridge.testing import Subject
from trackbridge.testing.suite import *  # noqa: F403

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    with mlflow_server(tmp_path_factory.mktemp("server")) as url:
        yield Subject("mlflow", url, once=True)
