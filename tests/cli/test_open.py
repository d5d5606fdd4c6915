"""``trackbridge open`` runs the tracker's own UI on a target, from the environment where it is installed."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

import trackbridge
from tests.adapters.servers import free_port
from tests.shared import command


def test_the_command_that_is_printed_shows_the_run(tmp_path: Path) -> None:
    logged = trackbridge.init("seen", name="by-a-browser", backend="tensorboard")
    trackbridge.log({"loss": 0.5}, step=1)
    assert trackbridge.finish().delivered
    printed = shlex.split(command("open", "tensorboard", "--print").stdout)
    assert Path(printed[0]).is_file()
    port = free_port()
    server = subprocess.Popen([*printed, "--host", "127.0.0.1", "--port", str(port)], stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        runs, end = "", time.monotonic() + 60
        while logged.id not in runs and time.monotonic() < end:
            try:
                runs = urllib.request.urlopen(f"http://127.0.0.1:{port}/data/runs", timeout=5).read().decode()
            except OSError:
                time.sleep(0.2)
        assert logged.id in runs
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("mlflow:http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("mlflow:sqlite:////data/x.db", "--backend-store-uri sqlite:////data/x.db"),
        ("wandb:/data?mode=offline", "leet /data/wandb"),
    ],
)
def test_what_is_printed(target: str, told: str) -> None:
    assert told in command("open", target, "--print").stdout


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_a_host_that_is_not_here_is_an_error_without_a_traceback(host: str, tmp_path: Path) -> None:
    done = command("open", f"tensorboard:{tmp_path}", "--host", host, "--print")
    assert done.returncode == 2
    assert f"{host} is no address of this machine" in done.stderr
    assert "Traceback" not in done.stderr


def test_where_it_listens_is_what_was_asked_for(tmp_path: Path) -> None:
    for target, shown in (
        (f"tensorboard:{tmp_path}", "--host 0.0.0.0 --port 7007"),
        (f"mlflow:{tmp_path}", "--host 0.0.0.0 --port 7007"),
        (f"trackio:{tmp_path}/{{port}}", f"TRACKIO_DIR={tmp_path}/{{port}} GRADIO_SERVER_PORT=7007"),
    ):
        assert shown in command("open", target, "--host", "0.0.0.0", "--port", "7007", "--print").stdout.replace("'", "")


def test_the_program_behind_env_is_that_of_the_client(tmp_path: Path) -> None:
    words = shlex.split(command("open", f"mlflow:{tmp_path}", "--print").stdout)
    assert words[0] == "env"
    assert str(Path(sys.executable).with_name("mlflow")) in words


def test_a_backend_without_a_ui_says_where_its_files_are(tmp_path: Path) -> None:
    done = command("open", f"jsonl:{tmp_path}/j")
    assert done.returncode == 0
    assert f"{tmp_path}/j" in done.stderr
    assert sys.executable not in done.stderr
