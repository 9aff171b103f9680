"""The caller of a request, which the check of the API key sets, and pages and API read."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from poller.core.callers import Caller, Right

CALLER: Final = web.RequestKey("caller", Caller)
"""Set for every request but probes."""
THIS_MACHINE: Final = Caller("this machine", Right.OPERATE)
"""The caller without a key on loopback: a user who can connect may also run the commands."""
ENVIRONMENT: Final = Caller("environment", Right.READ)
"""The caller with the key of POLLER_API_KEY."""
