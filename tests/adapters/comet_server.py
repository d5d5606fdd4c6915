"""Comet's protocol on loopback, in place of its cloud."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit


class Server(http.server.BaseHTTPRequestHandler):
    """Says yes to everything, and keeps what it was given: (path, content). While `status` is another one it answers that, and keeps nothing; 400 is
    its word for a key that it does not know."""

    requests: list[tuple[str, Any]] = []
    status = 200

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        with contextlib.suppress(ValueError):
            body = json.loads(body)
        if self.status == 200:
            self.requests.append((self.path, body))
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    do_PUT = do_POST

    def answer(self) -> None:
        told: dict[str, Any] = {"runId": "r", "project_id": "p", "focusUrl": "http://127.0.0.1/w/p/", "msg": "", "version": "3.0.0"}
        told |= {f"{name}_interval_millis": 60_000 for name in ("gpu_monitor", "cpu_monitor", "parameter_update")}
        body = json.dumps(told | {"is_alive_beat_duration_millis": 10_000, "pending_rpcs": False, "sdk_error_code": 90212}).encode()
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@contextlib.contextmanager
def server() -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    Server.requests, Server.status = [], 200
    serving = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{serving.server_port}/clientlib/", Server.requests
    finally:
        serving.shutdown()


def lists(requests: list[tuple[str, Any]], path: str) -> list[dict[str, Any]]:
    """What was sent in batches to the addresses that end so."""
    return [item for place, body in requests if urlsplit(place).path.endswith(path) for item in body.get("values", body)]
