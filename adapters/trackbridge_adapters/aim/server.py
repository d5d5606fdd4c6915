"""Aim's remote tracking server: a repository that is written and read through the client's own requests."""

from __future__ import annotations

import contextlib
import random
import struct
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from trackbridge.adapters import Place
from trackbridge.errors import Unavailable
from trackbridge.projection import Projection, seconds
from trackbridge.records import RunInfo
from trackbridge_adapters.aim.folder import QUIET, Batch, refused
from trackbridge_adapters.aim.layout import OURS, SERVER

LARGEST = 15 << 20
"""Bytes of a message: the server closes the connection at 16 MiB."""

PART = 1 << 20
"""Bytes of a part of the sidecar."""

VALUES = 2000
"""Values of a message: the server takes as many in half a second, in which it does nothing else."""

SECONDS = 60.0
"""After which a server that does not answer is away."""


class Bounded:
    """The module `requests`, whose calls end: Aim's client gives most of its own no limit."""

    def __init__(self, requests: Any) -> None:
        self._requests = requests

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._requests, name)
        return partial(found, timeout=SECONDS) if name in ("get", "post") else found


class UpdateBatch:
    """Values in as few messages as the server takes."""

    def __init__(self, aim: Any) -> None:
        self._repo, self._hash = aim.repo, aim.hash
        self._series: Any = aim.repo.request_tree("seqs", aim.hash, read_only=False)
        self._values: dict[tuple[Any, ...], list[tuple[int, Any]]] = {}
        self._count = 0

    def put(self, place: int, held: Iterable[tuple[Any, Any]]) -> None:
        for view, value in held:
            self._values.setdefault(view.tree.prefix, []).append((place, value))
            self._count += 1
        if self._count >= VALUES:
            self.commit()

    def commit(self) -> None:
        if self._values:
            with self._repo.atomic_track(self._hash):
                for prefix, values in self._values.items():
                    self._series.update(prefix, values)
            self._values, self._count = {}, 0


class Server:
    projection: ClassVar[Projection] = SERVER
    local: ClassVar[bool] = False

    def __init__(self, url: str) -> None:
        self._url = url

    def __str__(self) -> str:
        return self._url

    def place(self, hash: str) -> Place:
        return Place(hash, self._url, mode="online", hint="run  aim up  on its repository to see it")

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        with refused(str(self), OSError, RuntimeError, modules=("requests", "websockets")):
            yield

    def opened(self, hash: str, run: RunInfo) -> Any:
        repo = connected(self._url)
        from aim import Run

        repo.run_exists = lambda hash: True  # so that the run is made with this hash
        repo.request_props(hash, read_only=False, created_at=datetime.fromtimestamp(seconds(run.start), UTC))
        with preloaded():
            found = Run(hash, repo=repo, force_resume=True, **QUIET)  # the lock of a process that was killed would stand for minutes
        found._resources.finalizer.detach()  # a process that ends does not end the run
        return found

    def batch(self, aim: Any) -> Batch:
        return UpdateBatch(aim)

    def index(self, aim: Any) -> bool:
        """On the server's side: by itself it indexes nothing."""
        aim.meta_run_tree.finalize(aim.repo._get_index_tree("meta", 0).view(()))
        return True

    def release(self, aim: Any) -> None:
        with contextlib.suppress(Exception):
            aim._heartbeat.stop()
            aim._checkins.close()
            aim._lock.release()
        disconnect(aim.repo)

    def put(self, aim: Any, name: str, source: Path) -> None:
        raise NotImplementedError  # the projection leaves no file

    def attach(self, aim: Any, sidecar: Path) -> None:
        """Beside the run's sequences, where no query looks."""
        tree, data = aim.repo.request_tree("seqs", aim.hash, read_only=False), sidecar.read_bytes()
        del tree[OURS]
        for number, first in enumerate(range(0, len(data), PART)):
            tree[OURS, number] = data[first : first + PART]

    @contextlib.contextmanager
    def repository(self) -> Iterator[Any]:
        """The server keeps what it opened for a reader, as it was then, for as long as it takes any client to be there that asked for the same path,
        which one that was killed is for minutes: each reading has its own spelling of the path."""
        repo, spelling = connected(self._url), "/." * random.randrange(1, 1000)
        request = repo.request_tree
        repo.request_tree = lambda name, sub=None, *, read_only: request(name + spelling, sub, read_only=read_only)
        try:
            yield repo
        finally:
            disconnect(repo)

    def file(self, aim: Any, name: str) -> Path | None:
        return None

    def sidecar(self, aim: Any) -> bytes | None:
        parts = aim.repo.request_tree("seqs", aim.hash, read_only=True).get(OURS)
        return None if parts is None else b"".join(parts[number] for number in sorted(parts))


