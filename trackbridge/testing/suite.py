"""The conformance suite for pytest. A third party's whole test module::

    import pytest
    from trackbridge.testing import Subject
    from trackbridge.testing.suite import *

    @pytest.fixture(scope="module", params=["{}/target", "sqlite:///{}/tracker.db"])   # a location for each flavour; {}: a fresh folder
    def subject(request):
        return Subject("mytracker", request.param)

`subject` is the only thing to write: a :class:`~trackbridge.testing.Subject`, of the scope of the module or a wider one. Parametrize it over what the adapter declares
differently (flavours). Everything runs in processes of its own; the canonical runs are delivered and read once for all tests. It needs pytest
and hypothesis. On the command line, without either: ``python -m trackbridge.testing.check mytracker``.

What the tests ask: see :mod:`trackbridge.testing.checks`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from trackbridge.testing import checks
from trackbridge.testing.canon import Files
from trackbridge.testing.lab import KILLS, Lab
from trackbridge.testing.random_runs import keys, runs
from trackbridge.testing.subject import Subject

__all__ = ["TestCircle", "TestContract", "TestDelivery", "TestKilled", "TestProperties", "lab"]


@pytest.fixture(scope="module")
def lab(subject: Subject, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The subject in its sandbox."""
    with Lab(subject, tmp_path_factory.mktemp("conformance")) as found:
        yield found
    if subject.clean is not None:
        subject.clean(found.place)


def passes(problems: list[str]) -> None:
    shown = problems[:20] + ([f"and {len(problems) - 20} more"] if len(problems) > 20 else [])
    assert not problems, "\n".join(shown)


class TestContract:
    def test_parts_and_capabilities(self, lab: Lab) -> None:
        passes(checks.contract(lab))

    def test_names_are_injective_and_reversible(self, lab: Lab) -> None:
        passes(checks.names(lab))


class TestCircle:
    """The canonical runs: written by one process, read by another."""

    def test_native_values_are_what_is_declared(self, lab: Lab) -> None:
        passes(checks.native(lab))

    def test_every_declared_deviation_happens(self, lab: Lab) -> None:
        passes(checks.declared(lab))

    def test_every_deviation_is_reported(self, lab: Lab) -> None:
        passes(checks.reported(lab))

    def test_runs_are_listed_once(self, lab: Lab) -> None:
        passes(checks.listed(lab))

    def test_the_sidecar_comes_back(self, lab: Lab) -> None:
        passes(checks.sidecar(lab))

    def test_with_the_sidecar_everything_is_exact(self, lab: Lab) -> None:
        passes(checks.restored(lab))

    def test_positions_claim_what_was_written(self, lab: Lab) -> None:
        passes(checks.positions(lab))

    def test_hostile_names_stay_inside(self, lab: Lab) -> None:
        passes(checks.outside(lab))


class TestDelivery:
    def test_records_that_nobody_can_take(self, lab: Lab) -> None:
        passes(checks.poison(lab))

    def test_a_closed_run_goes_on(self, lab: Lab) -> None:
        passes(checks.resumed(lab))

    def test_two_runs_at_once(self, lab: Lab) -> None:
        passes(checks.together(lab))

    def test_the_real_forwarder_killed_at_every_fail_point(self, lab: Lab) -> None:
        if ":" in lab.subject.name:
            pytest.skip("the forwarder finds adapters by entry point, and this one has none")
        passes(checks.forwarded(lab))


@pytest.mark.parametrize("point", KILLS)
class TestKilled:
    """The writing process dies by SIGKILL, and another one completes the run."""

    def test_what_was_confirmed_is_readable(self, lab: Lab, point: str) -> None:
        passes(checks.held(lab, point))

    def test_nothing_is_missing_and_nothing_is_twice(self, lab: Lab, point: str) -> None:
        passes(checks.killed(lab, point))

    def test_the_declared_recovery_is_kept(self, lab: Lab, point: str) -> None:
        passes(checks.recovered(lab, point))


NUMBERS = count()
EXAMPLES = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


class TestProperties:
    @EXAMPLES
    @given(found=st.sets(keys(), max_size=30))
    def test_any_keys_get_names_of_their_own(self, lab: Lab, found: set[str]) -> None:
        passes(checks.injective(lab.capabilities.names, found))

    @settings(EXAMPLES, max_examples=15, phases=[Phase.generate])  # each example starts two processes: no shrinking
    @given(data=st.data())
    def test_any_run_comes_back(self, lab: Lab, data: st.DataObject) -> None:
        if not lab.subject.light:
            pytest.skip("its client takes too long to start for many small runs")
        run_id = f"random-{next(NUMBERS)}"
        run, script = data.draw(runs(Files(lab.root / "journal" / run_id).folder, run_id))
        passes(checks.circle(lab, run, script))
