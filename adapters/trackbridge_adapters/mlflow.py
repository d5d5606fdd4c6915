"""MLflow (https://mlflow.org), through its own client: a SQLite file by default, a tracking server by location.

Where it lies: ``mlflow`` takes ``MLFLOW_TRACKING_URI``, else ``./mlflow.db``; ``mlflow:DIR`` is a folder with ``mlflow.db`` and ``mlartifacts``;
``mlflow:sqlite:////abs/x.db``, ``mlflow:http://127.0.0.1:5000``. The project is the experiment; the run carries our id in a tag.

What it keeps: metrics as doubles with millisecond times, in batches of 1,000; parameters, as JSON where a plain text would lose the type; tags;
media and artifacts as files, bytes unchanged. What changes: numbers become floats, infinities the largest double, None and text have no place
among metrics, equal points of one millisecond collapse, and a history comes back sorted by time. Delivery is idempotent: the store's primary key
is the whole point.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib.util
import itertools
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from trackbridge.adapters import SIDECAR_FILE, Capabilities, Place, Position, Recovery, Requirements, Sidecar, Target
from trackbridge.deviations import Deviation, Ledger, Reason, unpack, words
from trackbridge.errors import Rejected, RunNotFound, Unavailable
from trackbridge.files import put, reference
from trackbridge.names import Names, from_text, to_text
from trackbridge.normal import flatten, top_level, unflatten
from trackbridge.projection import (
    Entry,
    FileItem,
    Point,
    Projection,
    Rule,
    drop,
    is_none,
    is_text,
    merge_repeats,
    numbers_become_floats,
    scalar_rule,
    sort_series,
    step_bounds,
    step_from_call,
    time_to_milliseconds,
)
from trackbridge.records import (
    Artifact,
    Config,
    Deviations,
    FileRef,
    Media,
    Metrics,
    Record,
    RunInfo,
    Summary,
    Tags,
)

KEYS = Names(r"[\w/.\- ]", mark=":", max_length=250, plain_path=True)
PARTS = Names(r"[\w.\-]", mark=":", max_length=100, measure=lambda name: len(name.encode()), plain_path=True, fold_case=True)
LARGEST = 1.7976931348623157e308
ARN = "arn:"
"""Begin of the address of an MLflow that SageMaker manages, which the plugin sagemaker-mlflow reaches with AWS's credentials."""

DATABRICKS = "databricks"
"""Begin of the address of a workspace: ``databricks``, or ``databricks://PROFILE``."""

CLIENTS = ("mlflow", "requests", "urllib3", "sqlalchemy", "sqlite3", "botocore", "boto3", "s3transfer", "google", "azure")
"""Packages whose errors tell of a store that may come back: that of the runs, and that of the files."""

REMOVED = re.compile(r"The (run|experiment) .* must be in the 'active' state")
"""What MLflow says of each call for a run that somebody has removed in its UI: it can be restored, so nothing is refused for good."""

OF_THE_DATABASE = re.compile(r"sqlalche\.me/e/\w+/(?!gkpj|9h9h)")
"""An error of SQLAlchemy, by the page that its message names (https://docs.sqlalchemy.org/en/20/errors.html), other than that the data do not
fit the table: IntegrityError and DataError. MLflow calls all of them BAD_REQUEST."""

PARAM_LENGTH, TAG_LENGTH, NAME_LENGTH, METRICS_PER_CALL = 6000, 8000, 250, 1000
ID, INFO, POSITION, TAGS, NAME, DIGEST = (f"trackbridge.{word}" for word in ("run_id", "info", "position", "tags", "name.", "sidecar"))
SUMMARY, CHANGED, ORIGINAL = "trackbridge.summary.", "trackbridge.config.", "trackbridge.key."
NOTES = "trackbridge/notes.md"
PIECE = ":"
"""Between the name of a tag and the number of a further one that goes on with its text."""

STATUS = {"finished": "FINISHED", "failed": "FAILED", "crashed": "KILLED"}
INLINE = {"counts": "json", "rows": "json", "text": "txt"}
_DOUBLE = "the column of the store's table is a double"


def _cut(limit: int) -> Any:
    def apply(entry: Entry) -> Entry:
        text = to_text(entry.value)
        return entry if len(text) <= limit else Entry(entry.key, from_text(text[:limit]))

    return apply


