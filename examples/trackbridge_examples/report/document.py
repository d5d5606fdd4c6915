"""A document of headings, paragraphs, tables and charts, as Markdown beside its charts, and as one HTML page."""

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import vl_convert

STYLE = """
body { font: 16px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; display: block; overflow-x: auto; margin: 1em 0; }
th, td { border: 1px solid #ccc; padding: .2em .6em; text-align: left; }
svg { max-width: 100%; height: auto; }
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'"  # the page shows its own style, and loads nothing


class Stressed(str):
    """A text that is emphasised."""


@dataclass(frozen=True)
class Heading:
    text: str
    level: int


@dataclass(frozen=True)
class Table:
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Chart:
    """A Vega-Lite chart; ``name`` is its file's."""

    name: str
    title: str
    spec: dict[str, Any]

    def svg(self) -> str:
        return str(vl_convert.vegalite_to_svg(self.spec))


Block: TypeAlias = Heading | Table | Chart | str


@dataclass
class Document:
    """What a report says, in order; a plain string is a paragraph."""

    blocks: list[Block] = field(default_factory=list)

    def add(self, *blocks: Block) -> None:
        self.blocks.extend(blocks)

    def markdown(self) -> str:
        """The document with its charts as files ``NAME.svg``."""
        return "\n\n".join(map(_markdown, self.blocks)) + "\n"

    def html(self) -> str:
        """The document as one page with its charts in it; no text of it is markup."""
        body = "\n".join(map(_html, self.blocks))
        policy = f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        return f'<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n{policy}\n<title>Report</title>\n<style>{STYLE}</style>\n{body}\n</html>\n'

    def write(self, folder: Path) -> Path:
        """Writes ``report.md``, ``report.html`` and the charts; the first one's path."""
        folder.mkdir(parents=True, exist_ok=True)
        for block in self.blocks:
            if isinstance(block, Chart):
                (folder / f"{block.name}.svg").write_text(block.svg(), "utf-8")
        (folder / "report.html").write_text(self.html(), "utf-8")
        path = folder / "report.md"
        path.write_text(self.markdown(), "utf-8")
        return path


def _markdown(block: Block) -> str:
    def text(content: str) -> str:
        line = re.sub(r"([\\`*_\[\]|<>#~$&])", r"\\\1", " ".join(content.split()))
        return f"*{line}*" if isinstance(content, Stressed) else line

    if isinstance(block, Heading):
        return f"{'#' * block.level} {text(block.text)}"
    if isinstance(block, Table):
        rows = [block.columns, ["---"] * len(block.columns), *block.rows]
        return "\n".join(f"| {' | '.join(map(text, cells))} |" for cells in rows)
    if isinstance(block, Chart):
        return f"![{text(block.title)}]({block.name}.svg)"
    return text(block)


def _html(block: Block) -> str:
    def text(content: str) -> str:
        line = html.escape(content)
        return f"<em>{line}</em>" if isinstance(content, Stressed) else line

    def row(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{text(cell)}</{tag}>" for cell in cells) + "</tr>"

    if isinstance(block, Heading):
        return f"<h{block.level}>{text(block.text)}</h{block.level}>"
    if isinstance(block, Table):
        return "\n".join(["<table>", row(block.columns, "th"), *(row(cells, "td") for cells in block.rows), "</table>"])
    if isinstance(block, Chart):
        return f"<figure>{block.svg()}<figcaption>{text(block.title)}</figcaption></figure>"
    return f"<p>{text(block)}</p>"
