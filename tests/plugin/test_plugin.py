"""A third party's package, installed beside TrackBridge as its users do, is found by its entry point and passes the conformance suite."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from uv import find_uv_bin

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with all that is installed here, and the package."""
    folder = tmp_path_factory.mktemp("plugin")
    venv.create(folder / "venv", symlinks=True)
    interpreter = folder / "venv" / "bin" / "python"
    (packages,) = (folder / "venv").glob("lib/python*/site-packages")
    (packages / "beside.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    subprocess.run([find_uv_bin(), "pip", "install", "--quiet", "--no-deps", "--python", str(interpreter), str(HERE)], check=True)
    return interpreter


def test_it_passes_the_suite(python: Path, tmp_path: Path) -> None:
    command = [
        str(python),
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        "/dev/null",
        "--rootdir",
        str(tmp_path),
        str(HERE / "suite.py"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "passed" in done.stdout


def test_users_log_to_it_by_name(python: Path, tmp_path: Path) -> None:
    code = "import trackbridge; trackbridge.log({'loss': 0.1}); print(trackbridge.finish().delivered)"
    done = subprocess.run(
        [str(python), "-c", code], capture_output=True, text=True, cwd=tmp_path, env={"TRACKBRIDGE_BACKEND": "sqlite"}, check=False
    )
    assert done.stdout.strip() == "True", done.stderr
    listed = subprocess.run(
        [str(python), "-m", "trackbridge", "runs", "sqlite", "--json"], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert len(json.loads(listed.stdout)) == 1
    assert sys.executable != str(python)
