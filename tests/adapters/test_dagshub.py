"""DAGsHub: its logger's files as its logger writes them, and the MLflow server of a repository. The conformance suite asks the rest."""

from __future__ import annotations

import base64
import contextlib
import csv
import http.client
import http.server
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from trackbridge_adapters.dagshub import adapter
from trackbridge_adapters.dagshub.layout import cell, listed, table_text, uncell, unlisted

from tests.adapters import fresh
from tests.adapters.servers import free_port, mlflow_server
from trackbridge.adapters import Recovery, Target
from trackbridge.projection import same

WRITER = """
import hashlib, json, os, sys, time
from pathlib import Path
from trackbridge.adapters import Position, Target
from trackbridge.errors import Rejected, Unavailable
from trackbridge.records import *
from trackbridge_adapters.dagshub import adapter
folder = Path(sys.argv[1])
target = adapter.resolve(Target("dagshub", os.environ.get("REPOSITORY") or str(folder / "runs")), folder)
T0 = 1763870000123000000
def add(data, path):
    digest = hashlib.sha256(data).hexdigest()
    (folder / "journal/files").mkdir(parents=True, exist_ok=True)
    (folder / "journal/files" / digest).write_bytes(data)
    return FileRef(path, digest, len(data))
def series(count, first=0):
    return [Record("r0", n, Metrics(T0 + n * 10**6, n, n, {"loss": n / 2, "train/acc": n})) for n in range(first, first + count)]
def opened(id="r", name="first", position=None, **more):
    out = adapter.writer(target)
    return out, out.open(RunInfo(id=id, name=name, project="p", start=T0, directory=folder / "journal", **more), position)
def points(id="r"):
    return [record.event.values for record in adapter.reader(target).read(id) if isinstance(record.event, Metrics)]
"""


