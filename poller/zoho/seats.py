"""Reads how many seats an org has bought and uses: one request to `/__features/user_licenses`, under the org's limits.

A missing scope is an answer with its remedy, not a failure of the poll. It refuses to raise for anything Zoho does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from poller.core.model import Org, Outcome
from poller.core.remedies import remedy_for
from poller.core.reply import NoReply, Reply, classify
from poller.core.reply_body import decode_object
from poller.zoho.org_info import PATIENCE_SECONDS
from poller.zoho.token_request import NoToken

if TYPE_CHECKING:
    from poller.zoho.limiter import OrgLimiter
    from poller.zoho.org_info import CheckPorts

MOST_SEATS: Final = 999_999_999


@dataclass(frozen=True, slots=True)
class SeatCount:
    """Seats as `user_licenses` tells them; None: it did not say."""

    purchased: int | None
    used: int | None


@dataclass(frozen=True, slots=True)
class SeatRefusal:
    """Zoho does not let this grant read the seats: why, and what a person does about it."""

    code: str
    remedy: str


async def read_seats(org: Org, limiter: OrgLimiter, ports: CheckPorts) -> tuple[SeatCount | SeatRefusal | None, int]:
    """What Zoho says of the org's seats, and how many requests that took; None: no answer, or none in this edition."""
    token = await ports.tokens.get(org)
    if isinstance(token, NoToken) or await limiter.enter(PATIENCE_SECONDS) > 0.0:
        return None, 0
    try:
        path = f"/crm/{org.api_version}/__features/user_licenses"
        reply = await ports.get(token.api_domain, path, token.secret)
    finally:
        limiter.leave()
    count = parse_seats(reply)
    if count is not None:
        return count, 1
    verdict = classify(reply, ports.now())
    if verdict.outcome is Outcome.THROTTLED:
        limiter.throttle(verdict.wait_seconds)
    if verdict.outcome is Outcome.FORBIDDEN and verdict.code is not None:
        return SeatRefusal(verdict.code, remedy_for(verdict.code)), 1
    return None, 1


def parse_seats(reply: Reply | NoReply) -> SeatCount | None:
    """The totals of `__features[0].details`; None where the reply is something else."""
    if isinstance(reply, NoReply) or reply.status != 200:
        return None
    document = decode_object(reply.body)
    entries = document.get("__features") if isinstance(document, dict) else None
    first = entries[0] if isinstance(entries, list) and entries else None
    details = first.get("details") if isinstance(first, dict) else None
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
    return total if type(total) is int and 0 <= total <= MOST_SEATS else None
