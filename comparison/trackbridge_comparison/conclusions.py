"""What follows from the cells of a comparison: claims beside them, the lecture's table, scores, and changes since an earlier report."""

from __future__ import annotations

from trackbridge_comparison import changes, claims, lecture, scores
from trackbridge_comparison.schema import Data


def draw(data: Data, baseline: Data | None = None) -> None:
    """Fill the fields of `data` that are made of others; :func:`check.folder` makes them again and compares."""
    data.claims, data.weights = claims.load(), scores.PRESETS
    data.lecture, data.scores = lecture.table(data), scores.scores(data, data.seed)
    if baseline is not None:
        data.baseline, data.changes = baseline.started, changes.against(data, baseline)
