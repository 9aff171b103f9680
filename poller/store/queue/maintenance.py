"""When each maintenance task last started and ended, and its result; adds tasks that are due to the queue.

A maintenance task is a job like any other: any free worker does it, and if that worker dies, another one.
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

MAINTENANCE: Final = "chore"
"""The kind of these jobs, as stored; the payload is the name of the task."""
_CLOCK_TOLERANCE: Final = timedelta(seconds=TOLERANCE_SECONDS)


async def enqueue_maintenance_tasks(database: Database, intervals: Mapping[str, int], now: datetime) -> int:
    """Adds each task once per interval; `intervals`: seconds by name. Returns how many were added."""
    started = {task.name: task.begun_at for task in await list_tasks(database)}
    # A start in the future comes from a wrong clock.
    due = [
        name
        for name, seconds in intervals.items()
        if name not in started or not slot_of(now, seconds) <= started[name] <= now + _CLOCK_TOLERANCE
    ]
    jobs = [NewJob(MAINTENANCE, f"{MAINTENANCE}:{name}", name.encode(), timedelta()) for name in due]
    return await enqueue(database, jobs)


async def record_task_start(database: Database, name: str) -> datetime:
    """Records the start of a task; returns PostgreSQL's time, by which the task decides what to create and delete."""
    # chores.start
    started_at: datetime = await database.fetchval(
        """
        INSERT INTO chores (name, begun_at) VALUES ($1, now())
        ON CONFLICT (name) DO UPDATE SET begun_at = excluded.begun_at
        RETURNING begun_at
        """,
        name,
    )
    return started_at


async def claim_task_start(database: Database, name: str, interval_seconds: float) -> datetime | None:
    """Records the start of a task that is not in the queue; returns PostgreSQL's time, or None if it is not due yet.

    Of workers that ask at the same moment one gets the time. A start in the future comes from a wrong clock.
    """
    # chores.claim
    started_at: datetime | None = await database.fetchval(
        """
        INSERT INTO chores AS c (name, begun_at) VALUES ($1, now())
        ON CONFLICT (name) DO UPDATE SET begun_at = excluded.begun_at
        WHERE NOT c.begun_at BETWEEN now() - make_interval(secs => $2) AND now() + $3::interval
        RETURNING begun_at
        """,
        name,
        interval_seconds,
        _CLOCK_TOLERANCE,
    )
    return started_at


async def record_task_end(
    database: Database, name: str, now: datetime, *, detail: str = "", error: str | None = None
) -> None:
    """Records the result of a task: what it did, or its error."""
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
    """Every task that ever started, by name."""
    # chores.list
    rows = await database.fetch("SELECT name, begun_at, done_at, detail, failed_at, error FROM chores ORDER BY name")
    return [TaskRecord(**row) for row in rows]
