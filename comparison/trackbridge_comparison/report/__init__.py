"""The report: ``report.md`` and ``report.html``, rendered from ``data.json`` and from nothing else."""

from trackbridge_comparison.report.render import render

__all__ = ["render"]
