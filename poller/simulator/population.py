"""The true counts of a simulated org at any time: what the simulator replies, and what tests expect.

A count is computed from a few curves that never fall, over the org's *working time*, which stops at night and at
weekends: people join, leave and are promoted on weekdays. Nothing is stored, and the counts at one time do not depend
on other requests: any org at any time takes some microseconds.

Before the epoch nothing changes. Holidays and daylight saving time are not modelled.
"""

from __future__ import annotations

import hashlib
import math
import random
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime

# Zoho's spelling and order ("Users Count" documentation). A copy on purpose, to check the poller independently.
USER_TYPES: Final = (
    "AllUsers",
    "ActiveUsers",
    "DeactiveUsers",
    "ConfirmedUsers",
    "NotConfirmedUsers",
    "DeletedUsers",
    "ActiveConfirmedUsers",
    "AdminUsers",
    "ActiveConfirmedAdmins",
    "CurrentUser",
)
_PLACE: Final = {user_type: place for place, user_type in enumerate(USER_TYPES)}

_EPOCH_SECONDS: Final = 1_514_764_800  # Monday 2018-01-01T00:00Z: weeks are counted from it
_LEAD_IN_DAYS: Final = 260.0  # a working year before the epoch, longer than any lag
_WORKDAYS_A_YEAR: Final = 260.0
_DAY: Final = 86_400
_OPENS, _CLOSES = 9 * 3_600, 18 * 3_600  # users are added and removed in office hours, in the org's time zone
_SEASON: Final = math.tau / 65.0  # a quarter of working days
_MONTH: Final = 30.4 * _DAY

# edition → weight, fewest and most users at the start; the free edition has at most three users (Zoho's price list)
_EDITIONS: Final = {
    "free": (6, 1, 3),
    "standard": (22, 4, 40),
    "professional": (24, 8, 150),
    "enterprise": (32, 20, 900),
    "ultimate": (8, 60, 2_500),
    "crmplus": (5, 15, 400),
    "zohooneenterprise": (3, 25, 1_200),
}
# name → hours east of UTC in winter
_TIME_ZONES: Final = {
    "America/Los_Angeles": -8.0,
    "America/New_York": -5.0,
    "America/Sao_Paulo": -3.0,
    "Europe/London": 0.0,
    "Europe/Berlin": 1.0,
    "Africa/Johannesburg": 2.0,
    "Asia/Dubai": 4.0,
    "Asia/Kolkata": 5.5,
    "Asia/Tokyo": 9.0,
    "Australia/Sydney": 10.0,
}


class Counts(NamedTuple):
    """All ten counts at one time, in the order of `USER_TYPES`."""

    all: int
    active: int
    deactive: int
    confirmed: int
    not_confirmed: int
    deleted: int
    active_confirmed: int
    admin: int
    active_confirmed_admin: int
    current: int


@dataclass(frozen=True, slots=True)
class Shape:
    """The parameters of one org's curves. Rates are users per working day, lags are working days."""

    edition: str
    time_zone: str
    offset_seconds: int
    invited_at_first: float
    invited_rate: float
    wave_period: float
    wave_length: float
    wave_size: float
    left_rate: float
    layoff_day: float
    layoff_size: float
    season: float
    season_phase: float
    confirm_lag: float
    never_confirmed: float
    delete_lag: float
    delete_share: float
    admin_share: float
    admin_spike_day: float
    seat_margin: float


def expected_count(seed: int, org_index: int, user_type: str, at: datetime) -> int:
    """The count of `user_type` (Zoho's spelling) at an aware time; raises `KeyError` for an unknown type."""
    return counts_at(shape_of(seed, org_index), at.timestamp())[_PLACE[user_type]]


def expected_counts(seed: int, org_index: int, at: datetime) -> dict[str, int]:
    """All ten counts at an aware time, by user type in Zoho's spelling."""
    return dict(zip(USER_TYPES, counts_at(shape_of(seed, org_index), at.timestamp()), strict=True))


def counts_at(shape: Shape, seconds: float) -> Counts:
    """All ten counts at a time in seconds since 1970.

    Four curves never fall: invited ≥ confirmed once, left ≥ deleted. The ten counts are differences of these curves, so
    they are consistent at every time.
    """
    if shape.edition == "free":
        return _small(shape)
    work = _working_days(seconds + shape.offset_seconds)
    invited = _invited(shape, work)
    invited_earlier = _invited(shape, work - shape.confirm_lag)
    # Some of the users who left had never confirmed.
    confirmed_once = invited_earlier - int(shape.never_confirmed * invited_earlier)
    left = min(_left(shape, work), confirmed_once - 2)
    left_unconfirmed = int(shape.never_confirmed * 0.5 * left)
    deleted = int(shape.delete_share * min(_left(shape, work - shape.delete_lag), left))
    deleted_unconfirmed = int(shape.never_confirmed * 0.5 * deleted)

    everyone = invited - deleted
    active = invited - left
    confirmed = confirmed_once - (deleted - deleted_unconfirmed)
    active_confirmed = min(confirmed_once - (left - left_unconfirmed), active)
    spike = 3 if 0.0 <= work - shape.admin_spike_day < 7.0 else 0
    admins_confirmed = min(1 + int(shape.admin_share * active_confirmed) + spike, active_confirmed)
    admins = min(1 + int(shape.admin_share * active) + spike, active)
    return Counts(
        everyone,
        active,
        everyone - active,
        confirmed,
        everyone - confirmed,
        deleted,
        active_confirmed,
        max(admins, admins_confirmed),
        admins_confirmed,
        1,
    )


