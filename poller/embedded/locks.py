"""File locks that the kernel releases when their holder ends, even after `kill -9`.

There are three lock files beside the cluster:

    postgresql.users     shared by every process that uses the server; exclusive for the supervisor that stops it
    postgresql.start     held by a process that starts, joins or leaves the server: one at a time
    postgresql.keeper    held by the supervisor as long as it runs

The locks are `flock`s. They belong to the opened file, so a new supervisor inherits the lock with the descriptor.
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
    """One opened lock file; programs that this process starts do not inherit its descriptor."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fd = open_private(path, os.O_RDWR)

    def try_take(self, kind: int) -> bool:
        """Take the lock or change its kind, without waiting. After `False` this process holds no lock of the file."""
        try:
            fcntl.flock(self.fd, kind | fcntl.LOCK_NB)
        except OSError as refused:
            if refused.errno in {errno.EWOULDBLOCK, errno.EACCES}:
                return False
            raise
        return True

    def take(self, kind: int, max_wait: float) -> None:
        """Take the lock; waits up to `max_wait` seconds for another holder, then raises `EmbeddedError`."""
        end = time.monotonic() + max_wait
        while not self.try_take(kind):
            if time.monotonic() > end:
                raise EmbeddedError(
                    f"another process has held {self.path} for {max_wait:.0f} seconds",
                    "see whether a poller hangs there and end it",
                )
            time.sleep(PAUSE_SECONDS)

    def close(self) -> None:
        """Release the lock, unless another process has inherited its descriptor."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


@contextmanager
def locked(path: Path, kind: int, max_wait: float) -> Iterator[FileLock]:
    """Holds the lock of the file `path` for the duration of a `with` block."""
    lock = FileLock(path)
    try:
        lock.take(kind, max_wait)
        yield lock
    finally:
        lock.close()


def open_private(path: Path, flags: int) -> int:
    """Opens or creates a file that only its owner can read; root creates it for the owner of the folder.

    So the owner of a folder can still use it after root has used it once. An existing file keeps its owner, because it
    might be a link to another user's file.
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
