"""The caller of a request, which the check of the API key sets, and pages and API read."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from poller.admin.writer import Writer
from poller.core.callers import Caller

WRITER: Final = web.AppKey("writer", Writer)
"""The database that writes go to. It is not set where nothing may be changed."""
CALLER: Final = web.RequestKey("caller", Caller)
"""Set for every request but those to probes, static files and the log-in."""
