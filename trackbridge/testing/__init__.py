"""The conformance suite: what every adapter, ours or a third party's, must pass.

``canon`` is the hostile workload, ``checks`` what is asked of an adapter, ``suite`` the same for pytest, ``check`` on the command line, and
``matrix`` the support table that the suite proves. Children do the writing (``drive``) and the reading (``read``), so that what one process
remembers never hides what the tracker lost.
"""

from trackbridge.testing.subject import Subject

__all__ = ["Subject"]
