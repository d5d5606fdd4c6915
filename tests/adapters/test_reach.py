"""A vendor's server that does not answer is told soon, whatever its client would do."""

from __future__ import annotations

import pytest
from trackbridge_adapters import reach

from tests.online.endpoints import TROUBLES, endpoint
from trackbridge.errors import Unavailable


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_server_that_answers_is_there_whatever_it_says(trouble: str | int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "SECONDS", 0.5)
    with endpoint(trouble) as url:
        if isinstance(trouble, int):
            reach.answers(url)
        else:
            with pytest.raises(Unavailable, match=r"does not answer: .*(refused|timed out)"):
                reach.answers(url)
