"""The fleet in figures: a handful of cheap queries, for `/metrics` and `poller status`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from poller.core.model import Outcome
from poller.store.chores import list_chores
from poller.store.queue import depth
from poller.store.schedule_health import count_unscheduled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from poller.store.database import Database

FRESHNESS_SECONDS: Final = (60, 300, 900, 1_800, 3_600, 7_200, 21_600, 86_400, 604_800)
_SEEN: Final = timedelta(minutes=1)
_LAST_POLL_WITHIN: Final = timedelta(days=1)
"""The longest interval there is: an org that was not polled for longer is told of by its freshness."""


@dataclass(frozen=True, slots=True)
class FleetFigures:
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


async def fleet_figures(database: Database, now: datetime) -> FleetFigures:
    """Read them."""
    (orgs,) = await database.fetch(_ORGS)
    queue = await depth(database)
    chores = {one.name: one.done_at.timestamp() for one in await list_chores(database) if one.done_at is not None}
    workers: int = await database.fetchval("SELECT count(*) FROM workers WHERE seen_at > $1", now - _SEEN)
    freshness, ages = [0] * (len(FRESHNESS_SECONDS) + 1), 0.0
    for row in await database.fetch(_FRESHNESS, list(FRESHNESS_SECONDS), now):
        freshness[row["place"]] = row["orgs"]
        ages += row["ages"]
    jobs = {"waiting": queue.waiting, "overdue": queue.overdue, "under_way": queue.under_way}
    unscheduled = await count_unscheduled(database, now)
    return FleetFigures(dict(orgs), jobs, queue.overdue_seconds, workers, chores, freshness, ages, unscheduled)


async def org_ages(database: Database, now: datetime, at_most: int) -> Mapping[str, float]:
    """By name, seconds since the newest known counts of each org that is not paused, infinite where none were known.

    The first `at_most` of them.
    """
    return {row["name"]: row["age"] for row in await database.fetch(_AGES, now, at_most)}


@dataclass(frozen=True, slots=True)
class LastPolls:
    """How the newest polls of the active orgs of the last day went.

    `orgs` by outcome; `late`: of them, polled a second late or more, the latest by `latest_seconds`. `failing`: the
    first of those not `ok`, by name, each with its outcome and error.
    """

    orgs: Mapping[str, int]
    late: int
    latest_seconds: int
    failing: Mapping[str, str]


async def last_polls(database: Database, now: datetime, listed: int) -> LastPolls:
    """Read them; `listed` of the failing orgs are named."""
    found = await database.fetch(_LAST_POLLS, now, _LAST_POLL_WITHIN)
    late = [row["late_seconds"] for row in found if row["late_seconds"]]
    failing = [row for row in found if row["outcome"] != Outcome.OK]
    return LastPolls(
        Counter(row["outcome"] for row in found),
        len(late),
        max(late, default=0),
        {row["name"]: ": ".join(filter(None, (row["outcome"], row["error"]))) for row in failing[:listed]},
    )


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

# figures.last_polls: the newest snapshot of each active org that is no older than $2, by name.
_LAST_POLLS: Final = """
SELECT o.name, s.outcome, s.error, s.late_seconds
FROM orgs o CROSS JOIN LATERAL (
    SELECT outcome, error, late_seconds FROM org_snapshots
    WHERE org_id = o.id AND slot > $1::timestamptz - $2::interval AND slot <= $1 ORDER BY slot DESC LIMIT 1
) AS s
WHERE o.removed_at IS NULL AND o.paused_at IS NULL AND o.parked_at IS NULL
ORDER BY o.name
"""
