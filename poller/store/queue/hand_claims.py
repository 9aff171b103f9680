"""Claims of orgs that a command polls, in the queue of the workers: only one process at a time polls an org.

A claim is a job in the state `picked` from the start. Workers and commands do not poll an org while another process has
a job of that org; a command claims first, and checks for other processes afterwards. If the process of a claim dies, a
worker takes the claim over like any other job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.store.queue.schedules import POLL, due_payload

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import timedelta
    from uuid import UUID

    from poller.core.schedule import Due
    from poller.store.queries import Queries


async def claim(database: Queries, holder: UUID, slots: Sequence[Due], heartbeat_timeout: timedelta) -> dict[int, int]:
    """Claims the orgs of these slots; returns the jobs, by org, of the orgs that no other command has claimed."""
    slots = sorted(slots, key=lambda due: due.org_id)
    keys = [f"{due.org_id}:by-hand" for due in slots]
    rows = await database.fetch(_CLAIM, POLL, holder, keys, [due_payload(due) for due in slots], heartbeat_timeout)
    return {row["org_id"]: row["id"] for row in rows}


async def polled_elsewhere(
    database: Queries, holder: UUID, org_ids: Sequence[int], heartbeat_timeout: timedelta
) -> set[int]:
    """Those of these orgs that other processes than `holder` poll at the moment."""
    return {row["org_id"] for row in await database.fetch(_ELSEWHERE, POLL, holder, org_ids, heartbeat_timeout)}


async def keep(database: Queries, holder: UUID) -> None:
    """Sends a heartbeat for the claims of this process."""
    await database.execute(_KEEP, holder)


async def release(database: Queries, holder: UUID, jobs: Collection[int]) -> None:
    """Releases claims: other processes may poll these orgs again."""
    await database.execute(_RELEASE, list(jobs), holder)


# hand_claims.claim: in the order of the key, so that two commands never deadlock. $1 kind, $2 holder, $3 keys,
# $4 payloads, $5 heartbeat timeout
_CLAIM: Final = """
INSERT INTO pgqueuer AS job (priority, queue_manager_id, status, entrypoint, dedupe_key, payload)
SELECT 1, $2, 'picked', $1, new.key, new.payload FROM unnest($3::text[], $4::bytea[]) AS new (key, payload)
ON CONFLICT (dedupe_key) WHERE status = ANY (ARRAY['queued'::pgqueuer_status, 'picked'::pgqueuer_status])
                           AND dedupe_key IS NOT NULL
DO UPDATE SET queue_manager_id = excluded.queue_manager_id, status = 'picked', payload = excluded.payload,
              execute_after = now(), heartbeat = now(), updated = now()
WHERE job.status = 'queued' OR job.heartbeat < now() - $5::interval
RETURNING id, split_part(dedupe_key, ':', 1)::int AS org_id
"""

# hand_claims.elsewhere
_ELSEWHERE: Final = """
SELECT DISTINCT split_part(dedupe_key, ':', 1)::int AS org_id FROM pgqueuer
WHERE status = 'picked' AND entrypoint = $1 AND queue_manager_id IS DISTINCT FROM $2
  AND heartbeat >= now() - $4::interval AND split_part(dedupe_key, ':', 1) = ANY($3::int[]::text[])
"""

# hand_claims.keep
_KEEP: Final = "UPDATE pgqueuer SET heartbeat = now() WHERE queue_manager_id = $1 AND status = 'picked'"

# hand_claims.release
_RELEASE: Final = "DELETE FROM pgqueuer WHERE id = ANY($1::bigint[]) AND queue_manager_id = $2"
