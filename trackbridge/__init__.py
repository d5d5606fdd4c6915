"""Log once. Land in any tracker. Prove it arrived. Leave any time.

    import trackbridge

    trackbridge.init(project="mnist", config={"lr": 3e-3})
    trackbridge.log({"train/loss": 0.31}, step=7)
    report = trackbridge.finish()

The environment variable ``TRACKBRIDGE_BACKEND`` says where it goes: ``mlflow``, ``tensorboard:./tb``, ``wandb``, several separated by commas,
or nothing: then the journal alone keeps it, and ``trackbridge sync`` delivers it when you know where to.
"""

from typing import TYPE_CHECKING, Any

from trackbridge.errors import BackendError, JournalError, RunNotFound, SettingsError, TrackBridgeError
from trackbridge.report import Report
from trackbridge.run import Run
from trackbridge.session import current, define_metric, finish, init, log, log_artifact
from trackbridge.values import Audio, Figure, File, Histogram, Image, Table, Text, Video

if TYPE_CHECKING:
    from trackbridge.reading import read, runs

__version__ = "0.1.0"

__all__ = [
    "Audio",
    "BackendError",
    "Figure",
    "File",
    "Histogram",
    "Image",
    "JournalError",
    "Report",
    "Run",
    "RunNotFound",
    "SettingsError",
    "Table",
    "Text",
    "TrackBridgeError",
    "Video",
    "current",
    "define_metric",
    "finish",
    "init",
    "log",
    "log_artifact",
    "read",
    "runs",
]


def __getattr__(name: str) -> Any:
    """`read` and `runs` are imported at first use: training needs neither, and the import of this package has to stay cheap."""
    if name in ("read", "runs"):
        from trackbridge import reading

        return getattr(reading, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
