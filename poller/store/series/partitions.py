"""The months of `org_snapshots`: made ahead, made on demand by the writer, dropped whole when their time is over.

A month is made beside the table and then attached, so that nobody who reads or writes other months waits for it. There
is never a default partition, and no row is ever deleted one by one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from poller.core.errors import LockedError
from poller.store.blockers import locked_by_others
from poller.store.locks import Lock, lock, lock_days_exclusive
from poller.store.series.retention import give_up_snapshots

if TYPE_CHECKING:
    from collections.abc import Iterable

    from poller.store.database import Database
    from poller.store.queries import Connection, Queries

MONTHS_AHEAD: Final = 3
MOST_AT_ONCE: Final = 24
"""Months made by one call of `ensure_partitions`; a longer stretch takes several."""

_NAME: Final = re.compile(r"org_snapshots_(\d{4})_(\d{2})")
_DETACH_SECONDS: Final = 10.0
"""How long readers are waited for before a month is dropped. Nothing else waits meanwhile."""
_LOCK_TIMEOUT: Final = "SET LOCAL lock_timeout = '2s'"
"""For statements that others may hold up while `Lock.MONTHS` is held, which writers of a new month need."""


@dataclass(frozen=True, slots=True)
class Partition:
    """One month of snapshots: `since` (UTC) to the same day of the next month; `bytes` with its indexes."""

    name: str
    since: datetime
    bytes: int


def month_of(at: datetime) -> datetime:
    """The first instant (UTC) of the month `at` falls into."""
    return at.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def month_after(month: datetime) -> datetime:
    """The first instant of the month after that of `month`, itself a first instant."""
    return month_of(month + timedelta(days=31))


def partition_name(month: datetime) -> str:
    """`org_snapshots_2026_11` for November 2026."""
    return f"org_snapshots_{month.year:04}_{month.month:02}"


async def ensure_partitions(database: Database, since: datetime, until: datetime) -> list[str]:
    """Make what is missing of the months from `since` to `until`, both included; the names of those made.

    Makes `MOST_AT_ONCE` at the most: call again while a call makes that many.
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
    """Make the partitions of `months` (first instants) that are not there; the names of those made.

    Each in a transaction of its own. Two processes may do this at once.
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
    """The months there are, oldest first."""
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
    """Drop the months that end at or before `before`, oldest first, up to one not rolled up yet; the names of those.

    `most`: no more months than that.

    Readers are waited for, for ten seconds: then `LockedError` names one, and the next call goes on. A month left half
    dropped by that or by a crash is dropped by the next call. Any number of processes may do this at once.
    """
    dropped: list[str] = []
    for name in sorted(row["name"] for row in await database.fetch(_MONTHS)):
        month = _month_named(name)
        # None past one that has to wait: what is older than a month given up counts as given up itself.
        if len(dropped) == most or month_after(month) > before or not await _give_up(database, month):
            break
        try:
            await _detach(database, name)
            if await _drop(database, name):
                dropped.append(name)
        except LockedError as error:
            raise await locked_by_others(database, f"{name} cannot be dropped", name, "org_snapshots") from error
    return dropped


# The months attached, with what each takes on disk.
_ATTACHED: Final = """
SELECT c.relname AS name, pg_total_relation_size(c.oid) AS bytes
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'org_snapshots'::regclass AND NOT i.inhdetachpending
"""

# The tables that look like months beside `org_snapshots`, attached or left over from a drop that did not finish.
_MONTHS: Final = r"""
SELECT c.relname AS name
FROM pg_class c
WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'org_snapshots'::regclass)
  AND c.relkind = 'r' AND c.relname ~ '^org_snapshots_\d{4}_\d{2}$'
"""

# Whether a month is attached: true, false for half detached, no row where it is not.
_STATE: Final = """
SELECT NOT inhdetachpending
FROM pg_inherits WHERE inhparent = 'org_snapshots'::regclass AND inhrelid = to_regclass($1)
"""


async def _attach(connection: Connection, month: datetime) -> bool:
    """Make the month and attach it, or attach again the table a drop left over: its rows were not to be lost."""
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


async def _give_up(database: Database, month: datetime) -> bool:
    async with database.transaction() as connection:
        await lock(connection, Lock.MONTHS)
        await lock_days_exclusive(connection)
        return await give_up_snapshots(connection, month.date(), month_after(month).date())


async def _detach(database: Database, name: str) -> None:
    """Detach an attached month without blocking anyone: that takes two transactions of its own, and so no lock."""
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
        except asyncpg.ObjectNotInPrerequisiteStateError:
            return  # another process is detaching it; what it leaves half done is finished when it is dropped


async def _drop(database: Database, name: str) -> bool:
    """Drop a month that is detached, or half detached; False where a writer has attached it again meanwhile."""
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
