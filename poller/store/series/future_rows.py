"""Finds and repairs what lies in the future of PostgreSQL's clock, left by a release that went by its worker's clock.

Such a worker wrote rows of slots that had not begun, moved the watermark of the rollups past today, and let retention
declare days given up whose snapshots are still there. All of it is wrong: what a row of the future says was true at
another time than it claims. Each step is a transaction of its own; where the repair ends early, the next run goes on.
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
    DELETE,
    FIND,
    FORGET_LATEST,
    FORGET_POLLS,
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
"""Orgs whose rows are deleted in one transaction: two years of quarters of an hour are 1.4 million rows."""
_LATEST_AT_ONCE: Final = 20
"""Orgs whose latest counts are looked up again in one transaction, which writers wait for."""
_MARGIN: Final = timedelta(minutes=1)
"""What is later than now by less than this is left alone: a transaction may wait for a lock meanwhile, and what others
write is not of its future. It will not be in the future for long."""

log = structlog.get_logger("poller.store")


@dataclass(frozen=True, slots=True)
class FutureRows:
    """What lies later than PostgreSQL's clock; None and 0: nothing does.

    `missed` rows say that a slot was not polled, `polled` ones what Zoho answered or why there is no answer. `latest`:
    orgs whose newest poll or counts are of a slot in the future. `rolled_until`, `raw_since`: the watermarks of the
    rollups and of retention, where they are too late.
    """

    missed: int = 0
    polled: int = 0
    latest: int = 0
    rolled_until: date | None = None
    raw_since: date | None = None

    def __bool__(self) -> bool:
        """Whether there is anything to repair."""
        return self != FutureRows()

    def describe(self) -> str:
        """In words, for people."""
        rows = self.missed + self.polled
        parts = [
            f"{count(rows, 'row')} of slots that have not begun ({self.polled:,} polled)" if rows else "",
            f"latest polls of {count(self.latest, 'org')}" if self.latest else "",
            f"rollups until {self.rolled_until}" if self.rolled_until else "",
            f"snapshots given up until {self.raw_since}" if self.raw_since else "",
        ]
        return ", ".join(part for part in parts if part)


async def find_future_rows(database: Queries, now: datetime) -> FutureRows:
    """What lies in the future of both `now` and PostgreSQL's clock; reads only."""
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
    """Deletes rows of the future, and puts the watermarks and latest counts right; what was found, as logged once."""
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
    """The time after which everything is in the future. Nothing is called so by one clock alone."""
    (row,) = await database.fetch("SELECT now() AS now")
    there: datetime = row["now"]
    return max(now, there).astimezone(UTC) + _MARGIN


async def _lower_watermark(database: Database, now: datetime) -> None:
    """Declares today open again: counts made of days that are not over are deleted, and made once they are."""
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
        await connection.execute(DELETE, org_ids, bound)
        # Days after tomorrow were marked when a row of theirs was written.
        await connection.execute(UNMARK, org_ids, bound.date())


async def _look_up_latest(database: Database, now: datetime) -> int:
    """Looks up the latest counts and polls of some orgs in the rows that are left; how many orgs."""
    async with database.transaction() as connection:
        await lock_days_exclusive(connection)
        bound = await _bound(connection, now)
        org_ids = [row["org_id"] for row in await connection.fetch(ORGS_OF_LATEST, bound, _LATEST_AT_ONCE)]
        await connection.execute(FORGET_LATEST, org_ids, bound)
        await connection.execute(MERGE_LATEST, *_columns(await connection.fetch(LATEST_KEYS, org_ids, bound)))
        first_slots = await connection.fetch(FORGET_POLLS, org_ids, bound)
        await connection.execute(LATEST_POLLS, *_columns(first_slots), bound)
        return len(org_ids)


async def _lower_raw_since(database: Database, now: datetime) -> None:
    """Opens the days again whose snapshots are all there: what came late for them is counted from now on.

    A day of which more was counted than there are snapshots has lost some to retention. It stays closed, and so do all
    days before it.
    """
    bound = await _bound(database, now)
    months = await _months_until(database, bound)
    raw_since = await _whole_since(database, months, bound)
    async with database.transaction() as connection:
        await lock_days_exclusive(connection)
        if await _months_until(connection, bound) != months:
            # Retention dropped a month meanwhile, or a writer made one: the next run looks again.
            return
        await connection.execute(OPEN, raw_since)
        late = await connection.fetch(TAKE_LATE, raw_since)
        await mark_dirty(connection, [row[0] for row in late], [datetime.combine(row[1], time(), UTC) for row in late])


async def _months_until(database: Queries, bound: datetime) -> list[datetime]:
    return [one.since for one in await list_partitions(database) if one.since <= bound]


async def _whole_since(database: Database, months: Sequence[datetime], bound: datetime) -> date:
    """The first day from which on no snapshot was dropped."""
    whole = month_of(bound)
    for since in reversed(months):
        if since != whole and month_after(since) != whole:
            break  # the month between was dropped
        incomplete: date | None = await database.fetchval(INCOMPLETE, since.date(), month_after(since).date())
        if incomplete is not None:
            return incomplete + timedelta(days=1)
        whole = since
    return whole.date()


def _columns(rows: Sequence[Row]) -> tuple[list[Any], list[Any]]:
    return [row[0] for row in rows], [row[1] for row in rows]
