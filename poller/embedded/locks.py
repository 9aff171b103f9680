"""Locks the kernel drops when their holder ends, `kill -9` included.

Three files beside the cluster carry one lock each:

    postgresql.users     shared by every process that uses the server; exclusive: its keeper, ending it
    postgresql.start     held by whoever starts, joins or leaves, so that these happen one after the other
    postgresql.keeper    held by the keeper for as long as it lives

They are `flock`s: they belong to the opened file, so a keeper is born holding the one it was handed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from poller.core.errors import EmbeddedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHARED: Final = fcntl.LOCK_SH
EXCLUSIVE: Final = fcntl.LOCK_EX
PAUSE_SECONDS: Final = 0.01


class FileLock:
    """One opened lock file; the descriptor is closed in programs this process starts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = open_private(path, os.O_RDWR)

    def try_take(self, kind: int) -> bool:
        """Take the lock or change its kind, without waiting; on `False` nothing is held any more."""
        try:
            fcntl.flock(self.fd, kind | fcntl.LOCK_NB)
        except OSError as refused:
            if refused.errno in {errno.EWOULDBLOCK, errno.EACCES}:
                return False
            raise
        return True

    def take(self, kind: int, patience_seconds: float) -> None:
        """Take the lock, waiting for whoever holds it."""
        end = time.monotonic() + patience_seconds
        while not self.try_take(kind):
            if time.monotonic() > end:
                raise EmbeddedError(
                    f"another process has held {self.path} for {patience_seconds:.0f} seconds",
                    "see whether a poller hangs there and end it",
                )
            time.sleep(PAUSE_SECONDS)

    def close(self) -> None:
        """Let go of the lock, unless its descriptor was handed to another process as well."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


@contextmanager
def held(path: Path, kind: int, patience_seconds: float) -> Iterator[FileLock]:
    """The lock of `path`, held for the length of a `with` block."""
    lock = FileLock(path)
    try:
        lock.take(kind, patience_seconds)
        yield lock
    finally:
        lock.close()


def open_private(path: Path, flags: int) -> int:
    """Open or make a file only its owner can read; made by root it belongs to the owner of its folder.

    So a folder of somebody's stays theirs to use after root has used it once. What was there already keeps its owner:
    it might be a link to something else.
    """
    flags |= os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        fd = os.open(path, flags | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _open_no_link(path, flags)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.fchown(fd, owner.st_uid, owner.st_gid)
    return fd


def _open_no_link(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags)
    except OSError as refused:
        if refused.errno not in {errno.ELOOP, errno.EMLINK}:
            raise
        raise EmbeddedError(f"{path} is a link, and may lead to another user's file", "remove it") from None
