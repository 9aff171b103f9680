"""What of the series is given up: days whose counts are all there is from now on, and counts that are kept no longer.

A day that was given up is closed: its counts stay what they are, whatever still comes. What does come is written down
all the same, until its month is dropped again, and `late_days` tells how much of it no day counts. Where nothing was
kept of a day of an org (a back-fill of long ago), its counts are made of what comes.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Final

from poller.core.model import COLUMNS
from poller.store.locks import lock_days_exclusive

if TYPE_CHECKING:
    from poller.store.database import Database
    from poller.store.queries import Connection

_FIRST_TYPE: Final = 1


async def give_up_snapshots(connection: Connection, since: date, until: date) -> bool:
    """Let daily counts be all there is of the days `[since, until)`; False where some are not rolled up yet.

    The caller locks the days; afterwards it may drop their snapshots.
    """
    given_up: bool | None = await connection.fetchval(_GIVE_UP, since, until)
    if given_up is None:
        return False
    await connection.execute(_CLOSE, since, until)
    return True


async def newest_known(database: Database, until: datetime) -> datetime | None:
    """The newest slot up to `until` with a known count; retention counts back from it. None where nothing is known."""
    newest: datetime | None = await database.fetchval(_NEWEST_KNOWN, until)
    return newest


async def raw_since(database: Database) -> date:
    """Snapshots of days before this one may have been dropped, all of them or some."""
    (row,) = await database.fetch("SELECT raw_since FROM rollup_state")
    found: date = row["raw_since"]
    return found


async def late_days(database: Database, before: date = date.max) -> int:
    """How many days of orgs, of those before `before`, have snapshots that came too late to be counted in them."""
    uncounted: int = await database.fetchval(_UNCOUNTED, before)
    return uncounted


async def drop_daily_counts(database: Database, before: date, most: int | None = None) -> int:
    """Forget the counts of days before `before` whose snapshots have been dropped, `most` days; how many days.

    A day and type at a time, each in a transaction that writers wait for; broken off, it is gone on with.
    """
    dropped, day = 0, date.min
    while dropped != most and (day := await database.fetchval(_OLDEST_DAY, day, before)) is not None:
        # By the first type a day is found: it goes last.
        for kind in range(len(COLUMNS), _FIRST_TYPE - 1, -1):
            async with database.transaction() as connection:
                await lock_days_exclusive(connection)
                await connection.execute(_DROP_DAY, kind, day)
        dropped += 1
    return dropped


# Purpose: from now on no day before this one is rolled up again.
_GIVE_UP: Final = """
UPDATE rollup_state SET raw_since = greatest(raw_since, $2::date)
WHERE rolled_until >= $2::date AND NOT EXISTS (SELECT FROM dirty_days WHERE day >= $1::date AND day < $2::date)
RETURNING true
"""

# Purpose: what came late for these days is dropped with their other snapshots, so their counts are closed.
_CLOSE: Final = "DELETE FROM late_days WHERE day >= $1::date AND day < $2::date"

# Purpose: days of orgs that have snapshots no day counts.
_UNCOUNTED: Final = "SELECT count(*) FROM late_days WHERE day < $1::date AND NOT counted"

# Purpose: rows that say why nothing is known may be dated by a clock that was wrong; counts were given by Zoho.
_NEWEST_KNOWN: Final = "SELECT max(slot) FROM latest_snapshots WHERE slot <= least($1, now())"

# Purpose: the oldest day after $1 there are counts of, if it is to be forgotten.
_OLDEST_DAY: Final = f"""
SELECT min(day) FROM daily_counts
WHERE type = {_FIRST_TYPE} AND day > $1::date AND day < least($2::date, (SELECT raw_since FROM rollup_state))
"""  # noqa: S608 - it stands above

# Purpose: a day of one type, but for orgs that still have snapshots of it.
_DROP_DAY: Final = """
DELETE FROM daily_counts c WHERE type = $1 AND day = $2
    AND NOT EXISTS (SELECT FROM late_days l WHERE l.org_id = c.org_id AND l.day = c.day)
"""
