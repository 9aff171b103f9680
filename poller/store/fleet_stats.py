"""The fleet in figures: a handful of cheap queries, for `/metrics` and `poller status`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from poller.store.queue.jobs import depth
from poller.store.queue.maintenance import list_tasks
from poller.store.queue.schedule_health import count_unscheduled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from poller.store.database import Database

FRESHNESS_SECONDS: Final = (60, 300, 900, 1_800, 3_600, 7_200, 21_600, 86_400, 604_800)
_SEEN: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class FleetStats:
    """`orgs` and `jobs` by state; `chores`: when each was last done, in seconds since 1970.

    `freshness`: active orgs by the age of their newest known count, a figure for each bound of `FRESHNESS_SECONDS` and
    one beyond. `unscheduled`: active orgs that no slot is handed out for.
    """

    orgs: Mapping[str, int]
    jobs: Mapping[str, int]
    overdue_seconds: float
    workers: int
    chores: Mapping[str, float]
    freshness: Sequence[int]
    freshness_sum_seconds: float = 0.0
    """Of the ages, those never known left out."""
    unscheduled: int = 0


async def fleet_stats(database: Database, now: datetime) -> FleetStats:
    """Read them."""
    (orgs,) = await database.fetch(_ORGS)
    queue = await depth(database)
    chores = {one.name: one.done_at.timestamp() for one in await list_tasks(database) if one.done_at is not None}
    workers: int = await database.fetchval("SELECT count(*) FROM workers WHERE seen_at > $1", now - _SEEN)
    freshness, ages = [0] * (len(FRESHNESS_SECONDS) + 1), 0.0
    for row in await database.fetch(_FRESHNESS, list(FRESHNESS_SECONDS), now):
        freshness[row["place"]] = row["orgs"]
        ages += row["ages"]
    jobs = {"waiting": queue.waiting, "overdue": queue.overdue, "under_way": queue.under_way}
    unscheduled = await count_unscheduled(database, now)
    return FleetStats(dict(orgs), jobs, queue.overdue_seconds, workers, chores, freshness, ages, unscheduled)


async def org_ages(database: Database, now: datetime, at_most: int) -> Mapping[str, float]:
    """By name, seconds since the newest known counts of each org that is not paused, infinite where none were known.

    The first `at_most` of them.
    """
    return {row["name"]: row["age"] for row in await database.fetch(_AGES, now, at_most)}


# figures.orgs: by state.
_ORGS: Final = """
SELECT count(*) FILTER (WHERE paused_at IS NULL AND parked_at IS NULL) AS active,
       count(*) FILTER (WHERE paused_at IS NOT NULL) AS paused,
       count(*) FILTER (WHERE paused_at IS NULL AND parked_at IS NOT NULL) AS parked
FROM orgs WHERE removed_at IS NULL
"""

# figures.freshness: active orgs by the place of their age among the bounds $1; those never known count as the oldest.
_FRESHNESS: Final = """
SELECT coalesce(width_bucket(extract(epoch FROM $2 - l.polled_at)::float8, $1::float8[]), cardinality($1)) AS place,
       count(*)::int AS orgs, coalesce(sum(extract(epoch FROM $2 - l.polled_at)), 0)::float8 AS ages
FROM orgs o LEFT JOIN latest_snapshots l ON l.org_id = o.id
WHERE o.removed_at IS NULL AND o.paused_at IS NULL AND o.parked_at IS NULL
GROUP BY 1
"""

# figures.ages: the same org by org, up to $2 of them.
_AGES: Final = """
SELECT o.name, coalesce(extract(epoch FROM $1 - l.polled_at)::float8, 'infinity') AS age
FROM orgs o LEFT JOIN latest_snapshots l ON l.org_id = o.id
WHERE o.removed_at IS NULL AND o.paused_at IS NULL
ORDER BY o.name LIMIT $2
"""
