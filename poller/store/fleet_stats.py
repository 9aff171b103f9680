"""Figures about the fleet for `/metrics` and `poller status`, from a few cheap queries."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from poller.core.alerts import Severity
from poller.core.fleet import FRESHNESS_SECONDS, FleetStats
from poller.store.queue.jobs import depth
from poller.store.queue.maintenance import list_tasks
from poller.store.queue.outbox_health import read_backlog
from poller.store.queue.schedule_health import count_unscheduled

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from poller.store.database import Database

_SEEN: Final = timedelta(minutes=1)


async def fleet_stats(database: Database, now: datetime) -> FleetStats:
    """Reads the figures."""
    (orgs,) = await database.fetch(_ORGS)
    queue = await depth(database)
    task_successes = {
        one.name: one.done_at.timestamp() for one in await list_tasks(database) if one.done_at is not None
    }
    # fleet_stats.workers
    workers: int = await database.fetchval("SELECT count(*) FROM workers WHERE seen_at > $1", now - _SEEN)
    freshness, ages = [0] * (len(FRESHNESS_SECONDS) + 1), 0.0
    for row in await database.fetch(_FRESHNESS, list(FRESHNESS_SECONDS), now):
        freshness[row["place"]] = row["orgs"]
        ages += row["ages"]
    jobs = {"waiting": queue.waiting, "overdue": queue.overdue, "under_way": queue.under_way}
    unscheduled = await count_unscheduled(database, now)
    (alerts,) = await database.fetch(_ALERTS, now)
    firing = {severity.value: alerts[severity.value] for severity in Severity}
    return FleetStats(
        dict(orgs),
        jobs,
        queue.overdue_seconds,
        workers,
        task_successes,
        freshness,
        ages,
        unscheduled,
        firing,
        alerts["evaluated_seconds"],
        await read_backlog(database),
    )


async def org_ages(database: Database, now: datetime, at_most: int) -> Mapping[str, float]:
    """Returns by name the seconds since the newest known count of each org, for the first `at_most` orgs not paused.

    Infinite for an org without a known count.
    """
    return {row["name"]: row["age"] for row in await database.fetch(_AGES, now, at_most)}


# fleet_stats.orgs: the number of orgs in each state.
_ORGS: Final = """
SELECT count(*) FILTER (WHERE paused_at IS NULL AND parked_at IS NULL) AS active,
       count(*) FILTER (WHERE paused_at IS NOT NULL) AS paused,
       count(*) FILTER (WHERE paused_at IS NULL AND parked_at IS NOT NULL) AS parked
FROM orgs WHERE removed_at IS NULL
"""

# fleet_stats.freshness: active orgs by age, in the buckets with the bounds $1; orgs without counts are the oldest.
_FRESHNESS: Final = """
SELECT coalesce(width_bucket(extract(epoch FROM $2 - l.polled_at)::float8, $1::float8[]), cardinality($1)) AS place,
       count(*)::int AS orgs, coalesce(sum(extract(epoch FROM $2 - l.polled_at)), 0)::float8 AS ages
FROM orgs o LEFT JOIN latest_snapshots l ON l.org_id = o.id
WHERE o.removed_at IS NULL AND o.paused_at IS NULL AND o.parked_at IS NULL
GROUP BY 1
"""

# fleet_stats.alerts: firing alerts by severity, and the seconds since the last evaluation.
_ALERTS: Final = """
SELECT count(*) FILTER (WHERE severity = 'critical')::int AS critical,
       count(*) FILTER (WHERE severity = 'warning')::int AS warning,
       count(*) FILTER (WHERE severity = 'info')::int AS info,
       (SELECT extract(epoch FROM $1 - at)::float8 FROM alert_evaluation) AS evaluated_seconds
FROM alert_states WHERE state = 'firing'
"""

# fleet_stats.ages: the age of each org's counts, for the first $2 orgs.
_AGES: Final = """
SELECT o.name, coalesce(extract(epoch FROM $1 - l.polled_at)::float8, 'infinity') AS age
FROM orgs o LEFT JOIN latest_snapshots l ON l.org_id = o.id
WHERE o.removed_at IS NULL AND o.paused_at IS NULL
ORDER BY o.name LIMIT $2
"""
