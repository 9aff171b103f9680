"""Single requests for one org beside its polls, under the org's limits: for checks, org info and seats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from poller.core.model import Outcome
from poller.core.reply import NoReply, Reply, classify
from poller.core.reply_body import decode_object

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from poller.core.model import UserType
    from poller.core.reply import Classification
    from poller.core.secret import Secret
    from poller.zoho.limiter import OrgLimiter
    from poller.zoho.tokens import Tokens

MAX_WAIT_SECONDS: Final = 20.0
"""A request that would have to wait longer for the org's rate limit is not sent."""


@dataclass(frozen=True, slots=True)
class CheckPorts:
    """The I/O of these requests, as functions: `count` and `get` of the client, and the access tokens."""

    tokens: Tokens
    count: Callable[[str, str, UserType, Secret], Awaitable[Reply | NoReply]]
    get: Callable[[str, str, Secret], Awaitable[Reply | NoReply]]
    now: Callable[[], datetime]


async def send_limited(
    limiter: OrgLimiter, ports: CheckPorts, send: Callable[[], Awaitable[Reply | NoReply]]
) -> tuple[Reply | NoReply, Classification] | None:
    """Send one request under the org's limits: its reply and what the reply means; None if the org is held."""
    if await limiter.acquire(MAX_WAIT_SECONDS) > 0.0:
        return None
    try:
        reply = await send()
    finally:
        limiter.release()
    classification = classify(reply, ports.now())
    if classification.outcome is Outcome.THROTTLED:
        limiter.throttle(classification.wait_seconds)
    return reply, classification


def first_entry(reply: Reply | NoReply, key: str) -> dict[str, Any] | None:
    """The first object of the list `key` in a reply with status 200; None if there is none."""
    if isinstance(reply, NoReply) or reply.status != 200:
        return None
    document = decode_object(reply.body)
    entries = document.get(key) if isinstance(document, dict) else None
    return entries[0] if isinstance(entries, list) and entries and isinstance(entries[0], dict) else None
