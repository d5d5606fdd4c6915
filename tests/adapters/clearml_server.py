"""ClearML's protocol on loopback, in place of its server."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import threading
import time
from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import unquote


class Server(http.server.BaseHTTPRequestHandler):
    """As much of ClearML's API, and of its file server, as its client asks. It keeps what it was given: (name of the call, content). With `status`
    it refuses all that comes after the first call of that name, and counts it; of an answer with events it takes all but those of a `bad` metric."""

    calls: ClassVar[list[tuple[str, Any]]] = []
    files: ClassVar[dict[str, bytes]] = {}
    task: ClassVar[dict[str, Any]] = {}
    status = 200
    after = ""
    refused = 0
    bad = ""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        name = self.path.rpartition("/")[2].partition("?")[0]
        if self.status != 200 and any(call == self.after for call, _ in self.calls):
            Server.refused += 1
            return self.answer({}, self.status)
        if "multipart" in self.headers.get("Content-Type", ""):
            head, _, content = body.partition(b"\r\n\r\n")
            path = unquote(head.partition(b'name="')[2].partition(b'"')[0].decode())
            self.files[path] = content[: content.rindex(b"\r\n--")]
            return self.answer({})
        if "json-lines" in self.headers.get("Content-Type", ""):
            given: Any = [json.loads(line) for line in body.splitlines()]
        else:
            given = json.loads(body or b"{}")
        self.calls.append((name, given))
        self.answer(self.result(name, given))

    do_GET = do_PUT = do_POST

    def result(self, name: str, given: Any) -> dict[str, Any]:
        if name == "auth.login":
            part = {
                "exp": int(time.time()) + 10**6,
                "api_version": "2.9",
                "server_version": "1.0.0",
                "identity": {"user": "u", "company": "c"},
            }
            token = ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in ({"alg": "none"}, part, {}))
            return {"token": token}
        if name == "tasks.create":
            self.task.update(given | {"id": "t1", "status": "created", "execution": {"parameters": {}, "artifacts": []}, "script": {}})
            return {"id": "t1"}
        if name == "tasks.edit":
            self.task.update({key: value for key, value in given.items() if key not in ("task", "force")})
            return {"updated": 1, "fields": {}}
        if name == "tasks.get_by_id":
            return {"task": self.task}
        if name == "tasks.get_all":
            return {"tasks": [self.task] if self.task.get("id") in given.get("id", [self.task.get("id")]) else []}
        if name in ("tasks.started", "tasks.completed", "tasks.failed", "tasks.stopped"):
            self.task["status"] = {"started": "in_progress"}.get(name.partition(".")[2], name.partition(".")[2])
            return {"updated": 1, "started": 1, "fields": {}}
        if name == "events.add_batch" and self.bad:
            bad = sum(self.bad in (event.get("metric"), event.get("variant")) for event in given)
            return {"added": len(given) - bad, "errors": bad, "errors_info": {f"no such metric: {self.bad}": bad} if bad else {}}
        return {"projects.create": {"id": "p1"}, "projects.get_all": {"projects": []}}.get(name, {"updated": 1, "added": 1, "errors": 0})

    def answer(self, data: dict[str, Any], status: int = 200) -> None:
        meta = {"id": "i", "trx": "i", "endpoint": {}, "result_code": status, "result_subcode": 0, "result_msg": "OK", "error_stack": ""}
        body = json.dumps({"meta": meta, "data": data}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@contextlib.contextmanager
def server() -> Iterator[dict[str, str]]:
    """The variables that name the server."""
    for kept in (Server.calls, Server.files, Server.task):
        kept.clear()
    Server.status, Server.after, Server.refused, Server.bad = 200, "", 0, ""
    serving = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{serving.server_port}"
    try:
        hosts = {f"CLEARML_{word}_HOST": url for word in ("API", "WEB", "FILES")}
        yield hosts | {"CLEARML_API_ACCESS_KEY": "k", "CLEARML_API_SECRET_KEY": "s"}
    finally:
        serving.shutdown()


def sent() -> list[dict[str, Any]]:
    """The events that the server was given."""
    return [event for name, lines in Server.calls if name == "events.add_batch" for event in lines]
