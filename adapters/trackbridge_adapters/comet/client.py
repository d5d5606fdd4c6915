"""The client: its messages and archives, and the experiment on its server."""

from __future__ import annotations

import functools
import logging
import os
import re
import shutil
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from trackbridge.errors import Unavailable
from trackbridge_adapters import reach
from trackbridge_adapters.comet.layout import META

FLUSH_SECONDS, END_SECONDS, GIVE_UP_SECONDS, POLL_SECONDS = 60.0, 60.0, 10.0, 0.02
OURS = 1 << 40
REFUSED = "; the server refuses the key: correct COMET_API_KEY, then `trackbridge sync`"
AWAY = re.compile(r"\bgot (401|403|408|429|5\d\d)\b")
"""In the client's words for a message that the server did not take: what may be otherwise later."""

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

    logger = logging.getLogger("comet_ml")
    for handler in logger.handlers:
        handler.setLevel(logging.CRITICAL)  # they write a key that was refused to our log
    logger.addHandler(_errors)
    return SimpleNamespace(
        **{name: item for name, item in vars(messages).items() if name.endswith("Message")},
        Experiment=comet_ml.Experiment,
        get_backend_address=config.get_backend_address,
        get_global_experiment=config.get_global_experiment,
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


def without_key(error: BaseException) -> str:
    """`error` in words. The client tells a key that it was refused whole."""
    text, key = f"{type(error).__name__}: {error}", getattr(error, "api_key", None)
    return text.replace(key, "...") if key else text


class Errors(logging.Handler):
    """Keeps what the client tells its log, where others raise an error: `last` of all, and `lost`, that a message was dropped in an outage."""

    last = lost = ""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.last = without_key(error) if error else record.getMessage()
        if isinstance(error, OSError) or AWAY.search(self.last):
            self.lost = self.last


_errors = Errors()


def connect(key: str, project: str, workspace: str | None) -> Any:
    """The experiment on the server, made if it is not there. One that a Writer dropped in this process is given up."""
    about = {"project_name": project or None, "workspace": workspace, "experiment_key": key, "enable_get_or_create_mode": True}
    reach.answers(library().get_backend_address())
    if former := library().get_global_experiment():
        give_up(former)
    _errors.last = _errors.lost = ""
    try:
        experiment = library().Experiment(display_summary_level=0, disabled=False, **about, **OFF)
    except Exception as error:
        raise Unavailable(without_key(error)) from error
    if not experiment.alive:  # the client raises nothing, and drops what it is given
        refused = "status code 401" in _errors.last or "InvalidAPIKey" in _errors.last
        raise Unavailable(f"Comet did not take the experiment: {_errors.last}" + REFUSED * refused)
    return experiment


def give_up(experiment: Any) -> None:
    """End `experiment` without what it has not sent yet, and take from it what the client would keep: threads, a database, folders."""
    streamer = experiment.streamer
    if streamer is not None:
        streamer.online_streamer._stop_message_queue_processing = True
        experiment._atexit_hook.disable()
    experiment._on_end(wait=False)
    if streamer is not None:
        for thread in (streamer, streamer.online_streamer):
            thread.join(GIVE_UP_SECONDS)
        streamer.online_streamer._file_upload_manager.shutdown()
        streamer.replay_manager.close()
    shutil.rmtree(experiment.tmpdir, ignore_errors=True)


class Online:
    """The experiment on the server. The client drops what it could not send, and its own flush says yes while a message is on its way: so each message
    that the server has taken is crossed off."""

    def __init__(self, key: str, project: str, workspace: str | None) -> None:
        self._experiment = connect(key, project, workspace)
        self._open: set[int] = set()
        self._streamer = (
            self._experiment.streamer.online_streamer
        )  # the other one, around it, numbers messages anew and keeps copies for an archive
        handler = self._streamer.message_handler
        one, several = handler.on_message_sent_callback, handler.on_messages_batch_sent_callback

        def one_is_over(number: int, taken: bool, *why: Any) -> None:
            self._over([number], taken, *why)
            one(number, taken, *why)

        def several_are_over(numbers: list[int], taken: bool, *why: Any) -> None:
            self._over(numbers, taken, *why)
            several(numbers, taken, *why)

        handler.on_message_sent_callback, handler.on_messages_batch_sent_callback = one_is_over, several_are_over

    def _over(self, numbers: list[int], taken: bool, away: bool = False, reason: str | None = None) -> None:
        if taken:
            self._open.difference_update(numbers)
        else:
            _errors.lost = str(reason)

    @property
    def url(self) -> str:
        return self._experiment.url or ""

    def put(self, message: Any) -> None:
        """Send `message`, some time."""
        message.message_id += OURS  # the client numbers its own ones too
        self._open.add(message.message_id)
        self._streamer.put_message_in_q(message)

    def add_tags(self, tags: list[str]) -> None:
        self._experiment.add_tags(tags)

    def flush(self) -> None:
        """Wait until the server has taken all, as long as it takes some: a message, or a part of a file."""
        before, until = None, 0.0
        while self._open and not _errors.lost:
            left = len(self._open), self._streamer._file_upload_manager.remaining_data()
            if left != before:
                before, until = left, time.monotonic() + FLUSH_SECONDS
            elif time.monotonic() > until:
                break
            self._experiment.flush(timeout=1)
            time.sleep(POLL_SECONDS)
        if self._open:
            raise Unavailable(
                f"Comet has not taken everything: {_errors.lost or _errors.last or f'it took nothing within {FLUSH_SECONDS:.0f} s'}"
            )

    def end(self) -> None:
        """End an experiment that was flushed; do not wait long for what the client itself still adds."""
        thread = threading.Thread(target=self._experiment.end, name="trackbridge-comet-end", daemon=True)
        thread.start()
        thread.join(END_SECONDS)
        shutil.rmtree(self._experiment.tmpdir, ignore_errors=True)
