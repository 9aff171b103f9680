"""The keys of months, written anew without the room that splitting pages has left in them.

Rows come slot by slot and the key sorts them by org, so its pages split in their middles and end up two thirds full:
more than four bytes a reading instead of less than three. A finished month is packed tight; a month that still grows
keeps a tenth of room and is packed when it is a third larger than it need be, of hourly polls every day or two. Nothing
here keeps anyone from reading or writing, and nothing is remembered: what is sparse shows by its size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from poller.store.partitions import list_partitions, month_after

if TYPE_CHECKING:
    from datetime import datetime

    from poller.store.database import Database

_TIMEOUT_SECONDS: Final = 6 * 3_600.0
"""For one month: of 50,000 orgs and quarters of an hour it is a sort of 150 million keys."""

_LOCK_KEY: Final = int.from_bytes(b"packing")
"""Of the advisory lock of whoever packs; writers that make months use another."""


async def pack_partitions(database: Database, before: datetime) -> list[str]:
    """Pack the months that are sparse, those that end at or before `before` tight; the names of those packed.

    Oldest first. One process at a time; another that is asked to meanwhile does nothing.
    """
    months = [(month.name, month_after(month.since) <= before) for month in await list_partitions(database)]
    async with database.connection() as connection:
        if not await connection.fetchval(_ALONE, _LOCK_KEY):
            return []
        try:
            return [name for name, finished in months if await _pack(connection, name, finished=finished)]
        finally:
            await connection.execute(_NO_LONGER_ALONE, _LOCK_KEY)


async def _pack(connection: Any, partition: str, *, finished: bool) -> bool:
    for left_over in await connection.fetch(_LEFT_OVER, partition):
        await connection.execute(f"DROP INDEX CONCURRENTLY {left_over['name']}", timeout=_TIMEOUT_SECONDS)
    key = await connection.fetchrow(_KEY, partition)
    if key["rows"] < 0:
        await connection.execute(f"ANALYZE {key['partition']}", timeout=_TIMEOUT_SECONDS)
        key = await connection.fetchrow(_KEY, partition)
    fullness, most = (100, _FINISHED) if finished else (90, _GROWING)
    if key["pages"] <= most * key["needed"] + _SPARE_PAGES:
        return False
    await connection.execute(f"ALTER INDEX {key['name']} SET (fillfactor = {fullness})")
    await connection.execute(f"REINDEX INDEX CONCURRENTLY {key['name']}", timeout=_TIMEOUT_SECONDS)
    return True


_ALONE: Final = "SELECT pg_try_advisory_lock($1)"
_NO_LONGER_ALONE: Final = "SELECT pg_advisory_unlock($1)"

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
