"""The monthly partitions of `org_snapshots`: created ahead or by the writer, dropped whole by retention.

A month is created as a separate table and then attached, so that readers and writers of other months do not wait. There
is never a default partition. Retention never deletes single rows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from poller.core.errors import LockedError
from poller.store.blockers import locked_by_others
from poller.store.locks import Lock, lock, lock_days_exclusive
from poller.store.series.retention import finalize_days

if TYPE_CHECKING:
    from collections.abc import Iterable

    from poller.store.database import Database
    from poller.store.queries import Connection, Queries

MONTHS_AHEAD: Final = 3
MOST_AT_ONCE: Final = 24
"""Months created by one call of `ensure_partitions`; a longer range takes several calls."""

_NAME: Final = re.compile(r"org_snapshots_(\d{4})_(\d{2})")
_DETACH_SECONDS: Final = 10.0
"""How long dropping a month waits for readers. Nobody else waits in that time."""
_LOCK_TIMEOUT: Final = "SET LOCAL lock_timeout = '2s'"
"""For statements that other sessions may block while this one has `Lock.MONTHS`, which writers of a new month need."""


@dataclass(frozen=True, slots=True)
class Partition:
    """One month of snapshots, from `since` (UTC) to the start of the next month; `bytes` includes the indexes."""

    name: str
    since: datetime
    bytes: int


def month_of(at: datetime) -> datetime:
    """Returns the start (UTC) of the month that contains `at`."""
    return at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def month_after(month: datetime) -> datetime:
    """Returns the start of the next month; `month` is the start of a month."""
    return month_of(month + timedelta(days=31))


def partition_name(month: datetime) -> str:
    """Returns the name of a partition: `org_snapshots_2026_11` for November 2026."""
    return f"org_snapshots_{month.year:04}_{month.month:02}"


async def ensure_partitions(database: Database, since: datetime, until: datetime) -> list[str]:
    """Creates the missing months from `since` to `until`, both included; returns their names.

    Creates at most `MOST_AT_ONCE`: call it again while it returns that many.
    """
    months, month = [], month_of(since)
    while month <= until:
        months.append(month)
        month = month_after(month)
    async with database.connection() as connection:
        present = {row["name"] for row in await connection.fetch(_ATTACHED)}
        missing = [month for month in months if partition_name(month) not in present]
        return await add_partitions(connection, missing[:MOST_AT_ONCE])


async def add_partitions(connection: Connection, months: Iterable[datetime]) -> list[str]:
    """Creates the missing partitions of `months` (starts of months); returns their names.

    Each in a transaction of its own. Several processes may do this at the same time.
    """
    made = []
    for month in months:
        async with connection.transaction():
            await lock(connection, Lock.MONTHS)
            await connection.execute(_LOCK_TIMEOUT)
            if await _attach(connection, month):
                made.append(partition_name(month))
    return made


async def list_partitions(database: Queries) -> list[Partition]:
    """Returns the attached months, the oldest first."""
    rows = await database.fetch(_ATTACHED)
    return sorted(
        (
            Partition(row["name"], _month_named(row["name"]), row["bytes"])
            for row in rows
            if _NAME.fullmatch(row["name"])
        ),
        key=lambda partition: partition.since,
    )


async def drop_partitions(database: Database, before: datetime, most: int | None = None) -> list[str]:
    """Drops the months that end at or before `before`, at most `most`, the oldest first; returns their names.

    Stops at a month that is not rolled up yet. Waits for readers of a month for ten seconds, then raises a
    `LockedError` that names one; the next call continues. A month that this or a crash has left half dropped is dropped
    by the next call. Several processes may do this at the same time.
    """
    dropped: list[str] = []
    for name in sorted(row["name"] for row in await database.fetch(_MONTHS)):
        month = _month_named(name)
        # In order: making a month final makes all older days final too.
        if len(dropped) == most or month_after(month) > before or not await _finalize(database, month):
            break
        try:
            await _detach(database, name)
            if await _drop(database, name):
                dropped.append(name)
        except LockedError as error:
            raise await locked_by_others(database, f"{name} cannot be dropped", name, "org_snapshots") from error
    return dropped


# partitions.attached: with the size on disk.
_ATTACHED: Final = """
SELECT c.relname AS name, pg_total_relation_size(c.oid) AS bytes
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'org_snapshots'::regclass AND NOT i.inhdetachpending
"""

# partitions.months: attached months, and detached tables that an unfinished drop has left.
_MONTHS: Final = r"""
SELECT c.relname AS name
FROM pg_class c
WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'org_snapshots'::regclass)
  AND c.relkind = 'r' AND c.relname ~ '^org_snapshots_\d{4}_\d{2}$'
"""

# partitions.state: true if the month is attached, false if it is half detached, no row if it is detached.
_STATE: Final = """
SELECT NOT inhdetachpending
FROM pg_inherits WHERE inhparent = 'org_snapshots'::regclass AND inhrelid = to_regclass($1)
"""


async def _attach(connection: Connection, month: datetime) -> bool:
    """Creates and attaches a month; attaches again a table that an unfinished drop has left, because it has rows."""
    name = partition_name(month)
    state = await connection.fetchval(_STATE, name)
    if state:
        return False
    if state is False:
        await connection.execute(f"ALTER TABLE org_snapshots DETACH PARTITION {name} FINALIZE")
    await connection.execute(
        f"CREATE TABLE IF NOT EXISTS {name} (LIKE org_snapshots INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
    )
    bounds = f"FROM ('{month.isoformat()}') TO ('{month_after(month).isoformat()}')"
    await connection.execute(f"ALTER TABLE org_snapshots ATTACH PARTITION {name} FOR VALUES {bounds}")
    return True


async def _finalize(database: Database, month: datetime) -> bool:
    async with database.transaction() as connection:
        await lock(connection, Lock.MONTHS)
        await lock_days_exclusive(connection)
        return await finalize_days(connection, month.date(), month_after(month).date())


async def _detach(database: Database, name: str) -> None:
    """Detaches a month without blocking others; PostgreSQL runs this outside a transaction, so it takes no lock."""
    import asyncpg  # noqa: PLC0415 - help texts are shown without it

    async with database.connection() as connection:
        if not await connection.fetchval(_STATE, name):
            return
        try:
            await connection.execute(
                f"ALTER TABLE org_snapshots DETACH PARTITION {name} CONCURRENTLY", timeout=_DETACH_SECONDS
            )
        except TimeoutError:
            raise LockedError(f"{name} cannot be detached while others read it", "try again later") from None
        except (asyncpg.ObjectNotInPrerequisiteStateError, asyncpg.UndefinedTableError):
            return  # another process is detaching it or has just done so; `_drop` finishes what that leaves half done


async def _drop(database: Database, name: str) -> bool:
    """Drops a month that is detached or half detached; returns False if a writer has attached it again."""
    async with database.transaction() as connection:
        await lock(connection, Lock.MONTHS)
        await connection.execute(_LOCK_TIMEOUT)
        state = await connection.fetchval(_STATE, name)
        if state:
            return False
        if state is False:
            await connection.execute(f"ALTER TABLE org_snapshots DETACH PARTITION {name} FINALIZE")
        await connection.execute(f"DROP TABLE IF EXISTS {name}")
        return True


def _month_named(name: str) -> datetime:
    year, month = name.split("_")[-2:]
    return datetime(int(year), int(month), 1, tzinfo=UTC)
