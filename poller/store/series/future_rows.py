"""Finds and repairs rows that are later than PostgreSQL's clock, left by a release that used its worker's clock.

A worker with a wrong clock wrote rows of slots that had not started, moved the watermark of the rollups past today, and
let retention mark days as final whose snapshots still exist. Such rows claim a wrong time, so they are deleted. Each
step is a transaction of its own; if a repair stops early, the next run continues.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final

import structlog

from poller.core.quantities import count
from poller.store.locks import lock_days_exclusive, lock_days_shared
from poller.store.series.future_rows_sql import (
    CLEAR,
    DELETE_LATEST,
    DELETE_POLLS,
    DELETE_ROWS,
    FIND,
    INCOMPLETE,
    LATEST_KEYS,
    LATEST_POLLS,
    LOWER,
    OPEN,
    ORGS_OF_LATEST,
    ORGS_OF_ROWS,
    TAKE_LATE,
    UNMARK,
)
from poller.store.series.partitions import list_partitions, month_after, month_of
from poller.store.series.rollups import mark_dirty
from poller.store.series.snapshot_sql import MERGE_LATEST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.store.database import Database
    from poller.store.queries import Queries, Row

_ORGS_AT_ONCE: Final = 20
"""Orgs whose rows are deleted in one transaction: two years of slots of 15 minutes are 1.4 million rows."""
_LATEST_AT_ONCE: Final = 20
"""Orgs whose latest counts are looked up in one transaction, which writers wait for."""
_MARGIN: Final = timedelta(minutes=1)
"""Rows that are later than now by less than this stay: they will soon be in the past. A transaction may wait for a lock
before it deletes, and must not delete what others write in that time."""

log = structlog.get_logger("poller.store")


@dataclass(frozen=True, slots=True)
class FutureRows:
    """What was found later than PostgreSQL's clock; 0 and None: nothing.

    `missed`: rows of slots that were not polled; `polled`: all other rows. `latest`: orgs whose newest poll or counts
    are of a slot in the future. `rolled_until`, `raw_since`: the watermarks of rollups and retention, if too late.
    """

    missed: int = 0
    polled: int = 0
    latest: int = 0
    rolled_until: date | None = None
    raw_since: date | None = None

    def __bool__(self) -> bool:
        """Returns whether there is anything to repair."""
        return self != FutureRows()

    def describe(self) -> str:
        """Describes the findings in words, for a message."""
        rows = self.missed + self.polled
        parts = [
            f"{count(rows, 'row')} of slots that have not begun ({self.polled:,} polled)" if rows else "",
            f"latest polls of {count(self.latest, 'org')}" if self.latest else "",
            f"rollups until {self.rolled_until}" if self.rolled_until else "",
            f"snapshots given up until {self.raw_since}" if self.raw_since else "",
        ]
        return ", ".join(part for part in parts if part)


async def find_future_rows(database: Queries, now: datetime) -> FutureRows:
    """Finds what is later than both `now` and PostgreSQL's clock; it only reads."""
    bound = await _bound(database, now)
    (found,) = await database.fetch(FIND, bound)
    today = bound.date()
    return FutureRows(
        found["missed"],
        found["polled"],
        found["latest"],
        found["rolled_until"] if found["rolled_until"] > today else None,
        found["raw_since"] if found["raw_since"] > today else None,
    )


async def repair_future_rows(database: Database, now: datetime) -> FutureRows:
    """Deletes rows of the future, corrects watermarks and latest counts, and logs and returns what it found."""
    found = await find_future_rows(database, now)
    if not found:
        return found
    await _lower_watermark(database, now)
    org_ids = [row["org_id"] for row in await database.fetch(ORGS_OF_ROWS, await _bound(database, now))]
    for at in range(0, len(org_ids), _ORGS_AT_ONCE):
        await _delete_rows(database, org_ids[at : at + _ORGS_AT_ONCE], now)
    while await _look_up_latest(database, now):
        pass
    if found.raw_since is not None:
        await _lower_raw_since(database, now)
    log.warning(
        "history.future_removed",
        missed=found.missed,
        polled=found.polled,
        orgs=found.latest,
        rolled_until=found.rolled_until,
        raw_since=found.raw_since,
        why="a worker of an earlier release had a wrong clock",
    )
    return found