class Told:
    """A tree that was read at once."""

    def __init__(self, tree: Any) -> None:
        self._tree = tree

    def __getitem__(self, path: Any) -> Any:
        found = self._tree
        for part in path if isinstance(path, tuple) else (path,):
            found = found[part]
        return found

    def get(self, path: Any, default: Any) -> Any:
        try:
            return self[path]
        except KeyError:
            return default


@contextlib.contextmanager
def preloaded() -> Iterator[None]:
    """Runs that are opened meanwhile read the description of their sequences at once, and not in six requests for each."""
    from aim.sdk.tracker import RunTracker

    preload = RunTracker._preload_sequence_infos

    def at_once(tracker: Any) -> None:
        tree = tracker.meta_run_tree
        tracker.meta_run_tree = Told({"traces": tree.get("traces", {})})
        preload(tracker)
        tracker.meta_run_tree = tree

    RunTracker._preload_sequence_infos = at_once
    try:
        yield
    finally:
        RunTracker._preload_sequence_infos = preload


def connected(url: str) -> Any:
    """Aim's repository at `url`, whose client speaks when it is told to, in the thread that tells it: its own queue waits for ever when the server
    is gone, and tells nobody what was refused. What the network refuses is Unavailable."""
    from aim import Repo
    from aim.ext.transport import client as transport

    if not isinstance(transport.requests, Bounded):
        transport.requests = Bounded(transport.requests)
    repo = Repo(url)
    client = repo._client
    repo._resources.finalizer.detach()
    client._queue.register_task = lambda client, task, instructions: task(instructions)
    client._queue.wait_for_finish = lambda: None
    ask, get, release = client._run_read_instructions, client.get_resource_handler, client.release_resource
    client.lost = False

    def tell(instructions: list[tuple[bytes, Any]]) -> None:
        from aim.ext.transport.message_utils import decode_tree, pack_args, raise_exception, unpack_args

        message = pack_args(iter(instructions))
        if len(message) > LARGEST:
            raise ValueError(f"a value of {len(message)} bytes is more than Aim's server takes in a message")
        client.ws.send(message)
        answer = client.ws.recv(timeout=SECONDS)
        if answer != b"OK":
            raise_exception(decode_tree(unpack_args(answer)))

    def guarded(work: Any) -> Any:
        from aim.ext.transport.tracking import UnauthorizedRequestError
        from websockets.exceptions import WebSocketException

        def call(*arguments: Any, **named: Any) -> Any:
            try:
                return work(*arguments, **named)
            except (OSError, WebSocketException, UnauthorizedRequestError, struct.error) as error:
                client.lost = True
                raise Unavailable(f"{url}: {type(error).__name__}: {str(error)[:300]}") from error

        return call

    def released(queue: Any, handler: str) -> None:
        with contextlib.suppress(Exception):
            if not client.lost:
                release(queue, handler)

    @contextlib.contextmanager
    def together(hash: str) -> Iterator[None]:
        """Instructions in one message. Aim's own keeps them for later when one fails."""
        client.start_instructions_batch(hash)
        try:
            yield
        except BaseException:
            client._thread_local.atomic_instructions.pop(hash)
            raise
        client.flush_instructions_batch(hash)

    client._run_write_instructions, client._run_read_instructions = guarded(tell), guarded(ask)
    client.get_resource_handler, client.release_resource = guarded(get), released
    repo.atomic_track = together
    return repo


def disconnect(repo: Any) -> None:
    """Let go of everything at the server, which keeps what was opened as it was then, and end the client's threads."""
    client = repo._client
    for resource in list(client._resource_pool.values()):
        resource._resources.close()
    client._heartbeat_sender._shutdown = client._queue._shutdown = True
    client._queue._queue.put((bool, ((),)))
    with contextlib.suppress(Exception):
        if client._ws is not None:
            client._ws.close()
