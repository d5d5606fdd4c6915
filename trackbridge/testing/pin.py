"""``python -m trackbridge.testing.pin NAME ...``: pin what an adapter's own environment holds.

Writes ``environments/NAME.txt`` beside the adapter's package: every distribution with its version and hashes, for every system, from the versions that
the adapter declares as tested. It names no index, so each machine takes them from its own.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from trackbridge import environments, registry
from trackbridge.adapters import Requirements

LIBRARY = ("msgspec", "tenacity")
"""What the library's own part there needs."""


def wanted(requires: Requirements) -> list[str]:
    """The requirements to resolve: what was tested exactly, the rest as declared."""
    exact = [f"{name}=={requires.tested[name]}" for name in requires.tested]
    return sorted({*exact, *(name for name in (*requires.names, *LIBRARY) if name not in requires.tested), *requires.pins})


def pin(name: str) -> Path:
    """Resolve and write the requirements of one adapter; where they were written."""
    adapter = registry.get(name)
    path = environments.folder(name) / f"{name}.txt"
    path.parent.mkdir(exist_ok=True)
    inputs = path.with_suffix(".in")
    inputs.write_text("\n".join(wanted(adapter.requires)) + "\n")
    try:
        environments.uv(
            "pip", "compile", "--quiet", "--universal", "--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url",
            "--no-emit-find-links", "--python-version", f"3.{adapter.requires.python[0]}", "--output-file", str(path), str(inputs),
        )  # fmt: skip
    finally:
        inputs.unlink()
    return path


def main(names: Sequence[str]) -> None:
    for name in names:
        path = pin(name)
        print(f"{path}: {sum(line[:1].isalnum() for line in path.read_text().splitlines())} distributions")


if __name__ == "__main__":
    main(sys.argv[1:])
