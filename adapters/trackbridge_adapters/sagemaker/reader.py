"""Reads runs: trial components, their metrics and their files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import msgspec

from trackbridge.adapters import Target
from trackbridge.errors import RunNotFound
from trackbridge.normal import unflatten
from trackbridge.records import AnyEvent, Artifact, Config, FileRef, Media, Metrics, Record, RunInfo, Summary, Tags
from trackbridge_adapters.sagemaker import layout
from trackbridge_adapters.sagemaker.client import Amazon
from trackbridge_adapters.sagemaker.layout import FILES, KEYS, MEDIA, PARTS, PATHS, REFERENCES


class Held:
    """What the parameters of a trial component tell, and the file for those that have no place there. `lost`: that file is not there any more."""

    def __init__(self, aws: Amazon, component: dict[str, Any]) -> None:
        self.parameters: dict[str, Any] = component.get("Parameters") or {}
        self.pointers = {name: held["Value"] for name, held in (component.get("OutputArtifacts") or {}).items()}
        self.ours = layout.RUN_ID in self.parameters
        entries = {name: layout.told(held) if self.ours else _plain(held) for name, held in self.parameters.items()}
        rest = aws.content(self.pointers[layout.REST]) if self.ours and layout.REST in self.pointers else b"{}"
        self.lost = rest is None
        entries |= json.loads((rest or b"{}").decode("utf-8", "surrogatepass"))
        self.own = {name: value for name, value in entries.items() if self.ours and name.startswith(layout.OWN)}
        self.originals = [key for name, key in self.own.items() if name.startswith(layout.ORIGINAL)]
        self.keys = layout.originals(self.originals)
        self.summary, self.config = dict[str, Any](), dict[str, Any]()
        for name, value in entries.items():
            if self.ours and name.startswith(layout.SUMMARY):
                self.summary[layout.SUMMARIES.decode(name.removeprefix(layout.SUMMARY), self.keys)] = value
            elif name not in self.own:
                self.config[layout.ENTRIES.decode(name, self.keys) if self.ours else name] = value


class Reader:
    """Reads the trial components of an account and region, or of one project. Of those that others made it reads parameters and metrics."""

    def __init__(self, target: Target) -> None:
        self._target, self._aws = target, Amazon(target)

    def runs(self) -> Iterator[RunInfo]:
        for page in self._aws.sagemaker.get_paginator("search").paginate(Resource="ExperimentTrialComponent"):
            for found in page["Results"]:
                info = _info(found["TrialComponent"], Held(self._aws, found["TrialComponent"]))
                if self._target.project in ("", info.project):
                    yield info

    def read(self, run_id: str) -> Iterator[Record]:
        for number, event in enumerate(self._events(self._component(run_id))):
            yield Record("native", number, event)

    def sidecar(self, run_id: str) -> tuple[bytes, str] | None:
        held = Held(self._aws, self._component(run_id))
        if layout.JOURNAL not in held.pointers:
            return None
        journal = self._aws.content(held.pointers[layout.JOURNAL])
        return None if journal is None else (journal, str(held.own.get(layout.DIGEST, "")))

    def _component(self, run_id: str) -> dict[str, Any]:
        for name in dict.fromkeys((layout.component(run_id), run_id if layout.entity(run_id) == run_id else "")):
            found = self._aws.component(name) if name else None
            if found is not None and _id(found) == run_id:
                return found
        raise RunNotFound(f"no run {run_id!r} in {self._target}")

    def _events(self, component: dict[str, Any]) -> Iterator[AnyEvent]:
        held = Held(self._aws, component)
        info = _info(component, held)
        yield Config(info.start, unflatten(held.config) if held.ours else held.config)
        yield Summary(info.start, held.summary)
        yield Tags(info.start, list(info.tags))
        names = list(dict.fromkeys(metric["MetricName"] for metric in component.get("Metrics") or []))
        for name, points in self._aws.series(component["TrialComponentArn"], names).items():
            key = KEYS.decode(name, held.keys) if held.ours else name
            for step, value in points:
                yield Metrics(0, 0, step, {key: value})
        for folder, make in ((MEDIA, self._media), (FILES, self._artifact), (REFERENCES, self._reference)):
            if held.ours and folder[:-1] in held.pointers:
                for name, address in self._aws.objects(held.pointers[folder[:-1]]):
                    yield make(name, address, held.keys)

    def _media(self, name: str, address: str, keys: dict[str, str]) -> Media:
        key, _, name = name.partition("/")
        stamp, kind, form = [*name.split(".", 2), ""][:3]
        time, step, call = stamp.split("_")
        media = Media(int(time), int(call), int(step) if step else None, PARTS.decode(key, keys), kind, PARTS.decode(form, keys))
        answer = self._aws.get_object(address)
        media = msgspec.structs.replace(media, meta=json.loads(answer["Metadata"].get("meta", "{}")))
        if kind not in layout.INLINE:
            return msgspec.structs.replace(media, file=_ref(name, answer))
        inline = answer["Body"].read().decode("utf-8", "surrogatepass")
        if kind != "text":
            inline = json.loads(inline)
        if kind == "table":
            inline = {"columns": inline["columns"], "rows": inline["data"]}
        return msgspec.structs.replace(media, format=layout.INLINE[kind][0], inline=inline)

    def _artifact(self, name: str, address: str, keys: dict[str, str]) -> Artifact:
        title, kind, path = name.split("/", 2)
        answer = self._aws.get_object(address)
        ref = _ref(PATHS.decode(path, keys), answer)
        return Artifact(
            0, PARTS.decode(title, keys), PARTS.decode(kind, keys), [ref], metadata=json.loads(answer["Metadata"].get("metadata", "{}"))
        )

    def _reference(self, name: str, address: str, keys: dict[str, str]) -> Artifact:
        title, kind, path = name.split("/", 2)
        answer = self._aws.get_object(address)
        ref = FileRef(PATHS.decode(path, keys), "", int(answer["Metadata"].get("size", 0)))
        return Artifact(
            0, PARTS.decode(title, keys), PARTS.decode(kind, keys), [ref], answer["Body"].read().decode("utf-8", "surrogatepass")
        )


def _id(component: dict[str, Any]) -> str:
    own = (component.get("Parameters") or {}).get(layout.RUN_ID)
    return str(layout.told(own)) if own else str(component["TrialComponentName"])


def _info(component: dict[str, Any], held: Held) -> RunInfo:
    back = {theirs: ours for ours, theirs in layout.STATUS.items()}
    described: dict[str, Any] = {name: str(held.own.get(layout.OWN + name, "")) for name in layout.FIELDS}
    if not held.ours:
        parents = component.get("Parents") or [{}]
        described |= {"name": component.get("DisplayName", ""), "project": parents[0].get("ExperimentName", "")}
    start = component.get("StartTime") or component["CreationTime"]
    end = component.get("EndTime")
    return RunInfo(
        id=_id(component),
        tags=tuple(held.own.get(layout.TAGS, ())),
        status=back.get((component.get("Status") or {}).get("PrimaryStatus", ""), "running"),
        start=int(start.timestamp()) * 10**9,
        end=int(end.timestamp()) * 10**9 if end else None,
        **described,
    )


def _plain(held: dict[str, Any]) -> Any:
    """A parameter that others wrote."""
    return held.get("StringValue", held.get("NumberValue"))


def _ref(path: str, answer: dict[str, Any]) -> FileRef:
    digest, size = hashlib.sha256(), 0
    for chunk in answer["Body"].iter_chunks(1 << 20):
        digest.update(chunk)
        size += len(chunk)
    return FileRef(path, digest.hexdigest(), size)
