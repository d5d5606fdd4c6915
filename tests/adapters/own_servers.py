"""Real servers of Aim and trackio, from the environments of their backends, one that is neither, and scripts that talk with them."""

from __future__ import annotations

import contextlib
import http.server
import os
import signal
import subprocess
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.adapters.servers import answers, free_port
from trackbridge import environments


@contextlib.contextmanager
def trackio_server(folder: Path, token: str, port: int = 0, most: int | None = None) -> Iterator[str]:
    """trackio's dashboard over `folder`, on `port` or a free one; its address. It takes what is written with `token`. `most`: bytes of a file."""
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    command = [str(environments.create("trackio").interpreter.with_name("trackio")), "show", "--host", "127.0.0.1"]
    limited = [] if most is None else ["prlimit", f"--fsize={most}", "env", "--ignore-signal=XFSZ"]
    variables = {"TRACKIO_DIR": str(folder), "TRACKIO_WRITE_TOKEN": token, "GRADIO_SERVER_PORT": str(port), "BROWSER": "/bin/true"}
    with _started([*limited, *command], folder.with_name(f"{folder.name}.log"), f"http://127.0.0.1:{port}", "/version", variables) as url:
        yield url


@contextlib.contextmanager
def aim_server(folder: Path, port: int = 0) -> Iterator[str]:
    """Aim's remote tracking server over the repository in `folder`, on `port` or a free one; its address."""
    folder.mkdir(parents=True, exist_ok=True)
    binary = environments.create("aim").interpreter.with_name("aim")
    if not (folder / ".aim").exists():
        subprocess.run([str(binary), "init", "--repo", str(folder)], stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=120)
    port = port or free_port()
    command = [str(binary), "server", "--host", "127.0.0.1", "--port", str(port), "--repo", str(folder)]
    variables = {"PATH": f"{binary.parent}:{os.environ['PATH']}", "AIM_UI_TELEMETRY_ENABLED": "0"}
    with _started(command, folder.with_name(f"{folder.name}.log"), f"http://127.0.0.1:{port}", "/status/", variables) as url:
        yield url.replace("http", "aim", 1)


@contextlib.contextmanager
def _started(command: list[str], log: Path, url: str, probe: str, variables: dict[str, str]) -> Iterator[str]:
    """A server of a process group of its own, once it answers at `probe`."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"} | variables
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True)
    try:
        answers(url + probe, process, log)
        yield url
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class _Quiet(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def _serving(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    """A server of this process that answers by `handler`; its address."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@contextlib.contextmanager
def other_server() -> Iterator[str]:
    """A server that answers everything with a page."""

    class Page(_Quiet):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>")

        do_GET = do_POST

    with _serving(Page) as url:
        yield url


@contextlib.contextmanager
def limiting_proxy(url: str, most: int) -> Iterator[str]:
    """A proxy before `url` that refuses requests of more than `most` bytes, as nginx does with 1 MB if nobody tells it otherwise."""

    class Proxy(_Quiet):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if len(body) > most:
                self.answer(413, b"<html>413 Request Entity Too Large</html>")
                return
            headers = {
                name: value for name, value in self.headers.items() if name.lower() not in ("host", "content-length", "accept-encoding")
            }
            request = urllib.request.Request(url + self.path, body if self.command == "POST" else None, headers, method=self.command)
            with urllib.request.urlopen(request, timeout=60) as response:
                self.answer(response.status, response.read(), response.headers.get("Content-Type", ""))

        do_GET = do_POST

        def answer(self, status: int, body: bytes, kind: str = "text/html") -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with _serving(Proxy) as address:
        yield address


@contextlib.contextmanager
def conversation(
    backend: str, script: str, *arguments: object, variables: Mapping[str, str] | None = None
) -> Iterator[tuple[Callable[..., str], Callable[[str], None]]]:
    """`script` where the client of `backend` is, while a test stops and starts servers. The first function answers with the next line that the script
    prints, after it was given one, if any; the second gives it the last one and asserts that it ends well."""
    code = f"import sys; sys.path.insert(0, {str(environments.source(backend))!r})\n{script}"
    command = [str(environments.create(backend).interpreter), "-I", "-W", "ignore", "-c", code, *map(str, arguments)]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True, env=variables)
        assert process.stdin is not None
        assert process.stdout is not None

        def trouble() -> str:
            said.seek(0)
            return said.read()[-4000:]

        def ask(text: str = "") -> str:
            assert process.stdin is not None
            assert process.stdout is not None
            if text:
                process.stdin.write(text + "\n")
                process.stdin.flush()
            return process.stdout.readline().strip() or trouble()

        def end(text: str) -> None:
            out, _ = process.communicate(text + "\n", timeout=180)
            assert process.returncode == 0, out + trouble()

        try:
            yield ask, end
        finally:
            process.kill()
            process.communicate()
