"""That the benchmarks run and count what they say; what they measure is in benchmarks/results."""

from __future__ import annotations

import pytest

from benchmarks.__main__ import _dated, _merged
from benchmarks.delivery import _sample

MACHINE = {"cpus": 2}


@pytest.mark.parametrize("who", ["plain", "best", "ours"])
@pytest.mark.parametrize("backend", ["jsonl", "trackio"])
def test_a_sample_of_the_delivery_runs_where_the_client_is(backend: str, who: str) -> None:
    found = _sample(backend, who, {})
    assert found["points"] == (5_000 if who == "plain" else 100_000)


def test_backends_that_were_measured_anew_take_their_places() -> None:
    before = {"machine": MACHINE, "rows": [{"what": name, "backend": name, "ratio": 1.0} for name in "abc"]}
    rows = [{"what": name, "backend": name, "ratio": 2.0} for name in "db"]
    found = _merged(before, MACHINE, rows)
    assert [(row["what"], row["ratio"]) for row in found] == [("a", 1.0), ("b", 2.0), ("c", 1.0), ("d", 2.0)]
    assert _merged(before, {"cpus": 64}, rows) == rows
    assert _merged({"machine": MACHINE, "rows": [{"what": "of all backends"}]}, MACHINE, rows) == rows


def test_each_row_has_the_time_at_which_its_measurement_began() -> None:
    found = list(_dated(iter([{"what": "a"}])))
    assert [row["what"] for row in found] == ["a"]
    assert found[0].keys() == {"what", "begun", "load"}
