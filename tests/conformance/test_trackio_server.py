from collections.abc import Iterator

import pytest

from tests.adapters.own_servers import trackio_server
from trackbridge.testing import Subject
from trackbridge.testing.suite import *  # noqa: F403

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    with trackio_server(tmp_path_factory.mktemp("server") / "trackio", "token") as url:
        yield Subject("trackio", url, once=True, environment=(("TRACKIO_WRITE_TOKEN", "token"),))
