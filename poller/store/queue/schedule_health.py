"""Checks that the scheduler works: counts active orgs whose next slot is overdue or too far in the future."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

    from poller.store.database import Database


async def count_unscheduled(database: Database, now: datetime) -> int:
    """How many active orgs had no slot for two of their intervals, or have none due in the next two.

    A poll by `poller poll` is a slot too. An org that was added or resumed less than two intervals ago is not counted.
    """
    found: int = await database.fetchval(_UNSCHEDULED, now)
    return found


# schedule_health.unscheduled: a cursor stands at the next slot, so the slot before it was due one interval earlier. An
# org without a cursor was never scheduled since it was added or resumed; its interval is the one that would be used.
# A minute more, for intervals of seconds.
_UNSCHEDULED: Final = """
SELECT count(*)
FROM orgs o
LEFT JOIN org_schedules s ON s.org_id = o.id
LEFT JOIN latest_polls p ON p.org_id = o.id AND p.polled_at <= $1::timestamptz
CROSS JOIN LATERAL (
    SELECT make_interval(secs => coalesce(
        s.interval_seconds, (SELECT effective_interval_seconds FROM org_states WHERE org_id = o.id)
    )) AS length
    OFFSET 0
) AS i
WHERE o.removed_at IS NULL AND o.paused_at IS NULL
  AND (s.due_at > $1 + 2 * i.length + interval '2 minutes'
    OR greatest(p.polled_at, CASE WHEN s.org_id IS NULL THEN greatest(o.created_at, o.resumed_at)
                                  ELSE s.due_at - i.length END) < $1 - 2 * i.length - interval '1 minute')
"""