def there(script: str, folder: Path, **variables: str) -> str:
    """Run `script` where the client is; what it prints."""
    mine = {name: text for name, text in os.environ.items() if not name.startswith(("DAGSHUB_", "MLFLOW_"))}
    home = {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache"), "XDG_CONFIG_HOME": str(folder / "config")}
    return fresh.there("dagshub", f"{WRITER}\n{script}", folder, variables=mine | home | variables, cwd=folder)


def test_the_files_are_those_of_its_own_logger(tmp_path: Path) -> None:
    """Byte for byte, but for the values that the logger cannot hold."""
    there(
        """
from dagshub.logger import DAGsHubLogger
values = [{"loss": 0.1 + 0.2, 'q"uote,': 2**70}, {"loss": float("nan"), "ok": True, "word": "warm, up"}, {"none": None, "loss": -0.0}]
config = {"lr": 0.1, "name": "adam", "one": "1", "none": None, "net": {"depth": 3, "wide": 1e-20}, "yes": True}
out, _ = opened()
out.write([Record("r0", 0, Config(T0, config)), *(Record("r0", n + 1, Metrics(T0, n, n, one)) for n, one in enumerate(values))])
out.flush(); out.close("finished", T0)
logger = DAGsHubLogger(metrics_path="theirs.csv", hparams_path="theirs.yml", eager_logging=False)
logger.epoch_milisec = lambda: T0 // 10**6
logger.log_hyperparams(config)
for n, one in enumerate(values):
    logger.log_metrics(one, step_num=n)
logger.save(); logger.close()
assert Path("theirs.csv").read_bytes() == Path("runs/p/first-r/metrics.csv").read_bytes()
import yaml
ours = yaml.safe_load(Path("runs/p/first-r/params.yml").read_text())
del ours["trackbridge"]
assert ours == yaml.safe_load(Path("theirs.yml").read_text())
""",
        tmp_path,
    )


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was written in full."""
    folder = tmp_path_factory.mktemp("dagshub")
    there(
        """
events = [
    Config(T0, {"lr": 0.1, "trackbridge": "mine", "betas": [0.9, 0.99], "text": "[1]"}), Summary(T0, {"best": float("inf"), "l": [1]}),
    Tags(T0, ["a", "b,c"]), Metrics(T0 + 1, 0, None, {"loss": 1, "odd": "1", "": ""}), Deviations(T0, [["timestamp", "time", 3, ""]]),
    Media(T0, 1, 3, "pic", "image", "png", file=add(b"png", "p.png")), Media(T0, 1, 3, "pic", "image", "png", file=add(b"png", "p.png")),
    Media(T0, 1, None, "../t", "table", "rows", {"columns": ["x", "y"], "rows": [[1, "1"], [2.5, None]]}),
    Artifact(T0, "model", "model", [add(b"0", "w/best.pt")]), Artifact(T0, "model", "model", [add(b"1", "w/best.pt")]),
]
out, _ = opened(group="g", notes="why not", provenance={"script": "train.py"})
out.write([Record("r0", n, event) for n, event in enumerate(events)])
out.flush(); out.attach(b"sidecar", "digest"); out.close("failed", T0 + 10**10)
""",
        folder,
    )
    return folder / "runs" / "p" / "first-r"


def test_nothing_is_hidden_in_the_folder_of_a_run(delivered: Path) -> None:
    paths = sorted(path.relative_to(delivered).as_posix() for path in delivered.rglob("*") if path.is_file())
    assert paths == [
        "artifacts.csv", "artifacts/model/v0/w/best.pt", "artifacts/model/v1/w/best.pt", "media.csv", "media/%2e%./t/call 1.csv",
        "media/pic/3 (2).png", "media/pic/3.png", "metrics.csv", "params.yml", "trackbridge/journal.tbj.z", "trackbridge/journal.tbj.z.sha256",
    ]  # fmt: skip
    rows = list(csv.reader((delivered / "metrics.csv").open(newline="")))
    stamp = ["1763870000123", "0"]
    assert rows == [["Name", "Value", "Timestamp", "Step"], ["loss", "1", *stamp], ["odd", '"1"', *stamp], ["", '""', *stamp]]
    assert (delivered / "media/%2e%./t/call 1.csv").read_text() == '"x","y"\n"1","""1"""\n"2.5","null"\n'
    assert (delivered / "params.yml").read_text() == (
        "lr: 0.1\ntrackbridge_: mine\nbetas: '[0.9, 0.99]'\ntext: '\"[1]\"'\n"
        "trackbridge:\n  tags: '[\"a\", \"b,c\"]'\n  summary:\n    best: .inf\n    l: '[1]'\n  id: r\n  name: first\n  project: p\n  group: g\n"
        "  job_type: ''\n  notes: why not\n  status: failed\n  started: '2025-11-23T03:53:20.123000000Z'\n"
        "  ended: '2025-11-23T03:53:30.123000000Z'\n  provenance:\n    script: train.py\n  deviations: timestamp 3\n"
    )


def test_a_full_disk_is_an_outage(tmp_path: Path) -> None:
    script = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
out, _ = opened(); out.write(series(100)); saved = out.flush()
picture = [Record("r0", 100, Media(T0, 1, 3, "pic", "image", "png", file=add(bytes(50_000), "p.png")))]
for batch in (series(2000, 100), picture):
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
    try:
        out.write(batch); out.flush()
    except Unavailable as error:
        print(error)
    else:
        raise AssertionError
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    out, position = opened(position=saved)
    assert position == saved
out.write(series(2000, 100)); out.flush()
assert points() == [one for n in range(2100) for one in ({"loss": n / 2}, {"train/acc": n})]
"""
    assert there(script, tmp_path).count("File too large") == 2


def test_files_and_folders_of_media_and_artifacts_do_not_meet(tmp_path: Path) -> None:
    script = """
events = [Media(T0, 0, 3, key, "image", "png", file=add(key.encode(), "x.png")) for key in ("pic", "pic/3.png", "pic/3 (2).png", "pic")]
events += [Media(T0, 0, None, key, "audio", "wav", file=add(key.encode(), "x.wav")) for key in ("s", "s/call 0.wav")]
places = [("a", ["v0/x", "v1", "V1", "v1/y"]), ("a/v0", ["x"]), ("a/v0/v0", ["x"]), ("a", ["x"]), ("../up", ["../../x", "/x"])]
events += [Artifact(T0, name, "", [add(f"{name}:{path}".encode(), path) for path in paths]) for name, paths in places]
out, _ = opened(); out.write([Record("r0", n, event) for n, event in enumerate(events)]); out.flush(); out.close("finished", T0)
held = [record.event for record in adapter.reader(target).read("r")]
assert [(one.key, one.file.digest) for one in held if isinstance(one, Media)] == [(one.key, one.file.digest) for one in events if isinstance(one, Media)]
assert [(one.name, one.files[0]) for one in held if isinstance(one, Artifact)] == [
    (one.name, file) for one in events if isinstance(one, Artifact) for file in one.files
]
assert sorted(path.name for path in folder.iterdir()) == ["journal", "runs"]
assert sorted(path.name for path in (folder / "runs").iterdir()) == ["p"]
"""
    there(script, tmp_path)


def test_a_row_that_is_not_whole_is_not_read(tmp_path: Path) -> None:
    script = """
out, _ = opened(); out.write([Record("r0", 0, Metrics(T0, 0, 0, {"word": "one\\r\\ntwo", "loss": 0.25}))]); saved = out.flush()
table = folder / "runs/p/first-r/metrics.csv"
whole = table.read_bytes()
for length in range(len(whole) - 1, -1, -1):
    table.write_bytes(whole[:length])
    assert points() == ([{"word": "one\\r\\ntwo"}] if length >= whole.index(b'"loss"') else []), length
out, position = opened(position=saved)
assert position.sequences == {}  # the table does not reach the cursor
"""
    there(script, tmp_path)


VALUES = [0.1, -0.0, 1e22, 5e-324, float("nan"), float("-inf"), 0, -(2**70), True, False, None, "", "1", "-0", "1e5", "True", "nan", "None"]
VALUES += ['"', '"a"', 'a,"b"', "a\nb\r\n", "ünï", "inf", "٣", " 1", "1_0", "\x00"]


@pytest.mark.parametrize("one", VALUES)
def test_a_cell_tells_its_value(one: object) -> None:
    ((text,),) = csv.reader([*table_text([[cell(one)]]).splitlines(keepends=True)])
    assert same(uncell(text), one)


@pytest.mark.parametrize(
    "one", ["", "a", "1", "null", "[1]", '"a"', '"', "{}", "NaN", [], [1, "[1]", None], {}, {"a": ["b"], "c": {"d": "[]"}}, 1, None, True]
)
def test_parameters_keep_their_type(one: object) -> None:
    assert same(unlisted(listed(one)), one)


def test_locations(tmp_path: Path) -> None:
    def place(text: str) -> str:
        return adapter.resolve(Target.parse(text), tmp_path).location

    assert place("dagshub") == str(tmp_path / "dagshub-runs")
    assert place("dagshub:runs") == str(tmp_path / "runs")
    for text in ("https://dagshub.com/u/r", "https://dagshub.com/u/r/", "https://dagshub.com/u/r.git", "https://dagshub.com/u/r.mlflow"):
        assert place(f"dagshub:{text}") == "https://dagshub.com/u/r"
    hosted = adapter.resolve(Target.parse("dagshub:https://me:secret@dagshub.com/u/r"), tmp_path)
    assert "secret" not in str(hosted)
    assert hosted.credentials == "me:secret"
    assert adapter.capabilities(hosted).recovery == Recovery.APPEND


class Host(http.server.BaseHTTPRequestHandler):
    """What of dagshub.com a client meets: whose token it is, and MLflow's server at ``/u/r.mlflow`` for who shows it."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is one packet: the second of two waits 40 ms for the client to acknowledge the first
    behind: ClassVar[str]

    def do_GET(self) -> None:
        body = self._body()
        basic, told = "Basic " + base64.b64encode(b"me:token").decode(), self.headers.get("Authorization", "")
        if self.path == "/api/v1/user" and told in ("Bearer token", "token token"):
            self._answer(200, json.dumps({"id": 1, "username": "me", "login": "me", "full_name": "", "avatar_url": ""}).encode())
        elif self.path.startswith("/u/r.mlflow/") and told == basic:
            server = http.client.HTTPConnection(self.behind, timeout=60)
            headers = {
                name: text
                for name, text in self.headers.items()
                if name.lower() not in ("host", "authorization", "connection", "transfer-encoding")
            }
            server.request(self.command, self.path.removeprefix("/u/r.mlflow"), body, headers)
            answer = server.getresponse()
            self._answer(answer.status, answer.read(), answer.headers.get("Content-Type", ""))
        else:
            self._answer(401, b"{}")

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":  # as requests sends an empty file
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status: int, body: bytes, type: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@contextlib.contextmanager
def repository(folder: Path) -> Iterator[str]:
    """A repository with an MLflow server, on loopback; its address."""
    with mlflow_server(folder) as url:
        Host.behind = url.removeprefix("http://")
        host = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Host)
        threading.Thread(target=host.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{host.server_port}/u/r"
        finally:
            host.shutdown()
            host.server_close()


@pytest.mark.server
def test_a_repository_takes_runs_with_its_users_token(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    script = """
out, _ = opened(); out.write(series(3)); out.flush(); out.attach(b"sidecar", "digest"); out.close("finished", T0)
assert points() == [{"loss": n / 2} for n in range(3)] + [{"train/acc": float(n)} for n in range(3)]
assert adapter.reader(target).sidecar("r") == (b"sidecar", "digest")
print(out.place().url)
"""
    with repository(tmp_path / "server") as url:
        host = url.removesuffix("/u/r")  # the variable's token is for this host alone
        shown = there(script, tmp_path, REPOSITORY=url, DAGSHUB_CLIENT_HOST=host, DAGSHUB_USER_TOKEN="token")
        assert shown.splitlines()[-1].startswith(f"{url}.mlflow/#/experiments/")
        there(script.replace("opened()", "opened(id='r2')").replace("points()", "points('r2')").replace('"r"', '"r2"'), tmp_path,
              REPOSITORY=url, MLFLOW_TRACKING_USERNAME="me", MLFLOW_TRACKING_PASSWORD="token")  # fmt: skip
        another = "import os\nfrom trackbridge_adapters.dagshub.hosted import hosted\nopened()\n"
        another += (
            "try: hosted(Target('dagshub', 'http://127.0.0.1:9/u/r'))\nexcept Unavailable as error: assert 'no token' in str(error)\n"
        )
        another += "else: raise AssertionError(os.environ['MLFLOW_TRACKING_USERNAME'])"
        there(another, tmp_path, REPOSITORY=url, DAGSHUB_CLIENT_HOST=host, DAGSHUB_USER_TOKEN="token")  # which is for no other host
        refused = "try: opened()\nexcept Unavailable as error: print(error)\nelse: raise AssertionError"
        assert "DAGSHUB_USER_TOKEN" in there(refused, tmp_path, REPOSITORY=url, DAGSHUB_CLIENT_HOST=host, DAGSHUB_USER_TOKEN="another")
        assert "dagshub login" in there(refused, tmp_path, REPOSITORY=url, DAGSHUB_USER_TOKEN="token")


def test_without_a_token_or_a_host_it_is_an_outage_at_once(tmp_path: Path) -> None:
    script = """
begun = time.monotonic()
try: opened()
except Unavailable as error: print(error)
else: raise AssertionError
assert time.monotonic() - begun < 30
"""
    url = f"http://127.0.0.1:{free_port()}/u/r"
    assert "dagshub login" in there(script, tmp_path, REPOSITORY=url)
    assert "127.0.0.1" in there(script, tmp_path, REPOSITORY=url, DAGSHUB_CLIENT_HOST=url.removesuffix("/u/r"), DAGSHUB_USER_TOKEN="token")
    there(script, tmp_path, REPOSITORY=url, MLFLOW_TRACKING_USERNAME="me", MLFLOW_TRACKING_PASSWORD="token")


def test_deviations_before_a_record_that_is_refused_are_counted_once(tmp_path: Path) -> None:
    script = """
out, _ = opened()
batch = [Record("r0", 0, Metrics(1763870000123 * 10**6, 0, None, {"y": 0.5})), Record("r0", 1, Metrics(T0, 1, 1, {"y": []}))]
try:
    out.write(batch)
except Rejected as error:
    print(error.index, [(str(row.reason), row.count) for row in out.write(batch[:error.index])])
"""
    assert there(script, tmp_path) == "1 [('step_changed', 1)]\n"
