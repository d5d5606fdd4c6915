"""What is recorded of where a run comes from, and of the machine that it needs.

Provenance: git commit, script name, Python, host. Never the arguments or the environment, which hold secrets. System metrics, for those who
ask for them: a thread samples processor, memory, disk, network and GPUs; their names are MLflow's, whose UI has a tab for them.
"""

from __future__ import annotations

import contextlib
import platform
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trackbridge import host
from trackbridge.errors import SettingsError

INTERVAL = 15.0
"""Seconds between two samples; the first one comes after so many."""

MEGABYTE = 1e6


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
        result = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=3, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None


class System:
    """Samples this process and its machine.

    Raises:
        SettingsError: psutil, which asks the system, is not installed.
    """

    def __init__(self) -> None:
        try:
            import psutil
        except ImportError:
            raise SettingsError(
                "system metrics (TRACKBRIDGE_CAPTURE) need psutil: pip install 'trackbridge[system]'; or leave out 'system'"
            ) from None
        self._psutil, self._process = psutil, psutil.Process()

    def start(self, directory: Path, take: Callable[[dict[str, float], int], bool], over: threading.Event) -> None:
        """Hand a sample and its number to `take` each :data:`INTERVAL`, until it returns False or `over` is set. `directory`: whose disk is meant."""

        def loop() -> None:
            self._sources = [self._processor, self._memory, self._disk(directory), self._network(), *_gpus()]
            self.sample()  # the shares of time are those since the sample before, in this thread
            number = 0
            while not over.wait(INTERVAL) and take(self.sample(), number):
                number += 1

        threading.Thread(target=loop, name="trackbridge-system", daemon=True).start()

    def sample(self) -> dict[str, float]:
        """The values of now; what cannot be found out is left out."""
        values: dict[str, float] = {}
        for source in self._sources:
            with contextlib.suppress(Exception):  # of psutil, of a driver, of a container without this file or that
                values |= {f"system/{name}": float(value) for name, value in source().items()}
        return values

    def _processor(self) -> dict[str, float]:
        return {
            "cpu_utilization_percentage": self._psutil.cpu_percent(),
            "process_cpu_utilization_percentage": self._process.cpu_percent(),  # 100: one core
        }

    def _memory(self) -> dict[str, float]:
        machine = self._psutil.virtual_memory()
        return {
            "system_memory_usage_megabytes": machine.used / MEGABYTE,
            "system_memory_usage_percentage": 100 * machine.used / machine.total,
            "process_memory_usage_megabytes": self._process.memory_info().rss / MEGABYTE,
        }

    def _disk(self, directory: Path) -> Callable[[], dict[str, float]]:
        def usage() -> dict[str, float]:
            disk = self._psutil.disk_usage(str(directory))
            return {
                "disk_usage_percentage": disk.percent,
                "disk_usage_megabytes": disk.used / MEGABYTE,
                "disk_available_megabytes": disk.free / MEGABYTE,
            }

        return usage

    def _network(self) -> Callable[[], dict[str, float]]:
        before = self._psutil.net_io_counters()

        def traffic() -> dict[str, float]:
            now = self._psutil.net_io_counters()
            return {
                "network_receive_megabytes": (now.bytes_recv - before.bytes_recv) / MEGABYTE,
                "network_transmit_megabytes": (now.bytes_sent - before.bytes_sent) / MEGABYTE,
            }

        return traffic


def _gpus() -> list[Callable[[], dict[str, float]]]:
    """One source for each GPU of NVIDIA's, where its library ``pynvml`` (nvidia-ml-py) is installed and finds some."""
    try:
        import pynvml

        pynvml.nvmlInit()
        devices = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
    except Exception:  # no library, no driver, no GPU
        return []

    def source(index: int, device: Any) -> Callable[[], dict[str, float]]:
        def usage() -> dict[str, float]:
            memory = pynvml.nvmlDeviceGetMemoryInfo(device)
            return {
                f"gpu_{index}_utilization_percentage": pynvml.nvmlDeviceGetUtilizationRates(device).gpu,
                f"gpu_{index}_memory_usage_megabytes": memory.used / MEGABYTE,
                f"gpu_{index}_memory_usage_percentage": 100 * memory.used / memory.total,
            }

        return usage

    return [source(index, device) for index, device in enumerate(devices)]
