"""As much of the protocol of a W&B server as its client and its agent speak, on loopback; the vendor's server needs a licence and a container."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

PROJECT = {"id": "p", "name": "p", "entity": {"id": "e", "name": "e"}}


class Server(http.server.ThreadingHTTPServer):
    """What it was sent: of each run the rows in the order of the history and the last upsert, the files, the exit codes.

    Attributes:
        trouble: a status with which each request is answered from now on; 0 serves.
        commands: what the next heartbeat of an agent is answered with.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.trouble = 0
        self.runs: dict[str, dict[str, Any]] = {}
        self.lines: dict[str, list[str]] = defaultdict(list)
        self.files: dict[str, bytes] = {}
        self.exit_codes: list[int] = []
        self.commands: list[dict[str, Any]] = []

    def rows(self, run: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines[run]]

    def handle_error(self, *arguments: object) -> None: ...

    def stream(self, run: str, sent: dict[str, Any]) -> dict[str, Any]:
        """Part of a run's history: lines that stand at an offset."""
        part = sent.get("files", {}).get("wandb-history.jsonl", {"offset": 0, "content": []})
        begin, lines = part["offset"], part["content"]
        self.lines[run][begin : begin + len(lines)] = lines
        if sent.get("complete"):
            self.exit_codes.append(sent["exitcode"])
        return {"limits": {}}

    def graphql(self, asked: str, given: dict[str, Any]) -> dict[str, Any]:
        if "upsertBucket" in asked:
            name = given["name"]
            self.runs.setdefault(name, {}).update({key: value for key, value in given.items() if value is not None})
            return {"upsertBucket": {"bucket": self.bucket(name), "inserted": True}}
        if "createRunFiles" in asked:
            files = [{"name": name, "uploadUrl": f"{self.url}/upload/{name}"} for name in given["files"]]
            return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
        if "model(" in asked:
            return {"model": {**PROJECT, "bucket": self.bucket(given["name"]) if given["name"] in self.runs else None}}
        if "createAgent" in asked:
            return {"createAgent": {"agent": {"id": "a"}}}
        if "agentHeartbeat" in asked:
            commands, self.commands = self.commands, []
            return {"agentHeartbeat": {"agent": {"id": "a"}, "commands": json.dumps(commands)}}
        if "sweep(" in asked:
            return {"project": {"sweep": {"id": "s", "name": given["sweep"], "config": "", "runs": {"edges": []}}}}
        if "viewer" in asked:
            return {"viewer": {"id": "v", "username": "e", "entity": "e", "flags": "{}", "teams": {"edges": []}}}
        return {}

    def bucket(self, name: str) -> dict[str, Any]:
        """A run, with what a client needs to go on with it."""
        lines = self.lines[name]
        return {
            "id": "b",
            "name": name,
            "displayName": "n",
            "project": PROJECT,
            "historyLineCount": len(lines),
            "eventsLineCount": 0,
            "logLineCount": 0,
            "historyTail": json.dumps(lines[-1:]),
            "eventsTail": "[]",
            "summaryMetrics": "{}",
            "config": self.runs[name].get("config", "{}"),
            "tags": self.runs[name].get("tags", []),
            "wandbConfig": '{"t": 1}',
        }


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *arguments: object) -> None: ...

    def do_PUT(self) -> None:
        self.server.files[self.path.removeprefix("/upload/")] = self.body()
        self.answer({})

    def do_POST(self) -> None:
        sent = json.loads(self.body())
        if self.server.trouble:
            self.answer({"error": "by intent"})
        elif self.path == "/graphql":
            self.answer({"data": self.server.graphql(sent["query"], sent.get("variables") or {})})
        else:
            self.answer(self.server.stream(self.path.split("/")[-2], sent))

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def answer(self, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(self.server.trouble or 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def wandb_server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
