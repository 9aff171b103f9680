"""Everything that a page shows of one org now, apart from its history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime
    from decimal import Decimal

    from poller.core.model import UserType


@dataclass(frozen=True, slots=True)
class OrgFacts:
    """One org as it is now; None: not known, or not the case.

    `since`: when the state began. `due_at`: when its next slot is polled. `token_expires_at`: of the stored access
    token. `change_7d`, `change_30d`: of active users, measured from a count of the last 24 hours. `earlier`: the user
    types whose count is older than `counts_at`.
    """

    org_id: int
    org: str
    tags: Sequence[str]
    state: str
    since: datetime | None
    state_reason: str | None
    data_center: str
    edition: str | None
    licences: int | None
    interval_seconds: int
    effective_interval_seconds: int
    credits_spent: int
    credits_share: int
    last_polled_at: datetime | None
    last_outcome: str | None
    last_error: str | None
    counts_at: datetime | None
    zgid: str | None
    api_version: str
    own_interval_seconds: int | None
    created_at: datetime
    resumed_at: datetime | None
    parked_at: datetime | None
    parked_code: str | None
    parked_remedy: str | None
    probe_at: datetime | None
    probes: int
    paused_at: datetime | None
    due_at: datetime | None
    hold_until: datetime | None
    holds: int
    rate_factor: float
    credits_remaining: int | None
    credits_remaining_at: datetime | None
    token_issued_at: datetime | None
    token_expires_at: datetime | None
    cool_until: datetime | None
    credit_share: float
    in_flight_share: float
    seats: int | None
    seats_used: int | None
    seats_source: str | None
    renews_on: date | None
    price: Decimal | None
    currency: str | None
    seats_code: str | None
    seats_remedy: str | None
    change_7d: int | None
    change_30d: int | None
    counts: Mapping[UserType, int]
    earlier: Mapping[UserType, datetime]

    @property
    def idle(self) -> int | None:
        """Seats without a user."""
        return None if self.seats is None or self.seats_used is None else max(self.seats - self.seats_used, 0)
