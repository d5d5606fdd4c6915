"""The experiments: each is trained once, with all backends attached at the same time, and read back from every one of them.

Training is what a user types, in a process that knows nothing of this comparison; reading is done by a fresh process for each backend, with
the tracker's own reader. The result table of a run (accuracy, MMD by factor, IOSM) is built from what the tracker holds natively and compared
with the journal to the last bit.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import msgspec

import trackbridge
from trackbridge.errors import BackendError
from trackbridge_comparison import children, tools
from trackbridge_comparison.bench import Bench, Finding, Job
from trackbridge_comparison.engines import Engine, Here
from trackbridge_comparison.schema import TIME, Experiment, ExperimentRun, Readback, Spec, Status, Way

AXIS = "experiments"
TITLE = "Experiments, read back"
METHOD = """Each experiment is trained once, as a user would type it, with every backend attached at the same time. Then a fresh process for each
backend reads the run with the tracker's own reader. The result table is built from what the tracker holds natively (the last point of each
series, the summary, the logged table results) and compared with the journal: equal to the last bit, or flagged. Verified also compares
every point, the configuration and the media: natively with what the adapter declares, and with the sidecar exactly. Apart from that, --separate trains
each experiment once for each backend, with nothing changed but TRACKBRIDGE_BACKEND."""


@dataclass(frozen=True)
class Workload:
    """One experiment: the example's module, and its options beside the preset."""

    name: str
    module: str
    options: tuple[str, ...] = ()
    estimate: float = 60.0


BIAS = Workload("bias", "trackbridge_examples.bias", ("--method", "all"), 75.0)
ADAM, SGD, MADGRAD = (
    Workload(f"efficientnet-{optimizer}", "trackbridge_examples.efficientnet", ("--optimizer", optimizer), 30.0)
    for optimizer in ("adam", "sgd", "madgrad")
)
SEPARATE = "-separate"
"""What the name of an experiment ends with that was trained for one backend alone."""

WORKLOADS = {"smoke": (BIAS, ADAM), "quick": (BIAS, ADAM), "full": (BIAS, ADAM, SGD, MADGRAD)}


def jobs(bench: Bench) -> Iterator[Job]:
    """A job for each experiment with all backends, and one for each experiment and backend alone."""
    scale = {"smoke": 0.3, "full": 2.0}.get(bench.sizes.name, 1.0)
    for workload in WORKLOADS[bench.sizes.name]:
        yield _job(bench, workload.name, workload, bench.backends, (workload.estimate + 3 * len(bench.backends)) * scale)
    for workload in WORKLOADS[bench.sizes.name]:
        for backend in bench.backends:
            yield _job(bench, workload.name + SEPARATE, workload, (backend,), workload.estimate * scale)


def _job(bench: Bench, name: str, workload: Workload, backends: tuple[str, ...], estimate: float) -> Job:
    specs = tuple(spec for backend in backends for spec in _specs(backend, name))

    def run(bench: Bench, wanted: frozenset[str]) -> Iterator[Finding]:
        chosen = [backend for backend in backends if any(spec.id in wanted for spec in _specs(backend, name))]
        experiment = conduct(bench, name, workload, chosen, bench.engine if _movable(name, backends) else Here())
        bench.keep(experiment)
        for backend in chosen:
            yield from findings(experiment, backend)

    task = f"{AXIS}/{name}" + (f"/{backends[0]}" if name.endswith(SEPARATE) else "")
    return Job(task, specs, run, estimate, alone=False, backends=backends)


def _movable(name: str, backends: tuple[str, ...]) -> bool:
    """Whether another machine that shares the folders can train it: emulators listen on this one's loopback."""
    return name.endswith(SEPARATE) and not any(tools.entry(backend).emulator for backend in backends)


def _specs(backend: str, name: str) -> tuple[Spec, Spec]:
    trained = f"{name.removesuffix(SEPARATE)}, trained for it alone" if name.endswith(SEPARATE) else name
    return (
        Spec(f"{backend}/{AXIS}/{name}_results", f"{trained}: results identical to what was logged", "%", Way.THROUGH),
        Spec(f"{backend}/{AXIS}/{name}_points", f"{trained}: points verified one by one", "points", Way.THROUGH),
    )


