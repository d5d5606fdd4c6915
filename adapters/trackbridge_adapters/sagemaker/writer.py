"""Writes a run: metrics by ten, parameters all at once, files to S3."""

from __future__ import annotations

import json
import mimetypes
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from trackbridge.adapters import SIDECAR_FILE, Place, Position, Target
from trackbridge.deviations import Deviation, Ledger, Reason, unpack, words
from trackbridge.errors import Rejected, Unavailable
from trackbridge.names import Names
from trackbridge.normal import flatten, top_level
from trackbridge.records import AnyEvent, Artifact, Config, Deviations, FileRef, Media, Metrics, Record, RunInfo, Summary, Tags
from trackbridge_adapters.sagemaker import layout
from trackbridge_adapters.sagemaker.client import Amazon, outage
from trackbridge_adapters.sagemaker.layout import PROJECTION
from trackbridge_adapters.sagemaker.reader import Held

SEND = 20_000
"""Points after which `write` sends them."""

TIME = next(rule.what for rule in PROJECTION.rules if rule.reason == Reason.TIMESTAMP)


class Writer:
    def __init__(self, target: Target) -> None:
        self._target, self._aws = target, Amazon(target)

    def open(self, run: RunInfo, position: Position | None) -> Position:
        self._run, self._name = run, layout.component(run.id)
        project = self._target.project or run.project
        self._own: dict[str, Any] = {layout.RUN_ID: run.id}
        self._own |= {layout.OWN + name: value for name in layout.FIELDS if (value := getattr(run, name))}
        self._own |= {f"{layout.OWN}project": project} if project else {}
        experiment, trial = layout.entity(project or "Default"), layout.trial(project or "Default", run.group)
        with outage():
            found = self._aws.component(self._name)
            if found is None:
                self._create()
                found, position = self._aws.component(self._name), None
            self._aws.place(experiment, _line(project)[:3000], trial, self._name)
            assert found is not None
            self._arn, held = found["TrialComponentArn"], Held(self._aws, found)
            position = None if held.lost else position
        self._own |= {name: held.own[name] for name in (layout.TAGS, layout.DIGEST, layout.DEVIATIONS) if name in held.own}
        self._own.setdefault(layout.TAGS, list(run.tags))
        self._config, self._summary, self._originals = held.config, held.summary, set(held.originals)
        self._pointers, self._parameters = held.pointers, set(held.parameters)
        self._rest: bytes | None = None
        self._names: dict[str, str] = {}
        self._points: dict[tuple[str, int], tuple[float, int]] = {}
        self._keys: dict[str, str] = {}  # by name
        self._ledger, self._sequences = Ledger(), dict(position.sequences if position else {})
        with outage():
            self._update(Status={"PrimaryStatus": layout.STATUS["running"]})
        return Position(dict(self._sequences))

    def _create(self) -> None:
        provenance, run = self._run.provenance, self._run
        origin = {"CommitId": "commit", "Repository": "repository", "GeneratedBy": "script"}
        about = {theirs: _line(provenance[ours])[:1024] for theirs, ours in origin.items() if provenance.get(ours)}
        self._aws.sagemaker.create_trial_component(
            TrialComponentName=self._name,
            DisplayName=layout.entity(run.name or run.id),
            StartTime=_date(run.start),
            Parameters={layout.RUN_ID: layout.parameter(run.id)},
            **({"MetadataProperties": about} if about else {}),
        )

    # -- records ---------------------------------------------------------------------------------------------------------------------

    def write(self, batch: Sequence[Record]) -> Sequence[Deviation]:
        for index, record in enumerate(batch):
            if record.shard and record.sequence < self._sequences.get(record.shard, 0):
                continue  # before a record that was rejected
            try:
                self._take(record.event)
            except (TypeError, ValueError, LookupError, AttributeError, OverflowError, RecursionError, msgspec.DecodeError) as error:
                raise Rejected(f"{type(error).__name__}: {error}"[:500], index) from error
            except OSError as error:
                raise Unavailable(f"the run's folder cannot be read: {error}") from error
            if record.shard:  # what the forwarder adds at the end has no identity
                self._sequences[record.shard] = record.sequence + 1
            if len(self._points) > SEND:
                self._send()
        deviations, self._ledger = self._ledger.rows(), Ledger()
        return deviations

    def _take(self, event: AnyEvent) -> None:
        if isinstance(event, Metrics):
            self._metrics(event)
        elif isinstance(event, Media):
            self._media(event)
        elif isinstance(event, Artifact):
            self._artifact(event)
        elif isinstance(event, Config):
            values = flatten(event.values)
            _check(values)
            top = top_level(event.values)
            kept = {path: value for path, value in self._config.items() if path.partition("/")[0] not in top or path in values}
            self._config, self._changed = kept | values, True
        elif isinstance(event, Summary):
            _check(event.values)
            self._summary |= event.values
            self._changed = True
        elif isinstance(event, Tags):
            self._set(layout.TAGS, list(event.values))
        elif isinstance(event, Deviations):
            self._set(layout.DEVIATIONS, words(Ledger(unpack(event.items)).by_reason()))

    def _set(self, name: str, value: Any) -> None:
        self._own[name], self._changed = value, True

    def _metrics(self, event: Metrics) -> None:
        step = event.call if event.step is None else event.step
        plain, taken = 0 <= step <= layout.LAST_STEP, dict[tuple[str, int], tuple[float, int]]()
        for key, value in event.values.items():
            if not plain or type(value) is not float or value - value != 0.0:
                held = PROJECTION.scalar(self._ledger, event, key, value, shared=False)
                if held is None:
                    continue
                value = held.value
            taken[self._metric_name(key), step] = value, event.time
        self._points |= taken
        if taken:
            self._ledger.add(Deviation(Reason.TIMESTAMP, "time", len(taken), TIME))
            if event.step is None:
                self._ledger.add(Deviation(Reason.STEP_CHANGED, "step", len(taken), "no step -> the number of the call"))

    def _metric_name(self, key: str) -> str:
        name = self._names.get(key)
        if name is None:
            name = self._names[key] = self._encoded(key, layout.KEYS)
            self._keys[name] = key
        return name

    def _encoded(self, key: str, encoding: Names) -> str:
        """The name of `key`; the original of a shortened one is told."""
        if encoding.shortened(key) and key not in self._originals:
            self._originals.add(key)
            self._changed = True
        return encoding.encode(key)

    def _media(self, event: Media) -> None:
        """An object whose name tells what a Reader needs: media/KEY/TIME_STEP_CALL.KIND.FORMAT."""
        if event.kind not in layout.KINDS:
            raise ValueError(f"{event.kind!r} is no kind of value that we know")
        step = "" if event.step is None else event.step
        stem = f"{layout.MEDIA}{self._encoded(event.key, layout.PARTS)}/{event.time:020d}_{step}_{event.call}.{event.kind}"
        meta = _metadata({"meta": event.meta}) if event.meta else {}
        if event.kind in layout.INLINE:
            value = self._run.inline(event)
            self._object(f"{stem}.{layout.INLINE[event.kind][1]}", _readable(event.kind, value), meta)
        elif event.file is None:
            raise ValueError("it has no content")
        else:
            self._file(f"{stem}.{self._encoded(event.format, layout.PARTS)}" if event.format else stem, event.file, meta)

    def _artifact(self, event: Artifact) -> None:
        head = f"{self._encoded(event.name, layout.PARTS)}/{self._encoded(event.type, layout.PARTS)}/"
        contents = [(ref, self._encoded(ref.path, layout.PATHS), self._run.content(ref) if ref.digest else None) for ref in event.files]
        for ref, path, content in contents:
            if content is not None:
                self._file(f"{layout.FILES}{head}{path}", ref, _metadata({"metadata": event.metadata}) if event.metadata else {})
            else:
                self._object(
                    f"{layout.REFERENCES}{head}{path}", (event.uri or ref.path).encode("utf-8", "surrogatepass"), {"size": str(ref.size)}
                )
        by_reference = all(content is None for _, _, content in contents) and bool(event.uri)
        self._point(f"{layout.FILES}{event.name}", event.uri if by_reference else f"{self._folder}{layout.FILES}{head}")

    def _file(self, name: str, ref: FileRef, metadata: dict[str, str]) -> None:
        with outage():
            self._aws.upload(self._key(name), self._run.content(ref), _type(name), metadata)
        self._shown(name)

    def _object(self, name: str, data: bytes, metadata: dict[str, str]) -> None:
        with outage():
            self._aws.put_object(self._key(name), data, _type(name), metadata)
        self._shown(name)

    def _shown(self, name: str) -> None:
        folder = name.partition("/")[0]
        self._point(folder, f"{self._folder}{folder}/")

    def _key(self, name: str) -> str:
        return f"trackbridge/{self._name}/{name}"

    @property
    def _folder(self) -> str:
        with outage():
            return f"s3://{self._aws.bucket}/{self._key('')}"

    def _point(self, name: str, address: str) -> None:
        """Name a file or folder among the component's output artifacts, while there is room; some are kept for our own."""
        name, room = _line(name), layout.ARTIFACTS - (5 if "/" in name else 0)
        fits = layout.units(name) <= layout.POINTER_KEY and layout.units(address) <= layout.POINTER and not layout.ODD.search(address)
        if fits and self._pointers.get(name) != address and (name in self._pointers or len(self._pointers) < room):
            self._pointers[name], self._changed = address, True

    # -- what is held ----------------------------------------------------------------------------------------------------------------

    def flush(self) -> Position:
        """Every call is synchronous: what it returned from is stored."""
        self._send()
        if self._changed:
            with outage():
                self._update()
        return Position(dict(self._sequences))

    def _send(self) -> None:
        if self._points:
            with outage():
                refused = self._aws.put(self._name, [(name, step, *held) for (name, step), held in self._points.items()])
            for name, reason in refused.items():
                count = sum(one == name for one, _ in self._points)
                self._ledger.add(Deviation(Reason.REJECTED, self._keys.get(name, name), count, f"SageMaker: {reason}"))
            self._points = {}

    def _update(self, **fields: Any) -> None:
        """Parameters and pointers are always sent in full: the service adds, a stand-in may replace."""
        entries = dict(self._own)
        entries |= {self._encoded(path, layout.ENTRIES): value for path, value in self._config.items()}
        entries |= {layout.SUMMARY + self._encoded(key, layout.SUMMARIES): value for key, value in self._summary.items()}
        entries |= {layout.mark(key): key for key in sorted(self._originals)}
        parameters, rest = layout.fitting(entries)
        if rest or layout.REST in self._pointers:
            data = json.dumps(rest, ensure_ascii=False, indent=1).encode("utf-8", "surrogatepass")
            if data != self._rest:
                self._pointers[layout.REST] = self._aws.put_object(self._key(layout.REST), data, "application/json")
                self._rest = data
        if gone := sorted(self._parameters - parameters.keys()):
            self._aws.sagemaker.update_trial_component(TrialComponentName=self._name, ParametersToRemove=gone)
        pointers = {"OutputArtifacts": {name: {"Value": address} for name, address in self._pointers.items()}} if self._pointers else {}
        self._aws.sagemaker.update_trial_component(TrialComponentName=self._name, Parameters=parameters, **pointers, **fields)
        self._parameters, self._changed = set(parameters), False

    def attach(self, sidecar: bytes, digest: str) -> None:
        self.flush()
        with outage():
            address = self._aws.put_object(self._key(SIDECAR_FILE), sidecar, "application/zlib")
        self._point(layout.JOURNAL, address)
        self._set(layout.DIGEST, digest)
        self.flush()

    def close(self, status: str, end: int) -> None:
        self._send()
        with outage():
            self._update(Status={"PrimaryStatus": layout.STATUS[status]}, EndTime=_date(end))

    def place(self) -> Place:
        region = self._arn.split(":")[3]
        command = ["aws", "sagemaker", "describe-trial-component", "--trial-component-name", self._name, "--region", region]
        command += ["--endpoint-url", self._target.location] if self._target.location else []
        return Place(self._name, self._arn, hint=shlex.join(command), mode="online")


def _line(value: Any) -> str:
    """`value` as one line, without what the service refuses."""
    return layout.ODD.sub(" ", str(value))


def _date(time: int) -> datetime:
    return datetime.fromtimestamp(time // 10**9, UTC)


def _type(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def _metadata(values: dict[str, Any]) -> dict[str, str]:
    """What S3 shows beside an object, as JSON; it takes 2 kB of ASCII."""
    found = {name: json.dumps(value) for name, value in values.items()}
    return found if sum(map(len, found.values())) < 1900 else {}


def _check(values: dict[str, Any]) -> None:
    for value in values.values():
        json.dumps(value)  # raises for what has no form that people read


def _readable(kind: str, value: Any) -> bytes:
    """The content of what is no file; a table in the form that pandas reads with ``orient="split"``."""
    if kind == "text":
        return bytes(value.encode("utf-8", "surrogatepass"))
    if kind == "table":
        if any(len(row) != len(value["columns"]) for row in value["rows"]):
            raise ValueError("a row of the table has another length than its head")
        value = {"columns": value["columns"], "data": value["rows"]}
    elif len(value["edges"]) != len(value["counts"]) + 1:
        raise ValueError("a histogram has one edge more than counts")
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
