"""What is said of the machine, without its name."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import trackbridge
from trackbridge_comparison.portable import root
from trackbridge_comparison.schema import Machine


def describe(work: Path) -> Machine:
    """This machine; `work` is the folder that was written to."""
    return Machine(
        system=f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
        cpu=_cpu(),
        cores=os.cpu_count() or 0,
        memory=_memory(),
        file_system=_file_system(work),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        trackbridge=trackbridge.__version__,
        commit=_commit(),
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return 0


def _file_system(folder: Path) -> str:
    """The kind of the file system below `folder` (Linux; elsewhere nothing)."""
    try:
        mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text("utf-8").splitlines()]
    except OSError:
        return ""
    inside = [(len(place), kind) for place, kind in mounts if folder.resolve().is_relative_to(place)]
    return max(inside)[1] if inside else ""


def _commit() -> str:
    """The commit that was measured, with ``+`` when files were changed."""
    try:
        git = ["git", "-C", str(root())]
        commit = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
    return commit + ("+" if changed else "")
