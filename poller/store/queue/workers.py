"""One row per worker process, renewed while it runs. The rows are for people and for fair shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.core.fleet import WORKER_SEEN_WITHIN, WorkerRecord

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from poller.store.database import Database


async def heartbeat_worker(database: Database, worker: WorkerRecord) -> None:
    """Inserts or refreshes the row of this worker."""
    # workers.say_alive
    await database.execute(
        """
        INSERT INTO workers AS w (id, name, version, started_at, seen_at, facts, private_locks)
        VALUES ($1, $2, $3, $4, $5, $6, true)
        ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, facts = excluded.facts
        """,
        worker.id,
        worker.name,
        worker.version,
        worker.started_at,
        worker.seen_at,
        worker.facts,
    )


async def deregister(database: Database, worker_id: UUID) -> None:
    """Deletes the row of this worker."""
    # workers.say_goodbye
    await database.execute("DELETE FROM workers WHERE id = $1", worker_id)


async def list_workers(database: Database, now: datetime) -> list[WorkerRecord]:
    """The workers seen within `WORKER_SEEN_WITHIN` of `now`, the oldest first."""
    # workers.list
    rows = await database.fetch(
        """
        SELECT id, name, version, started_at, seen_at, facts FROM workers WHERE seen_at > $1 ORDER BY started_at, name
        """,
        now - WORKER_SEEN_WITHIN,
    )
    return [WorkerRecord(**row) for row in rows]


async def delete_expired_workers(database: Database, before: datetime) -> int:
    """Deletes the rows of workers last seen before that moment; returns how many."""
    # workers.forget
    status = await database.execute("DELETE FROM workers WHERE seen_at < $1", before)
    return int(status.rpartition(" ")[2])
