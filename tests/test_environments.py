"""Isolated environments: made whole or not at all, and used for writing and reading where the client is not beside training."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from pathlib import Path

import msgspec
import pytest

import trackbridge
from tests.shared import command
from trackbridge import environments, registry
from trackbridge.adapters import Requirements, Target
from trackbridge.environments import Environment
from trackbridge.errors import BackendError, RunNotFound
from trackbridge.transfer.verify import verify


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "trackbridge"


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if TensorBoard were not installed beside training; its environment is."""
    environments.create("tensorboard")
    real = registry.missing

    def missing(requires: Requirements, path: list[str] | None = None) -> list[str]:
        return ["tensorboard"] if requires.extra == "tensorboard" else real(requires, path)

    monkeypatch.setattr(registry, "missing", missing)


@pytest.mark.usefixtures("elsewhere")
def test_writing_and_reading_happen_where_the_client_is() -> None:
    run = trackbridge.init("p", backend="tensorboard", config={"lr": 0.1})
    for step in range(100):
        trackbridge.log({"a": step / 3, "big": 2**70}, step=step)
    assert trackbridge.finish().delivered
    back = trackbridge.read(run.id, "tensorboard")
    assert back.config == {"lr": 0.1}
    assert [row["value_any"] for row in back.rows() if row["key"] == "a"] == [step / 3 for step in range(100)]
    assert [row["value_any"] for row in back.rows() if row["key"] == "big"] == [2**70] * 100
    assert [info.id for info in trackbridge.runs("tensorboard")] == [run.id]
    assert verify(run.directory, Target("tensorboard", str(Path("tensorboard-logs").absolute()))).verified
    with pytest.raises(RunNotFound, match="no run"):
        trackbridge.read("absent", "tensorboard")
    with pytest.raises(RunNotFound, match="absent"):
        list(registry.reader(Target("tensorboard", str(Path("tensorboard-logs").absolute()))).read("absent"))


