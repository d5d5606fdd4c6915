"""What is recorded of where a run came from: git commit, script name, Python, host. Never the arguments or the environment, which hold secrets."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from trackbridge import host


def provenance() -> dict[str, Any]:
    """A small description of this process; what cannot be found out is left out."""
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "host": host.name(),
    }
    if main:
        found["script"] = Path(main).name
    return found | git(Path(main).parent if main else Path.cwd())


def git(directory: Path) -> dict[str, Any]:
    """The commit that `directory` is at, and whether tracked files differ from it; {} outside a repository."""
    commit = _run("git", "-C", str(directory), "rev-parse", "HEAD")
    if not commit:
        return {}
    changes = _run("git", "-C", str(directory), "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit} | ({} if changes is None else {"dirty": bool(changes)})


def _run(*command: str) -> str | None:
    """What `command` prints, or None when it fails or takes long (a repository on a slow network disk must not delay training)."""
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=3, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None
