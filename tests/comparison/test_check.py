"""A folder of results is valid as it was written, and every corruption of it is found."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import msgspec
import pytest
from trackbridge_comparison import check, claims, lecture, report, schema, scores
from trackbridge_comparison.schema import Cell, Change, Data, Item, Kind, Spec, Status, Tool, Way

BACKENDS = ("mlflow", "tensorboard", "jsonl")
TIME = "2026-11-26T10:00:00Z"
UNITS = {scores.Better.SHARE: "%", scores.Better.LOW: "s", scores.Better.GROWTH: "exponent"}


def data() -> Data:
    chance = random.Random(1)
    cells = [
        measured(backend, f"{quantity.axis}/{quantity.name.replace('N', '20')}{suffix}", UNITS[quantity.better], way, chance)
        for backend in BACKENDS
        for quantity in scores.QUANTITIES
        for way, suffix in ((Way.NATIVE, ""), (Way.THROUGH, "_through"))
        if way is Way.NATIVE or quantity.name == "log_p50_burst"
    ]
    cells.append(Cell(spec=Spec("mlflow/setup/install", "install", "s"), status=Status.FAILED, detail="it ended", time=TIME))
    items = [trait(backend, number, ordinary) for backend in BACKENDS for number in range(2) for ordinary in (True, False)]
    made = Data(
        mode="full",
        state="finished",
        backends=list(BACKENDS),
        started=TIME,
        seed=3,
        versions={backend: {"client": "1"} if backend != "jsonl" else {} for backend in BACKENDS},
        axes=dict.fromkeys(scores.AXES, "Title\nMethod."),
        planned=[cell.spec for cell in cells],
        cells=cells,
        natives=dict.fromkeys(BACKENDS, "import client\n"),
        tools=[
            Tool(backend=name, title=name, lecture="", kind=Kind.REFERENCE if name == "jsonl" else Kind.STORE, mode="here")
            for name in BACKENDS
        ],
        items=items,
        claims=claims.load(),
        weights=scores.PRESETS,
        baseline="2026-11-01T10:00:00Z",
    )
    new = made.cells[cell_of(made, "mlflow/setup/packages")].value
    made.changes = [Change(id="mlflow/setup/packages", old=1.0, new=new, ratio=2.0, low=1.5, high=2.5, p=0.001, verdict="changed")]
    made.lecture, made.scores = lecture.table(made), scores.scores(made, made.seed)
    return made


def measured(backend: str, name: str, unit: str, way: Way, chance: random.Random) -> Cell:
    spec = Spec(f"{backend}/{name}", name, unit, way)
    samples = [50.0] if "fidelity" in name or "bytes" in name else [chance.uniform(40, 60) for _ in range(7)]
    return Cell(
        spec=spec,
        status=Status.MEASURED,
        value=median(samples),
        samples=samples,
        command=f"compare --only {spec.id}",
        versions={"client": "1"} if backend != "jsonl" else {},
        time=TIME,
        log=f"logs/{backend}.txt",
        lock=f"locks/{backend}.txt",
    )


def trait(backend: str, number: int, ordinary: bool) -> Item:
    return Item(
        backend=backend,
        trait=f"trait {number}",
        ordinary=ordinary,
        written="1",
        native="1",
        restored="1",
        exact=number > 0,
        exact_restored=True,
        reason="rounded",
    )


def write(made: Data, folder: Path) -> None:
    """Everything that a comparison leaves; what follows from `made` follows from it also after a corruption."""
    for name in BACKENDS:
        for kind in ("logs", "locks"):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            (folder / kind / f"{name}.txt").write_text(f"{kind} of {name}\n")
    schema.save(made, folder)
    report.render(folder)
    check.seal(folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    write(data(), folder)
    return folder


@pytest.fixture
def plain_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages that are made at once."""

    def render(folder: Path) -> None:
        for name in check.PAGES:
            (folder / name).write_text((folder / schema.FILE).read_text("utf-8"), "utf-8")

    monkeypatch.setattr("trackbridge_comparison.report.render", render)


def test_what_was_written_is_valid(whole: Path) -> None:
    assert check.folder(whole) == []


