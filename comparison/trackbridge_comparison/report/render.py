"""data.json -> report.md and report.html."""

from __future__ import annotations

from pathlib import Path

import jinja2
from markupsafe import Markup

from trackbridge_comparison import schema, scores
from trackbridge_comparison.report import charts, evidence, page, view, words
from trackbridge_comparison.report.answer import answer
from trackbridge_comparison.report.scope import LIMITS, SCOPE
from trackbridge_comparison.schema import Data, LectureCell, Way


def render(folder: Path) -> tuple[Path, Path]:
    """Write ``report.md`` and ``report.html`` beside ``data.json`` in `folder`. The same data give the same bytes.

    Raises:
        FileNotFoundError: there is no ``data.json``.
        msgspec.DecodeError: it is not of this format.
    """
    data = schema.load(folder)
    paths = folder / "report.md", folder / "report.html"
    for path, text in zip(paths, (to_markdown(data), to_html(data)), strict=True):
        scratch = path.with_name(f".{path.name}")
        scratch.write_text(text, "utf-8")
        scratch.replace(path)
    return paths


def to_markdown(data: Data) -> str:
    """The report as Markdown; every text of the data is escaped, so that none can be markup."""
    environment = _environment(autoescape=False)
    environment.finalize = lambda value: value if isinstance(value, Markup) else words.markdown(value)
    return environment.get_template("report.md.j2").render(**_content(data))


def to_html(data: Data) -> str:
    """The report as one HTML page that loads nothing, and runs the one script that is in it."""
    content = _content(data)
    content |= {
        "charts": {axis.name: charts.charts(axis, view.tools(data)) for axis in view.axes(data)},
        "plots": {experiment.name: charts.results(experiment) for experiment in data.experiments},
        "block": evidence.block(data),
        "style": page.style(),
        "script": page.script(),
        "policy": page.policy(),
    }
    return _environment(autoescape=True).get_template("report.html.j2").render(**content)


def _environment(autoescape: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(page.TEMPLATES),
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        name: getattr(words, name)
        for name in ("number", "shown", "spread", "result", "fence", "share", "score", "state", "order", "circumstances")
    }
    environment.filters |= {"slug": view.slug, "raw": lambda text: Markup(str(text))}
    return environment


def _content(data: Data) -> dict[str, object]:
    tools = view.tools(data)
    expired = view.expired(data)

    def stale(cell: LectureCell) -> bool:
        return not expired.isdisjoint(cell.evidence)

    return {
        "data": data,
        "SCOPE": SCOPE,
        "LIMITS": LIMITS,
        "MISSING": view.MISSING,
        "NOT_PLANNED": view.NOT_PLANNED,
        "answer": answer(data),
        "tools": tools,
        "measured": [tool for tool in tools if tool.backend in data.backends],
        "by_backend": {tool.backend: tool for tool in tools},
        "ended": view.ended(data),
        "axes": view.axes(data),
        "criteria": view.criteria(data),
        "lecture": view.lecture(data),
        "claims": view.claims(data),
        "expired": expired,
        "stale": stale,
        "scores": view.scores(data),
        "weighed": view.weighed(data),
        "coverage": scores.LEAST_COVERAGE,
        "traits": view.traits(data),
        "changes": view.changes(data),
        "control": [cell for cell in data.cells if cell.spec.way is Way.CONTROL and cell.status.has_value],
        "left_out": data.left_out(),
        "missing": data.missing(),
        "problems": data.problems(),
        "results": view.results,
        "looks": words.LOOKS,
        "kinds": words.KINDS,
        "ways": words.WAYS,
        "states": words.STATES,
        "example": next((cell.spec.id for cell in data.cells), "backend/axis/quantity"),
    }