async def _bound(database: Queries, now: datetime) -> datetime:
    """Returns the time after which everything is in the future, by `now` and by PostgreSQL's clock."""
    # future_rows.now
    (row,) = await database.fetch("SELECT now() AS now")
    database_now: datetime = row["now"]
    return max(now, database_now).astimezone(UTC) + _MARGIN


async def _lower_watermark(database: Database, now: datetime) -> None:
    """Moves the watermark back to today, and deletes daily counts of days that are not over."""
    async with database.transaction() as connection:
        await lock_days_exclusive(connection)
        today = (await _bound(connection, now)).date()
        if await connection.fetchval(LOWER, today) is not None:
            for statement in CLEAR:
                await connection.execute(statement, today)


async def _delete_rows(database: Database, org_ids: Sequence[int], now: datetime) -> None:
    async with database.transaction() as connection:
        await lock_days_shared(connection)
        bound = await _bound(connection, now)
        await connection.execute(DELETE_ROWS, org_ids, bound)
        # Writing a row of a day after tomorrow marks the day dirty.
        await connection.execute(UNMARK, org_ids, bound.date())


async def _look_up_latest(database: Database, now: datetime) -> int:
    """Looks up the latest counts and polls of some orgs in the remaining rows; returns how many orgs."""
    async with database.transaction() as connection:
        await lock_days_exclusive(connection)
        bound = await _bound(connection, now)
        org_ids = [row["org_id"] for row in await connection.fetch(ORGS_OF_LATEST, bound, _LATEST_AT_ONCE)]
        await connection.execute(DELETE_LATEST, org_ids, bound)
        await connection.execute(MERGE_LATEST, *_columns(await connection.fetch(LATEST_KEYS, org_ids, bound)))
        first_slots = await connection.fetch(DELETE_POLLS, org_ids, bound)
        await connection.execute(LATEST_POLLS, *_columns(first_slots), bound)
        return len(org_ids)


async def _lower_raw_since(database: Database, now: datetime) -> None:
    """Moves `raw_since` back over days whose snapshots are complete, and rolls up again those with late snapshots.

    A day with fewer snapshots than were counted has lost some to retention. That day and all days before it stay final.
    """
    bound = await _bound(database, now)
    months = await _months_until(database, bound)
    raw_since = await _complete_since(database, months, bound)
    async with database.transaction() as connection:
        await lock_days_exclusive(connection)
        if await _months_until(connection, bound) != months:
            # Retention has dropped a month, or a writer has created one: the next run tries again.
            return
        await connection.execute(OPEN, raw_since)
        late = await connection.fetch(TAKE_LATE, raw_since)
        await mark_dirty(connection, [row[0] for row in late], [datetime.combine(row[1], time(), UTC) for row in late])


async def _months_until(database: Queries, bound: datetime) -> list[datetime]:
    return [one.since for one in await list_partitions(database) if one.since <= bound]


async def _complete_since(database: Database, months: Sequence[datetime], bound: datetime) -> date:
    """Returns the first day from which on no snapshot was dropped."""
    complete = month_of(bound)
    for since in reversed(months):
        if since != complete and month_after(since) != complete:
            break  # the month between was dropped
        incomplete: date | None = await database.fetchval(INCOMPLETE, since.date(), month_after(since).date())
        if incomplete is not None:
            return incomplete + timedelta(days=1)
        complete = since
    return complete.date()


def _columns(rows: Sequence[Row]) -> tuple[list[Any], list[Any]]:
    return [row[0] for row in rows], [row[1] for row in rows]
