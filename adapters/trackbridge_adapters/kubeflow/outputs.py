"""From a run's folder to the output artifacts of a task, in which KFP's pages show it."""

from __future__ import annotations

import base64
import contextlib
import html
import io
import logging
import mimetypes
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trackbridge.errors import Unavailable
from trackbridge_adapters.kubeflow import layout

PICTURES = 20_000_000
"""Bytes of images, sounds and films that a page may hold."""


def fill(run: Any, *outputs: Any) -> None:
    """Fill output artifacts of the running task from the run in `run`, each as its type asks.

    Args:
        run: the output artifact into whose path the run was written, which then tells its description; or that path.
        outputs: Metrics, ClassificationMetrics, Dataset, HTML, Markdown.

    Raises:
        FileNotFoundError: no run is there.
    """
    root = Path(getattr(run, "path", run))
    found = sorted(root.glob(f"*/{layout.ABOUT}"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise FileNotFoundError(f"no run was written to {root}: give its path as kubeflow:{root}, and finish the run first")
    folder = found[-1].parent
    about = layout.load(folder / layout.ABOUT)
    if hasattr(run, "metadata"):
        run.metadata.update({name: layout.metadata(value) for name, value in about.items() if value not in ("", [], {})})
    for output in outputs:
        kind = type(output).__name__
        if kind == "Metrics":
            for key, value in (layout.load(folder / layout.LATEST) | layout.load(folder / layout.SUMMARY)).items():
                output.log_metric(key, layout.metadata(value))
        elif kind == "ClassificationMetrics":
            _classification(folder, output)
        else:
            name = {"Dataset": layout.SERIES, "HTML": layout.PAGE, "Markdown": layout.TEXT}[kind]
            link(folder / name, Path(output.path))
            output.metadata["file"] = name


def adopt(folder: str, place: str) -> None:
    """Link the files of the run in `folder` into `place`, its description first."""
    source, target = Path(folder), Path(place) / Path(folder).name
    files = sorted(path for path in source.rglob("*") if path.is_file() and not path.name.endswith(".part"))
    for path in sorted(files, key=lambda path: path.name != layout.ABOUT):
        link(path, target / path.relative_to(source))


def link(source: Path, target: Path) -> None:
    """The same file at another place, or a copy where the file system has no links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def put_out(root: Path, folder: Path) -> Path:
    """Run the task whose output is the run in `folder`; the folder of its outputs.

    Raises:
        Unavailable: it failed.
    """
    paths = (str(Path(sys.modules[name].__path__[0]).parent) for name in ("trackbridge", "trackbridge_adapters"))
    variables = {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)), "PYTHONSAFEPATH": "1"}
    said = io.StringIO()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="trackbridge-") as scratch,  # KFP leaves files behind
            _variables(TMPDIR=scratch, **variables),
            _quiet(),
            contextlib.redirect_stdout(said),
        ):
            from kfp import dsl, local

            from trackbridge_adapters.kubeflow.component import trackbridge

            runner = local.SubprocessRunner(use_venv=False)
            local.init(runner=runner, pipeline_root=str(root), workspace_root=scratch, raise_on_error=True)
            task = dsl.component(trackbridge, install_kfp_package=False)(folder=str(folder))
    except RuntimeError as error:
        raise Unavailable(f"the task in {root} failed: {error}: {said.getvalue().strip()[-500:]}") from error
    return Path(task.outputs[layout.RUN].uri).parent


@contextlib.contextmanager
def _variables(**wanted: str) -> Iterator[None]:
    """These variables, for what is started meanwhile."""
    former = {name: os.environ.get(name) for name in wanted}
    os.environ |= wanted
    try:
        yield
    finally:
        for name, value in former.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what the client logs and warns of."""
    former = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(former)


def _classification(folder: Path, output: Any) -> None:
    """The last table that is a ROC curve, and the last that is a confusion matrix."""
    for _, _, _, kind, _, path, _ in layout.rows(folder / layout.MEDIA):
        if kind != "table":
            continue
        table = layout.outline(kind, (folder / path).read_bytes())
        columns, rows = table["columns"], table["rows"]
        points = all(isinstance(layout.metadata(value), int | float) for cells in rows for value in cells[1:])
        if (
            columns == ["fpr", "tpr", "threshold"]
            and rows
            and all(isinstance(layout.metadata(cells[0]), int | float) for cells in rows)
            and points
        ):
            output.metadata.pop("confidenceMetrics", None)
            output.log_roc_curve(*map(list, zip(*rows, strict=True)))
        elif rows and columns and points and columns[1:] == [cells[0] for cells in rows]:
            output.log_confusion_matrix(columns[1:], [cells[1:] for cells in rows])


def page(folder: Path) -> str:
    """The run as a page of HTML that needs nothing else."""
    about = layout.load(folder / layout.ABOUT)
    title = html.escape(about["name"] or about["id"])
    parts = [f"<!doctype html><meta charset='utf-8'><title>{title}</title><style>{STYLE}</style><h1>{title}</h1>"]
    parts += [f"<pre>{html.escape(about['notes'])}</pre>"] if about["notes"] else []
    parts.append(_table([name, value] for name, value in about.items() if value not in ("", [], {}) and name != "notes"))
    for head, name in (("Summary", layout.SUMMARY), ("Last values", layout.LATEST), ("Configuration", layout.CONFIG)):
        parts.append(f"<h2>{head}</h2>{_table(layout.load(folder / name).items())}")
    parts += _media(folder)
    return "\n".join(parts)


STYLE = "body{font-family:sans-serif;margin:2em}table{border-collapse:collapse}td{border:1px solid #ccc;padding:.2em .6em}img,video{max-width:40em}"


def _media(folder: Path) -> Iterator[str]:
    """The last value of each key."""
    last = {key: (step, kind, path) for _, step, key, kind, _, path, _ in layout.rows(folder / layout.MEDIA)}
    left = PICTURES
    for key, (step, kind, path) in last.items():
        yield f"<h2>{html.escape(key)}{f' (step {step})' if step else ''}</h2>"
        size = (folder / path).stat().st_size
        if kind == "file" or size > left:
            yield f"<p>{html.escape(path)}, {size} bytes</p>"
            continue
        left -= size
        data = (folder / path).read_bytes()
        if kind == "table":
            table = layout.outline(kind, data)
            yield _table([table["columns"], *table["rows"]])
        elif kind in ("text", "histogram"):
            yield f"<pre>{html.escape(data.decode())}</pre>"
        elif path.endswith(".html"):
            yield f"<iframe sandbox='allow-scripts' width='900' height='600' srcdoc=\"{html.escape(data.decode('utf-8', 'replace'))}\"></iframe>"
        else:
            source = f"data:{mimetypes.guess_type(path)[0] or 'application/octet-stream'};base64,{base64.b64encode(data).decode()}"
            tag = "img" if kind in ("image", "figure") or path.endswith(".gif") else kind
            yield f"<{tag} src='{source}'{'' if tag == 'img' else ' controls'}></{tag}>"


def _table(rows: Any) -> str:
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(str(layout.metadata(cell)))}</td>' for cell in cells)}</tr>" for cells in rows)
    return f"<table>{body}</table>"


def text(folder: Path) -> str:
    """The run's description as Markdown."""
    about = layout.load(folder / layout.ABOUT)
    lines = [f"- {name}: {layout.metadata(value)}" for name, value in about.items() if value not in ("", [], {}) and name != "notes"]
    return "\n".join([f"# {about['name'] or about['id']}", "", *lines, "", about["notes"]])
