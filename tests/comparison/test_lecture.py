"""The regenerated slide: no cell is blank, each rests on evidence that exists, and it says what it is made of."""

from __future__ import annotations

import msgspec
import pytest
from trackbridge_comparison import claims, lecture
from trackbridge_comparison.lecture import CRITERIA, slide, table
from trackbridge_comparison.schema import Cell, Claim, Data, LectureCell, Spec, Status

TOOLS = {"mlflow", "tensorboard", "dvc", "clearml", "guild", "kubeflow", "neptune", "wandb", "comet", "sagemaker", "dagshub"}


def cell(id: str, value: float | None, unit: str = "s", status: Status = Status.MEASURED) -> Cell:
    samples = [] if value is None else [value]
    return Cell(spec=Spec(id, "title", unit), status=status, value=value, samples=samples, time="2026-11-20T10:00:00Z")


def claim(id: str, value: str, expires: str = "2027-05-26") -> Claim:
    return Claim(id=id, value=value, source="https://host.example", quote="words", found="2026-11-26", expires=expires)


def entry(data: Data, backend: str, key: str) -> LectureCell:
    (found,) = [one for one in table(data) if one.backend == backend and one.criterion == CRITERIA[key][0]]
    return found


def test_the_table_has_every_tool_and_criterion_and_no_blank() -> None:
    for data in (Data(), Data(claims=claims.load(), started="2026-11-26T00:00:00Z")):
        found = table(data)
        assert {(one.backend, one.criterion) for one in found} == {
            (backend, title) for backend in {*TOOLS, "aim", "trackio", "swanlab"} for title, _ in CRITERIA.values()
        }
        assert len(found) == 14 * 6
        assert all(one.value and one.then for one in found)
        known = {claim.id for claim in data.claims}
        assert all(known >= set(one.evidence) for one in found)
    assert all(one.status is Status.NOT_RUN_QUICK and not one.evidence for one in table(Data()))


def test_the_slide_of_2021_is_shown_as_our_copy_has_it() -> None:
    entries = slide()
    assert {backend for backend, then in entries.items() if then} == TOOLS
    assert all(set(then) == set(CRITERIA) for then in entries.values() if then)
    assert entry(Data(), "dvc", "scalable").then == "??"
    assert entry(Data(), "wandb", "open_source").then == "no"
    assert entry(Data(), "mlflow", "storage").then == "not legible"
    assert entry(Data(), "aim", "storage").then == "not on the slide"


def test_an_entry_is_made_of_cells_and_claims_and_names_both() -> None:
    data = Data(
        claims=[claim("mlflow/hosting", "local SQLite")],
        cells=[
            cell("mlflow/storage/bytes_per_point", 247.125, "B"),
            cell("mlflow/setup/packages", 87.0, "packages"),
            cell("mlflow/setup/megabytes", 616.19, "MB"),
            cell("mlflow/setup/facts", 0.0, "facts"),
            cell("mlflow/setup/first_metric", None, "s", Status.FAILED),
            cell("mlflow/exit/recoverable", 99.96, "%"),
        ],
    )
    assert entry(data, "mlflow", "storage") == LectureCell(
        backend="mlflow",
        criterion="experiment data storage",
        then="not legible",
        value="local SQLite; 247 B a point",
        status=Status.MEASURED,
        evidence=["mlflow/hosting", "mlflow/storage/bytes_per_point"],
    )
    setup = entry(data, "mlflow", "setup")
    assert setup.value == "87 packages; 616 MB; 0 facts to supply; time to the first metric: failed"
    assert setup.evidence == [f"mlflow/setup/{name}" for name in ("packages", "megabytes", "facts", "first_metric")]
    agnostic = entry(data, "mlflow", "agnostic").value
    assert agnostic == "languages of clients: not known; Python versions: not known; 99.9 % of the values read without its package"


def test_the_largest_size_that_has_a_value_is_shown() -> None:
    cells = [cell(f"aim/scalability/list_{size}_runs", value, "ms") for size, value in ((20, 5.0), (1000, 90.5))]
    assert "1000 runs listed in 90.5 ms" in entry(Data(cells=cells), "aim", "scalable").value
    stopped = [cells[0], cell("aim/scalability/list_1000_runs", None, "ms", Status.FAILED)]
    assert "20 runs listed in 5 ms" in entry(Data(cells=stopped), "aim", "scalable").value


@pytest.mark.parametrize(
    ("statuses", "shown"),
    [
        ([Status.MEASURED, Status.MEASURED], Status.MEASURED),
        ([Status.MEASURED, Status.OFFLINE], Status.OFFLINE),
        ([Status.EMULATED, Status.OFFLINE], Status.EMULATED),
        ([Status.FAILED, Status.MEASURED], Status.MEASURED),
        ([Status.NEEDS_ACCOUNT, Status.FAILED], Status.NEEDS_ACCOUNT),
    ],
)
def test_the_status_is_the_weakest_of_what_was_measured(statuses: list[Status], shown: Status) -> None:
    names = ("packages", "megabytes")
    cells = [
        cell(f"comet/setup/{name}", 5.0 if status.has_value else None, status=status) for name, status in zip(names, statuses, strict=True)
    ]
    assert entry(Data(cells=cells), "comet", "setup").status is shown


def test_only_cited_and_service_ended() -> None:
    data = Data(
        started="2026-11-26T10:00:00Z",
        claims=[
            claim("neptune/custom_visualisations", "had dashboards"),
            claim("neptune/end_of_service", "2026-03-05"),
            claim("tensorboard/custom_visualisations", "plugins"),
            claim("tensorboard/end_of_service", "its hosted service"),
        ],
    )
    assert entry(data, "neptune", "visualizations").status is Status.ENDED
    assert entry(data, "tensorboard", "visualizations").status is Status.CITED
    before = msgspec.structs.replace(data, started="2026-03-04T10:00:00Z")
    assert entry(before, "neptune", "visualizations").status is Status.CITED


def test_an_expired_claim_shows_as_such() -> None:
    data = Data(started="2027-01-01T00:00:00Z", claims=[claim("dvc/hosting", "Git", expires="2027-01-01")])
    assert "Git (evidence expired 2027-01-01)" in entry(data, "dvc", "storage").value


def test_what_was_left_out_shows_the_last_full_report_and_what_failed_does_not() -> None:
    now = [cell("dvc/setup/packages", None, "packages", Status.NOT_RUN_QUICK), cell("dvc/setup/megabytes", None, "MB", Status.FAILED)]
    earlier = [cell("dvc/setup/packages", 99.0, "packages"), cell("dvc/setup/megabytes", 110.0, "MB")]
    value = entry(Data(cells=now, earlier=earlier), "dvc", "setup").value
    assert "99 packages (2026-11-20)" in value
    assert "size: failed" in value


def test_a_figure_has_its_unit_where_it_is_a_physical_one() -> None:
    assert lecture.figure(cell("a/b/c", 1234.0, "packages")) == "1,234"
    assert lecture.figure(cell("a/b/c", 4.237, "s")) == "4.24 s"
    assert lecture.figure(cell("a/b/c", 100.0, "%")) == "100 %"
    assert lecture.figure(cell("a/b/c", 0.974, "exponent")) == "0.974"
