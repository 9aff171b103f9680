"""Rolls snapshots up into daily counts: once when a day is over, and again after a snapshot of the day changes.

Writers of snapshots take the shared lock on the days; a rollup takes the exclusive lock, for some milliseconds, to move
the watermark or to take days off the list of dirty days. So every day before the watermark is either dirty, or its
daily counts include all committed snapshots. The view `daily_user_counts` is therefore always right, and fast for days
that are rolled up.

The sums of a day over all orgs (`fleet_days`) are valid while the day is neither dirty nor in `unsummed_days`, where
triggers add it after a change.
"""

# ruff: noqa: S608 - every name put into a statement stands in this file or in the model

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.core.model import COLUMNS
from poller.store.locks import lock_days_exclusive, lock_days_shared
from poller.store.series.templates import per_count

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from poller.store.database import Database
    from poller.store.queries import Connection

BATCH: Final = 500
"""Pairs of org and day that are rolled up in one transaction, which writers wait for."""

_TYPES: Final = per_count("<number>", ", ")
"""The numbers of all user types, for indexes that begin with the type."""


async def roll_up(database: Database, until: date) -> int:
    """Rolls up every day (UTC) before `until` and all dirty days, and sums them; returns how many pairs of org and day.

    Several processes may do this at the same time. It may stop at any moment: finished batches are committed.
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
    """Marks the days of these orgs and slots dirty; the caller has a lock on the days.

    Returns the pairs of org and day that are final, whose daily counts do not change.
    """
    return [tuple(row) for row in await connection.fetch(_MARK, org_ids, slots)]


async def _advance_watermark(database: Database, until: date) -> bool:
    """Moves the watermark by one day, and marks that day dirty for every org that has a snapshot of it."""
    async with database.transaction() as connection:
        await lock_days_exclusive(connection)
        day = await connection.fetchval(_NEXT_DAY, until)
        if day is None:
            return False
        await connection.execute(_MARK_DAY, day)
        await connection.execute(_ADVANCE_WATERMARK, day)
        return True


async def _roll_up_dirty(database: Database, most: int = BATCH) -> int:
    """Rolls up at most `most` dirty days, the oldest first; returns how many."""
    async with database.transaction() as connection:
        await lock_days_exclusive(connection)
        keys = await connection.fetch(_TAKE_DIRTY, most)
        if keys:
            org_ids, days = zip(*keys, strict=True)
            await connection.execute(_ROLL_UP, org_ids, days)
        return len(keys)


async def _sum_day(database: Database) -> bool:
    """Sums one day over all orgs; returns False if there is no day to sum.

    It takes the shared lock on the days. If a writer makes the day dirty, its sums are not used, and the day is added
    to `unsummed_days` again when it is rolled up.
    """
    async with database.transaction() as connection:
        await lock_days_shared(connection)
        day = await connection.fetchval(_UNSUMMED)
        if day is None:
            return False
        await connection.execute(_DELETE_SUMS, day)
        await connection.execute(_SUM, day)
        return True


# rollups.next_day: the first day that is not rolled up, if it is before $1.
_NEXT_DAY: Final = "SELECT rolled_until FROM rollup_state WHERE rolled_until < $1::date"

# rollups.mark_day: every org that has a snapshot of a day. Writers wait for it, so it looks up one row per org (13 µs
# each on two cores and PostgreSQL 15) instead of reading the whole day.
_MARK_DAY: Final = """
INSERT INTO dirty_days (org_id, day)
SELECT o.id, $1::date FROM orgs o CROSS JOIN LATERAL (
    SELECT FROM org_snapshots s WHERE s.org_id = o.id
        AND s.slot >= $1::date::timestamp AT TIME ZONE 'UTC' AND s.slot < ($1::date + 1)::timestamp AT TIME ZONE 'UTC'
    LIMIT 1
) AS any_snapshot
ON CONFLICT DO NOTHING
"""

# rollups.advance_watermark
_ADVANCE_WATERMARK: Final = "UPDATE rollup_state SET rolled_until = $1::date + 1"

# rollups.mark_dirty: marks the days and deletes their daily counts, because the view reads a dirty day from its
# snapshots. A final day keeps its daily counts and is returned; one without daily counts is rolled up from the late
# snapshots. `rollup_state` is read in a subquery: PostgreSQL never analyzes a table of one row, so for a join the
# planner expects 2,200 rows, and compiles the plan, which takes half a second.
_MARK: Final = f"""
WITH keys AS (
    SELECT DISTINCT key.org_id, (key.slot AT TIME ZONE 'UTC')::date AS day
    FROM unnest($1::integer[], $2::timestamptz[]) AS key (org_id, slot)
),
late AS (
    SELECT k.org_id, k.day, NOT EXISTS (
        SELECT FROM daily_counts c WHERE c.type = 1 AND c.day = k.day AND c.org_id = k.org_id
    ) AS counted
    FROM keys k
    WHERE k.day < (SELECT raw_since FROM rollup_state)
      AND NOT EXISTS (SELECT FROM late_days l WHERE l.org_id = k.org_id AND l.day = k.day AND l.counted)
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
    DELETE FROM daily_counts c USING marked, generate_series(1, {len(COLUMNS)}) AS number
    WHERE c.org_id = marked.org_id AND c.type = number AND c.day = marked.day
)
SELECT org_id, day FROM late WHERE NOT counted ORDER BY 1, 2
"""

# rollups.take_dirty: the oldest dirty days before the watermark.
_TAKE_DIRTY: Final = """
DELETE FROM dirty_days
WHERE (org_id, day) IN (
    SELECT org_id, day FROM dirty_days WHERE day < (SELECT rolled_until FROM rollup_state)
    ORDER BY day, org_id LIMIT $1
)
RETURNING org_id, day
"""

# rollups.roll_up: computes daily counts from snapshots. It aggregates the ten columns side by side and splits them by
# type afterwards: that groups a tenth of the rows.
_ROLL_UP: Final = f"""
INSERT INTO daily_counts (type, day, org_id, first, last, min, max, sum, samples, missing)
SELECT t.type, d.day, d.org_id, t.known[1], t.known[cardinality(t.known)], t.min, t.max, t.sum,
       coalesce(cardinality(t.known), 0), d.snapshots - coalesce(cardinality(t.known), 0)
