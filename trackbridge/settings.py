"""Every environment variable that TrackBridge reads, in one place.

An argument of :func:`trackbridge.init` wins over its variable.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from trackbridge.errors import SettingsError

GIB = 1024**3


@dataclass(frozen=True)
class Settings:
    """The settings of this process. Each field is read from ``TRACKBRIDGE_<NAME>``.

    Args:
        backend: comma-separated targets ``name[:location][#project]``; ``none`` or empty: the journal alone.
        dir: where journals live.
        project, run_name, run_id, group, tags, resume: defaults for ``init``; `tags` are separated by commas.
        mode: ``online``; ``offline`` writes the journal only (deliver with ``trackbridge sync``); ``disabled`` does nothing.
        forward: ``process`` runs each client in a process of its own, so that it can neither slow nor end training; ``thread`` runs
            it in the training process, for machines with one core.
        durability: ``process`` survives the death of the process, and is synced to the disk every 500 ms (30 s on a network file
            system) against power loss; ``power`` is synced in each call.
        max_bytes: bound of one run's journal. It protects the disk: at the bound, or when less than 5 % of the disk (at most 64 GiB) is free, points are
            refused and counted, never deleted.
        sidecar: ``on`` attaches the journal to the run in each tracker, so that nothing is lost to the tracker's limits; ``off``.
        capture: ``basic`` records git commit, script name, Python and host; ``basic,system`` also what the process and the machine use of
            processor, memory, disk, network and GPUs, every 15 s, as metrics ``system/...`` (``pip install 'trackbridge[system]'``);
            ``off`` nothing; never the arguments or the environment.
        strict: a value that nothing can hold raises instead of warning once.
        finish_timeout: seconds that ``finish()`` waits for delivery; what is pending then stays in the journal.
        ranks: ``zero``: only rank 0 writes; ``all``: each process writes a shard.
        redact: ``on`` replaces secrets in configuration, tags, notes and text before anything is written; ``off``.
    """

    backend: str = ""
    dir: str = "./trackbridge-runs"
    project: str = ""
    run_name: str = ""
    run_id: str = ""
    group: str = ""
    tags: str = ""
    resume: str = "never"
    mode: str = "online"
    forward: str = "process"
    durability: str = "process"
    max_bytes: int = 10 * GIB
    sidecar: str = "on"
    capture: str = "basic"
    strict: bool = False
    finish_timeout: float = 60.0
    ranks: str = "zero"
    redact: str = "on"


_CHOICES = {
    "mode": ("online", "offline", "disabled"),
    "forward": ("process", "thread"),
    "durability": ("process", "power"),
    "sidecar": ("on", "off"),
    "capture": ("off", "basic", "system", "basic,system", "system,basic"),
    "ranks": ("zero", "all"),
    "redact": ("on", "off"),
    "resume": ("never", "allow", "must", "auto"),
}
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


def read(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings that the environment gives.

    Raises:
        SettingsError: a variable has a value that it cannot have; the message lists those that it can.
    """
    environ = os.environ if environ is None else environ
    values: dict[str, object] = {}
    for name, default in vars(Settings()).items():
        variable = f"TRACKBRIDGE_{name.upper()}"
        text = environ.get(variable)
        if text is not None and text.strip():
            values[name] = _value(variable, name, text.strip(), default)
    return Settings(**values)  # type: ignore[arg-type]


def check(name: str, value: str, told_by: str) -> str:
    """`value` if the setting `name` can have it.

    Raises:
        SettingsError: it cannot.
    """
    choices = _CHOICES[name]
    if value not in choices:
        raise SettingsError(f"{told_by} is {value!r}; it can be {', '.join(choices)}")
    return value


def _value(variable: str, name: str, text: str, default: object) -> object:
    if name in _CHOICES:
        return check(name, text.lower().replace(" ", ""), variable)
    if isinstance(default, bool):
        if text.lower() not in _TRUE + _FALSE:
            raise SettingsError(f"{variable} is {text!r}; it can be 1 or 0")
        return text.lower() in _TRUE
    if isinstance(default, (int, float)):
        try:
            number = float(text)
            if number >= 0:  # not NaN either
                return int(number) if isinstance(default, int) else number
        except (ValueError, OverflowError):
            pass
        raise SettingsError(f"{variable} is {text!r}; it must be a number that is not negative")
    return text