def test_a_changed_page_is_found(whole: Path) -> None:
    """Each number of the pages comes from data.json: one that does not is found, though the sums are of the changed page."""
    for name in check.PAGES:
        page = whole / name
        before = page.read_text("utf-8")
        number = next(text for text in ("50", "2026") if text in before)
        page.write_text(before.replace(number, "99", 1), "utf-8")
        check.seal(whole)
        assert check.folder(whole) == [f"{name} is not what data.json gives; --render writes it again"]
        page.write_text(before, "utf-8")
        check.seal(whole)
    assert check.folder(whole) == []


def cell_of(made: Data, id: str) -> int:
    return next(index for index, cell in enumerate(made.cells) if cell.spec.id == id)


def changed(id: str = "mlflow/overhead/log_p50_burst", **fields: Any) -> Callable[[Data], None]:
    def corrupt(made: Data) -> None:
        index = cell_of(made, id)
        made.cells[index] = msgspec.structs.replace(made.cells[index], **fields)

    return corrupt


def first(name: str, **fields: Any) -> Callable[[Data], None]:
    def corrupt(made: Data) -> None:
        getattr(made, name)[0] = msgspec.structs.replace(getattr(made, name)[0], **fields)

    return corrupt


def whole_field(name: str, value: Any) -> Callable[[Data], None]:
    return lambda made: setattr(made, name, value)


CORRUPTIONS: dict[str, tuple[Callable[[Data], None], str]] = {
    "value": (changed(value=49.123), "does not follow"),
    "value of a share": (changed("mlflow/durability/kept_after_kill", value=99.0), "does not follow"),
    "one sample": (changed("mlflow/storage/bytes_per_point", samples=[1.0]), "does not follow"),
    "no samples": (changed(samples=[]), "without a value or samples"),
    "no value": (changed(value=None), "without a value or samples"),
    "a value without measurement": (changed("mlflow/setup/install", value=3.0), "but it has a value"),
    "status": (changed(status=Status.UNSUPPORTED), "without a word why"),
    "status with reason": (changed(status=Status.UNSUPPORTED, detail="why"), "but it has a value"),
    "failed for no reason": (changed("mlflow/setup/install", detail=""), "without a word why"),
    "command": (changed(command="compare --only mlflow"), "command does not measure it"),
    "versions": (changed(versions={}), "no version"),
    "time": (changed(time="yesterday"), "is no time"),
    "log": (changed(log="logs/none.txt"), "not in the folder"),
    "log elsewhere": (changed(log="../secret"), "not in the folder"),
    "lock": (changed(lock="/etc/passwd"), "not in the folder"),
    "way": (changed("mlflow/overhead/log_p50_burst_through", spec=Spec("mlflow/overhead/log_p50_burst_through", "t", "us")), "is called"),
    "spec": (changed(spec=Spec("mlflow/overhead/log_p50_burst", "another title", "us")), "not planned so"),
    "backend": (changed(spec=Spec("other/overhead/log_p50_burst", "t", "us")), "no such backend"),
    "id": (changed(spec=Spec("mlflow/x", "t", "us")), "no backend/axis/quantity"),
    "twice": (lambda made: made.cells.append(made.cells[0]), "measured 2 times"),
    "a cell less": (lambda made: made.cells.pop(), "has no cell"),
    "format": (whole_field("format", 1), "format 1"),
    "mode": (whole_field("mode", "slow"), "does not exist"),
    "state": (whole_field("state", "done"), "does not exist"),
    "started": (whole_field("started", "2026"), "no time"),
    "seed": (whole_field("seed", 4), "the score of"),
    "natives": (whole_field("natives", {}), "its script is not there"),
    "weights": (whole_field("weights", {"equal": {"overhead": 1.0}}), "presets"),
    "baseline": (whole_field("baseline", ""), "no time of a baseline"),
    "item": (first("items", exact=True), "not the share of its traits"),
    "gate": (first("items", reason=""), "the score of mlflow"),
    "claim": (first("claims", quote=""), "without evidence"),
    "claim's dates": (first("claims", expires="2020-01-01"), "dates are wrong"),
    "claim twice": (lambda made: made.claims.append(made.claims[0]), "claimed 2 times"),
    "claim gone": (lambda made: made.claims.remove(next(one for one in made.claims if one.id == "mlflow/hosting")), "lecture's table, mlflow"),
    "tool": (first("tools", kind=Kind.SPOOL), "the score of mlflow"),
    "lecture": (first("lecture", value="the best"), "not what its evidence says"),
    "lecture's status": (first("lecture", status=Status.MEASURED), "not what its evidence says"),
    "lecture's evidence": (first("lecture", evidence=["mlflow/none"]), "not what its evidence says"),
    "the slide": (first("lecture", then="yes"), "not what its evidence says"),
    "a row of the lecture": (lambda made: made.lecture.pop(), "not what its evidence says"),
    "rank": (first("scores", rank=2), "the score of mlflow"),
    "total": (first("scores", total=0.99), "the score of mlflow"),
    "coverage": (first("scores", coverage=0.9), "the score of mlflow"),
    "wins": (first("scores", wins=0.95), "the score of mlflow"),
    "a score less": (lambda made: made.scores.pop(), "the score of"),
    "verdict": (first("changes", verdict="better"), "not of this report"),
    "change": (first("changes", new=7.0), "not of this report"),
    "changed without a test": (first("changes", p=None), "do not say so"),
    "changed within noise": (first("changes", low=0.9), "do not say so"),
    "a ratio outside its interval": (first("changes", ratio=9.0), "do not say so"),
}  # fmt: skip


