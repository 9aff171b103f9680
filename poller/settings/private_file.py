"""Reads a file only if no other user can have written it, because it decides where credentials are sent.

Refuses a file of another user (except root) and a file that its group or others may write. Another user may have
written such a file, so the remedy is to read it first. Checks the owner and mode of the opened file, so that another
user cannot replace the file between check and read.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from poller.core.errors import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

LARGEST_BYTES: Final = 1_000_000
_WRITABLE: Final = stat.S_IWGRP | stat.S_IWOTH


def read_private(path: Path, what: str) -> str:
    """Returns the text of `path`, which errors call `what`."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            text = file.read(LARGEST_BYTES + 1).decode("utf-8-sig")
    except OSError as wrong:
        remedy = "correct its name" if isinstance(wrong, FileNotFoundError) else "make it a readable file"
        raise SettingsError(f"{what} {path} cannot be read: {wrong.strerror}", remedy) from wrong
    except UnicodeDecodeError as wrong:
        raise SettingsError(f"{what} {path} cannot be read: it is not UTF-8", "write it as UTF-8 text") from wrong
    if status.st_uid not in {os.geteuid(), 0}:
        me = os.geteuid()
        raise SettingsError(
            f"{what} {path} belongs to another user (id {status.st_uid})",
            f"read it; if it is yours, chown {me} '{path}'",
        )
    if stat.S_ISREG(status.st_mode) and status.st_mode & _WRITABLE:
        raise SettingsError(
            f"{what} {path} can be written by others", f"read it; if everything in it is yours, chmod go-w '{path}'"
        )
    if len(text) > LARGEST_BYTES:
        raise SettingsError(f"{what} {path} is larger than {LARGEST_BYTES:,} bytes", "name another file")
    return text