def _stored(value: Any) -> float:
    """What the column holds: NaN is 0.0 and a mark in another column."""
    return value if isinstance(value, float) and value == value else 0.0


PROJECTION = Projection(
    drop("scalar", Reason.UNSUPPORTED, "None is not stored", "a metric's value is a double that is not null", is_none),
    drop("scalar", Reason.UNSUPPORTED, "text is not stored as a metric", "a metric's value is a double", is_text),
    *numbers_become_floats(_DOUBLE),
    scalar_rule(
        Reason.NONFINITE,
        "infinities become the largest double",
        "the store clamps them, since MySQL has none",
        lambda point: isinstance(point.value, float) and abs(point.value) == float("inf"),
        value=lambda point: LARGEST if point.value > 0 else -LARGEST,  # type: ignore[operator]
    ),
    scalar_rule(
        Reason.ROUNDED,
        "-0.0 becomes 0.0",
        "the store adds 0.0 to it on the way in",
        lambda point: point.value == 0.0 and str(point.value) == "-0.0",
        value=lambda point: 0.0,
    ),
    step_bounds(-(2**63), 2**63 - 1, "the column is a signed integer of 64 bits"),
    step_from_call("a step is required"),
    time_to_milliseconds("the interface takes whole milliseconds"),
    merge_repeats(
        "equal points of one millisecond and step are one",
        "time, step and value are the primary key of the table",
        lambda point: (point.time, point.step, repr(point.value)),
    ),
    sort_series(
        "a history is sorted by time, step and value",
        "get_metric_history has no other order",
        lambda point: (point.time, point.step, _stored(point.value)),
    ),
    Rule("config", Reason.TRUNCATED, f"a parameter is cut at {PARAM_LENGTH} characters", "the store's limit", _cut(PARAM_LENGTH)),
    Rule("summary", Reason.TRUNCATED, f"a tag is cut at {TAG_LENGTH} characters", "the store's limit", _cut(TAG_LENGTH)),
    drop(
        "artifact",
        Reason.BY_REFERENCE,
        "a file by reference is not listed",
        "an artifact is a file in the artifact store",
        lambda item: isinstance(item, FileItem) and not item.digest,
    ),
)


