"""Whether slots are being handed out: active orgs whose next slot is overdue, or further ahead than it can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

    from poller.store.database import Database


async def count_unscheduled(database: Database, now: datetime) -> int:
    """How many active orgs had no slot handed out for two of their intervals, or have none due in the next two."""
    found: int = await database.fetchval(_UNSCHEDULED, now)
    return found


# schedule_health.unscheduled: a cursor stands at the next slot, so it is overdue by one interval once two went by. A
# minute more, for intervals of seconds. An org without a cursor was added, or resumed, a moment ago.
_UNSCHEDULED: Final = """
SELECT count(*) FROM orgs o LEFT JOIN org_schedules s ON s.org_id = o.id
WHERE o.removed_at IS NULL AND o.paused_at IS NULL
  AND CASE WHEN s.org_id IS NULL THEN o.updated_at < $1::timestamptz - interval '2 minutes'
           ELSE s.due_at < $1 - s.interval_seconds * interval '1 second' - interval '1 minute'
             OR s.due_at > $1 + 2 * s.interval_seconds * interval '1 second' + interval '2 minutes' END
"""
