"""Reads what the Health page shows beside the slots: data centres, credits, stretched intervals, size by month."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from poller.store.database import Database

NEAR_SHARE: Final = 0.8
"""An org that spent this part of its share of credits is near it."""
_MOST_REQUESTS: Final = 40
"""Of one poll: ten counts in three passes, a token and org info."""


class DataCenterOrgs(NamedTuple):
    """Active orgs of one data centre; `waiting`: those whose newest slot is unknown because it was unreachable."""

    data_center: str
    orgs: int
    waiting: int


class OrgCredits(NamedTuple):
    """Credits that the poller spent on an org in 24 hours, and its share of the org's daily credits."""

    org_id: int
    org: str
    spent: int
    share: int


class StretchedInterval(NamedTuple):
    """An org whose interval is longer than the configured one, because of its credits."""

    org_id: int
    org: str
    interval_seconds: int
    effective_interval_seconds: int


class MonthSize(NamedTuple):
    """The first day of a month of snapshots, and the bytes that its rows and indexes take."""

    month: date
    bytes: int


async def orgs_of_data_centers(database: Database, visible_tags: Sequence[str] | None) -> list[DataCenterOrgs]:
    """Returns the active orgs of each data centre, the largest first. `visible_tags` None: of every org."""
    return [DataCenterOrgs(*row) for row in await database.fetch(_DATA_CENTERS, visible_tags)]


async def orgs_near_share(
    database: Database, since: datetime, visible_tags: Sequence[str] | None, listed: int
) -> tuple[int, list[OrgCredits]]:
    """Counts the active orgs near their share of credits; names the first `listed`, the nearest first."""
    rows = await database.fetch(_NEAR, since, NEAR_SHARE, _MOST_REQUESTS, visible_tags, listed)
    return rows[0]["total"] if rows else 0, [OrgCredits(*row[:4]) for row in rows]


async def longest_stretched(
    database: Database, visible_tags: Sequence[str] | None, listed: int
) -> tuple[int, list[StretchedInterval]]:
    """Counts the stretched orgs; names the first `listed`, those stretched most first."""
    rows = await database.fetch(_STRETCHED, visible_tags, listed)
    return rows[0]["total"] if rows else 0, [StretchedInterval(*row[:4]) for row in rows]


async def month_sizes(database: Database) -> list[MonthSize]:
    """Returns the months of snapshots that have rows, the oldest first."""
    return [MonthSize(date.fromisoformat(row["month"]), row["bytes"]) for row in await database.fetch(_MONTHS)]


# service_health.data_centers
_DATA_CENTERS: Final = """
SELECT o.data_center, count(*)::int AS orgs,
       (count(*) FILTER (WHERE p.outcome = 'unavailable'))::int AS waiting
FROM orgs o LEFT JOIN latest_polls p ON p.org_id = o.id
WHERE o.removed_at IS NULL AND o.paused_at IS NULL AND ($1::text[] IS NULL OR o.tags && $1)
GROUP BY 1 ORDER BY orgs DESC, 1
"""

# service_health.near: sums credits only of orgs that could come near their share if every poll sent $3 requests. As an
# array, because a join reads the credits of every org.
_NEAR: Final = """
WITH candidates AS MATERIALIZED (
    SELECT org_id, org, credits_share FROM org_states
    WHERE state NOT IN ('removed', 'paused', 'parked') AND ($4::text[] IS NULL OR tags && $4)
      AND $3::int * 86400.0 / effective_interval_seconds >= $2::float8 * credits_share
), sums AS (
    SELECT org_id, sum(credits)::int AS spent FROM credit_spend
    WHERE bucket > $1 AND org_id = ANY (ARRAY(SELECT org_id FROM candidates)) GROUP BY org_id
)
SELECT s.org_id, c.org, s.spent, c.credits_share, count(*) OVER () AS total
FROM candidates c JOIN sums s USING (org_id)
WHERE s.spent >= $2 * c.credits_share
ORDER BY s.spent / greatest(c.credits_share, 1)::float8 DESC, c.org, s.org_id LIMIT $5
"""

# service_health.stretched
_STRETCHED: Final = """
SELECT org_id, org, interval_seconds, effective_interval_seconds, count(*) OVER () AS total
FROM org_states
WHERE effective_interval_seconds > interval_seconds AND state NOT IN ('removed', 'paused', 'parked')
  AND ($1::text[] IS NULL OR tags && $1)
ORDER BY effective_interval_seconds::float8 / interval_seconds DESC, org, org_id LIMIT $2
"""

# service_health.months: a partition made ahead has no pages.
_MONTHS: Final = """
SELECT translate(substring(c.relname FROM '[0-9]{4}_[0-9]{2}$'), '_', '-') || '-01' AS month,
       pg_total_relation_size(c.oid)::bigint AS bytes
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'org_snapshots'::regclass AND pg_relation_size(c.oid) > 0
ORDER BY 1
"""
