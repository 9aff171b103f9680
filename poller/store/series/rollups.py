"""Days made of snapshots: rolled up once they are over, and again when something of them changes.

Whoever writes a snapshot holds the days while it does; whoever moves the line between rolled-up days and open ones, or
takes a day off the list of dirty ones, waits for the writers and keeps them out for some milliseconds. So a day behind
the line is either dirty, or its counts are those of all its committed snapshots: `daily_user_counts` is right without
a rollup, and fast with one. The same goes for the sums of a day over all orgs: they are of use as long as the day is
neither dirty nor on the list of unsummed ones, where triggers put it.
"""

# ruff: noqa: S608 - every name put into a statement stands in this file or in the model

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.core.model import COLUMNS
from poller.store.locks import lock_days_exclusive, lock_days_shared

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from poller.store.database import Database
    from poller.store.queries import Connection

BATCH: Final = 500
"""Days of an org rolled up in one transaction, which writers wait for."""

_TYPES: Final = ", ".join(str(place) for place, _ in enumerate(COLUMNS, 1))
"""By number, for the keys that begin with it."""


async def roll_up(database: Database, until: date) -> int:
    """Roll up every day (UTC) before `until`, and what became dirty since, and add it up; how many days of orgs were.

    Any number of processes may do this at once, and at any moment it may end: what is done is done.
    """
    while await _advance_watermark(database, until):
        pass
    total = 0
    while done := await _roll_up_dirty(database):
        total += done
    while await _sum_day(database):
        pass
    return total


async def mark_dirty(
    connection: Connection, org_ids: Sequence[int], slots: Sequence[datetime]
) -> list[tuple[int, date]]:
    """Put the days of these orgs and slots on the list; the caller holds the days.

    Returns the days (`org_id`, day) that stay as they are: what they were made of has been dropped.
    """
    return [tuple(row) for row in await connection.fetch(_MARK, org_ids, slots)]


async def _advance_watermark(database: Database, until: date) -> bool:
    """Declare one more day over: all its snapshots' orgs go on the list, and later writers mark the day themselves."""
    async with database.transaction() as connection:
        await lock_days_exclusive(connection)
        day = await connection.fetchval(_NEXT_DAY, until)
        if day is None:
            return False
        await connection.execute(_MARK_DAY, day)
        await connection.execute(_LINE, day)
        return True


async def _roll_up_dirty(database: Database, most: int = BATCH) -> int:
    """Roll up at most so many dirty days, the oldest first; how many."""
    async with database.transaction() as connection:
        await lock_days_exclusive(connection)
        keys = await connection.fetch(_TAKE, most)
        if keys:
            org_ids, days = zip(*keys, strict=True)
            await connection.execute(_ROLL_UP, org_ids, days)
        return len(keys)


async def _sum_day(database: Database) -> bool:
    """Add up one day over all orgs; False where none is left.

    It shares the days with writers. A day that one of them makes dirty is not read from its sums, and comes back on
    the list when it is rolled up.
    """
    async with database.transaction() as connection:
        await lock_days_shared(connection)
        day = await connection.fetchval(_UNSUMMED)
        if day is None:
            return False
        await connection.execute(_FORGET_SUMS, day)
        await connection.execute(_SUM, day)
        return True


# Purpose: the day after the line, if it is to be declared over.
_NEXT_DAY: Final = "SELECT rolled_until FROM rollup_state WHERE rolled_until < $1::date"

# Purpose: every org that has a snapshot on a day. Writers wait for it, so it looks up one row per org (13 µs each on
# two cores and PostgreSQL 15) and does not read the day.
_MARK_DAY: Final = """
INSERT INTO dirty_days (org_id, day)
SELECT o.id, $1::date FROM orgs o CROSS JOIN LATERAL (
    SELECT FROM org_snapshots s WHERE s.org_id = o.id
        AND s.slot >= $1::date::timestamp AT TIME ZONE 'UTC' AND s.slot < ($1::date + 1)::timestamp AT TIME ZONE 'UTC'
    LIMIT 1
) AS any_of_it
ON CONFLICT DO NOTHING
"""

# Purpose: the line behind a day.
_LINE: Final = "UPDATE rollup_state SET rolled_until = $1::date + 1"