def conduct(bench: Bench, name: str, workload: Workload, backends: list[str], engine: Engine) -> Experiment:
    """Train by `engine` with `backends` attached, then read back from each. One whose store cannot be made takes no part, and says why.

    Raises:
        ChildFailed: the training script failed.
    """
    work = bench.folder(f"experiment-{name}")
    targets, absent = {}, {}
    for backend in backends:
        try:
            targets[backend] = bench.target(backend, work / backend)
        except (BackendError, children.ChildFailed) as error:
            absent[backend] = str(error)
    if not targets:
        raise children.ChildFailed("\n".join(absent.values()))
    arguments = ["-m", workload.module, *workload.options, *bench.sizes.preset]
    variables = {
        **bench.environment(targets, work),
        "TRACKBRIDGE_BACKEND": ",".join(targets.values()),
        "TRACKBRIDGE_DIR": str(work / "journals"),
        "TRACKBRIDGE_FINISH_TIMEOUT": "600",
        "WANDB_DIR": str(work),
    }
    began, started = datetime.now(UTC), monotonic()
    bench.run([sys.executable, *arguments], work, variables, engine=engine)
    seconds = monotonic() - started
    infos = list(trackbridge.runs(f"journal:{work / 'journals'}"))
    folders = [work / "journals" / info.id for info in infos]
    deviations = _deviations(bench, work / "journals", targets)
    by_backend = {backend: _read_back(bench, work, backend, text, folders) for backend, text in targets.items()}
    by_backend |= {backend: [_failed(bench, backend, why)] * len(folders) for backend, why in absent.items()}
    runs = [
        ExperimentRun(
            id=info.id,
            name=info.name,
            dataset=str(trackbridge.read(folder).config.get("dataset", "")),
            status=info.status,
            readbacks=[
                msgspec.structs.replace(by_backend[backend][index], deviations=deviations.get((info.id, targets.get(backend, "")), {}))
                for backend in backends
            ],
        )
        for index, (info, folder) in enumerate(zip(infos, folders, strict=True))
    ]
    return Experiment(
        name=name,
        command="python " + " ".join(arguments),
        reproduce=" ".join([*bench.command, "--only", f"{AXIS}/{name}"]),
        seconds=seconds,
        time=began.strftime(TIME),
        runs=runs,
    )


def _read_back(bench: Bench, work: Path, backend: str, target: str, folders: list[Path]) -> list[Readback]:
    out = work / f"{backend}.json"
    try:
        arguments = (str(out), backend, target, *map(str, folders))
        bench.python("-m", "trackbridge_comparison.readback", *arguments, work=work, backends=[backend])
        return msgspec.json.decode(out.read_bytes(), type=list[Readback])
    except children.ChildFailed as error:
        return [_failed(bench, backend, str(error))] * len(folders)


def _failed(bench: Bench, backend: str, why: str) -> Readback:
    return Readback(backend=backend, error=bench.portable(why)[-2000:])


def _deviations(bench: Bench, journals: Path, targets: dict[str, str]) -> dict[tuple[str, str], dict[str, int]]:
    """By run and target: how many values the target does not hold exactly, by reason, as ``trackbridge status`` tells."""
    try:
        printed = bench.python("-m", "trackbridge", "status", str(journals), "--json", work=journals)
    except children.ChildFailed as error:  # its exit code tells of deviations that lose something; what it printed is all that counts
        printed = str(error)
    found: dict[tuple[str, str], dict[str, int]] = {}
    rows = json.loads(printed[printed.index("[") : printed.rindex("]") + 1])
    for row in rows:
        for report in row["targets"]:
            totals: dict[str, int] = {}
            for reason, _subject, count, *_ in report["deviations"]:
                totals[reason] = totals.get(reason, 0) + count
            found[row["info"]["id"], report["target"]] = totals
    return found


def findings(experiment: Experiment, backend: str) -> Iterator[Finding]:
    """The two cells of a backend."""
    results, points = (spec.id for spec in _specs(backend, experiment.name))
    backs = [back for run in experiment.runs for back in run.readbacks if back.backend == backend]
    errors = [back.error for back in backs if back.error]
    if errors or not backs:
        why = errors[0] if errors else "the training script left no run"
        yield Finding(results, status=Status.FAILED, detail=why)
        yield Finding(points, status=Status.FAILED, detail=why)
        return
    same = [sum(reading.identical for reading in back.readings) for back in backs]
    total = [len(back.readings) for back in backs]
    detail = "; ".join(f"{run.name}: {good} of {all_} values" for run, good, all_ in zip(experiment.runs, same, total, strict=True))
    if sum(total):
        shares = [100 * good / all_ for good, all_ in zip(same, total, strict=True) if all_]
        yield Finding(results, 100 * sum(same) / sum(total), shares, detail)
    else:
        yield Finding(results, status=Status.FAILED, detail="the runs hold no results")
    wrong = [difference for back in backs for difference in back.differences]
    held = [float(back.points if back.verified else 0) for back in backs]
    yield Finding(points, sum(held), held, "; ".join(wrong[:3]) or f"{len(backs)} run{'s' if len(backs) > 1 else ''}, nothing differs")
