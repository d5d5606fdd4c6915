"""The client: its messages and archives, and the experiment on its server."""

from __future__ import annotations

import functools
import logging
import os
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from trackbridge.errors import Unavailable
from trackbridge_adapters import reach
from trackbridge_adapters.comet.layout import META

FLUSH_SECONDS, END_SECONDS = 60, 60.0
REFUSED = "; the server refuses the key: correct COMET_API_KEY, then `trackbridge sync`"
OFF: dict[str, Any] = dict.fromkeys(
    ("log_code", "log_graph", "log_env_details", "log_env_gpu", "log_env_host", "log_env_cpu", "log_git_metadata", "log_git_patch",
     "auto_param_logging", "auto_metric_logging", "auto_output_logging", "parse_args"), False
)  # fmt: skip
SETTINGS = {
    "COMET_DISABLE_ANNOUNCEMENT": "1",
    "COMET_ERROR_TRACKING_ENABLE": "false",
    "COMET_INTERNAL_REPORTING": "false",
    "COMET_LOGGING_CONSOLE": "ERROR",
    "COMET_GET_OR_ADD_EXPERIMENT_RETRY_TOTAL": "0",  # the forwarder asks again, and says why
    "COMET_FALLBACK_STREAMER_FALLBACK_TO_OFFLINE_MIN_BACKEND_VERSION": "999.0.0",  # the archive is ours
}


@functools.cache
def library() -> SimpleNamespace:
    """What we use of the client, imported when it is first needed."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    import comet_ml
    from comet_ml import config, messages, offline_utils
    from comet_ml.data_structure import Histogram

    return SimpleNamespace(
        **{name: item for name, item in vars(messages).items() if name.endswith("Message")},
        Experiment=comet_ml.Experiment,
        get_backend_address=config.get_backend_address,
        Histogram=Histogram,
        write_experiment_meta_file=offline_utils.write_experiment_meta_file,
        create_experiment_archive=offline_utils.create_experiment_archive,
    )


def meta(**about: Any) -> bytes:
    """The file that describes an archive, as the client writes it."""
    with TemporaryDirectory(prefix="trackbridge-") as scratch:
        library().write_experiment_meta_file(tempdir=scratch, user_provided_experiment_key=True, **about)
        return Path(scratch, META).read_bytes()


def pack(folder: Path, archive: Path) -> None:
    """Make `archive` of the files in `folder`; it is there whole or not at all."""
    partial = archive.with_name(f".{archive.stem}.part")
    _, place = library().create_experiment_archive(str(archive.parent), partial.name, str(folder), logging.getLogger(__name__))
    if place != str(archive.parent):  # the client goes elsewhere when it cannot write there
        raise PermissionError(f"{archive.parent} is not writable")
    os.replace(partial, archive)


class Errors(logging.Handler):
    """Keeps the last error that the client tells its log, where others raise one."""

    last = ""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.last = f"{type(error).__name__}: {error}" if error else record.getMessage()


def connect(key: str, project: str, workspace: str | None) -> Any:
    """The experiment on the server, made if it is not there. The client gives one up that it had in this process."""
    about = {"project_name": project or None, "workspace": workspace, "experiment_key": key, "enable_get_or_create_mode": True}
    make, errors = library().Experiment, Errors()
    reach.answers(library().get_backend_address())
    log = logging.getLogger("comet_ml")
    log.addHandler(errors)
    try:
        experiment = make(display_summary_level=0, disabled=False, **about, **OFF)
    except Exception as error:
        raise Unavailable(f"{type(error).__name__}: {error}") from error
    finally:
        log.removeHandler(errors)
    if not experiment.alive:  # the client raises nothing, and drops what it is given
        raise Unavailable(f"Comet did not take the experiment: {errors.last}" + REFUSED * ("status code 401" in errors.last))
    return experiment


def flush(experiment: Any) -> None:
    """Wait until the server has taken all."""
    if not experiment.flush(timeout=FLUSH_SECONDS):
        raise Unavailable(f"Comet has not taken everything within {FLUSH_SECONDS} s")


def end(experiment: Any) -> None:
    """End an experiment that was flushed; do not wait long for what the client itself still adds."""
    thread = threading.Thread(target=experiment.end, name="trackbridge-comet-end", daemon=True)
    thread.start()
    thread.join(END_SECONDS)