# Purpose: days of orgs on the list, and off go their counts, so that readers find these days in one place only. A day
# whose snapshots have been dropped keeps what was made of them, and is returned; where nothing was made of it, it is
# made of what comes from now on.
_MARK: Final = f"""
WITH keys AS (
    SELECT DISTINCT key.org_id, (key.slot AT TIME ZONE 'UTC')::date AS day
    FROM unnest($1::integer[], $2::timestamptz[]) AS key (org_id, slot)
),
late AS (
    SELECT k.org_id, k.day, NOT EXISTS (
        SELECT FROM daily_counts c WHERE c.type = 1 AND c.day = k.day AND c.org_id = k.org_id
    ) AS counted
    FROM keys k JOIN rollup_state ON k.day < raw_since
    WHERE NOT EXISTS (SELECT FROM late_days l WHERE l.org_id = k.org_id AND l.day = k.day AND l.counted)
),
noted AS (
    INSERT INTO late_days SELECT org_id, day, counted FROM late ORDER BY 1, 2
    ON CONFLICT (org_id, day) DO UPDATE SET counted = true WHERE excluded.counted
),
marked AS (
    INSERT INTO dirty_days (org_id, day)
    SELECT k.org_id, k.day FROM keys k
    WHERE NOT EXISTS (SELECT FROM late l WHERE l.org_id = k.org_id AND l.day = k.day AND NOT l.counted)
    ORDER BY 1, 2
    ON CONFLICT DO NOTHING
    RETURNING org_id, day
),
moved AS (
    DELETE FROM daily_counts c USING marked, generate_series(1, {len(COLUMNS)}) AS kind
    WHERE c.org_id = marked.org_id AND c.type = kind AND c.day = marked.day
)
SELECT org_id, day FROM late WHERE NOT counted ORDER BY 1, 2
"""

# Purpose: take the oldest days behind the line off the list.
_TAKE: Final = """
DELETE FROM dirty_days
WHERE (org_id, day) IN (
    SELECT org_id, day FROM dirty_days, rollup_state WHERE day < rolled_until ORDER BY day, org_id LIMIT $1
)
RETURNING org_id, day
"""

# Purpose: the counts of these days of orgs from their snapshots. Aggregated wide and told apart by type afterwards:
# a tenth of the rows to group.
_ROLL_UP: Final = f"""
INSERT INTO daily_counts (type, day, org_id, first, last, min, max, sum, samples, missing)
SELECT t.type, d.day, d.org_id, t.known[1], t.known[cardinality(t.known)], t.min, t.max, t.sum,
       coalesce(cardinality(t.known), 0), d.snapshots - coalesce(cardinality(t.known), 0)
FROM (
    SELECT key.org_id, key.day, count(*)::integer AS snapshots,
           {
    ", ".join(
        f'''array_agg(s.{column} ORDER BY s.slot) FILTER (WHERE s.{column} IS NOT NULL) AS {column},
           min(s.{column}) AS {column}_min, max(s.{column}) AS {column}_max, sum(s.{column}) AS {column}_sum'''
        for column in COLUMNS.values()
    )
}
    FROM unnest($1::integer[], $2::date[]) AS key (org_id, day)
    JOIN org_snapshots s ON s.org_id = key.org_id AND s.slot >= key.day::timestamp AT TIME ZONE 'UTC'
        AND s.slot < (key.day + 1)::timestamp AT TIME ZONE 'UTC'
    GROUP BY key.org_id, key.day
) AS d
CROSS JOIN LATERAL (VALUES
    {
    ", ".join(
        f"({place}, d.{column}, d.{column}_min, d.{column}_max, d.{column}_sum)"
        for place, column in enumerate(COLUMNS.values(), 1)
    )
}
) AS t (type, known, min, max, sum)
ORDER BY t.type, d.day, d.org_id
"""

# Purpose: take a day off the list of those that are not added up.
_UNSUMMED: Final = """
DELETE FROM unsummed_days
WHERE day = (SELECT day FROM unsummed_days ORDER BY day LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING day
"""

# Purpose: a day's sums, anew.
_FORGET_SUMS: Final = f"DELETE FROM fleet_days WHERE type = ANY (ARRAY[{_TYPES}]) AND day = $1"
_SUM: Final = f"""
INSERT INTO fleet_days (type, day, total, orgs, unknown)
SELECT type, day, sum(last), count(last), count(*) - count(last)
FROM daily_counts WHERE type = ANY (ARRAY[{_TYPES}]) AND day = $1
GROUP BY type, day
"""
