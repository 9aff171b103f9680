"""Replaces the cluster of a data folder by another one, only while neither is in use; the old one is kept beside it."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from poller.core.errors import EmbeddedError
from poller.embedded.locks import EXCLUSIVE, FileLock, locked

if TYPE_CHECKING:
    from collections.abc import Iterator

CLUSTER: Final = "postgresql"
_TEMPORARY: Final = ".restore-"
_MAX_WAIT_SECONDS: Final = 10.0
"""Long enough for a server that is shutting down."""


@contextmanager
def unused(data_dir: Path) -> Iterator[None]:
    """Holds the locks of a data folder, so that no other process can start or join its server.

    Raises `EmbeddedError` if a process uses the folder.
    """
    with ExitStack() as locks:
        for name in ("postgresql.start", "postgresql.users", "postgresql.keeper"):
            try:
                locks.enter_context(locked(data_dir / name, EXCLUSIVE, _MAX_WAIT_SECONDS))
            except EmbeddedError:
                what = f"the database in {data_dir} is in use by another poller"
                raise EmbeddedError(what, "stop `poller run` and every other poller there, and try again") from None
        yield


@contextmanager
def temporary_data_dir(data_dir: Path) -> Iterator[Path]:
    """A data folder inside another one, in which to create a cluster; removed at the end with its contents."""
    for abandoned in data_dir.glob(f"{_TEMPORARY}*"):
        if not _is_used(abandoned):  # left by a restore that was killed
            shutil.rmtree(abandoned, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=data_dir))
    try:
        if os.geteuid() == 0:
            owner = (data_dir / CLUSTER if (data_dir / CLUSTER).exists() else data_dir).stat()
            os.chown(folder, owner.st_uid, owner.st_gid)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def put_in_place(made: Path, data_dir: Path, suffix: str, also: tuple[str, ...] = ()) -> list[Path]:
    """Move the cluster, and the files `also`, from the data folder `made` into `data_dir`.

    The old cluster and files get `suffix` added to their names; returns their new paths. The caller must be inside
    `unused(data_dir)`.
    """
    renamed = []
    names = [*also, CLUSTER]
    for name in names:
        if (data_dir / name).exists():
            old = data_dir / f"{name}.{suffix}"
            (data_dir / name).rename(old)
            renamed.append(old)
    for name in names:
        (made / name).rename(data_dir / name)
    if os.geteuid() == 0:
        # The files beside the cluster belong to the owner of the data folder, not to the user that PostgreSQL runs as.
        owner = data_dir.stat()
        for name in also:
            os.chown(data_dir / name, owner.st_uid, owner.st_gid)
    handle = os.open(data_dir, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    return renamed


def _is_used(folder: Path) -> bool:
    lock = FileLock(folder / "postgresql.users")
    try:
        return not lock.try_take(EXCLUSIVE)
    finally:
        lock.close()
