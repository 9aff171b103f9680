"""Rebuilds the primary-key indexes of monthly partitions that have become bloated.

Rows arrive slot by slot, but the key sorts them by org: index pages split in the middle and end up two thirds full. The
index then takes more than four bytes per count instead of less than three. A finished month is rebuilt with full pages.
A month that still grows keeps a tenth of each page free, and is rebuilt when its index is a third larger than necessary
(with hourly polls: every day or two). A rebuild blocks neither readers nor writers. No state is kept: the size of an
index shows whether it is bloated.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from poller.core.errors import LockedError
from poller.store.blockers import locked_by
from poller.store.series.partitions import list_partitions, month_after

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from datetime import datetime

    from poller.store.database import Database
    from poller.store.queries import Connection

_TIMEOUT_SECONDS: Final = 6 * 3_600.0
"""For one month: with 50,000 orgs every 15 minutes, a rebuild sorts 150 million keys."""

_DROP_SECONDS: Final = 10.0
_CHECK_SECONDS: Final = 10.0
_MOST_CHECKS: Final = 3
"""A rebuild that waits for the same reader in that many checks is cancelled; the next run tries again."""


async def compact_indexes(database: Database, before: datetime) -> list[str]:
    """Rebuilds the bloated indexes of months, the oldest first; returns the names of the months.

    Months that end at or before `before` get full pages. Skips a month that another process is rebuilding. Raises a
    `LockedError` that names the session if another transaction blocks a rebuild for half a minute.
    """
    months = [(month.name, month_after(month.since) <= before) for month in await list_partitions(database)]
    return [name for name, finished in months if await _compact(database, name, finished=finished)]


async def _compact(database: Database, partition: str, *, finished: bool) -> bool:
    async with database.connection() as connection:
        if await connection.fetchval(_BEING_BUILT, partition):
            return False
        await _drop_left_over(connection, partition)
        key = await connection.fetchrow(_KEY, partition)
        if key is not None and key["rows"] < 0:
            await connection.execute(f"ANALYZE {key['partition']}", timeout=_TIMEOUT_SECONDS)
            key = await connection.fetchrow(_KEY, partition)
        if key is None:
            return False  # retention dropped the month
        fullness, most = (100, _MOST_FINISHED) if finished else (90, _MOST_GROWING)
        if key["pages"] <= most * key["needed"] + _SPARE_PAGES:
            return False
        await connection.execute(f"ALTER INDEX {key['name']} SET (fillfactor = {fullness})")
        rebuild = connection.execute(f"REINDEX INDEX CONCURRENTLY {key['name']}", timeout=_TIMEOUT_SECONDS)
        await _unless_blocked(database, partition, rebuild)
    return True


async def _drop_left_over(connection: Connection, partition: str) -> None:
    for left_over in await connection.fetch(_LEFT_OVER, partition):
        try:
            await connection.execute(f"DROP INDEX CONCURRENTLY {left_over['name']}", timeout=_DROP_SECONDS)
        except TimeoutError:
            what = f"{left_over['name']}, left over from an index rebuild, cannot be dropped while {partition} is read"
            raise LockedError(what, "the next run tries again") from None


async def _unless_blocked(database: Database, partition: str, rebuild: Awaitable[object]) -> None:
    """Waits for a rebuild to end; cancels it if one session blocks it in several checks in a row."""
    rebuilding = asyncio.ensure_future(rebuild)
    blocker, checks = None, 0
    try:
        while not (await asyncio.wait({rebuilding}, timeout=_CHECK_SECONDS))[0]:
            before, blocker = blocker, await database.fetchval(_WAITED_FOR, partition)
            checks = checks + 1 if blocker is not None and blocker == before else 0
            if checks >= _MOST_CHECKS:
                raise await locked_by(database, f"the index of {partition} cannot be rebuilt", blocker)
        await rebuilding
    finally:
        rebuilding.cancel()
        await asyncio.wait({rebuilding})


# reindex.being_built: whether a session of this role is building an index of the month.
_BEING_BUILT: Final = "SELECT EXISTS (SELECT FROM pg_stat_progress_create_index WHERE relid = to_regclass($1))"

# reindex.waited_for: the process whose transaction a rebuild waits for; NULL or no row if it waits for none.
_WAITED_FOR: Final = """
SELECT nullif(current_locker_pid, 0)::int FROM pg_stat_progress_create_index WHERE relid = to_regclass($1)
"""

_MOST_FINISHED: Final = 1.1
_MOST_GROWING: Final = 4 / 3
_SPARE_PAGES: Final = 8
"""An index is bloated if its pages exceed this multiple of the pages it needs, plus the spare pages."""

# reindex.key: the primary key of a month, its pages, and the pages it needs: an entry of org and slot takes 28 bytes
# (tuple header 8, org 4, padding 4, slot 8, line pointer 4), so 291 fit a page of 8 kB.
_KEY: Final = """
SELECT t.oid::regclass::text AS partition, i.indexrelid::regclass::text AS name, t.reltuples AS rows,
       pg_relation_size(i.indexrelid) / 8192 AS pages, t.reltuples / 291 AS needed
FROM pg_class t JOIN pg_index i ON i.indrelid = t.oid AND i.indisprimary
WHERE t.oid = to_regclass($1)
"""

# reindex.left_over: invalid indexes that a cancelled rebuild has left.
_LEFT_OVER: Final = r"""
SELECT i.indexrelid::regclass::text AS name
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = to_regclass($1) AND NOT i.indisvalid AND c.relname ~ '_cc(new|old)\d*$'
"""
