"""Finds out whether a request failed on this machine: no descriptor, port or memory left, or no network route.

Such a failure says nothing about Zoho and must not be recorded as Zoho's.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING, Final

import aiohttp

from poller.core.reply import Failure

if TYPE_CHECKING:
    from collections.abc import Mapping

_BY_ERRNO: Final[Mapping[int | None, Failure]] = {
    **dict.fromkeys(
        (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL, errno.EAGAIN),
        Failure.LOCAL_RESOURCES,
    ),
    **dict.fromkeys((errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTUNREACH), Failure.NO_ROUTE),
}
_OUT_OF_MEMORY: Final = frozenset({socket.EAI_MEMORY})


def local_failure(error: BaseException | None) -> Failure | None:
    """Why a request could not leave this machine; None if the cause is elsewhere."""
    while error is not None:
        if isinstance(error, (socket.gaierror, aiohttp.ClientConnectorDNSError)):
            # The C library reports "unknown name" also when it could not open a socket for the query.
            exhausted = getattr(error, "errno", None) in _OUT_OF_MEMORY or not _may_open_files()
            return Failure.LOCAL_RESOURCES if exhausted else None
        if isinstance(error, OSError) and (failure := _BY_ERRNO.get(error.errno)) is not None:
            return failure
        error = getattr(error, "os_error", None) or error.__cause__
    return None


def _may_open_files() -> bool:
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
