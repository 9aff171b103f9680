"""Checks whether a data centre can be reached and reads its clock, by a HEAD request without a credential.

Any status counts as reachable: a reply shows that TLS was verified and that a server speaks HTTP.
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
    """Probes all origins (such as `https://accounts.zoho.eu`) in parallel; the result of each."""
    async with asyncio.TaskGroup() as group:
        probes = {origin: group.create_task(_probe(client, origin)) for origin in origins}
    return {origin: task.result() for origin, task in probes.items()}


async def _probe(client: ZohoClient, origin: str) -> ProbeResult:
    started_at, clock = datetime.now(UTC), time.perf_counter()
    reply = await client.head(origin)
    seconds = time.perf_counter() - clock
    if isinstance(reply, NoReply):
        return ProbeResult(origin, None, reply.failure)
    theirs = _date(reply.headers.get("date"))
    if theirs is None:
        return ProbeResult(origin, reply.status, None)
    # The server wrote the date some time between request and reply, in whole seconds: take the middle of both.
    ahead = theirs + timedelta(seconds=0.5) - (started_at + timedelta(seconds=seconds / 2))
    return ProbeResult(origin, reply.status, None, ahead.total_seconds(), 0.5 + seconds / 2)


def _date(text: str | None) -> datetime | None:
    if text is None or len(text) > 64:
        return None
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