def test_nothing_of_the_training_environment_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text("raise SystemExit('PYTHONPATH was read')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    asked = environments.create("tensorboard").command("site")  # which prints where modules are looked for
    printed = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert str(environments.source("tensorboard")) in printed
    assert str(Path(trackbridge.__file__).parents[1]) not in printed


def test_without_client_and_environment_the_error_names_both_remedies(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "missing", lambda requires, path: ["tensorboard>=2.21"])
    with pytest.raises(BackendError, match=r"pip install 'trackbridge\[tensorboard\]'  or  trackbridge env create tensorboard"):
        trackbridge.init(backend="tensorboard")


def test_a_client_that_only_the_training_process_finds_is_not_here(
    own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``guild run`` puts Guild into PYTHONPATH, which the isolated processes do not read."""
    for name, version in (("guildai", "0.9.0"), ("google_crc32c", "1.9.0")):
        (tmp_path / f"{name}-{version}.dist-info").mkdir()
        (tmp_path / f"{name}-{version}.dist-info/METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert registry.check("guild").name == "guild"
    with pytest.raises(BackendError, match="guildai"):
        registry.home("guild")


def small(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    """The backend jsonl gets requirements of its own."""
    folder.mkdir(exist_ok=True)
    (folder / "jsonl.txt").write_text(text)
    monkeypatch.setattr(environments, "folder", lambda backend: folder)


def _pinned() -> str:
    """The pinned lines of msgspec alone, from those of TensorBoard."""
    text = Path(str(environments.requirements("tensorboard"))).read_text()
    begin = text.index("msgspec==")
    return text[begin : text.index("\n", text.rindex("--hash", begin, text.index("==", begin + 10))) + 1]


PINNED = _pinned()


def test_made_once_by_content_and_at_once_by_two_processes(own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch, tmp_path / "pins", PINNED)
    code = (
        "import sys; from pathlib import Path; from trackbridge import environments;"
        "environments.folder = lambda backend: Path(sys.argv[1]); print(environments.create('jsonl').path)"
    )
    both = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "pins")], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    places = {process.communicate()[0].strip() for process in both}
    assert places == {environments.create("jsonl").path}
    assert [path.name[:6] for path in (own_cache / "environments").iterdir()] == ["jsonl-"]
    assert set(environments.create("jsonl").versions) == {"msgspec"}
    small(monkeypatch, tmp_path / "pins", PINNED + "# changed\n")
    assert environments.find("jsonl") is None
    assert environments.create("jsonl").path not in places
    assert len(environments.remove("jsonl")) == 2
    assert environments.listing() == []


@pytest.mark.parametrize(
    "broken", ["msgspec==0.22.0 --hash=sha256:" + "0" * 64, "no-such-distribution-of-any-index==1 --hash=sha256:" + "0" * 64]
)
def test_what_cannot_be_installed_leaves_nothing(own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    small(monkeypatch, tmp_path / "pins", broken)
    with pytest.raises(BackendError, match="uv pip install failed"):
        environments.create("jsonl")
    assert list((own_cache / "environments").iterdir()) == []


def test_what_cannot_be_made_again_stays(own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch, tmp_path / "pins", PINNED)
    made = environments.create("jsonl")

    def failing(*arguments: str) -> str:
        raise BackendError("uv venv failed: the disk is full")

    monkeypatch.setattr(environments, "find", lambda backend, python=None: None)
    monkeypatch.setattr(environments, "uv", failing)
    with pytest.raises(BackendError, match="full"):
        environments.create("jsonl", sys.executable)
    assert Path(made.interpreter).exists()


def test_an_environment_is_taken_to_a_machine_without_internet(own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch, tmp_path / "pins", PINNED)
    made = environments.create("jsonl")
    environments.export(made, tmp_path / "env.tar.gz")
    environments.remove("jsonl")
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty"))
    taken = environments.take(tmp_path / "env.tar.gz")
    assert (taken.path, taken.versions) == (made.path, made.versions)
    code = "import msgspec, sys; print(msgspec.__file__)"
    printed = subprocess.run([taken.interpreter, "-I", "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.startswith(taken.path)
    assert environments.find("jsonl") == taken


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_another_file_is_no_environment(own_cache: Path, tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "env.tar.gz"
    if content is None:
        with tarfile.open(path, "w:gz") as archive:
            archive.add(__file__, "environment.json")
    else:
        path.write_bytes(content)
    with pytest.raises(BackendError, match=r"is no environment"):
        environments.take(path)


def test_an_archive_cannot_leave_its_folder(own_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small(monkeypatch, tmp_path / "pins", PINNED)
    made = environments.create("jsonl")
    path = tmp_path / "env.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(Path(made.path) / "environment.json", "environment.json")
        archive.add(__file__, "../../escaped.py")
    environments.remove("jsonl")
    with pytest.raises(BackendError):
        environments.take(path)
    assert list(own_cache.rglob("escaped.py")) == []
    assert environments.listing() == []


@pytest.mark.parametrize("change", [{"backend": "../../escaped"}, {"key": "/../../escaped"}, {"backend": "absent"}])
def test_an_archive_does_not_choose_where_it_is_put(own_cache: Path, tmp_path: Path, change: dict[str, str]) -> None:
    told = Environment(backend="jsonl", key="0" * 12, python="3.11", versions={}, megabytes=0.0, seconds=0.0)
    (tmp_path / "environment.json").write_bytes(msgspec.json.encode(msgspec.structs.replace(told, **change)))
    with tarfile.open(tmp_path / "env.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "environment.json", "environment.json")
    with pytest.raises(BackendError, match="is no environment"):
        environments.take(tmp_path / "env.tar.gz")
    assert list(tmp_path.rglob("*escaped*")) == []


def test_the_command_line(own_cache: Path) -> None:
    assert command("env", "create", "jsonl").returncode == 2
    assert "pip install 'trackbridge[jsonl]'" in command("env", "create", "jsonl").stderr
    assert command("env", "create", "absent").returncode == 2
    assert json.loads(command("env", "list", "--json").stdout) == []