FROM (
    SELECT key.org_id, key.day, count(*)::integer AS snapshots,
           {
    per_count('''array_agg(s.<column> ORDER BY s.slot) FILTER (WHERE s.<column> IS NOT NULL) AS <column>,
           min(s.<column>) AS <column>_min, max(s.<column>) AS <column>_max, sum(s.<column>) AS <column>_sum''')
}
    FROM unnest($1::integer[], $2::date[]) AS key (org_id, day)
    JOIN org_snapshots s ON s.org_id = key.org_id AND s.slot >= key.day::timestamp AT TIME ZONE 'UTC'
        AND s.slot < (key.day + 1)::timestamp AT TIME ZONE 'UTC'
    GROUP BY key.org_id, key.day
) AS d
CROSS JOIN LATERAL (VALUES
    {per_count("(<number>, d.<column>, d.<column>_min, d.<column>_max, d.<column>_sum)")}
) AS t (type, known, min, max, sum)
ORDER BY t.type, d.day, d.org_id
"""

# rollups.take_unsummed: the oldest day that is not summed.
_UNSUMMED: Final = """
DELETE FROM unsummed_days
WHERE day = (SELECT day FROM unsummed_days ORDER BY day LIMIT 1 FOR UPDATE SKIP LOCKED)
RETURNING day
"""

# rollups.delete_sums
_DELETE_SUMS: Final = f"DELETE FROM fleet_days WHERE type = ANY (ARRAY[{_TYPES}]) AND day = $1"
# rollups.sum_day
_SUM: Final = f"""
INSERT INTO fleet_days (type, day, total, orgs, unknown)
SELECT type, day, sum(last), count(last), count(*) - count(last)
FROM daily_counts WHERE type = ANY (ARRAY[{_TYPES}]) AND day = $1
GROUP BY type, day
"""
