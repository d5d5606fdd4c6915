"""Which run this process belongs to: its id, its rank, and whether it goes on."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trackbridge import host
from trackbridge.errors import SettingsError

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
LAUNCHERS = {
    "mlflow": ("MLFLOW_RUN_ID",),
    "wandb": ("WANDB_RUN_ID",),
    "clearml": ("CLEARML_TASK_ID",),
    "comet": ("COMET_EXPERIMENT_KEY",),
    "guild": ("RUN_ID", "RUN_DIR"),
}
"""The variables that a tracker's own launcher (``mlflow run``, a W&B agent, ``guild run``) sets, all of them; the first is the id of the run that it
made."""

SLURM_PSEUDO_STEPS = 0xFFFFFFF0
"""From here on a step id is no ``srun``: the batch script itself, an interactive or external step (slurm.h)."""

_RANK = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK")
_WORLD = ("WORLD_SIZE", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")


@dataclass(frozen=True)
class Identity:
    """Whose run this is.

    Args:
        resume: whether the run's journal may, must or must not exist: ``never``, ``allow``, ``must``.
        launcher: the tracker whose launcher made the run, or "".
    """

    run_id: str
    rank: int
    world_size: int
    resume: str
    launcher: str = ""


def resolve(run_id: str | None, resume: str, environ: Mapping[str, str] | None = None, *, explicit: bool = True) -> Identity:
    """The identity of this process's run.

    Args:
        run_id: as the user or ``TRACKBRIDGE_RUN_ID`` gave it.
        resume: ``never``, ``allow``, ``must``; ``auto`` takes the id from the launcher and goes on with its run if there is one.
        explicit: the user called ``init``, so that what cannot be decided is an error.

    Raises:
        SettingsError: an id that cannot name a folder; no id although the ranks of a launch have to share one, or ``auto`` has none.
    """
    environ = os.environ if environ is None else environ
    rank, world_size = _number(environ, _RANK, 0), _number(environ, _WORLD, 1)
    launcher, launched = launched_run(environ)
    if not run_id and launched:
        return Identity(launched, rank, world_size, "allow" if resume in ("never", "auto") else resume, launcher)
    launch = launch_id(environ)
    if run_id and not RUN_ID.fullmatch(run_id):
        raise SettingsError(
            f"run id {run_id!r} cannot be used: letters, digits, dot, dash and underscore, at most 128, the first a letter or digit"
        )
    if resume == "auto":
        chosen = run_id or launch
        if not chosen and explicit:
            raise SettingsError(
                "resume='auto' finds no id: neither SLURM_JOB_ID nor TORCHELASTIC_RUN_ID is set; give id=... or TRACKBRIDGE_RUN_ID, "
                "the same at each start of the run"
            )
        return Identity(chosen or random_id(), rank, world_size, "allow")
    if world_size > 1:
        shared = run_id or (launch and launch + slurm_step(environ))
        if not shared and explicit:
            raise SettingsError(
                f"{world_size} processes log, and they have no common run id: set TRACKBRIDGE_RUN_ID, or give id=..., the same on every rank"
            )
        if shared:  # the ranks come one after the other, so each but the first finds the run's folder
            return Identity(shared, rank, world_size, "allow" if resume == "never" else resume)
    return Identity(run_id or random_id(), rank, world_size, resume)


def launched_run(environ: Mapping[str, str]) -> tuple[str, str]:
    """The tracker whose launcher started this process, and the id of the run that it made; empty when none did."""
    for tracker, variables in LAUNCHERS.items():
        run_id = environ.get(variables[0], "")
        if RUN_ID.fullmatch(run_id) and all(environ.get(variable) for variable in variables):
            return tracker, run_id
    return "", ""


def project(environ: Mapping[str, str] | None = None) -> str:
    """What a run belongs to where the user does not say: the name of the folder in which the command was given. ``guild run`` starts a script in the
    run's own folder, and tells in which it was given itself."""
    environ = os.environ if environ is None else environ
    try:
        here, given = Path.cwd(), environ.get("CMD_DIR", "")
    except OSError:  # it was removed
        return ""
    moved = launched_run(environ)[0] == "guild" and Path(environ["RUN_DIR"]).resolve() == here
    return Path(given if moved and given else here).name.encode("utf-8", "backslashreplace").decode()


def launch_id(environ: Mapping[str, str]) -> str:
    """An id that all processes of this launch share and that survives a requeue, or ""."""
    job = environ.get("SLURM_ARRAY_JOB_ID"), environ.get("SLURM_ARRAY_TASK_ID")
    if job[0] and job[1]:
        return f"slurm-{job[0]}-{job[1]}"
    if environ.get("SLURM_JOB_ID"):
        return f"slurm-{environ['SLURM_JOB_ID']}"
    elastic = environ.get("TORCHELASTIC_RUN_ID", "")
    return f"elastic-{re.sub('[^A-Za-z0-9._-]', '-', elastic)[:100]}" if elastic not in ("", "none") else ""


def slurm_step(environ: Mapping[str, str]) -> str:
    """What tells the second ``srun`` of a job from the first, and "" for the first: they are two launches, and a run each."""
    step = environ.get("SLURM_STEP_ID", "")
    return f"-step{step}" if "SLURM_JOB_ID" in environ and step.isdigit() and 0 < int(step) < SLURM_PSEUDO_STEPS else ""


def random_id() -> str:
    """Ten characters, 50 bits: a million runs collide with a probability of about 1 in 2,000."""
    return "".join("abcdefghijkmnpqrstuvwxyz23456789"[byte & 31] for byte in os.urandom(10))


def shard_name(rank: int) -> str:
    """A name that no other process, on any host, has."""
    where = re.sub(r"[^A-Za-z0-9]", "_", host.name())[:40] or "host"
    return f"r{rank}-{where}-{os.getpid()}-{os.urandom(4).hex()}"


def _number(environ: Mapping[str, str], names: tuple[str, ...], default: int) -> int:
    for name in names:
        text = environ.get(name, "")
        if text.isdigit():
            return int(text)
    return default
