"""Turns: whose job is whose first, so that workers with equally free hands get equally many.

A job is first that of one worker, by its number and the workers' places in line; a moment later the next one's as well,
and so on. Nothing is agreed upon: a place is read from the list of those who live, and whoever is wrong about it, busy,
frozen or dead makes a job late by that moment and no more. Jobs are looked at by data centre: those of one whose places
are all taken neither count nor hide the others. It refuses to claim anything: see `queue` and `poll_claims`.
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
"""Jobs whose time is next: more than a worker claims at once."""
NO_DATA_CENTER: Final = ""
"""Of jobs that name none: chores, and polls that a worker of an earlier release queued."""
ALL_ROOM: Final = {NO_DATA_CENTER: LOOKED_AT}
LAST_TURN: Final = timedelta(seconds=1)
"""However many workers there are, a job that is so long overdue is everybody's."""


class FairShare(NamedTuple):
    """How many jobs it is a worker's turn to claim, and the seconds until the next; None where none waits."""

    jobs: int
    next_seconds: float | None


async def read_fair_share(
    database: Database,
    worker_id: UUID,
    kinds: Collection[str],
    *,
    seen_after: datetime,
    moment: timedelta,
    silence: timedelta,
    rooms: Mapping[str, int] = ALL_ROOM,
    after: timedelta = timedelta(),
) -> FairShare:
    """What there is to claim for this worker, among those seen after that moment.

    `moment`: after which the next in line is let in. Jobs whose worker has been silent for `silence` are anybody's.
    `rooms`: how many jobs this worker could take of each data centre. `after`: how much longer it lets the
    others go first, where it can do only some of the jobs.
    """
    row = await database.fetchrow(
        _LOOK,
        list(kinds),
        worker_id,
        seen_after,
        moment,
        silence,
        LOOKED_AT,
        LAST_TURN,
        list(rooms.keys()),
        list(rooms.values()),
        after,
    )
    return FairShare(0, None) if row is None else FairShare(*row)


# turns.look: places are in the order of ids, which says nothing about anybody; who is not listed yet counts as well.
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
