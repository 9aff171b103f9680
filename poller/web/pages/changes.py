"""What every page that changes something asks first: whether this caller may, and whether this process can."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.web.callers import CALLER, WRITER
from poller.web.refusals import unavailable

if TYPE_CHECKING:
    from aiohttp import web

    from poller.admin.writer import Writer


def may_change(request: web.Request) -> bool:
    """Whether the page shows its buttons and forms."""
    return request[CALLER].may_operate and WRITER in request.app


def writer_of(request: web.Request) -> Writer:
    """The writer; a 503 `Problem` where this process changes nothing."""
    writer = request.app.get(WRITER)
    if writer is None:
        raise unavailable("this process changes nothing", "use the pages of `poller run` or `poller web`")
    return writer
