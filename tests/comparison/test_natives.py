"""The scripts of the trackers' own clients, their driver, readers of their files, and the manifest of the tools."""

from __future__ import annotations

import dataclasses
import importlib.util
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from trackbridge_comparison import children, natives, tools
from trackbridge_comparison.bench import SIZES, Bench, Place, told
from trackbridge_comparison.natives import driver
from trackbridge_comparison.probes import durability
from trackbridge_comparison.probes.setup import count_statements
from trackbridge_comparison.schema import Kind, Way

from trackbridge import registry

pytestmark = pytest.mark.xdist_group("comparison")

LIGHT = ["jsonl", "tensorboard", "wandb", "trackio", "dagshub", "guild", "swanlab", "kubeflow", "dvc", "comet", "neptune"]
"""Clients that start in a moment. The others go through the same functions, in minutes."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    work = tmp_path_factory.mktemp("natives")
    yield (here := Bench(work, SIZES["smoke"], (), 1, work / "cache"))
    here.close()


def foreign(place: Place) -> Place:
    return dataclasses.replace(place, script=f"{natives.FOREIGN}/{place.backend}", python=sys.executable)


@pytest.mark.parametrize("backend", LIGHT)
def test_every_script_writes_what_it_and_a_foreign_reader_read(backend: str, bench: Bench) -> None:
    place = bench.place(backend, Way.NATIVE, "one")
    bench.drive(place, "write", "one", 7, 3)
    for reader in (place, foreign(place)):
        assert bench.drive(reader, "read", "one", 7, 3)["complete"], reader.script
        assert not bench.drive(reader, "read", "one", 8, 3)["complete"], "a call more was not made"


@pytest.mark.parametrize("backend", [backend for backend in LIGHT if natives.offers(backend, "tuned_start")])
def test_tuned_clients_write_what_is_read(backend: str, bench: Bench) -> None:
    place = bench.place(backend, Way.TUNED, "tuned")
    bench.drive(place, "write", "one", 7, 3)
    assert bench.drive(place, "read", "one", 7, 3)["complete"]
    assert "tuned" in place.script


def test_a_foreign_reader_sees_no_package(bench: Bench) -> None:
    command = bench.driving(foreign(bench.place("jsonl", Way.NATIVE, "none")), "read")
    isolated = command[1 : command.index(str(natives.DRIVER))]
    with pytest.raises(children.ChildFailed, match="No module named 'msgspec'"):
        bench.run([sys.executable, *isolated, "-c", "import msgspec"], bench.work)


@pytest.mark.parametrize(("backend", "torn"), [("wandb", "*.wandb"), ("swanlab", "*.swanlab"), ("tensorboard", "events.*")])
def test_a_torn_file_is_read_up_to_the_tear(backend: str, torn: str, bench: Bench) -> None:
    place = bench.place(backend, Way.NATIVE, "torn")
    bench.drive(place, "write", "one", 400, 3)
    (path,) = place.folder.rglob(torn)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    kept = bench.drive(foreign(place), "kept", "one", 400, 3)
    assert not kept.get("error")
    assert kept["kept"] == list(range(len(kept["kept"])))
    assert 100 < len(kept["kept"]) < 300


def leveldb(records: list[bytes]) -> bytes:
    """A log of these records as LevelDB writes it, behind a header of seven bytes; the checksums are nought."""
    data = b":LOG\0\0\0"
    for record in records:
        rest, first = record, True
        while rest or first:
            if (room := 32768 - len(data) % 32768) < 7:
                data += bytes(room)
                room = 32768
            part, rest = rest[: room - 7], rest[room - 7 :]
            data += struct.pack(
                "<IHB", 0, len(part), {(True, True): 1, (True, False): 2, (False, False): 3, (False, True): 4}[first, not rest]
            )
            data += part
            first = False
    return data


@pytest.mark.parametrize("left", range(9))
def test_a_log_is_read_over_the_ends_of_its_blocks(left: int, tmp_path: Path) -> None:
    """The first record leaves `left` bytes of its block, which may be less than a header takes."""
    spec = importlib.util.spec_from_file_location("wire", natives.FOLDER / natives.FOREIGN / "wire.py")
    assert spec is not None
    assert spec.loader is not None
    wire = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(wire)
    records = [b"a" * (32768 - 7 - 7 - left), b"b" * 100, b"c" * 100_000, b"d"]
    path = tmp_path / "log"
    path.write_bytes(leveldb(records))
    assert list(wire.log(path)) == records


def drive(bench: Bench, folder: Path, verb: str, *rest: object) -> dict[str, object]:
    return bench.drive(bench.native("jsonl", folder), verb, *rest)


def test_a_lost_call_has_no_timing(bench: Bench, tmp_path: Path) -> None:
    drive(bench, tmp_path, "write", "one", 10, 2)
    path = tmp_path / "one.jsonl"
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:4] + lines[5:]), "utf-8")
    assert not drive(bench, tmp_path, "read", "one", 10, 2)["complete"]
    assert drive(bench, tmp_path, "kept", "one", 10, 2)["kept"] == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    path.write_text("".join([*lines, lines[2]]), "utf-8")
    assert not drive(bench, tmp_path, "read", "one", 10, 2)["complete"], "a call that is there twice"


def test_trials_that_write_to_one_service_at_once_are_told_apart(tmp_path: Path) -> None:
    """Where a tool lies in a folder each trial has its own; an emulated service is shared."""
    here = Bench(tmp_path, dataclasses.replace(SIZES["smoke"], kills=8, kill_after=(0.5, 3.0)), ("sagemaker",), 1, tmp_path / "cache")
    try:
        found = {finding.id: finding for finding in durability.measure(here, "sagemaker", Way.NATIVE)}
    finally:
        here.close()
    kept = found["sagemaker/durability/kept_after_kill"]
    assert kept.samples == [100.0] * 8, kept.detail


def test_a_process_never_waits_for_its_acknowledgements_to_be_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more calls than a pipe holds acknowledgements, those come through too that it did not hold."""
    monkeypatch.setattr(durability, "PAUSE", 0.0)
    held, calls = (1 << 16) // 8, 0
    for seconds in (1.0, 4.0, 16.0):
        trial = durability.kill(bench, "jsonl", Way.NATIVE, seconds)
        assert trial.lost == 0, trial.error
        calls = trial.acknowledged
        if calls > held + 1:
            return
    raise AssertionError(f"{calls} calls in {seconds} s")


