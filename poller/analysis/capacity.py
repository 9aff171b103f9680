"""Computes what a fleet costs: credits, requests, workers and disk.

Input: groups of orgs and the cost of one poll. Output: figures by group and in total. Every figure is an average over a
day: polls are spread evenly over the interval, so that the busiest second is hardly busier than the average second.
Requests for tokens cost no credits. Times are in seconds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

DAY_SECONDS: Final = 86_400
YEAR_DAYS: Final = 365
USER_TYPES: Final = 10
"""Counts of a poll: also the number of requests if none is repeated, and of daily counts of an org."""
MONTH_DAYS: Final = 31
"""Snapshots are dropped in whole months: the oldest is up to a month older than the retention."""
MAX_PROCESSOR_SHARE: Final = 0.6
"""A worker runs on one core; the plan leaves the rest of the core for forecasts, exports and the web server."""
MAX_PLACES_SHARE: Final = 0.5
"""The plan fills half of the places of a worker, so that slow replies make no poll late."""


@dataclass(frozen=True, slots=True)
class OrgGroup:
    """Orgs with the same costs. `effective_seconds`: the shortest interval that the share of the credits pays for.

    `daily_credits`: what Zoho allows each org in 24 hours; `share_credits`: what the poller may spend of them.
    `in_flight`: requests that the poller sends to one org at once.
    """

    orgs: int
    interval_seconds: int
    effective_seconds: int
    daily_credits: int
    share_credits: int
    in_flight: int


@dataclass(frozen=True, slots=True)
class Costs:
    """What one poll costs. `extra_requests`: for edition, licences and seats, by org and day.

    `request_seconds`: from a request to its reply. `token_seconds`: how long a token is used before its renewal.
    `processor_seconds`: of a worker, by poll; `database_seconds`: of PostgreSQL, by poll. Bytes are with indexes.
    """

    requests_per_poll: float
    extra_requests: float
    request_seconds: float
    token_seconds: float
    processor_seconds: float
    database_seconds: float
    snapshot_bytes: float
    daily_count_bytes: float
    seat_reading_bytes: float


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many polls and requests one worker can do in parallel, and how many days rows are kept (None: for ever)."""

    concurrency: int
    polls_at_once: int
    snapshot_days: int | None
    daily_days: int | None


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """The figures of one group; `…_per_org` are of one org. `refused_per_org`: polls a day without enough credits."""

    orgs: int
    polls_per_org: float
    refused_per_org: float
    credits_per_org: float
    allowance_share: float
    polls_per_second: float
    requests_per_second: float
    seconds_per_poll: float
    snapshot_rows_a_year: float
    daily_rows_a_year: float
    bytes_a_year: float

    @property
    def credits_a_day(self) -> float:
        """Credits of all orgs of the group."""
        return self.orgs * self.credits_per_org


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """The figures of all groups. Bytes of the database: after the first year, and the growth in each later year.

    `snapshot_bytes_at_most` is None if snapshots are kept for ever. `cores`, `database_cores`: processor cores in use.
    """

    orgs: int
    stretched_orgs: int
    credits_a_day: float
    refused_a_day: float
    polls_per_second: float
    requests_per_second: float
    polls_under_way: float
    requests_under_way: float
    cores: float
    database_cores: float
    workers: int
    rows_a_year: float
    bytes_a_year: float
    bytes_after_a_year: float
    snapshot_bytes_at_most: float | None
    later_bytes_a_year: float


def plan_group(group: OrgGroup, costs: Costs) -> GroupPlan:
    """The figures of one group. Credits never exceed `share_credits`: polls beyond it are refused."""
    slots = DAY_SECONDS / group.effective_seconds
    polls, extra = _affordable(group, costs, slots)
    credits_per_org = polls * costs.requests_per_poll + extra
    tokens = polls / max(math.ceil(costs.token_seconds / group.effective_seconds), 1)
    # A refused poll writes a row too, with the reason why the counts are unknown.
    rows = group.orgs * slots * YEAR_DAYS
    daily = group.orgs * USER_TYPES * YEAR_DAYS
    return GroupPlan(
        orgs=group.orgs,
        polls_per_org=polls,
        refused_per_org=slots - polls,
        credits_per_org=credits_per_org,
        allowance_share=credits_per_org / group.daily_credits if group.daily_credits else 0.0,
        polls_per_second=group.orgs * polls / DAY_SECONDS,
        requests_per_second=group.orgs * (credits_per_org + tokens) / DAY_SECONDS,
        seconds_per_poll=costs.requests_per_poll / min(group.in_flight, USER_TYPES) * costs.request_seconds,
        snapshot_rows_a_year=rows,
        daily_rows_a_year=daily,
        bytes_a_year=rows * costs.snapshot_bytes + daily * costs.daily_count_bytes + _seat_bytes(group.orgs, costs),
    )


