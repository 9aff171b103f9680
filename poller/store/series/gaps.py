"""Streams gaps: slots with unknown counts, and the reason.

The gaps are those of the view `poll_gaps`; this module adds which gap follows directly on the one before. Times when an
org was paused or not yet added are not gaps.
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
    """Yields the gaps in `[since, until)` by org name, then by slot.

    `org_ids` None: every org that is not removed. `interval_seconds` applies to orgs without their own interval. Keeps
    a connection until the last row; to stop earlier, use `contextlib.aclosing`.
    """
    async with database.connection() as connection, connection.transaction(readonly=True):
        # The planner would compile this wide plan, which takes longer than running it.
        await connection.execute("SET LOCAL jit = off")
        async for row in connection.cursor(GAPS_IN_ORDER, since, until, org_ids, interval_seconds, prefetch=_PREFETCH):
            yield Gap(*row)


async def unknown_orgs(
    database: Database, since: datetime, *, org_ids: Sequence[int] | None, listed: int | None
) -> UnknownOrgs:
    """Finds such orgs among `org_ids`, None: among all not removed; slots before their first poll are not gaps.

    Lists the first `listed` orgs by name; None: all.
    """
    # Not in a group: callers expect the error of the database, and not an exception group.
    never, later = await asyncio.gather(  # noqa: TID251
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

# gaps.later: orgs whose first slot is later than $3.
_LATER: Final = """
SELECT o.name, p.first_slot, count(*) OVER () AS total
FROM orgs o JOIN latest_polls p ON p.org_id = o.id
WHERE p.polled_at IS NOT NULL AND p.first_slot > $3
  AND CASE WHEN $1::integer[] IS NULL THEN o.removed_at IS NULL ELSE o.id = ANY ($1) END
ORDER BY o.name LIMIT $2
"""

# gaps.stream: a gap follows on the one before if there is no snapshot between them, and their distance is at most the
# org's interval or equals the distance of a neighbouring pair: the interval may have been different then.
GAPS_IN_ORDER: Final = """
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
