"""The client's own process: a run is opened in it, and what fails there is an outage."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from trackbridge.errors import Unavailable
from trackbridge.records import RunInfo
from trackbridge_adapters.wandb import layout
from trackbridge_adapters.wandb.layout import OWN, Held
from trackbridge_adapters.wandb.projection import LENGTHS, PROJECTS, TAG_LENGTH

CRASHED = 255
INIT_SECONDS = 20.0  # after which the server is taken to be away, where the client's own variable says nothing else
UPLOAD_SECONDS = 20.0  # likewise, when all that is left is to upload
POLL_SECONDS = 0.5
LOG_SECONDS = 0.02  # the client's process writes what it has so often, which bounds what `flush` waits

AGENT = ("WANDB_RUN_ID", "WANDB_SWEEP_ID", "WANDB_SWEEP_PARAM_PATH")
REFUSED = "; the server refuses the key: set WANDB_API_KEY or run `wandb login`, then `trackbridge sync`"

_live: dict[str, Any] = {}  # the client's runs of this process by id: it can open each only once


def start(folder: Path, run: RunInfo, project: str, held: Held, online: bool, options: dict[str, str]) -> Any:
    """Open the run in the client, described as in `run`, with the tags and the configuration that earlier fragments hold."""
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    if os.environ.get("WANDB_RUN_ID", run.id) != run.id:  # the client would take the id of the agent's run for that of this one
        for name in AGENT:
            os.environ.pop(name, None)
        forget()
    if (left := _live.pop(run.id, None)) is not None:  # a Writer that met an outage was given up
        try:
            finish(left, CRASHED)
        except Exception:
            forget()
    settings = wandb.Settings(
        mode="online" if online else "offline",
        console="off",
        disable_code=True,
        disable_git=True,
        init_timeout=float(os.environ.get("WANDB_INIT_TIMEOUT") or INIT_SECONDS),
        reinit="create_new",  # leave the run of the training process alone, if it has one
        save_code=False,
        silent=True,
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_history_value_encoding="json,typed",  # keeps -0.0, and floats from integers
        x_save_requirements=False,
        x_transaction_log_flush_interval=LOG_SECONDS,
        **{name: options[name] for name in ("base_url", "api_key") if options.get(name)},
    )
    text = {"project": project, "name": run.name, "group": run.group, "job_type": run.job_type}
    shown: dict[str, Any] = {
        name: (PROJECTS.encode(value) if name == "project" else value)[: LENGTHS[name]] for name, value in text.items() if value
    }
    whole = {OWN + name: value for name, value in text.items() if len(value) > LENGTHS[name]}
    if PROJECTS.shortened(project) or os.environ.get("WANDB_SWEEP_ID"):  # a sweep's runs lie in its project
        whole[OWN + "project"] = project
    hooks = sys.excepthook, sys.exit
    try:
        client = wandb.init(
            dir=str(folder),
            id=run.id,
            entity=options.get("entity"),
            notes=run.notes or None,
            tags=tags(run.tags if held.run is None else held.run.tags),
            resume="allow",
            settings=settings,
            **shown,
        )
    finally:
        sys.excepthook, sys.exit = hooks
    _live[run.id] = client
    client.config.update(held.config | whole)  # given to `init`, 1.0 would come out as 1
    return client


def rows(run: Any) -> Callable[[dict[str, Any]], None]:
    """What logs a row of scalars as ``run.log`` does, without looking into each value for charts and media, which is most of its work."""
    from wandb.proto.wandb_internal_pb2 import PartialHistoryRequest
    from wandb.sdk.interface.history_value import set_history_value

    publish = run._interface._publish_partial_history

    def log(row: dict[str, Any]) -> None:
        request = PartialHistoryRequest()
        add = request.item.add
        for name, value in row.items():
            if type(value) is float and value - value == 0.0:
                add(key=name, value_json=repr(value), number=value)
            else:
                set_history_value(add(key=name), value, json_form=True, typed_form=True)
        request.action.flush = True  # else the next row would be merged into this one
        publish(request)

    return log


def finish(run: Any, exit_code: int) -> None:
    """End the run, and wait until it is uploaded."""
    from wandb.proto.wandb_internal_pb2 import OperationStatsRequest, Record, Request

    async def operations() -> list[Any]:
        handle = await run._interface.deliver_async(Record(request=Request(operations=OperationStatsRequest())))
        return list((await handle.wait_async(timeout=POLL_SECONDS)).response.operations_response.operation_stats.operations)

    _watched(lambda: run.finish(exit_code=exit_code), operations)
    _live.pop(run.id, None)


def upload(logs: Sequence[Path], options: dict[str, str]) -> None:
    """What ``wandb sync`` does with the logs of a run, in their order; a log that is uploaded gets the client's mark or ours. Rows that the server has
    already are left out: the client puts what it uploads behind the server's last line, wherever the log begins."""
    import wandb
    from wandb.sdk.lib import wbauth

    client = wandb.setup()
    settings = client.settings
    for name in ("base_url", "api_key"):
        if options.get(name):
            setattr(settings, name, options[name])
    if not settings.api_key:
        wbauth.authenticate_session(host=settings.base_url, source="trackbridge", no_offline=True)
    service = client.ensure_service()
    nothing = dict.fromkeys(("entity", "project", "run_id", "job_type"), "")

    async def prepare() -> str:
        handle = await service.init_sync({part}, settings, cwd=None, live=False, tag_replacements={}, **nothing)
        return str((await handle.wait_async(timeout=INIT_SECONDS)).id)

    async def sync() -> Any:
        return await (await service.sync(task, parallelism=1)).wait_async(timeout=None)

    async def operations() -> list[Any]:
        status = await (await service.sync_status(task)).wait_async(timeout=POLL_SECONDS)
        return [operation for one in status.stats for operation in one.operations]

    held = layout.rows_until(logs, _last_line(logs, settings))
    for log, count in zip(logs, held, strict=True):
        if not layout.is_uploaded(log):
            with layout.rest(log, count) as part:
                task = client.asyncer.run(prepare)
                done = _watched(lambda: client.asyncer.run(sync), operations)
            if not layout.is_uploaded(log):
                raise Unavailable(" ".join(message.content for message in done.messages) or "the server refuses what the client held")


