"""What the page shows on a click, as the text of its JSON block."""

from __future__ import annotations

from typing import Any

import msgspec

from trackbridge_comparison.report import view, words
from trackbridge_comparison.schema import Cell, Data, Score

SAMPLES = 100
"""The page has so many samples of a cell at most; data.json has all."""

COVERAGE = 0.8
"""There is no total where less of the weights was measured."""


def block(data: Data) -> str:
    """JSON that can stand in a script element: no ``<`` of it begins a tag."""
    versions: list[dict[str, str]] = []
    content = {
        "tools": {tool.backend: tool.title for tool in view.tools(data)},
        "statuses": {str(status): {"sign": look.sign, "slug": view.slug(status)} for status, look in words.LOOKS.items()},
        "cells": {cell.spec.id: _cell(cell, versions) for cell in data.cells},
        "earlier": {cell.spec.id: _cell(cell, versions) for cell in data.earlier},
        "versions": versions,
        "claims": {claim.id: _without(claim, "id") for claim in data.claims},
        "lecture": {f"{cell.backend}/{cell.criterion}": _without(cell, "backend", "criterion") for cell in data.lecture},
        "traits": {trait.name: _trait(trait) for trait in view.traits(data)},
        "scores": {f"{score.backend}/{score.way}": _score(score) for score in data.scores},
        "axes": view.weighed(data),
        "weights": data.weights,
        "coverage": COVERAGE,
    }
    text = msgspec.json.encode(content).decode()
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _cell(cell: Cell, versions: list[dict[str, str]]) -> dict[str, Any]:
    if cell.versions not in versions:
        versions.append(cell.versions)
    found = _without(cell, "spec") | {
        "title": cell.spec.title,
        "unit": words.unit(cell.spec.unit),
        "way": str(cell.spec.way),
        "samples": cell.samples[:SAMPLES],
        "count": len(cell.samples),
        "range": words.spread(cell),
        "versions": versions.index(cell.versions),
    }
    return {name: value for name, value in found.items() if value not in (None, "", [])}


def _trait(trait: view.Trait) -> dict[str, Any]:
    items = {backend: [words.state(item).slug, item.native, item.restored, item.reason] for backend, item in trait.items.items()}
    return {"written": trait.written, "items": items}


def _score(score: Score) -> dict[str, Any]:
    parts = [[part.axis, part.quantity, part.value, part.good] for part in score.parts]
    return {"kind": str(score.kind), "axes": score.axes, "rank": score.rank, "parts": parts}


def _without(struct: msgspec.Struct, *names: str) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(struct).items() if name not in names}
