"""Numbers as the report shows them: percentages and points with one decimal; what is missing says so."""

import math
from collections.abc import Collection
from statistics import fmean

NOT_RUN = "not run"


def mean(values: Collection[float]) -> float | None:
    """The mean; NaN where a value is, and None of nothing."""
    return fmean(values) if values else None


def shown(value: float | None) -> str:
    if value is None:
        return NOT_RUN
    return "NaN" if math.isnan(value) else f"{value:.1f}"


def signed(value: float | None) -> str:
    return shown(value) if value is None or math.isnan(value) else f"{value:+.1f}"


def spread(values: Collection[float]) -> str:
    """The mean, and the smallest and largest of several."""
    if len(values) < 2 or any(map(math.isnan, values)):
        undefined = sum(map(math.isnan, values))
        return shown(mean(values)) + (f" ({undefined} of {len(values)} runs)" if undefined and len(values) > 1 else "")
    return f"{shown(mean(values))} ({shown(min(values))} to {shown(max(values))})"
