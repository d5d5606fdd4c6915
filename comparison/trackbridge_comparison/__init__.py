"""Runs the same experiments through every backend and reports what was measured.

The way of a number: a *probe* (``probes/``, one per axis; ``experiments``) makes tasks; ``schedule`` decides which fit into the time budget
and runs them; a task starts children (``children``) and yields findings, which become *cells* (``schema``) of ``data.json`` at once; the
report (``report/``) is rendered from that file and from nothing else.
"""