def plan_fleet(groups: Sequence[OrgGroup], costs: Costs, capacity: Capacity) -> tuple[list[GroupPlan], FleetPlan]:
    """The figures of each group, in their order, and of all of them."""
    plans = [plan_group(group, costs) for group in groups]
    polls = math.fsum(plan.polls_per_second for plan in plans)
    requests = math.fsum(plan.requests_per_second for plan in plans)
    polls_under_way = math.fsum(plan.polls_per_second * plan.seconds_per_poll for plan in plans)
    requests_under_way = requests * costs.request_seconds
    orgs = sum(group.orgs for group in groups)
    snapshots = math.fsum(plan.snapshot_rows_a_year for plan in plans)
    daily = math.fsum(plan.daily_rows_a_year for plan in plans)
    snapshot_bytes, daily_bytes = snapshots * costs.snapshot_bytes, daily * costs.daily_count_bytes
    seat_bytes = _seat_bytes(orgs, costs)
    snapshot_years, daily_years = _years(capacity.snapshot_days, MONTH_DAYS), _years(capacity.daily_days, 1)
    whole = FleetPlan(
        orgs=orgs,
        stretched_orgs=sum(group.orgs for group in groups if group.effective_seconds > group.interval_seconds),
        credits_a_day=math.fsum(plan.credits_a_day for plan in plans),
        refused_a_day=math.fsum(plan.orgs * plan.refused_per_org for plan in plans),
        polls_per_second=polls,
        requests_per_second=requests,
        polls_under_way=polls_under_way,
        requests_under_way=requests_under_way,
        cores=polls * costs.processor_seconds,
        database_cores=polls * costs.database_seconds,
        workers=_workers(polls * costs.processor_seconds, polls_under_way, requests_under_way, capacity),
        rows_a_year=snapshots + daily,
        bytes_a_year=math.fsum(plan.bytes_a_year for plan in plans),
        bytes_after_a_year=snapshot_bytes * min(snapshot_years, 1.0) + daily_bytes * min(daily_years, 1.0) + seat_bytes,
        snapshot_bytes_at_most=None if capacity.snapshot_days is None else snapshot_bytes * snapshot_years,
        later_bytes_a_year=seat_bytes
        + (snapshot_bytes if capacity.snapshot_days is None else 0.0)
        + (daily_bytes if capacity.daily_days is None else 0.0),
    )
    return plans, whole


def _affordable(group: OrgGroup, costs: Costs, slots: float) -> tuple[float, float]:
    """Polls and extra requests per org and day that the credits pay for. A poll starts if ten credits are left."""
    if group.share_credits < USER_TYPES:
        return 0.0, 0.0
    extra = costs.extra_requests if group.share_credits >= USER_TYPES + costs.extra_requests else 0.0
    return min(slots, (group.share_credits - extra) / costs.requests_per_poll), extra


def _workers(cores: float, polls_under_way: float, requests_under_way: float, capacity: Capacity) -> int:
    """How many workers are enough; 0 if there is nothing to poll."""
    return max(
        math.ceil(cores / MAX_PROCESSOR_SHARE),
        math.ceil(polls_under_way / (capacity.polls_at_once * MAX_PLACES_SHARE)),
        math.ceil(requests_under_way / (capacity.concurrency * MAX_PLACES_SHARE)),
    )


def _seat_bytes(orgs: int, costs: Costs) -> float:
    """Bytes of seat readings a year: one a day and org."""
    return orgs * YEAR_DAYS * costs.seat_reading_bytes


def _years(days: int | None, more: int) -> float:
    """The most years of rows that are kept at a time. `more`: days that rows are kept beyond their retention."""
    return math.inf if days is None else (days + more) / YEAR_DAYS
