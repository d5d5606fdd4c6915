"""data.json -> report.md and report.html."""

from __future__ import annotations

from pathlib import Path

import jinja2
from markupsafe import Markup

from trackbridge_comparison import schema
from trackbridge_comparison.report import view, words
from trackbridge_comparison.report.answer import answer
from trackbridge_comparison.report.charts import charts
from trackbridge_comparison.schema import Data

TEMPLATES = Path(__file__).parent / "templates"
CONTENT_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""What the page may do: show its own style. No script, no request."""


def render(folder: Path) -> tuple[Path, Path]:
    """Write ``report.md`` and ``report.html`` beside ``data.json`` in `folder`.

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
    """The report as one HTML page that loads nothing."""
    environment = _environment(autoescape=True)
    axes = view.axes(data)
    drawn = {axis.name: [Markup(svg) for svg in charts(axis.cells)] for axis in axes}
    return environment.get_template("report.html.j2").render(**_content(data), charts=drawn, policy=CONTENT_POLICY)


def _environment(autoescape: bool) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {name: getattr(words, name) for name in ("number", "shown", "spread", "result", "fence")}
    environment.filters["raw"] = lambda text: Markup(str(text))
    return environment


def _content(data: Data) -> dict[str, object]:
    return {
        "data": data,
        "answer": answer(data),
        "axes": view.axes(data),
        "left_out": view.left_out(data),
        "missing": data.missing(),
        "problems": data.problems(),
        "results": view.results,
        "MISSING": view.MISSING,
    }
