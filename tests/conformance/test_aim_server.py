from collections.abc import Iterator

import pytest

from tests.adapters.own_servers import aim_server
from trackbridge.testing import Subject
from trackbridge.testing.suite import *  # noqa: F403

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    with aim_server(tmp_path_factory.mktemp("server") / "aim") as url:
        yield Subject("aim", url, once=True)
