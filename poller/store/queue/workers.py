"""Who works: a row per process, renewed while it lives. For people to look at; nothing is decided by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poller.core.fleet import WorkerRecord

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from poller.store.database import Database


async def heartbeat_worker(database: Database, worker: WorkerRecord) -> None:
    """This worker lives, and this is how it does."""
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
    """This worker is leaving."""
    # workers.say_goodbye
    await database.execute("DELETE FROM workers WHERE id = $1", worker_id)


async def list_workers(database: Database, seen_after: datetime) -> list[WorkerRecord]:
    """Those seen after that moment, the longest at work first."""
    # workers.list
    rows = await database.fetch(
        """
        SELECT id, name, version, started_at, seen_at, facts FROM workers WHERE seen_at > $1 ORDER BY started_at, name
        """,
        seen_after,
    )
    return [WorkerRecord(**row) for row in rows]


async def delete_expired_workers(database: Database, before: datetime) -> int:
    """Delete those that were last seen before that moment, and never said goodbye; how many."""
    # workers.forget
    status = await database.execute("DELETE FROM workers WHERE seen_at < $1", before)
    return int(status.rpartition(" ")[2])
