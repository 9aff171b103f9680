"""Replies that list facts of many orgs."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

from pydantic import Field, RootModel

from poller.core.model import UserType
from poller.web.api.models.base import CountsReply, Model


class LatestItem(Model):
    """The last known counts of one org. `earlier`: the user types whose count is older than `polled_at`."""

    org_id: int
    org: str
    slot: datetime | None
    polled_at: datetime | None
    counts: CountsReply
    earlier: list[UserType]


class LatestList(Model):
    """The last known counts by org."""

    items: list[LatestItem]
    next_cursor: str | None


class GapItem(Model):
    """A slot whose counts are not all known, and why."""

    org_id: int
    org: str
    slot: datetime
    reason: str


class GapList(Model):
    """Gaps by org and slot."""

    items: list[GapItem]
    next_cursor: str | None


class SeatProblem(Model):
    """Why Zoho does not say how many seats there are."""

    code: str
    remedy: str


class SeatItem(Model):
    """The seats of one org."""

    org_id: int
    org: str
    purchased: int | None
    used: int | None
    available: int | None
    idle: int | None
    edition: str | None
    renews_on: date | None
    price: Annotated[float | None, Field(description="Of one seat, by the contract.")]
    currency: str | None
    idle_cost: float | None
    taken_at: datetime | None
    problem: SeatProblem | None


class SeatList(Model):
    """Seats by org."""

    items: list[SeatItem]
    next_cursor: str | None


class ForecastItem(Model):
    """When the seats of one org run out, by the latest forecast of the service."""

    org_id: int
    org: str
    user_type: UserType
    made_at: datetime
    seats: int | None
    used: float
    per_day: float
    method: str
    exhausted_on: date | None
    exhausted_low: date | None
    exhausted_high: date | None
    backtest_error: float | None
    backtest_windows: int


class ForecastList(Model):
    """Forecasts by org."""

    items: list[ForecastItem]
    next_cursor: str | None


class AnomalyItem(Model):
    """A day on which a count of an org did something unusual."""

    org_id: int
    org: str
    user_type: str
    day: date
    kind: str
    before: float | None
    after: float | None
    expected_low: float | None
    expected_high: float | None
    severity: str
    why: str


class AnomalyList(Model):
    """Anomalies, the newest first."""

    items: list[AnomalyItem]
    next_cursor: str | None


class TrendItem(Model):
    """One org, user type and step; null: no known count."""

    org_id: int
    org: str
    user_type: UserType
    at: datetime
    first: int | None
    last: int | None
    min: int | None
    max: int | None
    avg: float | None
    samples: int
    missing: int


class TrendReply(RootModel[list[TrendItem]]):
    """The points of every org, user type and step."""
