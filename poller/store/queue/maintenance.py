"""When each chore was last begun and done, and what came of it; and the queueing of those whose turn it is.

A chore is a job like any other: whichever worker is free does it, and another does it again where that one dies.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from poller.core.clock import TOLERANCE_SECONDS
from poller.core.fleet import TaskRecord
from poller.core.slots import slot_of
from poller.store.queue.jobs import NewJob, enqueue

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from poller.store.database import Database

CHORE: Final = "chore"
"""The kind of these jobs; the payload is the chore's name."""
_CLOCK_TOLERANCE: Final = timedelta(seconds=TOLERANCE_SECONDS)


async def enqueue_maintenance_tasks(database: Database, intervals: Mapping[str, int], now: datetime) -> int:
    """Queue each chore (by name, with its interval in seconds) once per interval; how many were queued."""
    begun = {chore.name: chore.begun_at for chore in await list_tasks(database)}
    # One begun in the future was begun by a clock that was wrong.
    due = [
        name
        for name, seconds in intervals.items()
        if name not in begun or not slot_of(now, seconds) <= begun[name] <= now + _CLOCK_TOLERANCE
    ]
    jobs = [NewJob(CHORE, f"{CHORE}:{name}", name.encode(), timedelta()) for name in due]
    return await enqueue(database, jobs)


async def record_task_start(database: Database, name: str) -> datetime:
    """Record that it begins now; PostgreSQL's time, which decides what the chore makes and drops."""
    # chores.begin
    begun_at: datetime = await database.fetchval(
        """
        INSERT INTO chores (name, begun_at) VALUES ($1, now())
        ON CONFLICT (name) DO UPDATE SET begun_at = excluded.begun_at
        RETURNING begun_at
        """,
        name,
    )
    return begun_at


async def record_task_end(
    database: Database, name: str, now: datetime, *, detail: str = "", error: str | None = None
) -> None:
    """It was done, or failed."""
    # chores.end
    await database.execute(
        """
        UPDATE chores SET done_at = CASE WHEN $4::text IS NULL THEN $2 ELSE done_at END,
                          detail = CASE WHEN $4::text IS NULL THEN $3 ELSE detail END,
                          failed_at = CASE WHEN $4::text IS NULL THEN NULL ELSE $2 END, error = $4
        WHERE name = $1
        """,
        name,
        now,
        detail,
        error,
    )


async def list_tasks(database: Database) -> list[TaskRecord]:
    """Every chore that was ever begun, by name."""
    # chores.list
    rows = await database.fetch("SELECT name, begun_at, done_at, detail, failed_at, error FROM chores ORDER BY name")
    return [TaskRecord(**row) for row in rows]
