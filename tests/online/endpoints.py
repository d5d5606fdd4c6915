"""A vendor's endpoint that does not serve, on loopback."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
from collections.abc import Iterator
from typing import Any

TROUBLES = ("refuse", "hang", 401, 429, 500)


@contextlib.contextmanager
def endpoint(trouble: str | int) -> Iterator[str]:
    """The address of an endpoint that refuses connections, accepts them and never answers (``hang``), or answers each request with a status."""
    if isinstance(trouble, int):
        with answering(trouble) as url:
            yield url
        return
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if trouble == "hang":
            server.listen(512)  # the system accepts; nobody reads
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextlib.contextmanager
def answering(status: int) -> Iterator[str]:
    """An endpoint that answers each request with `status`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):  # the client went away
                super().handle()

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = b'{"error": "by intent", "msg": "by intent"}'
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = answer

        def log_message(self, format: str, *arguments: Any) -> None:
            return None

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
