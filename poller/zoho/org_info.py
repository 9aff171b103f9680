"""Reads what Zoho says about an org, such as its edition and zgid: one request to `/org`, under the org's limits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final

from poller.core.model import Org, Outcome, UserType
from poller.core.poll_result import CountRefusal
from poller.core.reply import NoReply, Reply, classify
from poller.core.reply_body import decode_object
from poller.zoho.token_request import NoToken

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from poller.core.secret import Secret
    from poller.zoho.limiter import OrgLimiter
    from poller.zoho.tokens import Tokens

PATIENCE_SECONDS: Final = 20.0
"""How long a request waits for the org's limits before it is given up."""


@dataclass(frozen=True, slots=True)
class OrgInfo:
    """What Zoho says about an org; `edition` is Zoho's `paid_type`. None: not in the reply."""

    zgid: str | None
    company_name: str | None
    edition: str | None
    licences: int | None
    renews_on: date | None = None


@dataclass(frozen=True, slots=True)
class CheckPorts:
    """The I/O of a check: the fleet's tokens, and `count` and `get` of the client."""

    tokens: Tokens
    count: Callable[[str, str, UserType, Secret], Awaitable[Reply | NoReply]]
    get: Callable[[str, str, Secret], Awaitable[Reply | NoReply]]
    now: Callable[[], datetime]


async def fetch_org_info(org: Org, limiter: OrgLimiter, ports: CheckPorts) -> tuple[OrgInfo | CountRefusal | None, int]:
    """Requests `/org` once, under the org's limits; what the reply says, and the number of requests sent.

    A `CountRefusal` where the reply is an error; None where nothing was sent: there was no token, or the org is held.
    """
    token = await ports.tokens.get(org)
    if isinstance(token, NoToken) or await limiter.enter(PATIENCE_SECONDS) > 0.0:
        return None, 0
    try:
        reply = await ports.get(token.api_domain, f"/crm/{org.api_version}/org", token.secret)
    finally:
        limiter.leave()
    classification = classify(reply, ports.now())
    if classification.outcome is Outcome.THROTTLED:
        limiter.throttle(classification.wait_seconds)
    code = classification.code or classification.outcome.value
    return read_org_info(reply) or CountRefusal(classification.outcome, code), 1


def read_org_info(reply: Reply | NoReply) -> OrgInfo | None:
    """Reads a reply to `/org`; None where the reply is an error or something else."""
    entry = first_entry(reply, "org")
    if entry is None:
        return None
    licence = entry.get("license_details")
    licence = licence if isinstance(licence, dict) else {}
    return OrgInfo(
        zgid=_digits(entry.get("zgid")),
        company_name=_text(entry.get("company_name")),
        edition=_text(licence.get("paid_type")),
        licences=_number(licence.get("users_license_purchased")),
        renews_on=_day(licence.get("paid_expiry")),
    )


def first_entry(reply: Reply | NoReply, key: str) -> dict[str, Any] | None:
    """The first object of the list `key` in a reply with status 200; None where there is none."""
    if isinstance(reply, NoReply) or reply.status != 200:
        return None
    document = decode_object(reply.body)
    entries = document.get(key) if isinstance(document, dict) else None
    return entries[0] if isinstance(entries, list) and entries and isinstance(entries[0], dict) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 255 and value.isprintable() else None


def _day(value: object) -> date | None:
    """The day of an ISO time, in the time zone it is written in."""
    try:
        return date.fromisoformat(value[:10]) if isinstance(value, str) else None
    except ValueError:
        return None


def _digits(value: object) -> str | None:
    text = str(value) if type(value) is int else value
    return text if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= 32 else None


def _number(value: object) -> int | None:
    """A number of licences; older replies write it as a string."""
    digits = _digits(value)
    return int(digits) if digits is not None and len(digits) <= 9 else None
