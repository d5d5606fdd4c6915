"""One daemon thread per process that syncs journals to the disk, writes heartbeats and watches the free space."""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from pathlib import Path

from trackbridge.journal.writer import ShardWriter
from trackbridge.records import Heartbeat

INTERVAL = 0.5
NETWORK_INTERVAL = 30.0
HEARTBEAT = 10.0
FREE_SHARE = 0.05
MOST_FREE = 64 * 1024**3
"""Points are refused while less than this share of the disk is free, or less than so many bytes on a disk of more than 1.25 TiB: a logger must not fill
the disk that checkpoints need, and a cluster's file system that is 96 % full is not full."""

_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "ceph", "fuse.sshfs", "9p", "panfs", "afs")


class SyncThread:
    """Syncs every registered writer; starts at the first one. A forked child has none until it registers its own writer."""

    def __init__(self) -> None:
        self._writers: weakref.WeakSet[ShardWriter] = weakref.WeakSet()
        self._thread: threading.Thread | None = None
        self._lock = threading.RLock()  # a signal handler may begin or end a run

    def add(self, writer: ShardWriter) -> None:
        with self._lock:
            self._writers.add(writer)
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="trackbridge-sync", daemon=True)
                self._thread.start()

    def forget(self, writer: ShardWriter) -> None:
        with self._lock:
            self._writers.discard(writer)

    def _loop(self) -> None:
        beat = synced = time.monotonic()
        while True:
            time.sleep(INTERVAL)
            now = time.monotonic()
            alive, beat = now - beat >= HEARTBEAT, now if now - beat >= HEARTBEAT else beat
            slow_due, synced = now - synced >= NETWORK_INTERVAL, now if now - synced >= NETWORK_INTERVAL else synced
            with self._lock:
                writers = list(self._writers)
            for writer in writers:
                writer.set_room(room(writer.directory))
                if alive:
                    writer.append([Heartbeat(time.time_ns())], vital=True)
                if slow_due or not writer.on_network:
                    writer.sync()
            del writers


def room(directory: Path) -> int:
    """Bytes of the disk of `directory` that may be used before only the share is left that belongs to others."""
    import shutil

    try:
        usage = shutil.disk_usage(directory)
    except OSError:
        return sys.maxsize
    return usage.free - min(int(FREE_SHARE * usage.total), MOST_FREE)


def on_network(directory: Path) -> bool:
    """Whether `directory` lies on a network file system, where syncing twice a second would be dear. False where the system does not tell."""
    try:
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return False
    path, best, kind = os.path.realpath(directory), "", ""
    for line in mounts:
        left, _, right = line.partition(" - ")
        mount = left.split()[4].replace("\\040", " ")
        if (path == mount or path.startswith(mount.rstrip("/") + "/")) and len(mount) >= len(best):
            best, kind = mount, right.split()[0]
    return kind in _NETWORK


thread = SyncThread()


def _renew() -> None:
    global thread
    thread = SyncThread()


os.register_at_fork(after_in_child=_renew)
