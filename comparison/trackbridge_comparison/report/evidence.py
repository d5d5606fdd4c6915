"""What the page shows on a click, as the text of its JSON block."""

from __future__ import annotations

from typing import Any

import msgspec

from trackbridge_comparison import scores
from trackbridge_comparison.report import view, words
from trackbridge_comparison.schema import Cell, Data, Item, Kind, Score, Spec, Way

SAMPLES = 100
"""The page has so many samples of a cell at most, to six digits; data.json has all, exactly."""


def block(data: Data) -> str:
    """JSON that can stand in a script element: no ``<`` of it begins a tag."""
    texts: dict[str, int] = {}
    specs = [cell.spec for cell in (*data.earlier, *data.cells)]
    content = {
        "tools": {tool.backend: tool.title for tool in view.tools(data)},
        "statuses": {str(status): {"sign": look.sign, "slug": view.slug(status)} for status, look in words.LOOKS.items()},
        "states": {state.slug: f"{state.sign} {state.word}" for state in words.STATES.values()},
        "quantities": {_quantity(spec): [spec.title, words.unit(spec.unit), str(spec.way)] for spec in specs},
        "cells": {cell.spec.id: _cell(cell, texts) for cell in data.cells},
        "earlier": {cell.spec.id: _cell(cell, texts) for cell in data.earlier},
        "texts": list(texts),
        "claims": {claim.id: _without(claim, "id") for claim in data.claims},
        "lecture": {f"{cell.backend}/{cell.criterion}": _without(cell, "backend", "criterion") for cell in data.lecture},
        "traits": {trait.name: _trait(trait) for trait in view.traits(data)},
        "scores": {f"{score.backend}/{score.way}": _score(score) for score in data.scores},
        "axes": view.weighed(data),
        "weights": data.weights,
        "coverage": scores.LEAST_COVERAGE,
    }
    text = msgspec.json.encode(content).decode()
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _quantity(spec: Spec) -> str:
    return f"{spec.axis}/{spec.quantity}"


def _cell(cell: Cell, texts: dict[str, int]) -> dict[str, Any]:
    """What the evidence of a cell shows; texts are numbers of `texts`; in a command ``{id}`` is the cell's."""
    id = cell.spec.id
    found = {
        "value": cell.value,
        "samples": [float(f"{sample:.6g}") for sample in cell.samples[:SAMPLES]],
        "more": max(0, len(cell.samples) - SAMPLES),
        "range": words.spread(cell),
        "seconds": cell.seconds,
        "load": cell.load,
    }
    shared = {
        "status": str(cell.status),
        "time": cell.time,
        "detail": cell.detail,
        "command": cell.command.replace(id, "{id}"),
        "versions": ", ".join(map(" ".join, cell.versions.items())),
        "log": cell.log,
        "lock": cell.lock,
    }
    found |= {name: texts.setdefault(text, len(texts)) for name, text in shared.items() if text}
    return {name: value for name, value in found.items() if value not in (None, "", []) and (name, value) != ("more", 0)}


def _trait(trait: view.Trait) -> dict[str, Any]:
    """What was written, and for each backend its state and, where anything came back otherwise, what came back and why."""
    items = {backend: _item(item, trait.written) for backend, item in trait.items.items()}
    return {"written": trait.written, "items": items}


def _item(item: Item, written: str) -> list[str]:
    found = [words.state(item).slug, item.native, item.restored, item.reason]
    return found[:1] if found[1:] == [written, written, ""] else found


def _score(score: Score) -> dict[str, Any]:
    """What the sliders need: the axes, which share of each was measured, and whether the row is ranked; and the parts."""
    parts = [[part.axis, part.quantity, part.value, part.good] for part in score.parts]
    measured = {axis: [part.good is not None for part in score.parts if part.axis == axis] for axis in score.axes}
    shares = {axis: sum(found) / len(found) for axis, found in measured.items() if found}
    ranked = score.way is Way.NATIVE and score.kind in (Kind.STORE, Kind.SPOOL)
    return {"axes": score.axes, "shares": shares, "rank": score.rank, "ranked": ranked, "parts": parts}


def _without(struct: msgspec.Struct, *names: str) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(struct).items() if name not in names}
