"""The keys of months, written anew without the room that splitting pages has left in them.

Rows come slot by slot and the key sorts them by org, so its pages split in their middles and end up two thirds full:
more than four bytes a reading instead of less than three. A finished month is packed tight; a month that still grows
keeps a tenth of room and is packed when it is a third larger than it need be, of hourly polls every day or two. Nothing
here keeps anyone from reading or writing, and nothing is remembered: what is sparse shows by its size.
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
"""For one month: of 50,000 orgs and quarters of an hour it is a sort of 150 million keys."""

_DROP_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 10.0
_MOST_LOOKS: Final = 3
"""A rebuild that waits for the same reader for so many looks is ended and left to the next run."""


async def compact_indexes(database: Database, before: datetime) -> list[str]:
    """Pack the months that are sparse, those that end at or before `before` tight; the names of those packed.

    Oldest first. A month that another process packs is left to it. A transaction that stays open for half a minute
    while a month is packed ends this with a `LockedError` that names its session.
    """
    months = [(month.name, month_after(month.since) <= before) for month in await list_partitions(database)]
    return [name for name, finished in months if await _pack(database, name, finished=finished)]


async def _pack(database: Database, partition: str, *, finished: bool) -> bool:
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
        fullness, most = (100, _FINISHED) if finished else (90, _GROWING)
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
    """Wait for a rebuild to end; cancel it where one session holds it up for several looks in a row."""
    rebuilding = asyncio.ensure_future(rebuild)
    blocker, looks = None, 0
    try:
        while not (await asyncio.wait({rebuilding}, timeout=_LOOK_SECONDS))[0]:
            before, blocker = blocker, await database.fetchval(_WAITED_FOR, partition)
            looks = looks + 1 if blocker is not None and blocker == before else 0
            if looks >= _MOST_LOOKS:
                raise await locked_by(database, f"the index of {partition} cannot be rebuilt", blocker)
        await rebuilding
    finally:
        rebuilding.cancel()
        await asyncio.wait({rebuilding})


# Purpose: whether an index of this month is being built, by a session of the same role.
_BEING_BUILT: Final = "SELECT EXISTS (SELECT FROM pg_stat_progress_create_index WHERE relid = to_regclass($1))"

# Purpose: the process whose transaction the rebuild of a month's index waits for; NULL or no row where for none.
_WAITED_FOR: Final = """
SELECT nullif(current_locker_pid, 0)::int FROM pg_stat_progress_create_index WHERE relid = to_regclass($1)
"""

_FINISHED: Final = 1.1
_GROWING: Final = 4 / 3
_SPARE_PAGES: Final = 8
"""How many pages a key may have, by what it needs: the rest is room that packing gives back."""

# Purpose: a month's key, its pages and how many its rows need: 28 bytes an entry of org and slot (tuple header 8, org
# 4, padding 4, slot 8, line pointer 4), 291 to a page of 8 kB.
_KEY: Final = """
SELECT t.oid::regclass::text AS partition, i.indexrelid::regclass::text AS name, t.reltuples AS rows,
       pg_relation_size(i.indexrelid) / 8192 AS pages, t.reltuples / 291 AS needed
FROM pg_class t JOIN pg_index i ON i.indrelid = t.oid AND i.indisprimary
WHERE t.oid = to_regclass($1)
"""

# Purpose: what a packing that was broken off has left.
_LEFT_OVER: Final = r"""
SELECT i.indexrelid::regclass::text AS name
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = to_regclass($1) AND NOT i.indisvalid AND c.relname ~ '_cc(new|old)\d*$'
"""
