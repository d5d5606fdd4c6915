"""MLflow's server over PostgreSQL, as a team runs it."""

from collections.abc import Iterator

import pytest

from tests.adapters.servers import mlflow_server, postgres
from trackbridge.testing import Subject
from trackbridge.testing.suite import *  # noqa: F403

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    folder = tmp_path_factory.mktemp("server")
    with postgres() as store, mlflow_server(folder, store=store) as url:
        yield Subject("mlflow", url, once=True)
