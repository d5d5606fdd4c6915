"""The client: its classes of tasks and events, and a task on its server."""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from trackbridge.errors import Unavailable
from trackbridge_adapters import reach
from trackbridge_adapters.clearml.layout import DATA, OURS, TASK_ID

SECONDS = 90.0  # after which the server is taken to be away
LEAST_SPEED = 100_000.0  # bytes a second of an upload, below which it is taken to be away
RETRIES = {
    "api": {
        "http": {
            "retries": dict.fromkeys(("total", "connect", "read", "redirect", "status"), 2),
            "wait_on_maintenance_forever": False,
        }
    }
}
"""Else the client asks for hours, and says nothing."""

REFUSED = "; the server refuses the key: correct CLEARML_API_ACCESS_KEY and CLEARML_API_SECRET_KEY, then `trackbridge sync`"


@functools.cache
def library() -> SimpleNamespace:
    """What we use of the client, imported when it is first needed: the classes of the API's version that its offline mode writes. Without a version the
    client would ask the server for one."""
    os.environ.setdefault("CLEARML_LOG_LEVEL", "ERROR")
    from clearml.backend_api.services.v2_9 import events, tasks

    names = ("Task", "ParamsItem", "Execution", "Artifact", "Script")
    return SimpleNamespace(
        **{name: getattr(tasks, name) for name in names},
        **{name: getattr(events, name) for name in ("MetricsScalarEvent", "MetricsPlotEvent", "MetricsImageEvent")},
    )


class Online:
    """The task on the server. It gets what the client's import of a session would send, as it comes.

    Args:
        folder: of the session.
        about: the session's description of the task.
        known: id of the task, if it was made before.
        run_id: id of the run. That of a task which another has made, such as ClearML's agent, is this task's; what describes it stays as it is.
    """

    def __init__(self, folder: Path, about: dict[str, Any], known: str, run_id: str) -> None:
        self._folder, self._offline = folder, about["id"]
        self._uploaded: set[tuple[str, str]] = set()
        self._task, self._theirs = _bounded(lambda: self._begin(about, known, run_id))
        self.id: str = self._task.id
        self.url: str = self._task.get_output_log_web_page()

    def _begin(self, about: dict[str, Any], known: str, run_id: str) -> tuple[Any, dict[str, Any] | None]:
        """The task, and what it was before if another has made it."""
        from clearml import Task

        task = find(run_id)
        theirs = None if task is None else task.data.to_dict()
        if task is None:
            task = Task.get_task(task_id=known) if known else Task.import_task(about)
        if task is None:
            raise RuntimeError("the server did not take the task")
        task.mark_started(force=True)
        return task, theirs

    def send(self, events: list[dict[str, Any]], about: dict[str, Any] | None) -> tuple[int, str]:
        """Send `events` and their files, and describe the task anew, unless `about` is None; how many events the server refuses, and why."""
        places = {event["key"] for event in events if "key" in event} | set(self._local(about or {}).values())
        size = sum((self._folder / DATA / place).stat().st_size for place in places)
        refused: tuple[int, str] = _bounded(lambda: self._send(events, about), SECONDS + size / LEAST_SPEED)
        return refused

    def _local(self, about: dict[str, Any]) -> dict[str, str]:
        """The artifacts that are files of the session: their places by their addresses."""
        uris = [artifact["uri"] for artifact in about.get("execution", {}).get("artifacts", ())]
        head = f"{self._folder}/{DATA}/"
        return {uri: uri.removeprefix(head) for uri in uris if uri.startswith(head)}

    def _send(self, given: list[dict[str, Any]], about: dict[str, Any] | None) -> tuple[int, str]:
        from clearml.backend_api.services import events

        requests, refused = [], (0, "")
        for event in given:
            changed = event | {"task": self.id}
            if "key" in event:
                changed |= {"key": self._remote(event["key"]), "url": self._upload(event["key"])}
            requests.append(changed)
        if requests:
            result = self._task.session.send(events.AddBatchRequest(requests=requests))
            if not result.ok():
                raise RuntimeError("the server did not take the events")
            refused = result.response.errors or 0, str(result.response.errors_info or "")
        if about is not None:
            self._describe(about)
        return refused

    def _describe(self, about: dict[str, Any]) -> None:
        from clearml import Task

        local = self._local(about)
        for artifact in about["execution"]["artifacts"]:
            if artifact["uri"] in local:
                artifact["uri"] = self._upload(local[artifact["uri"]], artifact["hash"])
        about["hyperparams"].pop(OURS, None)
        if self._theirs is not None:
            about = added(self._theirs, about)
        if Task.import_task(about, target_task=self._task) is None:
            raise RuntimeError("the server did not take the description of the task")

    def _remote(self, place: str) -> str:
        return place.replace(f".{self._offline}/", f".{self.id}/", 1)

    def _upload(self, place: str, content: str = "") -> str:
        """Send a file of the session, if it has not been sent with this `content`; its address there."""
        from clearml import StorageManager

        url = f"{self._task._get_default_report_storage_uri().rstrip('/')}/{self._remote(place)}"
        if (place, content) not in self._uploaded:
            StorageManager.upload_file(local_file=str(self._folder / DATA / place), remote_url=url)
            self._uploaded.add((place, content))
        return url

    def close(self, status: str) -> None:
        ends = {"finished": self._task.mark_completed, "failed": self._task.mark_failed, "crashed": self._task.mark_stopped}
        _bounded(ends[status])


