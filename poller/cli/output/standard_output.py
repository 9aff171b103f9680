"""Standard output of every command: characters it cannot write, a full disk, and a reader that is gone."""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from typing import TYPE_CHECKING, Final

from poller.core.errors import OperationError, UsageError

if TYPE_CHECKING:
    from poller.core.errors import PollerError

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_STAND_INS: Final = dict(zip("·▁▂▃▄▅▆▇█…±━╺╸", ".12345678~ ---", strict=True))


def write_anything() -> None:
    """Lets standard output replace characters that its encoding lacks with `?`, instead of failing.

    The characters of sparklines and bars are replaced with ASCII characters of the same width.
    """

    def stand_in(error: UnicodeError) -> tuple[str, int]:
        if not isinstance(error, UnicodeEncodeError):
            raise error
        missing = error.object[error.start : error.end]
        return "".join(_STAND_INS.get(letter, "?") for letter in missing), error.end

    codecs.register_error("poller.stand_in", stand_in)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="poller.stand_in")


def trouble_with_output(cause: OSError) -> PollerError | None:
    """The error to report where writing the output failed; None for any other error."""
    if cause.errno in _FULL:
        return OperationError(cause.strerror or "no room", "make room, and run it again")
    if cause.errno != errno.EBADF:
        return None
    try:
        os.write(1, b"")
    except OSError:
        return UsageError("standard output cannot be written to", "open it for writing, and run it again")
    return None


def refuse_lost_output() -> None:
    """Raises an error where standard output is closed, so that the result was lost; the command itself is done."""
    if getattr(sys.stdout, "lost", False):
        raise OperationError("standard output is closed, and the answer is lost", "run it again with it open")


def forget_output() -> None:
    """Discards buffered output, which the interpreter would try to write at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
