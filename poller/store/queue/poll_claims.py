"""Claims polls, up to a number for each data centre, so that the backlog of one data centre does not hide the others.

PgQueuer's own statement claims by kind of job and knows no data centres; this statement claims polls by the data centre
in their headers. `read_demand` returns how many polls each data centre needs, to divide the places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta
    from uuid import UUID

    from poller.store.queries import Queries


async def claim(
    database: Queries, kind: str, places: Mapping[str, int], *, most: int, worker_id: UUID, heartbeat_timeout: timedelta
) -> list[Any]:
    """Claims jobs and returns their rows: the longest due first, of each data centre at most its places."""
    return list(
        await database.fetch(
            _CLAIM, kind, list(places.keys()), list(places.values()), most, heartbeat_timeout, worker_id
        )
    )


async def read_demand(database: Queries, interval_seconds: int) -> dict[str, float]:
    """The polls per second that each data centre needs; `interval_seconds` is for orgs without their own."""
    rows = await database.fetch(_DEMAND, interval_seconds)
    return {row["data_center"]: row["polls"] for row in rows}


# poll_claims.claim: $1 kind, $2 data centres and $3 how many of each, $4 how many in all, $5 heartbeat timeout,
# $6 worker
_CLAIM: Final = """
WITH shares AS (
    SELECT * FROM unnest($2::text[], $3::int[]) AS share (data_center, room) WHERE room > 0
), due AS (
    SELECT job.id, job.execute_after FROM shares, LATERAL (
        SELECT id, execute_after FROM pgqueuer
        WHERE status = 'queued' AND entrypoint = $1 AND coalesce(headers ->> 'data_center', '') = data_center
          AND execute_after < now()
        ORDER BY execute_after, id LIMIT room FOR UPDATE SKIP LOCKED) AS job
), silent AS (
    SELECT job.id, job.execute_after FROM shares, LATERAL (
        SELECT id, execute_after FROM pgqueuer
        WHERE status = 'picked' AND entrypoint = $1 AND coalesce(headers ->> 'data_center', '') = data_center
          AND heartbeat < now() - $5::interval
        ORDER BY heartbeat LIMIT room FOR UPDATE SKIP LOCKED) AS job
), chosen AS (
    SELECT id FROM (SELECT * FROM due UNION ALL SELECT * FROM silent) AS jobs ORDER BY execute_after, id LIMIT $4
), claimed AS (
    UPDATE pgqueuer SET status = 'picked', updated = now(), heartbeat = now(), queue_manager_id = $6
    WHERE id IN (SELECT id FROM chosen)
    RETURNING id, entrypoint, payload, status, priority, execute_after
), logged AS (
    INSERT INTO pgqueuer_log (job_id, status, entrypoint, priority) SELECT id, status, entrypoint, priority FROM claimed
)
SELECT id, entrypoint, payload FROM claimed ORDER BY execute_after, id
"""

# poll_claims.demand
_DEMAND: Final = """
SELECT data_center, sum(1.0 / coalesce(poll_interval_seconds, $1))::float8 AS polls
FROM orgs WHERE paused_at IS NULL AND removed_at IS NULL GROUP BY data_center
"""
