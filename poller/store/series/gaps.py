"""What is not known, and why: slot by slot, streamed.

The slots are those of the view `poll_gaps`; here is only added which of them follow on one another. Nothing is guessed
of stretches in which an org was paused, or not there yet: they are no gaps.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from poller.core.series import Gap, UnknownOrgs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from poller.store.database import Database

_PREFETCH: Final = 500
"""Rows fetched at a time."""


async def stream_gaps(
    database: Database,
    since: datetime,
    until: datetime,
    *,
    interval_seconds: int,
    org_ids: Sequence[int] | None = None,
) -> AsyncIterator[Gap]:
    """The gaps of `[since, until)` by the orgs' names, then by slot.

    `org_ids` None: every org that was not removed. `interval_seconds` is for orgs that have none of their own. A
    connection is held until the end; to stop before it, use `contextlib.aclosing`.
    """
    async with database.connection() as connection, connection.transaction(readonly=True):
        # A plan so wide is taken for one worth compiling, which takes longer than the answer.
        await connection.execute("SET LOCAL jit = off")
        async for row in connection.cursor(_GAPS, since, until, org_ids, interval_seconds, prefetch=_PREFETCH):
            yield Gap(*row)


async def unknown_orgs(
    database: Database, since: datetime, *, org_ids: Sequence[int] | None, listed: int | None
) -> UnknownOrgs:
    """Find them among these orgs, or among all that were not removed; the slots of their unknown past are no gaps.

    `listed` None: all are named.
    """
    never, later = await asyncio.gather(
        database.fetch(_NEVER, org_ids, listed), database.fetch(_LATER, org_ids, listed, since)
    )
    return UnknownOrgs(
        never[0]["total"] if never else 0,
        {row["name"]: row["id"] for row in never},
        later[0]["total"] if later else 0,
        {row["name"]: row["first_slot"] for row in later},
    )


# gaps.never: orgs without any poll.
_NEVER: Final = """
SELECT o.id, o.name, count(*) OVER () AS total
FROM orgs o LEFT JOIN latest_polls p ON p.org_id = o.id
WHERE p.polled_at IS NULL AND CASE WHEN $1::integer[] IS NULL THEN o.removed_at IS NULL ELSE o.id = ANY ($1) END
ORDER BY o.name LIMIT $2
"""

# gaps.later: orgs whose first slot is later than the question's first moment.
_LATER: Final = """
SELECT o.name, p.first_slot, count(*) OVER () AS total
FROM orgs o JOIN latest_polls p ON p.org_id = o.id
WHERE p.polled_at IS NOT NULL AND p.first_slot > $3
  AND CASE WHEN $1::integer[] IS NULL THEN o.removed_at IS NULL ELSE o.id = ANY ($1) END
ORDER BY o.name LIMIT $2
"""

# Purpose: stream_gaps. A gap follows on the one before it if nothing is known in between and they are not farther apart
# than the org's interval, or as far as their neighbours are: the interval may have been another then.
_GAPS: Final = """
WITH gaps AS (
    SELECT g.org_id, g.org, g.slot, g.reason, lag(g.slot) OVER by_org AS before,
           lag(g.slot, 2) OVER by_org AS earlier, lead(g.slot) OVER by_org AS after,
           make_interval(secs => coalesce(c.interval_seconds, o.poll_interval_seconds, $4::integer)) AS usual
    FROM poll_gaps g
    JOIN orgs o ON o.id = g.org_id
    LEFT JOIN org_schedules c ON c.org_id = g.org_id
    WHERE g.slot >= $1 AND g.slot < $2
      AND CASE WHEN $3::integer[] IS NULL THEN o.removed_at IS NULL ELSE g.org_id = ANY ($3) END
    WINDOW by_org AS (PARTITION BY g.org, g.org_id ORDER BY g.slot)
)
SELECT org_id, org, slot, reason, coalesce(
           (slot - before <= usual OR slot - before = before - earlier OR slot - before = after - slot)
           AND NOT EXISTS (
               SELECT FROM org_snapshots s
               WHERE s.org_id = gaps.org_id AND s.slot > gaps.before AND s.slot < gaps.slot
           ), false) AS follows
FROM gaps
ORDER BY org, org_id, slot
"""