def licences_at(shape: Shape, seconds: float) -> int:
    """User licences: bought for a year ahead with a margin, and never fewer than active users."""
    if shape.edition == "free":
        return 3
    year = math.floor((seconds - _EPOCH_SECONDS) / (12 * _MONTH))
    return max(_licences_of_year(shape, year), counts_at(shape, seconds).active)


@lru_cache(maxsize=8_192)
def shape_of(seed: int, org_index: int) -> Shape:
    """The org's parameters, computed from the seed and the org's number."""
    digest = hashlib.blake2b(f"shape:{seed}:{org_index}".encode(), digest_size=16).digest()
    draw = random.Random(int.from_bytes(digest))
    edition = draw.choices(list(_EDITIONS), [weight for weight, _, _ in _EDITIONS.values()])[0]
    _, fewest, most = _EDITIONS[edition]
    size = fewest * (most / fewest) ** draw.random()
    time_zone, hours = draw.choice(list(_TIME_ZONES.items()))
    growth, churn = draw.triangular(-0.04, 0.5, 0.12), draw.uniform(0.05, 0.25)
    yearly_hires, in_waves = max(growth + churn, 0.02) * size, draw.uniform(0.2, 0.7)
    wave_period = draw.uniform(60.0, 200.0)
    layoff = draw.random() < 0.12
    days = _LEAD_IN_DAYS + draw.uniform(7.5, 9.5) * _WORKDAYS_A_YEAR  # within the years that the demo and the tests use
    return Shape(
        edition=edition,
        time_zone=time_zone,
        offset_seconds=round(hours * 3_600),
        invited_at_first=size + 3.0,
        invited_rate=yearly_hires * (1.0 - in_waves) / _WORKDAYS_A_YEAR,
        wave_period=wave_period,
        wave_length=draw.uniform(3.0, 15.0),
        wave_size=yearly_hires * in_waves * wave_period / _WORKDAYS_A_YEAR,
        left_rate=churn * size / _WORKDAYS_A_YEAR,
        layoff_day=days,
        layoff_size=size * draw.uniform(0.05, 0.2) if layoff else 0.0,
        season=draw.uniform(0.0, 0.9) / _SEASON,
        season_phase=draw.uniform(0.0, math.tau),
        confirm_lag=draw.uniform(0.5, 8.0),
        never_confirmed=draw.uniform(0.0, 0.06),
        delete_lag=draw.uniform(15.0, 120.0),
        delete_share=draw.uniform(0.4, 0.95),
        admin_share=draw.uniform(0.02, 0.1),
        admin_spike_day=days + draw.uniform(-200.0, 200.0) if draw.random() < 0.1 else -1e9,
        seat_margin=draw.choice((1.0, 1.02, 1.05, 1.1, 1.2, 1.35)),
    )


def _working_days(local_seconds: float) -> float:
    """Working time since the epoch in days: runs in office hours from Monday to Friday only."""
    if local_seconds <= _EPOCH_SECONDS:
        return _LEAD_IN_DAYS
    day, second = divmod(local_seconds - _EPOCH_SECONDS, _DAY)
    week, weekday = divmod(int(day), 7)
    if weekday > 4:
        return _LEAD_IN_DAYS + 5 * week + 5
    part = (second - _OPENS) / (_CLOSES - _OPENS)
    return _LEAD_IN_DAYS + 5 * week + weekday + (0.0 if part < 0.0 else min(part, 1.0))


def _invited(shape: Shape, work: float) -> int:
    """The number of users ever invited: a steady rate that varies with the season, and waves of hiring."""
    waves, into = divmod(work, shape.wave_period)
    arrived = waves + min(into / shape.wave_length, 1.0)
    steady = work + shape.season * math.sin(_SEASON * work + shape.season_phase)
    return int(shape.invited_at_first + shape.invited_rate * steady + shape.wave_size * arrived)


def _left(shape: Shape, work: float) -> int:
    """The number of users ever deactivated: a rate with its own season, and in some orgs one layoff."""
    steady = work + shape.season * math.sin(_SEASON * work + shape.season_phase + 2.0)
    layoff = shape.layoff_size * min(max((work - shape.layoff_day) / 10.0, 0.0), 1.0)
    return int(max(shape.left_rate * steady + layoff, 0.0))


def _small(shape: Shape) -> Counts:
    """An org with the free edition: one to three confirmed users, who never leave."""
    users = min(int(shape.invited_at_first) - 3, 3)
    return Counts(users, users, 0, users, 0, 0, users, 1, 1, 1)


@lru_cache(maxsize=4_096)
def _licences_of_year(shape: Shape, year: int) -> int:
    first = _EPOCH_SECONDS + year * 12 * _MONTH
    most = max(counts_at(shape, first + month * _MONTH).active for month in range(13))
    return 5 * math.ceil(most * shape.seat_margin / 5)
