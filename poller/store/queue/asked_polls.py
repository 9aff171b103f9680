"""Polls that a person asks for: a job for the open slot of an org, which any worker takes like every other job.

The key of the job is that of a claim by a command, so an org has at most one such job, and `poller poll` takes it over.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from poller.core.schedule import Due, asked_slot
from poller.store.queue.jobs import NewJob, enqueue
from poller.store.queue.schedules import POLL, due_payload

if TYPE_CHECKING:
    from datetime import datetime

    from poller.store.database import Database


async def ask_poll(database: Database, org_id: int, now: datetime) -> tuple[Due, bool]:
    """Adds a job that polls the org now, and ends the wait for the next probe of a parked org.

    Returns the slot, and whether the job is new; False: such a job was in the queue already. The org exists.
    """
    async with database.transaction() as connection:
        row = await connection.fetchrow(_ORG, org_id)
        assert row is not None  # noqa: S101  # the caller has read it
        due = asked_slot(org_id, row["interval_seconds"], now)
        await connection.execute(_PROBE, org_id, now)
        job = NewJob(
            POLL, f"{org_id}:by-hand", due_payload(due), timedelta(), priority=1, data_center=row["data_center"]
        )
        added = await enqueue(connection, [job])
    return due, bool(added)


# asked_polls.org: the interval in which its slots are scheduled, else the one in which they would be.
_ORG: Final = """
SELECT o.data_center, coalesce(c.interval_seconds, s.effective_interval_seconds) AS interval_seconds
FROM orgs o JOIN org_states s ON s.org_id = o.id LEFT JOIN org_schedules c ON c.org_id = o.id WHERE o.id = $1
"""

# asked_polls.probe
_PROBE: Final = "UPDATE orgs SET probe_at = $2 WHERE id = $1 AND parked_at IS NOT NULL AND probe_at > $2"