LAST_LINE = """query RunResumeStatus($project: String, $entity: String, $name: String!) {
  model(name: $project, entityName: $entity) { bucket(name: $name, missingOk: true) { historyTail } }
}"""


def _last_line(logs: Sequence[Path], settings: Any) -> dict[str, Any] | None:
    """The last line of the history of the run of these logs, as the server has it; None if it has none."""
    from wandb.apis.public.service_api import ServiceApi

    run = layout.held([layout.Fragment(log) for log in logs], rows=False).run
    if run is None:
        return None
    wanted = {"project": run.project, "entity": run.entity or None, "name": run.run_id}
    answer = ServiceApi(settings, timeout=INIT_SECONDS).execute_graphql(LAST_LINE, wanted)
    bucket = (answer.get("model") or {}).get("bucket") or {}
    tail = json.loads(bucket.get("historyTail") or "[]")
    return json.loads(tail[-1]) if tail else None


def _watched(work: Callable[[], Any], operations: Callable[[], Any]) -> Any:
    """What `work` returns. The client repeats for days what fails; where it does nothing else for some time, its process is ended: an outage."""
    import wandb

    failing = 0.0
    done = ThreadPoolExecutor(1).submit(work)
    while not wait([done], timeout=POLL_SECONDS).done:
        errors = []
        with contextlib.suppress(Exception):  # there is nothing to ask at the end
            errors = [one.error_status for one in wandb.setup().asyncer.run(operations)]
        failing = (failing or time.monotonic()) if errors and all(errors) else 0.0
        if failing and time.monotonic() - failing > UPLOAD_SECONDS:
            forget(kill=True)
            raise Unavailable(errors[0])
    return done.result()


def forget(kill: bool = False) -> None:
    """End the client's own process, which may be dead already or holds the run's id: the next `init` starts another."""
    import wandb

    if wandb.run is None:  # in the training process, the user's own run would end with it
        _live.clear()
        if kill and (service := wandb.setup()._connection) is not None and service._proc is not None:
            service._proc._process.kill()
        with contextlib.suppress(Exception, SystemExit):  # it exits with the code of its own process
            wandb.teardown(exit_code=CRASHED)


def tags(values: Sequence[str]) -> tuple[str, ...]:
    """Those as the server takes them."""
    return tuple(dict.fromkeys(tag[:TAG_LENGTH] for tag in values if tag))


@contextlib.contextmanager
def outage() -> Iterator[None]:
    """What the client or the disk cannot do now is an outage."""
    try:
        yield
    except OSError as error:
        raise Unavailable(str(error)) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] == "wandb":
            raise Unavailable(reason(f"{type(error).__name__}: {error}")) from error
        raise


def reason(text: str) -> str:
    """`text` on one line, with the remedy that the client does not tell."""
    return " ".join(text.split()) + REFUSED * (" 401" in text)
