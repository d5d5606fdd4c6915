"""Media: a cell of a row is a dict, of one of the client's own types where it has one, else plain with the place of a file.

``kind`` and ``format`` are in the dict where the client's ``_type`` and the file's suffix do not tell them.
"""

from __future__ import annotations

import contextlib
import html
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import msgspec

from trackbridge.files import add_bytes, reference
from trackbridge.projection import nanoseconds
from trackbridge.records import FileRef, Media
from trackbridge_adapters.wandb.layout import Fragment
from trackbridge_adapters.wandb.projection import KEYS, PARTS, STEP, artifact_name, histogram

TYPES = {
    "image-file": ("image", ""),
    "audio-file": ("audio", ""),
    "video-file": ("video", ""),
    "html-file": ("figure", ""),
    "table-file": ("table", "rows"),
    "histogram": ("histogram", "counts"),
}
MOST_BINS = 512
BEFORE, AFTER = "<pre>", "</pre>"


def described(cell: dict[str, Any]) -> tuple[str, str]:
    """Kind and format of a cell."""
    kind, form = TYPES.get(cell.get("_type", ""), ("", ""))
    return cell.get("kind", kind), cell.get("format", form or Path(cell.get("path", "")).suffix[1:])


def cell(run: Any, fragment: Fragment, event: Media, content: Path | None) -> dict[str, Any]:
    """The cell for `event`; its files are put into the run's folder and announced. `content`: the file that it has.

    Raises:
        TypeError, ValueError: its value is not of its kind.
    """
    step = event.call if event.step is None else event.step
    made: dict[str, Any] | None = None
    if content is None:
        made = _inline(run, fragment, event, step, event.inline)
    else:
        with contextlib.suppress(Exception):  # what the client cannot show raises anything, and is kept as a file
            if event.format in ("rows", "text"):
                made = _inline(run, fragment, event, step, msgspec.msgpack.decode(content.read_bytes()))
            elif event.format.isalnum():
                made = _typed(run, event, step, content)
    if made is None:
        assert content is not None
        made = _file(run, fragment, event, step, content)
    return made if described(made) == (event.kind, event.format) else made | {"kind": event.kind, "format": event.format}


def by_reference(event: Media, file: FileRef) -> dict[str, Any]:
    return {"kind": event.kind, "format": event.format, "name": file.path, "size": file.size}


def _typed(run: Any, event: Media, step: int, content: Path) -> dict[str, Any]:
    import wandb

    types = {"image": wandb.Image, "figure": wandb.Image, "audio": wandb.Audio, "video": wandb.Video}
    with tempfile.TemporaryDirectory(prefix="trackbridge-") as scratch:
        path = Path(scratch, f"content.{event.format}")
        path.symlink_to(content.absolute())  # the client copies, and goes by the suffix
        if event.format == "html":
            return _bound(run, event.key, step, wandb.Html(str(path), inject=False))
        return _bound(run, event.key, step, types[event.kind](str(path), caption=event.meta.get("caption")))


def _inline(run: Any, fragment: Fragment, event: Media, step: int, value: Any) -> dict[str, Any]:
    import wandb

    if event.kind == "histogram":
        if len(value["counts"]) + 1 != len(value["edges"]):
            raise ValueError("a histogram has one edge more than counts")
        shown = {"_type": "histogram"} if len(value["counts"]) <= MOST_BINS else {}  # the client refuses to draw more
        return {**shown, "values": value["counts"], "bins": value["edges"]}
    if event.kind == "text":
        return _bound(run, event.key, step, wandb.Html(f"{BEFORE}{html.escape(value)}{AFTER}", inject=False, data_is_not_path=True))
    if event.kind == "table":
        return _table(run, fragment, event.key, step, value["columns"], value["rows"])
    raise ValueError(f"{event.kind!r} is no kind of value that lies inline")


def _table(run: Any, fragment: Fragment, key: str, step: int, columns: list[Any], rows: list[Any]) -> dict[str, Any]:
    """As the client's ``log`` does: the table is an artifact, which the UI shows, and a file of the run."""
    import wandb
    from wandb.sdk.artifacts._internal_artifact import InternalArtifact

    limit = max(wandb.Table.MAX_ARTIFACT_ROWS, len(rows))
    wandb.Table.MAX_ROWS = wandb.Table.MAX_ARTIFACT_ROWS = limit  # it would cut the table
    table = wandb.Table(columns=columns, data=rows, allow_mixed_types=True)
    name = PARTS.encode(key)
    artifact = InternalArtifact(artifact_name(f"run-{run.id}-{name}"), "run_table")
    file = add_bytes(fragment.artifacts, json.dumps(table.to_json(artifact)).encode(), name)
    entry = artifact.add_file(str(fragment.artifacts / file.digest), f"{name}.table.json", skip_cache=True, policy="immutable")
    table._set_artifact_target(artifact, entry.path)
    publish(run, artifact)
    return _bound(run, key, step, table)


def publish(run: Any, artifact: Any) -> None:
    """``log_artifact`` without the questions that it asks of a server; it also leaves no record in the log of a run that is online."""
    artifact.finalize()
    run._interface.publish_artifact(run, artifact, ["latest"], is_user_created=artifact.type != "run_table")


def _bound(run: Any, key: str, step: int, value: Any) -> dict[str, Any]:
    value.bind_to_run(run, PARTS.encode(key), step)
    made: dict[str, Any] = value.to_json(run)
    return made


def _file(run: Any, fragment: Fragment, event: Media, step: int, content: Path) -> dict[str, Any]:
    assert event.file is not None
    suffix = f".{event.format}" if event.format.isalnum() and len(event.format) < 20 else ""
    place = Path("media", "file", f"{PARTS.encode(event.key)}_{step}_{event.file.digest[:20]}{suffix}")
    path = fragment.files / place
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(content, path)
    announce(run, path)
    return {"path": place.as_posix(), "name": event.file.path, "size": event.file.size}


def announce(run: Any, path: Path) -> None:
    """Tell the client of a file in the run's own folder. It links to a file elsewhere, and never copies it."""
    run.save(str(path), base_path=run.dir, policy="live", glob=False)


def found(key: str, cell: dict[str, Any], values: dict[str, Any], fragment: Fragment) -> Media | None:
    """The media value of a cell, with the digest of the file that is really there; None where its file is not, and for any other dict."""
    kind, form = described(cell)
    meta = {"caption": cell["caption"]} if "caption" in cell else {}
    media = Media(nanoseconds(values.get("_timestamp", 0.0)), 0, step(values), KEYS.decode(key), kind, form, meta=meta)
    if kind == "histogram" and "bins" in cell:
        return msgspec.structs.replace(media, inline=histogram({"edges": cell["bins"], "counts": cell["values"]}))
    if "path" not in cell:
        return msgspec.structs.replace(media, file=FileRef(cell["name"], "", cell["size"])) if "name" in cell else None
    path = fragment.files / cell["path"]
    if not path.is_file():
        return None
    if cell.get("_type") == "table-file":
        table = json.loads(path.read_bytes())
        return msgspec.structs.replace(media, inline={"columns": table["columns"], "rows": table["data"]})
    if (kind, form) == ("text", "text"):
        text = path.read_bytes().decode().removeprefix(BEFORE).removesuffix(AFTER)
        return msgspec.structs.replace(media, inline=html.unescape(text))
    return msgspec.structs.replace(media, file=reference(path, cell.get("name", cell["path"])))


def step(values: dict[str, Any]) -> int | None:
    """The step of a row; of others the client's own."""
    found = values.get(STEP, values.get("_step"))
    return None if found is None else int(found)
