"""What follows from the cells of a comparison: claims beside them, the lecture's table, scores, and changes since an earlier report."""

from __future__ import annotations

from trackbridge_comparison import changes, claims, lecture, scores
from trackbridge_comparison.schema import Data


def draw(data: Data, baseline: Data | None = None, last: Data | None = None) -> None:
    """Fill the fields of `data` that are made of others; :func:`check.folder` makes those again and compares that follow from this report alone.

    Args:
        baseline: the report that changes are counted from; without one those that were counted stay.
        last: the last full comparison, which has what was left out now; without one what it had stays.
    """
    if last is not None:
        left_out = {cell.spec.id for cell in data.left_out()}
        data.earlier = [cell for cell in last.cells if cell.spec.id in left_out and cell.status.has_value]
    data.claims, data.weights = claims.load(), scores.PRESETS
    data.lecture, data.scores = lecture.table(data), scores.scores(data, data.seed)
    if baseline is not None:
        data.baseline, data.changes = baseline.started, changes.against(data, baseline)
