"""What the report says whatever was measured: what its number is, and what limits it."""

from __future__ import annotations

SCOPE = (
    "The number in this report is a logging-path score: it rates how values get from a training script into a tracker and back, and leaves out "
    "the UI, search and collaboration, which are why most people choose a tracker; the authors of TrackBridge made it, whose adapters are a "
    "part of what is measured, and who gain when a bridge between trackers looks useful."
)
LIMITS = (
    "One machine, and others may use it too: every cell has the load average of its moment. Times are medians, with the interval of repeats "
    "in fresh processes, interleaved in random order; a run whose values do not all come back has no timing.",
    "The trackers' own clients are measured with default settings and, as rows of their own, with the settings that our adapters use, by the "
    "scripts below. Ranks come from the default rows alone.",
    "Tools are ranked within a kind. A store can be queried where it lies; a spool is written to be uploaded later, so nothing here speaks "
    "of its service; an emulated or replayed service has compatibility cells alone: no time, size, scale or score.",
    "SIGKILL is the death of a process, not a power cut. What is lost was not readable after SIGKILL in the mode that the cell names.",
    "The sidecar enters no score. Release dates, known vulnerabilities and statements of code are shown and never scored.",
    "What failed scores a fixed penalty; what was not measured leaves its axis and lowers the share of the weights that was measured. The two "
    "are never the same, and nothing is simulated, averaged over failures or filled in.",
    "A claim is as good as its source on the day on which it was read; from its last day on it shows as expired.",
)
