"""Fair share: which worker may claim a job first, so that workers with equally many free places get equally many jobs.

Job `n` may be claimed at once by worker `n % workers`, a moment later by the next worker as well, and so on. The number
and the position of a worker come from the rows of living workers; a worker with an outdated view, or one that is busy,
frozen or dead, delays a job by that moment and no more. Jobs are examined per data centre: the jobs of a data centre
without free places neither count nor hide others. Nothing is claimed here: see `jobs` and `poll_claims`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime
    from uuid import UUID

    from poller.store.database import Database

LOOKED_AT: Final = 200
"""Jobs examined per data centre: more than a worker claims at once."""
NO_DATA_CENTER: Final = ""
"""Jobs without one: maintenance tasks, and polls that a worker of an earlier release queued."""
ALL_PLACES: Final = {NO_DATA_CENTER: LOOKED_AT}
LAST_TURN: Final = timedelta(seconds=1)
"""However many workers there are, every worker may claim a job that is overdue by this much."""


class FairShare(NamedTuple):
    """How many jobs a worker may claim now, and the seconds until it may claim the next; None if no job waits."""

    jobs: int
    next_seconds: float | None


async def read_fair_share(
    database: Database,
    worker_id: UUID,
    kinds: Collection[str],
    *,
    seen_after: datetime,
    delay: timedelta,
    heartbeat_timeout: timedelta,
    places: Mapping[str, int] = ALL_PLACES,
    after: timedelta = timedelta(),
) -> FairShare:
    """How many jobs this worker may claim, among the workers seen after that moment.

    `delay`: after which the next worker may claim too. `heartbeat_timeout`: any worker may take over a job without a
    heartbeat for this long. `places`: how many jobs of each data centre this worker could start. `after`: how much
    longer this worker waits, if it can do only some of the jobs.
    """
    row = await database.fetchrow(
        _LOOK,
        list(kinds),
        worker_id,
        seen_after,
        delay,
        heartbeat_timeout,
        LOOKED_AT,
        LAST_TURN,
        list(places.keys()),
        list(places.values()),
        after,
    )
    return FairShare(0, None) if row is None else FairShare(*row)


# fair_share.read: the position of a worker is the rank of its id, which is random. A worker without a row counts too.
_LOOK: Final = """
WITH line AS (
    SELECT count(*) FILTER (WHERE id < $2) AS place, count(*) FILTER (WHERE id <> $2) + 1 AS workers
    FROM workers WHERE seen_at > $3 AND coalesce((facts->>'clock_wrong_seconds')::float8, 0) = 0
), shares AS (
    SELECT * FROM unnest($8::text[], $9::int[]) AS share (data_center, room) WHERE room > 0
), next AS (
    SELECT data_center, room, job.id, job.execute_after FROM shares, unnest($1::text[]) AS kind, LATERAL (
        SELECT id, execute_after FROM pgqueuer
        WHERE status = 'queued' AND entrypoint = kind AND coalesce(headers ->> 'data_center', '') = data_center
        ORDER BY execute_after LIMIT $6) AS job
), turns AS (
    SELECT data_center, room,
           execute_after + least($4::interval, $7::interval / workers) * ((id + place) % workers)
               + $10::interval AS at
    FROM next, line
    UNION ALL
    SELECT data_center, room, heartbeat
    FROM pgqueuer JOIN shares ON data_center = coalesce(headers ->> 'data_center', '')
    WHERE status = 'picked' AND heartbeat < now() - $5::interval AND entrypoint = ANY($1)
), sums AS (
    SELECT least(count(*) FILTER (WHERE at <= now()), room) AS jobs, min(at) FILTER (WHERE at > now()) AS next_at
    FROM turns GROUP BY data_center, room
)
SELECT coalesce(sum(jobs), 0)::int AS jobs, extract(epoch FROM min(next_at) - now())::float8 AS next_seconds FROM sums
"""
