"""Reads what Zoho says about an org: its edition and licences, from which its limits follow, and its number (zgid)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from poller.core.poll_result import CountRefusal
from poller.zoho.org_requests import first_entry, send_limited
from poller.zoho.token_request import NoToken

if TYPE_CHECKING:
    from poller.core.model import Org
    from poller.core.reply import NoReply, Reply
    from poller.zoho.limiter import OrgLimiter
    from poller.zoho.org_requests import CheckPorts


@dataclass(frozen=True, slots=True)
class OrgInfo:
    """What `/org` says about an org; `edition` is Zoho's `paid_type`. None: the reply did not say."""

    zgid: str | None
    edition: str | None
    licences: int | None
    renews_on: date | None = None


async def fetch_org_info(org: Org, limiter: OrgLimiter, ports: CheckPorts) -> tuple[OrgInfo | CountRefusal | None, int]:
    """Requests an org's info under its limits; also returns how many requests that took.

    A `CountRefusal` if the reply contains no info; None if no request was sent: there was no token, or the org is held.
    """
    token = await ports.tokens.get(org)
    if isinstance(token, NoToken):
        return None, 0
    path = f"/crm/{org.api_version}/org"
    sent = await send_limited(limiter, ports, lambda: ports.get(token.api_domain, path, token.secret))
    if sent is None:
        return None, 0
    reply, classification = sent
    refusal = CountRefusal(classification.outcome, classification.code or classification.outcome.value)
    return read_org_info(reply) or refusal, 1


def read_org_info(reply: Reply | NoReply) -> OrgInfo | None:
    """The info in a reply to `/org`; None if the reply contains none."""
    entry = first_entry(reply, "org")
    if entry is None:
        return None
    licence = entry.get("license_details")
    licence = licence if isinstance(licence, dict) else {}
    return OrgInfo(
        zgid=_digits(entry.get("zgid")),
        edition=_text(licence.get("paid_type")),
        licences=_number(licence.get("users_license_purchased")),
        renews_on=_day(licence.get("paid_expiry")),
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= 255 and value.isprintable() else None


def _day(value: object) -> date | None:
    """The date part of an ISO time, without converting its time zone."""
    try:
        return date.fromisoformat(value[:10]) if isinstance(value, str) else None
    except ValueError:
        return None


def _digits(value: object) -> str | None:
    text = str(value) if type(value) is int else value
    return text if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) <= 32 else None


def _number(value: object) -> int | None:
    """Older replies of Zoho have the number of licences in a string."""
    digits = _digits(value)
    return int(digits) if digits is not None and len(digits) <= 9 else None
