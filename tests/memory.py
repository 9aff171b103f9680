"""A folder in memory for the files of a test run: there, a new PostgreSQL takes half of the time of a disk."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_MEMORY: Final = Path("/dev/shm")
_NAME: Final = "poller-tests-"
_NEEDED_BYTES: Final = 4 * 1024**3


@contextmanager
def files_in_memory() -> Iterator[None]:
    """Sets TMPDIR to a new folder in memory and removes it afterwards, unless TMPDIR is set or there is no room."""
    if "TMPDIR" in os.environ or not _is_usable():
        yield
        return
    _remove_abandoned()
    folder = _MEMORY / f"{_NAME}{os.getpid()}"
    folder.mkdir(mode=0o755, exist_ok=True)
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None
    try:
        yield
    finally:
        del os.environ["TMPDIR"]
        tempfile.tempdir = None
        shutil.rmtree(folder, ignore_errors=True)


def _is_usable() -> bool:
    """Whether there is room for the run, and programs may be started there."""
    if not os.access(_MEMORY, os.W_OK):
        return False
    found = os.statvfs(_MEMORY)
    return found.f_bavail * found.f_frsize >= _NEEDED_BYTES and not found.f_flag & os.ST_NOEXEC


def _remove_abandoned() -> None:
    """Removes the folders of runs that were killed."""
    for folder in _MEMORY.glob(f"{_NAME}*"):
        if not Path("/proc", folder.name.removeprefix(_NAME)).exists():
            shutil.rmtree(folder, ignore_errors=True)
