"""Where tasks run: through joblib on this machine, or on the nodes of a Ray cluster.

A task is a process of its own on both, so that whatever becomes of it, others go on: it may raise, be killed for its
memory, or crash in a library.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from joblib import Parallel, delayed

from trackbridge_examples.sweep.grid import Task


@dataclass(frozen=True)
class Job:
    """An attempt at a task: its module's options, and the environment variables that it needs besides those of its machine."""

    task: Task
    module: str
    options: tuple[str, ...]
    variables: Mapping[str, str]
    folder: str  # in which it runs


class Outcome(NamedTuple):
    """How an attempt ended."""

    task: Task
    complaint: str  # why it failed, empty where it did not
    seconds: float  # of wall time
    node: str = ""  # of the cluster


Engine = Callable[[Sequence[Job], int | None], Iterator[Outcome]]
"""Runs jobs, so many at once or as many as there are cores, and yields how each ended as soon as it has."""


def run(job: Job) -> Outcome:
    """Runs a job to its end, whatever that is."""
    started = time.monotonic()
    try:
        done = subprocess.run(
            [sys.executable, "-m", job.module, *job.options],
            cwd=job.folder,
            env=os.environ | job.variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
        complaint = complaint_of(done.returncode, done.stderr)
    except OSError as error:
        complaint = f"it could not be started: {error}"
    return Outcome(job.task, complaint, time.monotonic() - started)


def complaint_of(code: int, output: str) -> str:
    """Why a process failed: the signal that killed it, else the last line that it wrote; empty for exit code 0."""
    if code == 0:
        return ""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return (output.strip().splitlines() or [f"exit code {code}"])[-1]


def with_joblib(jobs: Sequence[Job], at_once: int | None) -> Iterator[Outcome]:
    """On this machine.  Threads are enough, since each only waits for its process."""
    yield from Parallel(n_jobs=at_once or -1, prefer="threads", return_as="generator_unordered")(delayed(run)(job) for job in jobs)


def with_ray(jobs: Sequence[Job], at_once: int | None) -> Iterator[Outcome]:
    """On the cluster of ``RAY_ADDRESS``, else on the one that was started here, else on one for this machine alone; a core for each.

    Raises:
        ModuleNotFoundError: Ray is not installed.
    """
    import ray

    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    start = ray.remote(num_cpus=1, max_retries=0, scheduling_strategy="SPREAD")(_run_on_node)
    waiting = list(reversed(jobs))
    running: dict[Any, Job] = {}
    while waiting or running:
        while waiting and len(running) < (at_once or len(jobs)):
            job = waiting.pop()
            running[start.remote(job)] = job
        (ended,), _ = ray.wait(list(running))
        job = running.pop(ended)
        try:
            outcome = ray.get(ended)
        except ray.exceptions.RayError as error:
            outcome = Outcome(job.task, f"Ray lost it: {str(error).splitlines()[0]}", 0.0)
        yield outcome


def _run_on_node(job: Job) -> Outcome:
    import ray

    return run(job)._replace(node=ray.get_runtime_context().get_node_id()[:8])


ENGINES: dict[str, Engine] = {"joblib": with_joblib, "ray": with_ray}
