from collections.abc import Iterator

import pytest

from tests.adapters.moto import AWS, moto_server
from trackbridge.testing import Subject
from trackbridge.testing.suite import *  # noqa: F403

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    with pytest.MonkeyPatch.context() as patch, moto_server(tmp_path_factory.mktemp("server")) as url:
        for name, value in AWS.items():
            patch.setenv(name, value)
        yield Subject("sagemaker", url, once=True)
