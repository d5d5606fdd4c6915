"""A small comparison with every status in it, and texts that try to be markup."""

from __future__ import annotations

from trackbridge_comparison.schema import Cell, Data, Experiment, ExperimentRun, Machine, Readback, Reading, Spec, Status, Way

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
