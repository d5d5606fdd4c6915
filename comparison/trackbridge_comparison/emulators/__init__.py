"""Stand-ins for services, each a module that serves one on loopback: ``python emulators/NAME.py PORT`` in an environment with ``REQUIREMENT``.

What is measured on one is compatibility, and has a status of its own.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
