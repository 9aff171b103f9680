"""Applies retention: makes old days final before their snapshots are dropped, and deletes old daily counts.

The daily counts of a final day no longer change. A snapshot of a final day that arrives late is still written, until
its month is dropped again; `late_days` shows which of them are not in the daily counts. If an org has no daily counts
of a final day, such as before a back-fill, they are computed from the late snapshots.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Final

from poller.core.model import COLUMNS
from poller.store.locks import lock_days_exclusive

if TYPE_CHECKING:
    from poller.store.database import Database
    from poller.store.queries import Connection, Queries

_FIRST_TYPE: Final = 1


async def finalize_days(connection: Connection, since: date, until: date) -> bool:
    """Makes the days in `[since, until)` final; returns False if some are not rolled up yet.

    The caller has the exclusive lock on the days, and may drop their snapshots afterwards.
    """
    is_final: bool | None = await connection.fetchval(_FINALIZE, since, until)
    if is_final is None:
        return False
    await connection.execute(_DELETE_LATE, since, until)
    return True


async def newest_known(database: Database, until: datetime) -> datetime | None:
    """Returns the newest slot up to `until` with a known count, or None; retention counts back from it."""
    newest: datetime | None = await database.fetchval(_NEWEST_KNOWN, until)
    return newest


async def raw_since(queries: Queries) -> date:
    """Returns the first day whose snapshots are all kept; snapshots of earlier days may have been dropped."""
    # retention.raw_since
    (row,) = await queries.fetch("SELECT raw_since FROM rollup_state")
    found: date = row["raw_since"]
    return found


async def late_days(database: Database, before: date = date.max) -> int:
    """Returns how many days of orgs before `before` have late snapshots that are not in the daily counts."""
    uncounted: int = await database.fetchval(_UNCOUNTED, before)
    return uncounted


async def drop_daily_counts(database: Database, before: date, most: int | None = None) -> int:
    """Deletes the daily counts of final days before `before`, at most `most` days; returns how many days.

    One day and type at a time, each in a transaction that writers wait for. If it stops early, the next call continues.
    """
    dropped, day = 0, date.min
    while dropped != most and (day := await database.fetchval(_OLDEST_DAY, day, before)) is not None:
        # `_OLDEST_DAY` finds a day by its first type, which is therefore deleted last.
        for type_number in range(len(COLUMNS), _FIRST_TYPE - 1, -1):
            async with database.transaction() as connection:
                await lock_days_exclusive(connection)
                await connection.execute(_DROP_DAY, type_number, day)
        dropped += 1
    return dropped


# retention.finalize: no day before $2 is rolled up again.
_FINALIZE: Final = """
UPDATE rollup_state SET raw_since = greatest(raw_since, $2::date)
WHERE rolled_until >= $2::date AND NOT EXISTS (SELECT FROM dirty_days WHERE day >= $1::date AND day < $2::date)
RETURNING true
"""

# retention.delete_late: late snapshots of these days are dropped with the others, so their daily counts are final.
_DELETE_LATE: Final = "DELETE FROM late_days WHERE day >= $1::date AND day < $2::date"

# retention.uncounted: days of orgs with snapshots that are not in the daily counts.
_UNCOUNTED: Final = "SELECT count(*) FROM late_days WHERE day < $1::date AND NOT counted"

# retention.newest_known: rows without counts do not matter here, because a wrong clock may have dated them.
_NEWEST_KNOWN: Final = "SELECT max(slot) FROM latest_snapshots WHERE slot <= least($1, now())"

# retention.oldest_day: the oldest final day after $1 and before $2 with daily counts.
_OLDEST_DAY: Final = f"""
SELECT min(day) FROM daily_counts
WHERE type = {_FIRST_TYPE} AND day > $1::date AND day < least($2::date, (SELECT raw_since FROM rollup_state))
"""  # noqa: S608 - it stands above

# retention.drop_day: one type of a day, except for orgs with late snapshots of it.
_DROP_DAY: Final = """
DELETE FROM daily_counts c WHERE type = $1 AND day = $2
    AND NOT EXISTS (SELECT FROM late_days l WHERE l.org_id = c.org_id AND l.day = c.day)
"""
