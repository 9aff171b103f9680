"""The caller of a request: the check of the key finds it, pages and API read it."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from poller.core.callers import Caller, Right

CALLER: Final = web.RequestKey("caller", Caller)
"""Set for every request but probes."""
THIS_MACHINE: Final = Caller("this machine", Right.OPERATE)
"""Where the service is open on loopback: whoever can connect may also run the commands."""
ENVIRONMENT: Final = Caller("environment", Right.READ)
"""Shows the key of POLLER_API_KEY."""