@pytest.mark.usefixtures("plain_pages")
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_is_found_though_pages_and_sums_were_made_again(name: str, tmp_path: Path) -> None:
    corrupt, says = CORRUPTIONS[name]
    made = data()
    write(made, tmp_path)
    assert check.folder(tmp_path) == []
    corrupt(made)
    write(made, tmp_path)
    assert any(says in problem for problem in check.folder(tmp_path)), check.folder(tmp_path)


def leaves(tree: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(tree, dict | list):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from leaves(value, (*at, key))
    else:
        yield at


@pytest.mark.usefixtures("plain_pages")
def test_any_field_that_is_changed_is_found(tmp_path: Path) -> None:
    write(data(), tmp_path)
    text = (tmp_path / schema.FILE).read_text("utf-8")
    places = list(leaves(json.loads(text)))
    for place in random.Random(5).sample(places, 150):
        tree = json.loads(text)
        parent = tree
        for key in place[:-1]:
            parent = parent[key]
        old = parent[place[-1]]
        parent[place[-1]] = old + "x" if isinstance(old, str) else not old if isinstance(old, bool) else 17.25 if old is None else old + 1
        (tmp_path / schema.FILE).write_bytes(msgspec.json.format(json.dumps(tree).encode(), indent=1) + b"\n")
        assert check.folder(tmp_path), place


@pytest.mark.usefixtures("plain_pages")
@pytest.mark.parametrize("name", ["locks/mlflow.txt", "logs/jsonl.txt", "report.md", "report.html", "data.json", check.SUMS])
def test_a_file_that_is_changed_or_lost_is_found(name: str, tmp_path: Path) -> None:
    write(data(), tmp_path)
    with (tmp_path / name).open("ab") as file:
        file.write(b"\n")
    assert check.folder(tmp_path)
    (tmp_path / name).unlink()
    assert check.folder(tmp_path)


@pytest.mark.usefixtures("plain_pages")
def test_a_file_that_nobody_listed_is_found(tmp_path: Path) -> None:
    write(data(), tmp_path)
    (tmp_path / "locks" / "more.txt").write_text("x")
    assert check.folder(tmp_path) == ["locks/more.txt was changed, or is not in SHA256SUMS"]


@pytest.mark.usefixtures("plain_pages")
def test_a_killed_comparison_is_valid_as_far_as_it_came(tmp_path: Path) -> None:
    made = data()
    del made.cells[10:]
    made.state, made.lecture, made.scores, made.changes, made.items = "running", [], [], [], []
    write(made, tmp_path)
    (tmp_path / check.SUMS).unlink()
    assert check.folder(tmp_path) == []
    made.cells[0] = msgspec.structs.replace(made.cells[0], samples=[])
    schema.save(made, tmp_path)
    assert check.folder(tmp_path)


def test_no_folder_and_no_report(tmp_path: Path) -> None:
    assert "cannot be read" in check.folder(tmp_path / "none")[0]
    (tmp_path / schema.FILE).write_text('{"cells": 5}')
    assert "cannot be read" in check.folder(tmp_path)[0]
