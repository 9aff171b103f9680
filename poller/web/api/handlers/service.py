"""The service: its health."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.query.health import read_health
from poller.query.health_fields import health_fields
from poller.web.api.endpoint import Answer

if TYPE_CHECKING:
    from poller.web.api.endpoint import Call


async def health(call: Call) -> Answer:
    """How the polls of the last 24 hours went."""
    return Answer(health_fields(await read_health(call.reader, call.caller)))
