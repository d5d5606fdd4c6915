"""moto, a stand-in for AWS on loopback, as the comparison serves it, in an environment of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from trackbridge_comparison.emulators import FOLDER
from trackbridge_comparison.emulators.sagemaker import READY, REQUIREMENT

from tests.adapters.servers import answers, free_port


@contextlib.contextmanager
def moto_server(folder: Path, port: int = 0) -> Iterator[str]:
    """The server, on `port` or a free one; its address. All that it holds is gone with it."""
    from uv import find_uv_bin

    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    url, log = f"http://127.0.0.1:{port}", folder / "moto.log"
    command = [
        find_uv_bin(), "run", "--quiet", "--no-project", "--isolated", "--python", sys.executable, "--with", REQUIREMENT,
        "python", "-I", str(FOLDER / "sagemaker.py"), str(port),
    ]  # fmt: skip
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=variables() | {"HOME": str(Path.home())}, start_new_session=True
        )
    try:
        answers(url + READY, process, log)
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # uv waits for the interpreter that it started
        process.wait()


def variables() -> dict[str, str]:
    """This process's variables, with credentials that are none, and nothing of whoever runs the tests."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTHONPATH", "VIRTUAL_ENV"))}
    return mine | AWS


AWS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