def _send(cls: Any, /, session: Any, req: Any, ignore_errors: bool = False, raise_on_errors: bool = True, **_: Any) -> Any:
    """In place of the client's own, which repeats what fails at once and for ever, as when the server refuses the key: the forwarder asks again."""
    from clearml.backend_interface.session import SendError

    result = session.send(req)
    if result.meta.result_code not in (200, 202) and raise_on_errors and not ignore_errors:
        raise SendError(result, f"{result.meta}")
    return result


def find(task_id: str) -> Any:
    """The task of this id on the server, or None."""
    from clearml import Task
    from clearml.backend_api import Session
    from clearml.backend_interface.base import InterfaceBase
    from clearml.config import config_obj

    config_obj.set_overrides(RETRIES)
    InterfaceBase._send = classmethod(_send)
    reach.answers(Session.get_api_server_host())
    Task.set_offline(offline_mode=False)
    there = TASK_ID.fullmatch(task_id) and Task.query_tasks(task_filter={"id": [task_id]})
    return Task.get_task(task_id=task_id) if there else None


def parameters(task_id: str) -> dict[str, str] | None:
    """The hyperparameters of the task of this id on the server, as section/name; None if there is none."""
    task = _bounded(lambda: find(task_id) or ())
    return dict(task.get_parameters()) if task else None


def added(theirs: dict[str, Any], ours: dict[str, Any]) -> dict[str, Any]:
    """A task that another has made, with what we hold of it."""
    made = {artifact["key"]: artifact for about in (theirs, ours) for artifact in (about.get("execution") or {}).get("artifacts") or ()}
    sections = theirs.get("hyperparams") or {}
    return theirs | {
        "tags": list(dict.fromkeys([*(theirs.get("tags") or ()), *ours["tags"]])),
        "comment": ours["comment"] or theirs.get("comment") or "",
        "hyperparams": sections | {name: (sections.get(name) or {}) | items for name, items in ours["hyperparams"].items()},
        "execution": (theirs.get("execution") or {}) | {"artifacts": list(made.values())},
    }


def _bounded(do: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """What `do` returns. Whatever fails in the client, or takes more than `seconds` there, is an outage."""
    result: list[Any] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            result.append(do())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name="trackbridge-clearml", daemon=True)
    thread.start()
    thread.join(seconds)
    if failed:
        if isinstance(failed[0], Unavailable):
            raise failed[0]
        text = f"{type(failed[0]).__name__}: {failed[0]}"[:500]
        raise Unavailable(text + REFUSED * ("error 401" in text)) from failed[0]
    if not result:
        raise Unavailable(f"ClearML's client did not answer within {seconds:.0f} s")
    return result[0]
