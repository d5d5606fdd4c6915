"""A recorder of what the examples log; every call still reaches the library, with journals in the test's folder."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import trackbridge


class Summary(dict[str, object]):
    """A run's summary that keeps what is written to it."""

    def __init__(self, real: Any) -> None:
        self.real = real

    def __setitem__(self, key: str, value: object) -> None:
        super().__setitem__(key, value)
        self.real[key] = value


@dataclass
class RecordedRun:
    """One run as its training script logged it, typed values as the content that the library made of them."""

    real: Any
    settings: dict[str, Any]
    summary: Summary
    calls: list[tuple[int | None, dict[str, Any]]] = field(default_factory=list)
    artifacts: dict[str, str] = field(default_factory=dict)  # name -> digest
    axes: dict[str, str] = field(default_factory=dict)  # pattern -> step metric
    finished: bool = False

    @property
    def id(self) -> str:
        return str(self.real.id)

    def __enter__(self) -> "RecordedRun":
        self.real.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        self.finished = True
        return self.real.__exit__(*error)

    def define_metric(self, pattern: str, *, step: str) -> None:
        self.axes[pattern] = step
        self.real.define_metric(pattern, step=step)

    def rewind(self, step: int) -> None:
        self.real.rewind(step)

    def logged_keys(self) -> set[str]:
        return {key for _, values in self.calls for key in values}

    def series(self, key: str) -> list[Any]:
        """The values of one key in the order of logging."""
        return [values[key] for _, values in self.calls if key in values]

    def table(self, key: str) -> list[list[Any]]:
        """The rows of the only table that was logged under a key."""
        (content,) = self.series(key)
        rows: list[list[Any]] = content.inline["rows"]
        return rows

    def comparable(self) -> str:
        """Everything that is the same when a run is repeated; as text, so that NaN equals NaN."""
        calls = [(step, without_time(values)) for step, values in self.calls]
        return repr((self.settings, calls, without_time(self.summary), self.artifacts))


def without_time(values: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if not key.startswith("time/")}


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[RecordedRun]:
    """The runs that the code under test opens."""
    for name in ("BACKEND", "PROJECT", "RUN_NAME", "RUN_ID", "GROUP", "TAGS", "RESUME", "MODE"):
        monkeypatch.delenv(f"TRACKBRIDGE_{name}", raising=False)
    monkeypatch.setenv("TRACKBRIDGE_DIR", str(tmp_path / "runs"))
    recorded: list[RecordedRun] = []
    real_init, real_log, real_log_artifact = trackbridge.init, trackbridge.log, trackbridge.log_artifact

    def init(**settings: Any) -> RecordedRun:
        real = real_init(**settings)
        recorded.append(RecordedRun(real, settings, Summary(real.summary)))
        return recorded[-1]

    def log(values: dict[str, Any], step: int | None = None) -> None:
        content = {key: value.content() if hasattr(value, "content") else value for key, value in values.items()}
        recorded[-1].calls.append((step, content))
        real_log(values, step=step)

    def log_artifact(path: Path, **options: Any) -> Any:
        recorded[-1].artifacts[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        return real_log_artifact(path, **options)

    monkeypatch.setattr(trackbridge, "init", init)
    monkeypatch.setattr(trackbridge, "log", log)
    monkeypatch.setattr(trackbridge, "log_artifact", log_artifact)
    return recorded


@pytest.fixture
def with_tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """An example that takes no time can be swept, also from other processes."""
    from . import sweeps

    sweeps.use_tiny(monkeypatch)
    monkeypatch.setenv("PYTHONPATH", str(sweeps.ROOT))
