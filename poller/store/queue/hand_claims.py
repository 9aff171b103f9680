"""Orgs that a command polls by hand, claimed in the queue that the workers share: one process polls an org at a time.

A claim is a job that is being done from the start. Workers leave an org alone while another process does a job of it,
and so does a command: first it claims, then it looks who else does. A claim whose process fell silent is a job like any
other: a worker takes it over.
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


async def claim(database: Queries, holder: UUID, slots: Sequence[Due], silence: timedelta) -> dict[int, int]:
    """Claim the orgs of these slots; the jobs of those that no other command has claimed, by org."""
    slots = sorted(slots, key=lambda due: due.org_id)
    keys = [f"{due.org_id}:by-hand" for due in slots]
    rows = await database.fetch(_CLAIM, POLL, holder, keys, [due_payload(due) for due in slots], silence)
    return {row["org_id"]: row["id"] for row in rows}


async def polled_elsewhere(database: Queries, own_jobs: Collection[int], silence: timedelta) -> set[int]:
    """The orgs that other processes poll just now."""
    return {row["org_id"] for row in await database.fetch(_ELSEWHERE, POLL, list(own_jobs), silence)}


async def keep(database: Queries, holder: UUID) -> None:
    """Say that the claims of this process are still good."""
    await database.execute(_KEEP, holder)


async def release(database: Queries, holder: UUID, jobs: Collection[int]) -> None:
    """These orgs are polled: others may poll them again."""
    await database.execute(_RELEASE, list(jobs), holder)


# hand_claims.claim: in the order of the key, so that two commands never wait for each other in turn. $1 kind,
# $2 holder, $3 keys, $4 payloads, $5 silence
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
WHERE status = 'picked' AND entrypoint = $1 AND id <> ALL($2::bigint[]) AND heartbeat >= now() - $3::interval
"""

# hand_claims.keep
_KEEP: Final = "UPDATE pgqueuer SET heartbeat = now() WHERE queue_manager_id = $1 AND status = 'picked'"

# hand_claims.release
_RELEASE: Final = "DELETE FROM pgqueuer WHERE id = ANY($1::bigint[]) AND queue_manager_id = $2"
