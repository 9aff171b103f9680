"""Editions of Zoho CRM: the credits and the requests in flight that each allows an org.

The numbers of each edition are from Zoho's "API Limits". The rate of requests is the poller's own, because Zoho
documents none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

REQUESTS_PER_POLL: Final = 10
"""Ten user types, one credit each."""
DEFAULT_IN_FLIGHT_SHARE: Final = 0.5
_REQUESTS_PER_SECOND_IN_FLIGHT: Final = 5.0
"""The rate of requests that take 200 ms and follow each other: a guess that limits nothing until a 429 lowers it."""


@dataclass(frozen=True, slots=True)
class Edition:
    """What an edition allows an org: credits per rolling day, and requests in flight per app."""

    paid_types: tuple[str, ...]
    in_flight: int
    base_credits: int
    credits_per_licence: int = 0
    max_credits: int | None = None

    def credits(self, licences: int | None) -> int:
        """The allowance for a rolling 24 hours; unknown licences count as 0."""
        allowance = self.base_credits + self.credits_per_licence * max(licences or 0, 0)
        return allowance if self.max_credits is None else min(allowance, self.max_credits)


FREE: Final = Edition(("free",), 5, 5_000, max_credits=5_000)
EDITIONS: Final[Mapping[str, Edition]] = {
    paid_type: edition
    for edition in (
        FREE,
        Edition(("standard", "starter"), 10, 50_000, 250, 100_000),
        Edition(("professional",), 15, 50_000, 500, 3_000_000),
        Edition(("enterprise", "zohooneenterprise"), 20, 50_000, 1_000, 5_000_000),
        Edition(("ultimate", "crmplus"), 25, 50_000, 2_000),
    )
    for paid_type in edition.paid_types
}
"""Editions by Zoho's `paid_type`."""


@lru_cache(maxsize=256)
def edition_of(paid_type: str | None) -> Edition:
    """The edition of Zoho's `paid_type`, in any spelling ("CRM Plus"); an unknown one counts as free.

    Free is the safest assumption: `orgs show` reports an org that is polled too rarely, but an org without credits has
    users who cannot work.
    """
    return EDITIONS.get(_spelling(paid_type), FREE)


def is_known_edition(paid_type: str | None) -> bool:
    """True if the limits of this `paid_type` are Zoho's numbers, not those of the free edition as an assumption."""
    return _spelling(paid_type) in EDITIONS


def daily_credits(paid_type: str | None, licences: int | None) -> int:
    """The credits of an org for a rolling 24 hours, shared by all of the customer's apps."""
    return edition_of(paid_type).credits(licences)


class Limits(NamedTuple):
    """The limits of one org in normal operation: requests in flight, requests per second, and requests in a burst."""

    in_flight: int
    rate: float
    burst: int = REQUESTS_PER_POLL


def limits_of(paid_type: str | None, in_flight_share: float = DEFAULT_IN_FLIGHT_SHARE) -> Limits:
    """The poller's share (in (0, 1]) of the edition's requests in flight, at least one, and the rate that fits it."""
    in_flight = max(share_of(edition_of(paid_type).in_flight, in_flight_share), 1)
    return Limits(in_flight, in_flight * _REQUESTS_PER_SECOND_IN_FLIGHT)


def share_of(allowance: int, share: float) -> int:
    """A share of credits or of requests, rounded down, but without the error of floats: 0.29 of 100 is 29."""
    return int(round(allowance * share, 6))


def _spelling(paid_type: str | None) -> str:
    return re.sub(r"[^a-z0-9]", "", (paid_type or "").casefold())
