"""The I/O that a poll needs, as functions, so that tests can pass their own."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from poller.core.model import Org, UserType
from poller.core.reply import NoReply, Reply
from poller.core.secret import Secret

if TYPE_CHECKING:
    from datetime import datetime

    from poller.core.poll_result import CountRefusal
    from poller.core.reply import Classification
    from poller.core.token import AccessToken, StoredToken
    from poller.zoho.limiter import OrgLimiter
    from poller.zoho.org_info import OrgInfo
    from poller.zoho.seats import SeatCount, SeatRefusal
    from poller.zoho.tokens import NoToken

RequestCount = Callable[[str, str, UserType, Secret], Awaitable[Reply | NoReply]]
"""`request_count(api_domain, version, user_type, token)`: one request for a count."""
GetToken = Callable[[Org, "StoredToken | None"], Awaitable["AccessToken | NoToken"]]
"""`get_token(org, known)`: a token; `known` is the token the store had when the org was read."""
RenewToken = Callable[[Org, "AccessToken"], Awaitable["AccessToken | NoToken"]]
"""`renew_token(org, rejected)`: another token than the one that Zoho called invalid."""


def _ignore(_reply: Reply | NoReply, _classification: Classification) -> None:
    pass


@dataclass(frozen=True, slots=True)
class PollPorts:
    """What a poll calls: Zoho, the clock and chance."""

    request_count: RequestCount
    get_token: GetToken
    renew_token: RenewToken
    set_token_expiry: Callable[[Org, AccessToken, datetime], Awaitable[None]]
    """`set_token_expiry(org, token, ends_at)`: Zoho said when a token ends."""
    fetch_org_info: Callable[[Org, OrgLimiter], Awaitable[tuple[OrgInfo | CountRefusal | None, int]]]
    """`fetch_org_info(org, limiter)`: edition, licences and zgid as far as Zoho says, and the number of requests."""
    read_seats: Callable[[Org, OrgLimiter], Awaitable[tuple[SeatCount | SeatRefusal | None, int]]]
    """`read_seats(org, limiter)`: seats bought and used, or why Zoho does not say, and the number of requests."""
    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    jitter: Callable[[], float] = random.random
    """In [0, 1)."""
    classified: Callable[[Reply | NoReply, Classification], None] = _ignore
    """Called after every request for a count, with its meaning."""