def test_processor_time_and_memory_of_children_count(bench: Bench, tmp_path: Path) -> None:
    """A client whose work is done by another process pays for it."""
    code = f"""
import subprocess, sys
sys.path.insert(0, {str(natives.FOLDER)!r})
import driver
alone = driver.memory(), driver.processor()
burn = "data = bytearray(50_000_000); sum(range(20_000_000)); print(flush=True); input()"
child = subprocess.Popen([sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
assert driver.memory() - alone[0] > 40_000_000, "of a child that lives"
assert driver.processor() - alone[1] > 0.05
child.communicate(b"")
assert driver.processor() - alone[1] > 0.05, "and of one that has ended"
"""
    bench.run([sys.executable, "-I", "-c", code], tmp_path)


def test_the_answer_of_the_driver_is_found_among_what_a_client_prints() -> None:
    assert told('* starting\n\n{"seconds": 1}\n* saved {2} runs\nbye') == {"seconds": 1}


def test_scripts_know_nothing_of_trackbridge() -> None:
    assert natives.sources().keys() == tools.entries().keys(), "each tool has its script"
    for backend, source in natives.sources().items():
        assert "trackbridge" not in source.lower(), backend
        assert "def read(" in source, backend
    assert natives.script("through") is None
    assert driver.values(3, 2) != driver.values(4, 2)


def test_statements_are_those_of_logging() -> None:
    source = """
import client
import csv, json
from pathlib import Path


def start(folder, name):
    \"\"\"Begin.\"\"\"
    where = place(folder)
    return client.begin(where)


def place(folder):
    return Path(folder)


def log(run, values, step):
    for key in values:
        run.put(key)


def finish(run):
    run.end()


def read(folder, name):
    rows = csv.reader(open(name))
    return list(rows)
"""
    assert count_statements(source) == 8, "two imports, two and one statement of start and place, two of log, one of finish"


def test_every_backend_of_this_library_is_in_the_manifest() -> None:
    entries = tools.entries()
    assert set(entries) == set(registry.names()) - {"memory"}
    assert len(entries) == 15
    slide = {"MLflow", "TensorBoard", "DVC", "ClearML", "Guild.ai", "Kubeflow", "Neptune", "W&B", "Comet", "SageMaker", "DAGsHub"}
    assert {entry.lecture for entry in entries.values()} - {""} == slide
    assert entries["jsonl"].kind is Kind.REFERENCE
    assert tools.entry("memory").kind is Kind.REFERENCE, "an adapter that the file does not know is never ranked"
    for backend, entry in entries.items():
        assert entry.tool.backend == backend
        assert entry.distributions or backend == "jsonl"
        assert entry.account or entry.kind in (Kind.STORE, Kind.REFERENCE) or backend == "neptune", (
            "the steps to measure it with an account"
        )


def test_a_typing_error_in_the_manifest_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tools.toml"
    path.write_text('[x]\ntitle = "X"\nlecture = ""\nkind = "store"\nmode = "m"\nprefixs = ["X_"]\n', "utf-8")
    monkeypatch.setattr(tools, "FILE", path)
    with pytest.raises(msgspec.ValidationError, match="prefixs"):
        tools.entries.__wrapped__()


def test_what_a_user_has_set_does_not_lead_a_client_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_API_KEY", "MLFLOW_TRACKING_URI", "AWS_PROFILE", "TRACKBRIDGE_BACKEND", "PYTHONPATH"):
        monkeypatch.setenv(name, "the user's")
    variables = children.environment(tools.variables(["wandb"], tmp_path))
    assert "the user's" not in variables.values()
    assert variables["WANDB_MODE"] == "offline"
    assert variables["WANDB_CACHE_DIR"].startswith(str(tmp_path))