class MlflowWriter:
    def __init__(self, target: Target) -> None:
        self._target = target

    def open(self, run: RunInfo, position: Position | None) -> Position:
        self._client, self._run = client(self._target), run
        self._project = self._target.project or run.project or "Default"
        with told():
            launched = native_run(self._client, run.id)
            experiment = launched.info.experiment_id if launched else self._experiment(self._project)
            # 3: also those that were removed
            found = [launched] if launched else self._client.search_runs([experiment], f"tags.`{ID}` = '{run.id}'", run_view_type=3)
            if found and found[0].info.lifecycle_stage != "active":
                raise RuntimeError(f"the run was removed in MLflow; restore it with: mlflow runs restore --run-id {found[0].info.run_id}")
            self._mlflow = found[0] if found else self._make(experiment)
            self._id = self._mlflow.info.run_id
            if ID not in self._mlflow.data.tags:  # made by MLflow's own launcher, with the id that is ours too
                for key, value in self._described().items():
                    self._client.set_tag(self._id, key, value)
            if beside(_shown(run.notes)):
                self._file(NOTES, run.notes.encode())
            self._client.update_run(self._id, status="RUNNING", name=self._run_name())
        tags = self._mlflow.data.tags
        self._params = set(self._mlflow.data.params)
        self._config_now = config_texts(self._mlflow)
        self._names: dict[str, str] = {}  # metric keys and configuration paths to names
        self._tags: dict[str, str] = {}
        self._held = msgspec.convert(whole(tags, POSITION, {}), Position)
        return self._held

    def write(self, batch: Sequence[Record]) -> Sequence[Deviation]:
        ledger = Ledger()
        metrics: list[Any] = []
        for index, record in enumerate(batch):
            event = record.event
            try:
                if isinstance(event, Metrics):
                    self._points(event, metrics, ledger)
                elif isinstance(event, Config):
                    self._config(event, ledger)
                elif isinstance(event, Summary):
                    self._entries("summary", event.values, ledger)
                elif isinstance(event, Tags):
                    self._tags |= pieces(TAGS, event.values)
                elif isinstance(event, Media):
                    self._media(event)
                elif isinstance(event, Artifact):
                    self._artifact(event, ledger)
                elif isinstance(event, Deviations):
                    self._tags["trackbridge.deviations"] = words(Ledger(unpack(event.items)).by_reason())[:TAG_LENGTH]
            except OSError:
                with told():
                    raise
            except (TypeError, ValueError, LookupError) as error:
                raise Rejected(f"{type(error).__name__}: {error}"[:500], index) from error
        with told():
            for start in range(0, len(metrics), METRICS_PER_CALL):
                self._client.log_batch(self._id, metrics=metrics[start : start + METRICS_PER_CALL])
        self._send_tags(ledger)
        self._held = self._held.advanced(batch)
        return ledger.rows()

    def flush(self) -> Position:
        """All calls are synchronous: what returned is committed. The position goes last, so that it never claims more than is there."""
        from mlflow.entities import RunTag

        with told():
            self._client.log_batch(self._id, tags=[RunTag(*tag) for tag in pieces(POSITION, msgspec.to_builtins(self._held)).items()])
        return self._held

    def attach(self, sidecar: bytes, digest: str) -> None:
        self._file(SIDECAR_FILE, sidecar)
        with told():
            self._client.set_tag(self._id, DIGEST, digest)

    def close(self, status: str, end: int) -> None:
        with told():
            self._client.set_terminated(self._id, STATUS[status], end // 1_000_000)

    def place(self) -> Place:
        uri = self._target.location
        if uri.startswith("http"):
            return Place(self._id, uri, f"{uri.rstrip('/')}/#/experiments/{self._mlflow.info.experiment_id}/runs/{self._id}", mode="online")
        return Place(self._id, uri.removeprefix("sqlite:///"))

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            if found.lifecycle_stage != "active":
                raise RuntimeError(
                    f"experiment {name} was removed in MLflow; restore it with: mlflow experiments restore -x {found.experiment_id}"
                )
            return str(found.experiment_id)
        return str(self._client.create_experiment(name, artifact_location=artifacts(self._target, name)))

    def _described(self) -> dict[str, str]:
        """The tags that describe the run."""
        run, provenance = self._run, self._run.provenance
        info = {name: getattr(run, name) for name in ("name", "project", "group", "job_type")}
        tags = {ID: run.id, **pieces(INFO, info), "mlflow.note.content": _shown(run.notes)[:TAG_LENGTH]}
        for ours, theirs in (("script", "mlflow.source.name"), ("commit", "mlflow.source.git.commit")):
            if provenance.get(ours):
                tags[theirs] = str(provenance[ours])
        return tags

    def _make(self, experiment: str) -> Any:
        return self._client.create_run(experiment, self._run.start // 1_000_000, self._described(), self._run_name())

    def _run_name(self) -> str:
        """As much of it as the column holds; the whole one is in the tag INFO."""
        return _shown(self._run.name or self._run.id)[:NAME_LENGTH]

    def _points(self, event: Metrics, metrics: list[Any], ledger: Ledger) -> None:
        from mlflow.entities import Metric

        step = event.step if event.step is not None else event.call
        plain = -(2**63) <= step < 2**63
        time, changed = event.time // 1_000_000, 0
        for key, value in event.values.items():
            if plain and type(value) is float and value - value == 0.0 and value:
                metrics.append(Metric(self._name(key), value, time, step))
                changed += 1
                continue
            point = Point(key, value, event.step, event.time, event.call)
            held = PROJECTION.held(ledger, "scalar", point, key, value, shared=False)
            if held is not None:
                if not isinstance(held.value, float):
                    raise TypeError(f"{key!r} is a {type(held.value).__name__}, which is no value of a metric")
                changed += 1
                metrics.append(Metric(self._name(key), held.value, time, held.step))
        if event.time % 1_000_000 and changed:
            ledger.add(Deviation(Reason.TIMESTAMP, "time", changed, "cut to milliseconds"))
        if event.step is None and changed:
            ledger.add(Deviation(Reason.STEP_CHANGED, "step", changed, "no step -> the number of the call"))

    def _name(self, key: str) -> str:
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = KEYS.encode(key)
            if KEYS.shortened(key):
                self._tags |= pieces(ORIGINAL + name[-16:], [name, key])
        return name

    def _config(self, event: Config, ledger: Ledger) -> None:
        """A parameter is written once; one that changes later becomes a tag, which the Reader prefers."""
        from mlflow.entities import Param

        values, fresh = flatten(event.values), dict[str, Any]()
        texts: dict[str, str | None] = {}
        for path, value in values.items():
            PROJECTION.held(ledger, "config", Entry(path, value), f"config/{path}", value)
            texts[path] = to_text(value)[:PARAM_LENGTH]
        top = top_level(event.values)
        texts |= {path: None for path in self._config_now if path.partition("/")[0] in top and path not in values}
        for path, text in texts.items():
            if self._config_now.get(path) == text:
                continue
            name = self._name(path)
            if name not in self._params and text is not None:
                fresh[path] = Param(name, text)
            else:
                self._tags |= pieces(CHANGED + _short(path), [path, text])
                self._config_now[path] = text
        for paths in _hundreds(fresh):
            try:
                with told():
                    self._client.log_batch(self._id, params=[fresh[path] for path in paths])
                self._params.update(fresh[path].key for path in paths)
            except Rejected:  # such as that somebody else has written one of them meanwhile
                for path in paths:
                    self._tags |= pieces(CHANGED + _short(path), [path, texts[path]])
            self._config_now |= {path: texts[path] for path in paths}

    def _entries(self, on: str, values: dict[str, Any], ledger: Ledger) -> None:
        for key, value in values.items():
            PROJECTION.held(ledger, on, Entry(key, value), f"{on}/{key}", value)
            text = to_text(value)[:TAG_LENGTH]
            name = self._name(key)
            self._tags[(SUMMARY + name)[:250] if len(SUMMARY + name) <= 250 else SUMMARY + _short(key)] = text
            if len(SUMMARY + name) > 250:
                self._tags |= pieces(ORIGINAL + _short(key), [_short(key), key])

    def _send_tags(self, ledger: Ledger) -> None:
        """One that is refused takes no other with it."""
        from mlflow.entities import RunTag

        waiting = [[RunTag(key, self._tags[key]) for key in keys] for keys in _hundreds(self._tags)]
        while waiting:
            tags = waiting.pop()
            try:
                with told():
                    self._client.log_batch(self._id, tags=tags)
            except Rejected as error:
                if len(tags) == 1:
                    ledger.add(Deviation(Reason.UNSUPPORTED, tags[0].key, 1, error.reason[:200]))
                waiting += [[tag] for tag in tags if len(tags) > 1]
        self._tags.clear()

    def _media(self, event: Media) -> None:
        """A file whose path holds what the Reader needs: media/<key>/<kind>/<step>_<time>_<call>.<format>."""
        self._name(event.key)
        form = PARTS.encode(event.format)
        ending = "msgpack" if event.file is not None and event.format in INLINE else INLINE.get(event.format, form)
        step = "" if event.step is None else str(event.step)
        key = PARTS.encode(event.key)
        if PARTS.shortened(event.key):
            self._tags |= pieces(ORIGINAL + key[-16:], [key, event.key])
        name = f"media/{key}/{event.kind}/{event.time:020d}_{step}_{event.call}.{form}.{ending}"
        if event.file is not None:
            self._file(name, self._run.content(event.file))
        elif event.format == "text":
            self._file(name, event.inline.encode("utf-8", "surrogatepass"))
        else:
            self._file(name, json.dumps(_table(event.inline) if event.format == "rows" else event.inline, ensure_ascii=False).encode())

    def _artifact(self, event: Artifact, ledger: Ledger) -> None:
        head = f"artifacts/{PARTS.encode(event.name)}/{PARTS.encode(event.type)}"
        for part in (event.name, event.type, *(part for file in event.files for part in file.path.split("/"))):
            if PARTS.shortened(part):
                self._tags |= pieces(ORIGINAL + PARTS.encode(part)[-16:], [PARTS.encode(part), part])
        for file in event.files:
            if PROJECTION.held(
                ledger, "artifact", FileItem(event.name, event.type, file.path, file.digest), f"artifact/{event.name}", event.uri
            ):
                path = "/".join(PARTS.encode(part) for part in file.path.split("/"))
                self._file(f"{head}/{path}", self._run.content(file))

    def _file(self, path: str, content: bytes | Path) -> None:
        """The client takes the name of a file for that of the artifact, so it gets one of the right name."""
        folder, _, name = path.rpartition("/")
        with told(), tempfile.TemporaryDirectory(prefix="trackbridge-") as temporary:
            local = Path(temporary) / name
            put(local, content)
            self._client.log_artifact(self._id, str(local), folder)


class MlflowReader:
    def __init__(self, target: Target) -> None:
        self._target = target
        self._client = client(target) if _is_there(target) else None  # who reads makes no database
        self._projects: dict[str, str] = {}  # names of the experiments that were searched

    def runs(self) -> Iterator[RunInfo]:
        for run in self._search():
            yield self._describe(run)

    def read(self, run_id: str) -> Iterator[Record]:
        run = self._get(run_id)
        originals, position = original_keys(run), 0
        for name in run.data.metrics:
            key = KEYS.decode(name, originals)
            for point in self._client.get_metric_history(run.info.run_id, name):
                yield Record("native", position, Metrics(point.timestamp * 1_000_000, 0, point.step, {key: point.value}))
                position += 1
        config = {path: from_text(text) for path, text in config_texts(run).items() if text is not None}
        tagged = {key.removeprefix(SUMMARY): text for key, text in run.data.tags.items() if key.startswith(SUMMARY)}
        summary = {KEYS.decode(name, originals): from_text(text) for name, text in tagged.items()}
        start = run.info.start_time * 1_000_000
        for event in (Config(start, unflatten(config)), Summary(start, summary), Tags(start, whole(run.data.tags, TAGS, []))):
            yield Record("native", position, event)
            position += 1
        store = self._store(run)
        for path in sorted(_files(store, "media")) + sorted(_files(store, "artifacts")):
            with _downloaded(store, path) as place:
                ref = reference(place, path)
                held = _media(path, place, ref, originals) if path.startswith("media/") else _artifact(path, ref, originals)
            yield Record("native", position, held)
            position += 1

    def sidecar(self, run_id: str) -> tuple[bytes, str] | None:
        run = self._get(run_id)
        store = self._store(run)
        if not any(file.path == SIDECAR_FILE for file in store.list_artifacts("trackbridge")):
            return None
        return _download(store, SIDECAR_FILE), run.data.tags.get(DIGEST, "")

    def _describe(self, run: Any) -> RunInfo:
        tags = run.data.tags
        notes = tags.get("mlflow.note.content", "")
        if beside(notes):
            notes = _download(self._store(run), NOTES).decode()
        described = whole(tags, INFO, {})
        back = {theirs: ours for ours, theirs in STATUS.items()}
        if ID not in tags:  # written by others
            described = {"name": run.info.run_name or "", "project": self._projects[run.info.experiment_id]}
        return RunInfo(
            id=tags.get(ID, run.info.run_id),
            notes=notes,
            tags=tuple(whole(tags, TAGS, [])),
            status=back.get(run.info.status, "running"),
            start=run.info.start_time * 1_000_000,
            end=run.info.end_time * 1_000_000 if run.info.end_time else None,
            **{name: described.get(name, "") for name in ("name", "project", "group", "job_type")},
        )

    def _search(self, condition: str = "") -> Iterator[Any]:
        if self._client is None:
            return
        experiments = self._client.search_experiments()
        self._projects = {one.experiment_id: one.name for one in experiments if self._target.project in ("", one.name)}
        wanted = list(self._projects)
        token = None
        while wanted:
            page = self._client.search_runs(wanted, condition, max_results=1000, order_by=["attributes.start_time ASC"], page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _get(self, run_id: str) -> Any:
        for run in self._search(f"tags.`{ID}` = '{run_id}'"):
            return run
        run = native_run(self._client, run_id) if self._client is not None else None
        if run is None:
            raise RunNotFound(f"no run {run_id} in {self._target}")
        return run

    def _store(self, run: Any) -> Any:
        """Where the files of `run` lie. The client's own calls take a run's id, and load the whole run anew for each file."""
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        return get_artifact_repository(run.info.artifact_uri, tracking_uri=self._client.tracking_uri)


def _files(store: Any, folder: str) -> Iterator[str]:
    for file in store.list_artifacts(folder):
        if file.is_dir:
            yield from _files(store, file.path)
        else:
            yield file.path


@contextlib.contextmanager
def _downloaded(store: Any, path: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="trackbridge-") as temporary:
        yield Path(store.download_artifacts(path, temporary))


def _download(store: Any, path: str) -> bytes:
    with _downloaded(store, path) as place:
        return place.read_bytes()


class MlflowAdapter:
    name: ClassVar[str] = "mlflow"
    requires: ClassVar[Requirements] = Requirements(
        extra="mlflow",
        distributions=("mlflow>=3.10", "tenacity>=9"),
        tested={"mlflow": "3.17.2"},
        credentials=("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "~/.mlflow/credentials"),
    )
    flavours: ClassVar[tuple[str, ...]] = ("sqlite:///mlflow.db", "http://127.0.0.1:5000")

    def resolve(self, target: Target, base: Path) -> Target:
        location = target.location or os.environ.get("MLFLOW_TRACKING_URI", "") or "sqlite:///mlflow.db"
        if "://" not in location and not location.startswith((ARN, DATABRICKS)):
            path = Path(location).expanduser()
            location = f"sqlite:///{path if path.suffix == '.db' else path / 'mlflow.db'}"
        if location.startswith("sqlite:///"):
            location = f"sqlite:///{os.path.abspath(base / location.removeprefix('sqlite:///'))}"
        return msgspec.structs.replace(target, location=location).without_credentials()

    def capabilities(self, target: Target, client_version: str = "") -> Capabilities:
        flavour = "http" if target.location.startswith(("http", ARN, DATABRICKS)) else "sqlite"
        return Capabilities(flavour, PROJECTION, KEYS, Recovery.APPEND, Sidecar.STORED)

    def writer(self, target: Target) -> MlflowWriter:
        return MlflowWriter(target)

    def reader(self, target: Target) -> MlflowReader:
        return MlflowReader(target)

    def ui(self, target: Target) -> list[str]:
        if not target.location.startswith("sqlite"):
            return []
        quiet = ["MLFLOW_DISABLE_TELEMETRY=true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false"]
        listening = ["--host", "{host}", "--port", "{port}", "--workers", "1"]
        return ["env", *quiet, "mlflow", "server", "--backend-store-uri", target.location, *listening]


def _file(target: Target) -> Path | None:
    """The database that MLflow keeps in a file; None where a server or another database has the runs."""
    return Path(target.location.removeprefix("sqlite:///").partition("?")[0]) if target.location.startswith("sqlite:///") else None


def _is_there(target: Target) -> bool:
    file = _file(target)
    return file is None or file.exists()


def client(target: Target) -> Any:
    """MLflow's client, without telemetry, retries of hours, or messages on standard output."""
    for name, value in {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }.items():
        os.environ.setdefault(name, value)
    if target.credentials:
        user, _, password = target.credentials.partition(":")
        os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"] = user, password
    if target.location.startswith(ARN):
        if importlib.util.find_spec("sagemaker_mlflow") is None:
            raise Unavailable("an MLflow of SageMaker needs its plugin beside MLflow: pip install sagemaker-mlflow")
        os.environ["MLFLOW_TRACKING_URI"] = target.location  # the plugin signs for what this names, whatever the client was given
    with told():
        from mlflow.tracking import MlflowClient

        if (file := _file(target)) is not None:
            _database(file)
        return MlflowClient(tracking_uri=target.location)


def _database(path: Path) -> None:
    """Make the database where there is none: whole, or not at all.

    MLflow makes its tables in many steps that no transaction holds together. It refuses a database for ever in which a full disk or a kill ended
    them half-way, so they are made beside it, and it gets its name when they are complete.
    """
    if path.exists():
        return
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as scratch:
        draft = Path(scratch) / "mlflow.db"
        SqlAlchemyStore(f"sqlite:///{draft}", DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH).engine.dispose()
        try:
            os.link(draft, path)
        except FileExistsError:
            pass  # another process was quicker
        except OSError:
            os.rename(draft, path)  # a file system without hard links


def native_run(store: Any, run_id: str) -> Any | None:
    """The run that has `run_id` as MLflow's own id, None where there is none."""
    if not re.fullmatch("[0-9a-f]{32}", run_id):
        return None
    from mlflow.exceptions import MlflowException

    try:
        return store.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def original_keys(run: Any) -> dict[str, str]:
    """The keys of the names that had to be shortened."""
    return dict(_all(run.data.tags, ORIGINAL))


def config_texts(run: Any) -> dict[str, str | None]:
    """The configuration's paths and texts; None for an entry that was replaced by one of another shape."""
    originals = original_keys(run)
    texts: dict[str, str | None] = {KEYS.decode(name, originals): text for name, text in run.data.params.items()}
    texts.update(_all(run.data.tags, CHANGED))
    return texts


def pieces(name: str, value: Any) -> dict[str, str]:
    """Tags that hold `value` as JSON: as many as it takes, since a longer text is cut."""
    text = json.dumps(value, ensure_ascii=False)
    starts = range(0, len(text), TAG_LENGTH)
    return {f"{name}{PIECE}{start // TAG_LENGTH}" if start else name: text[start : start + TAG_LENGTH] for start in starts}


def whole(tags: Mapping[str, str], name: str, default: Any) -> Any:
    """The value of :func:`pieces`; what a longer one left behind it is passed over. The default where it is absent, or somebody changed it."""
    text = tags.get(name, "")
    for index in itertools.count(1):
        more = tags.get(f"{name}{PIECE}{index}")
        if more is None:
            break
        text += more
    try:
        return json.JSONDecoder().raw_decode(text)[0]
    except ValueError:
        return default


def _all(tags: Mapping[str, str], prefix: str) -> Iterator[Any]:
    """The values whose names begin with `prefix`."""
    found = (whole(tags, name, None) for name in tags if name.startswith(prefix) and PIECE not in name.removeprefix(prefix))
    return (value for value in found if value is not None)


def _shown(text: str) -> str:
    """`text` without NUL, which PostgreSQL refuses."""
    return text.replace("\0", "\ufffd")


def beside(notes: str) -> bool:
    """Whether notes that are shown so are not the whole ones, which are then in a file."""
    return len(notes) >= TAG_LENGTH or "\ufffd" in notes


def artifacts(target: Target, project: str) -> str | None:
    """Beside the SQLite file, wherever the working directory is; a server decides itself."""
    if not target.location.startswith("sqlite:///"):
        return None
    folder = Path(target.location.removeprefix("sqlite:///")).parent / "mlartifacts" / PARTS.encode(project)
    return folder.as_uri()


class told:
    """MLflow's errors in our words: what it can never take is Rejected, everything else may go away by itself."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, (RuntimeError, ImportError, Rejected)):
            return
        code, text = getattr(error, "error_code", ""), str(error)
        if REMOVED.search(text):
            raise RuntimeError(f"{text[:300]} Restore it with: mlflow runs restore --run-id ID") from error
        refused = code in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS") and not OF_THE_DATABASE.search(text)
        if refused or getattr(error, "errno", None) == errno.ENAMETOOLONG:
            raise Rejected(str(error)[:500]) from error
        module = type(error).__module__.partition(".")[0]
        if code or module in CLIENTS or isinstance(error, OSError):
            raise Unavailable(f"MLflow: {str(error)[:300]}") from error


def _hundreds(keys: Iterable[str]) -> list[list[str]]:
    """As many parameters or tags as one call takes."""
    keys = list(keys)
    return [keys[start : start + 100] for start in range(0, len(keys), 100)]


def _short(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _table(inline: dict[str, Any]) -> dict[str, Any]:
    """The form that MLflow's own log_table writes and its UI shows."""
    return {"columns": inline["columns"], "data": inline["rows"]}


def _media(path: str, place: Path, ref: FileRef, originals: dict[str, str]) -> Media:
    _, key, kind, name = path.split("/")
    stamp, _, endings = name.partition(".")
    time, step, call = stamp.split("_")
    half = endings[: len(endings) // 2]
    form, _, ending = (half, ".", half) if endings == f"{half}.{half}" else endings.rpartition(".")
    media = Media(int(time), int(call), int(step) if step else None, PARTS.decode(key, originals), kind, PARTS.decode(form, originals))
    if media.format not in INLINE or ending == "msgpack":
        return msgspec.structs.replace(media, file=ref)
    if form == "text":
        return msgspec.structs.replace(media, inline=place.read_bytes().decode("utf-8", "surrogatepass"))
    held = json.loads(place.read_bytes())
    return msgspec.structs.replace(media, inline={"columns": held["columns"], "rows": held["data"]} if form == "rows" else held)


def _artifact(path: str, ref: FileRef, originals: dict[str, str]) -> Artifact:
    _, name, kind, *rest = path.split("/")
    place = "/".join(PARTS.decode(part, originals) for part in rest)
    return Artifact(0, PARTS.decode(name, originals), PARTS.decode(kind, originals), [msgspec.structs.replace(ref, path=place)])


adapter = MlflowAdapter()
