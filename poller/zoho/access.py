"""Everything that talks to Zoho for the orgs of one database: client, shared tokens, limiter and clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from poller.zoho.client import ZohoClient
    from poller.zoho.limiter import Limiter
    from poller.zoho.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Zoho:
    """The client, the orgs' shared tokens, their limits, and the clock that both use."""

    client: ZohoClient
    tokens: Tokens
    limiter: Limiter
    now: Callable[[], datetime]
    sleep: Callable[[float], Awaitable[None]]
