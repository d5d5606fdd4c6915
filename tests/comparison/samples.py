"""Invented comparisons: a small one, one with everything that a report can hold, and texts that try to be markup."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import msgspec
from trackbridge_comparison.schema import (
    Cell,
    Change,
    Claim,
    Data,
    Experiment,
    ExperimentRun,
    Item,
    Kind,
    LectureCell,
    Machine,
    Part,
    Readback,
    Reading,
    Score,
    Spec,
    Status,
    Tool,
    Way,
)
from trackbridge_comparison.scores import weighted

HOSTILE = "</td></table><script>alert(1)</script><img src=x onerror=alert(2)> | `tick` ``` [a](http://x) **b** \n# head & \"q\" 'r' \\| $x$ {{ 7*7 }}"


def cell(
    id: str, unit: str = "us", value: float | None = 12.5, status: Status = Status.MEASURED, way: Way = Way.NATIVE, detail: str = ""
) -> Cell:
    spec = Spec(id, f"title of {id.split('/', 2)[2]}", unit, way)
    samples = [value - 1, value, value + 2] if value is not None else []
    return Cell(
        spec=spec,
        status=status,
        value=value,
        samples=samples,
        detail=detail,
        command=f"again --only {id}",
        versions={"client": "1.2"},
        time="2026-01-02",
        load=0.5,
    )


def reading(metric: str, logged: float = 12.5, native: float | None = None, **other: object) -> Reading:
    return Reading(
        metric=metric,
        logged=repr(logged),
        native=repr(logged if native is None else native),
        restored=repr(logged),
        sources=["series"],
        **other,
    )  # type: ignore[arg-type]


def comparison(text: str = "plain") -> Data:
    """Two backends, three axes, one experiment; `text` is every text that comes from outside."""
    cells = [
        cell("alpha/overhead/log_p50_burst", value=3.25),
        cell("beta/overhead/log_p50_burst", value=4321.0),
        cell("alpha/overhead/log_p50_burst_through", value=2.5, way=Way.THROUGH),
        cell("beta/overhead/log_p50_burst_through", value=2.75, way=Way.THROUGH),
        cell("alpha/durability/kept_after_kill", "%", 100.0),
        cell("beta/durability/kept_after_kill", "%", None, Status.FAILED, detail=text),
        cell("alpha/storage/bytes_per_point", "B", None, Status.UNSUPPORTED, detail=text),
        cell("beta/storage/bytes_per_point", "B", None, Status.NOT_RUN_QUICK, detail="no time"),
    ]
    never = Spec("beta/storage/files", "files of a run", "files")
    runs = [
        ExperimentRun(
            id="r1",
            name=text,
            dataset=text,
            status="finished",
            readbacks=[
                Readback(backend="alpha", readings=[reading("test/accuracy"), reading("mmd/texture", 31.0)], points=40, verified=True),
                Readback(
                    backend="beta",
                    readings=[reading("test/accuracy", native=12.500001), reading("mmd/texture", 31.0)],
                    points=40,
                    differences=[text],
                ),
            ],
        )
    ]
    return Data(
        command="python -m trackbridge.compare",
        backends=["alpha", "beta"],
        started="2026-01-02T03:04:05+00:00",
        machine=Machine(cpu=text, cores=2, memory=8 * 10**9),
        versions={"alpha": {"client": text}},
        axes={"overhead": "Overhead\nHow it is done.", "durability": "Durability\nKilled.", "storage": "Storage\nBytes."},
        planned=[*(one.spec for one in cells), never],
        cells=cells,
        experiments=[Experiment(name="bias", command=text, reproduce="again", seconds=3.0, time="2026-01-02", runs=runs)],
        natives={"alpha": f"import alpha\n{text}\n"},
    )


TOOLS = {
    "alpha": ("Alpha", "Alpha", Kind.STORE),
    "bravo": ("Bravo", "Bravo", Kind.STORE),
    "charlie": ("Charlie", "Charlie", Kind.STORE),
    "delta": ("Delta", "Delta", Kind.STORE),
    "echo": ("Echo", "", Kind.STORE),
    "foxtrot": ("Foxtrot", "Foxtrot", Kind.STORE),
    "golf": ("Golf", "Golf", Kind.SPOOL),
    "hotel": ("Hotel", "Hotel", Kind.SPOOL),
    "india": ("India", "", Kind.SPOOL),
    "juliett": ("Juliett", "Juliett", Kind.SPOOL),
    "kilo": ("Kilo", "Kilo", Kind.SPOOL),
    "lima": ("Lima", "Lima", Kind.EMULATED),
    "mike": ("Mike", "Mike", Kind.EMULATED),
    "november": ("November", "November", Kind.EMULATED),
    "oscar": ("Oscar", "", Kind.REFERENCE),
}
QUANTITIES = {
    "setup": {"packages": "packages", "megabytes": "MB", "install": "s", "first_metric": "s", "facts": "count"},
    "fidelity": {"ordinary": "%", "hostile": "%"},
    "durability": {"kept_after_kill": "%", "lost_seconds": "s", "lost_records": "records"},
    "overhead": {"log_p50_burst": "us", "log_p99_burst": "us", "log_p50_2ms": "us", "cpu_per_call": "us", "memory": "MB", "finish": "ms"},
    "storage": {"bytes_per_point": "B", "one_call_bytes": "B", "files_per_run": "files"},
    "scalability": {"write_1000": "ms", "write_10000": "ms", "write_exponent": "exponent", "list_100_runs": "ms", "visible": "s"},
    "outage": {"kept_after_outage": "%", "longest_call": "ms"},
    "exit": {"recoverable": "%", "export": "s"},
}
WAYS = {Way.NATIVE: "", Way.TUNED: "_tuned", Way.THROUGH: "_through"}
CRITERIA = (
    "open source",
    "platform and language agnostic",
    "experiment data storage",
    "easy to set up",
    "custom visualizations",
    "scalable",
)
VALUELESS = [status for status in Status if not status.has_value and status not in (Status.CITED, Status.ENDED)]
OVER = "juliett"
"""The tool whose service has ended."""


def everything(text: str = "plain", traits: int = 12) -> Data:
    """Fifteen invented tools, every axis, way, kind and status. The figures are random and say nothing; `text` is what comes from outside."""
    random = Random(1)
    cells = list(_cells(random, text))
    claims = [
        _claim(f"{name}/{topic}", text, days)
        for name in TOOLS
        for topic, days in (("client_licence", "2027-05-01"), ("hosting", "2026-02-01"))
    ]
    full = [
        msgspec.structs.replace(cell(one.spec.id, one.spec.unit, 77.5, way=one.spec.way), time="2025-12-24T05:06:07Z")
        for one in cells
        if one.status in (Status.NOT_RUN_QUICK, Status.NOT_RUN_FULL)
    ]
    never = Spec("kilo/exit/never", "never reached", "s")
    data = Data(
        command="python -m trackbridge.compare",
        state="finished",
        backends=list(TOOLS),
        started="2026-03-04T05:06:07Z",
        updated="2026-03-04T06:07:08Z",
        machine=Machine(
            cpu=text, cores=2, memory=8 * 10**9, system="Linux", file_system="ext4", python="CPython 3.11", trackbridge="0.1.0"
        ),
        versions={name: {f"{name}-client": "1.2.3"} for name in TOOLS},
        axes={axis: f"{axis.capitalize()}\nHow {axis} is measured." for axis in QUANTITIES},
        planned=[*(one.spec for one in cells), never],
        cells=cells,
        experiments=[_experiment(name, text) for name in ("bias", "efficientnet-adam")],
        natives={name: f"import {name}\n# {text}\n" for name in TOOLS},
        tools=[
            Tool(
                backend=name,
                title=title,
                lecture=lecture,
                kind=kind,
                mode=f"mode of {name}",
                facts={"key": [text]} if kind is Kind.SPOOL else {},
                account=[text],
            )
            for name, (title, lecture, kind) in TOOLS.items()
        ],
        items=[_item(name, index, text) for index in range(traits) for name in TOOLS],
        claims=claims,
        lecture=[_lecture(name, index, criterion, text) for name in TOOLS for index, criterion in enumerate(CRITERIA)],
        scores=[_score(random, name, way) for name in TOOLS for way in WAYS if TOOLS[name][2] is not Kind.EMULATED],
        weights={
            "equal": dict.fromkeys(QUANTITIES, 1.0),
            "authors": dict(zip(QUANTITIES, (10.0, 25.0, 20.0, 15.0, 10.0, 15.0, 2.5, 2.5), strict=True)),
        },
        earlier=full,
        baseline="2026-01-02T03:04:05Z",
        changes=[
            Change(id="alpha/overhead/log_p50_burst", old=10.0, new=20.0, ratio=2.0, low=1.8, high=2.2, p=0.0006, verdict="changed"),
            Change(id="bravo/setup/packages", old=None, new=3.0, ratio=None, low=None, high=None, p=None, verdict="new"),
            Change(id=f"charlie/{text.replace('/', '')}/x", old=1.0, new=None, ratio=None, low=None, high=None, p=None, verdict="gone"),
            Change(id="delta/setup/packages", old=3.0, new=3.0, ratio=1.0, low=1.0, high=1.0, p=1.0, verdict="not changed"),
        ],
    )
    return rank(data)


def few(data: Data, *names: str) -> Data:
    """`data` of these tools alone."""
    data.backends = list(names)
    data.tools = [tool for tool in data.tools if tool.backend in names]
    data.cells = [one for one in data.cells if one.spec.backend in names]
    data.planned = [spec for spec in data.planned if spec.backend in names]
    data.earlier = [one for one in data.earlier if one.spec.backend in names]
    data.items = [item for item in data.items if item.backend in names]
    data.lecture = [one for one in data.lecture if one.backend in names]
    data.claims = [claim for claim in data.claims if claim.id.split("/")[0] in names]
    data.scores = [score for score in data.scores if score.backend in names]
    for experiment in data.experiments:
        for index, run in enumerate(experiment.runs):
            backs = [back for back in run.readbacks if back.backend in names]
            experiment.runs[index] = msgspec.structs.replace(run, readbacks=backs)
    return data


def _cells(random: Random, text: str) -> Iterator[Cell]:
    for index, (name, (_, _, kind)) in enumerate(TOOLS.items()):
        for axis, quantities in QUANTITIES.items():
            for quantity, unit in quantities.items():
                for way, suffix in WAYS.items():
                    spec = Spec(f"{name}/{axis}/{quantity}{suffix}", f"{axis}: {quantity}", unit, way)
                    value = random.uniform(60, 100) if unit == "%" else random.lognormvariate(3, 2)
                    samples = [*sorted(value * random.uniform(0.95, 1.0) for _ in range(6)), value]
                    status = {Kind.SPOOL: Status.OFFLINE, Kind.EMULATED: Status.EMULATED}.get(kind, Status.MEASURED)
                    if axis == "exit" and way is Way.NATIVE:
                        status = VALUELESS[index % len(VALUELESS)]
                    status = Status.ENDED if name == OVER and axis == "outage" else status
                    measured = status.has_value
                    yield Cell(
                        spec=spec,
                        status=status,
                        value=value if measured else None,
                        samples=samples if measured else [],
                        detail=text,
                        command=f"python -m trackbridge.compare --only {spec.id}",
                        versions={f"{name}-client": "1.2.3"},
                        time="2026-03-04T05:06:07Z",
                        seconds=1.5,
                        load=0.5,
                        log=f"logs/{name}.txt",
                        lock=f"locks/{name}.txt",
                    )
    yield cell("alpha/overhead/control_aa", "ratio", 1.01, way=Way.CONTROL)


def _claim(id: str, text: str, expires: str) -> Claim:
    return Claim(id=id, value=f"{id} {text}", source="https://example.org/evidence", quote=text, found="2025-11-01", expires=expires)


def _lecture(name: str, index: int, criterion: str, text: str) -> LectureCell:
    status = Status.ENDED if name == OVER else [Status.CITED, Status.MEASURED, *VALUELESS][(index + len(name)) % (2 + len(VALUELESS))]
    evidence = [
        f"{name}/client_licence",
        f"{name}/overhead/log_p50_burst",
        *([f"{name}/hosting"] if criterion == "experiment data storage" else []),
    ]
    return LectureCell(
        backend=name, criterion=criterion, then=("yes", "no", "not legible", "??")[index % 4], value=text, status=status, evidence=evidence
    )


def _item(name: str, index: int, text: str) -> Item:
    exact, restored, reason = [(True, True, ""), (False, True, "float32"), (False, False, "no such type"), (False, False, "")][
        (index + len(name)) % 4
    ]
    return Item(
        backend=name, trait=f"trait {index}", ordinary=index < 4, written=f"written {text}", native=f"{'written' if exact else 'native'} {text}",
        restored=f"{'written' if restored else 'restored'} {text}",
        exact=exact, exact_restored=restored, reason=reason,
    )  # fmt: skip


def _experiment(name: str, text: str) -> Experiment:
    metrics = ["test/accuracy", "mmd/texture", "iosm/texture/majority", "iosm/texture/minority"]
    backs = [
        Readback(
            backend=tool, readings=[reading(metric, 10.0 * place + 0.1) for place, metric in enumerate(metrics)], points=40, verified=True
        )
        for tool in TOOLS
    ]
    differs = msgspec.structs.replace(
        backs[0], readings=[reading(metrics[0], 0.1, native=0.25), *backs[0].readings[1:]], differences=[text]
    )
    unread = Readback(backend="bravo", error=text)
    run = ExperimentRun(id=f"{name}-1", name=f"{name} {text}", dataset=text, status="finished", readbacks=[differs, unread, *backs[2:]])
    return Experiment(
        name=name,
        command=text,
        reproduce="again",
        seconds=3.0,
        time="2026-01-02",
        runs=[run, msgspec.structs.replace(run, id="2", name="run two")],
    )


def _score(random: Random, name: str, way: Way) -> Score:
    measured = {axis: random.uniform(0.3, 1.0) for axis in QUANTITIES}
    axes = {
        axis: None if axis == "exit" or (name == "foxtrot" and axis in ("setup", "outage")) else value for axis, value in measured.items()
    }
    parts = [
        Part(axis=axis, quantity=quantity, value=12.5, good=None if (name, quantity) == ("golf", "first_metric") else axes[axis])
        for axis, quantities in QUANTITIES.items()
        for quantity in quantities
    ]
    row = Score(backend=name, kind=TOOLS[name][2], way=way, parts=parts, axes=axes, coverage=0.0, total=None, first=0.25, wins=0.25)
    coverage, total = weighted(row, dict.fromkeys(axes, 1.0))
    low, high = (None, None) if total is None else (total - 0.02, total + 0.02)
    return msgspec.structs.replace(row, coverage=coverage, total=total, low=low, high=high)


def rank(data: Data) -> Data:
    """`data` with the ranks of the native rows, in the order of their totals."""
    for kind in (Kind.STORE, Kind.SPOOL):
        rows = sorted(
            (row for row in data.scores if row.kind is kind and row.way is Way.NATIVE and row.total), key=lambda row: -(row.total or 0.0)
        )
        ranks = {row.backend: place for place, row in enumerate(rows, 1)}
        data.scores = [
            msgspec.structs.replace(row, rank=ranks.get(row.backend)) if row.kind is kind and row.way is Way.NATIVE else row
            for row in data.scores
        ]
    return data
