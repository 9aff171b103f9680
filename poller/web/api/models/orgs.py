"""Replies about single orgs: state, polls, series, forecast."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import Field

from poller.core.model import Outcome, UserType
from poller.core.states import State
from poller.web.api.models.base import CountsReply, Model


class SeatsOfOrg(Model):
    """Seats bought and used; null: not known."""

    purchased: int | None
    used: int | None


class OrgItem(Model):
    """One org in a list."""

    id: int
    name: str
    state: State
    state_reason: Annotated[str | None, Field(description="The code that explains the state.")]
    remedy: Annotated[str | None, Field(description="What a person should do; null: nothing.")]
    since: datetime | None
    data_center: str
    edition: str | None
    licences: int | None
    tags: tuple[str, ...]
    interval_seconds: int
    effective_interval_seconds: Annotated[int, Field(description="Longer than `interval_seconds` to save credits.")]
    last_polled_at: datetime | None
    last_outcome: Outcome | None
    last_error: str | None
    counts_at: Annotated[datetime | None, Field(description="When the last known counts were polled.")]
    counts: CountsReply
    change_7d: int | None
    change_30d: int | None
    seats: SeatsOfOrg
    exhausted_on: Annotated[date | None, Field(description="When the seats are forecast to run out.")]


class OrgList(Model):
    """Orgs in the order asked for."""

    items: list[OrgItem]
    next_cursor: str | None


class LimitsReply(Model):
    """What limits the polls of an org."""

    credits_spent: Annotated[int, Field(description="By the poller in the last 24 hours.")]
    credits_share: Annotated[int, Field(description="What the poller may spend in 24 hours.")]
    credits_remaining: Annotated[int | None, Field(description="Left for all applications, as Zoho said last.")]
    credits_remaining_at: datetime | None
    hold_until: Annotated[datetime | None, Field(description="No request is sent before.")]


class OrgReply(Model):
    """One org: every field of the list, its limits, and how it is polled."""

    id: int
    name: str
    state: State
    state_reason: str | None
    remedy: str | None
    since: datetime | None
    data_center: str
    zgid: str | None
    edition: str | None
    licences: int | None
    tags: tuple[str, ...]
    api_version: str | None
    created_at: datetime
    interval_seconds: int
    effective_interval_seconds: int
    last_polled_at: datetime | None
    last_outcome: Outcome | None
    last_error: str | None
    counts_at: datetime | None
    counts: CountsReply
    limits: LimitsReply
    probe_at: Annotated[datetime | None, Field(description="When a parked org is polled again to see if it works.")]
    change_7d: Annotated[int | None, Field(description="Of active users.")]
    change_30d: Annotated[int | None, Field(description="Of active users.")]
    seats: SeatsOfOrg
    exhausted_on: date | None


class PollItem(Model):
    """One poll: a slot, and either its counts or why they are unknown."""

    slot: datetime
    polled_at: datetime | None
    outcome: Outcome
    error: str | None
    remedy: str | None
    late_seconds: int
    requests: int
    duration_ms: int
    credits_remaining: int | None
    counts: CountsReply
    errors: Annotated[dict[str, str], Field(description="The error code of each unknown count.")]


class PollList(Model):
    """The polls of an org, the newest first."""

    items: list[PollItem]
    next_cursor: str | None


class SeriesPoint(Model):
    """One user type in one step; null: no known count."""

    at: datetime
    type: UserType
    first: int | None
    last: int | None
    min: int | None
    max: int | None
    avg: float | None
    samples: int
    missing: int


class SeriesReply(Model):
    """A series for each user type. `kept_since`: earlier snapshots are gone, so that steps are whole days."""

    step_seconds: int
    kept_since: date | None
    points: list[SeriesPoint]


class ForecastPoint(Model):
    """One day of a forecast, in users."""

    day: date
    mean: float
    low80: float
    high80: float
    low95: float
    high95: float


class BacktestReply(Model):
    """How well the method would have forecast the past."""

    windows: int
    scaled_error: float | None
    coverage80: float | None


class ForecastReply(Model):
    """What a count is expected to be, and when the seats run out."""

    org: str
    user_type: UserType
    made_at: datetime
    level: float
    per_day: float
    method: str
    horizon_days: int
    points: list[ForecastPoint]
    seats: int | None
    exhausted_on: date | None
    exhausted_low: date | None
    exhausted_high: date | None
    backtest: BacktestReply


class OperationReply(Model):
    """What an operation did, and what happens next."""

    org_id: int
    org: str
    action: Literal["poll", "pause", "resume"]
    changed: Annotated[bool, Field(description="False: it was so before.")]
    message: Annotated[str, Field(description="What happens next.")]
    workers: Annotated[int, Field(description="Workers that run now.")]
    not_before: Annotated[datetime | None, Field(description="The poll waits until then.")]
