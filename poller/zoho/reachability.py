"""Whether a data centre can be reached from here, and what its clock says: a HEAD without any credential.

Any answer will do, whatever its status: what matters is that TLS was verified and that somebody speaks HTTP.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from poller.core.diagnosis import ProbeResult
from poller.core.reply import NoReply

if TYPE_CHECKING:
    from collections.abc import Iterable

    from poller.zoho.client import ZohoClient


async def is_reachable(client: ZohoClient, origins: Iterable[str]) -> dict[str, ProbeResult]:
    """What each origin (`https://accounts.zoho.eu`) answers, all asked side by side."""
    async with asyncio.TaskGroup() as group:
        asked = {origin: group.create_task(_ask(client, origin)) for origin in origins}
    return {origin: task.result() for origin, task in asked.items()}


async def _ask(client: ZohoClient, origin: str) -> ProbeResult:
    begun, clock = datetime.now(UTC), time.perf_counter()
    reply = await client.head(origin)
    seconds = time.perf_counter() - clock
    if isinstance(reply, NoReply):
        return ProbeResult(origin, None, reply.failure)
    theirs = _date(reply.headers.get("date"))
    if theirs is None:
        return ProbeResult(origin, reply.status, None)
    # It was written some time between question and answer, and tells whole seconds.
    ahead = theirs + timedelta(seconds=0.5) - (begun + timedelta(seconds=seconds / 2))
    return ProbeResult(origin, reply.status, None, ahead.total_seconds(), 0.5 + seconds / 2)


def _date(text: str | None) -> datetime | None:
    if text is None or len(text) > 64:
        return None
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
