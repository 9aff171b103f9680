"""Reads how many seats an org has bought and uses: one request to `/__features/user_licenses`, under the org's limits.

A missing scope is a result with a remedy, not a failure of the poll. Never raises for anything that Zoho does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from poller.core.model import Org, Outcome
from poller.core.remedies import remedy_for
from poller.zoho.org_requests import first_entry, send_limited
from poller.zoho.token_request import NoToken

if TYPE_CHECKING:
    from poller.core.reply import NoReply, Reply
    from poller.zoho.limiter import OrgLimiter
    from poller.zoho.org_requests import CheckPorts

MAX_SEATS: Final = 999_999_999


@dataclass(frozen=True, slots=True)
class SeatCount:
    """Seats according to `user_licenses`; None: the reply did not say."""

    purchased: int | None
    used: int | None


@dataclass(frozen=True, slots=True)
class SeatRefusal:
    """Why this grant may not read the seats, and what a person does about it."""

    code: str
    remedy: str


async def read_seats(org: Org, limiter: OrgLimiter, ports: CheckPorts) -> tuple[SeatCount | SeatRefusal | None, int]:
    """Requests an org's seats; also returns how many requests that took. None: no reply, or no seats in it."""
    token = await ports.tokens.get(org)
    if isinstance(token, NoToken):
        return None, 0
    path = f"/crm/{org.api_version}/__features/user_licenses"
    sent = await send_limited(limiter, ports, lambda: ports.get(token.api_domain, path, token.secret))
    if sent is None:
        return None, 0
    reply, classification = sent
    if (count := parse_seats(reply)) is not None:
        return count, 1
    if classification.outcome is Outcome.FORBIDDEN and classification.code is not None:
        return SeatRefusal(classification.code, remedy_for(classification.code)), 1
    return None, 1


def parse_seats(reply: Reply | NoReply) -> SeatCount | None:
    """The totals of `__features[0].details`; None if the reply contains none."""
    details = (first_entry(reply, "__features") or {}).get("details")
    if not isinstance(details, dict):
        return None
    purchased, used = _total(details.get("limits")), _total(details.get("used_count"))
    if used is None and purchased is not None and (left := _total(details.get("available_count"))) is not None:
        used = max(purchased - left, 0)
    return None if purchased is None and used is None else SeatCount(purchased, used)


def _total(part: Any) -> int | None:
    total = part.get("total") if isinstance(part, dict) else None
    if isinstance(total, str) and total.isascii() and total.isdigit() and len(total) <= 9:
        return int(total)
    return total if type(total) is int and 0 <= total <= MAX_SEATS else None
