"""A day of the long form (`user_counts`) at a time, for files: what it holds, and its rows by org and slot.

Everything is streamed, and read in one transaction per day, so that a file holds one moment's truth. Nothing is written
here.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final

from poller.core.model import COLUMNS
from poller.store.series.partitions import list_partitions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from poller.core.series import DaySelection
    from poller.store.database import Database
    from poller.store.queries import Connection, Row

BLOCK: Final = 10_000
"""Snapshots handed out at a time: a hundred thousand rows of the long form."""
_LONGEST_SECONDS: Final = 86_400.0
"""One statement may take so long: the fleet's day is as large as the fleet."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a day holds: how many snapshots, and a number that changes with any of them."""

    snapshots: int
    digest: int


class DayReader:
    """One day's rows at one moment. Made by `open_day`."""

    def __init__(self, connection: Connection, selection: DaySelection, day: date) -> None:
        self._connection = connection
        self._types = selection.user_types
        begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
        self._where = (begin, begin + timedelta(days=1), selection.org_ids)

    async def content(self) -> Fingerprint:
        """What there is to read."""
        (row,) = await self._connection.fetch(_CONTENT, *self._where, timeout=_LONGEST_SECONDS)
        return Fingerprint(row["snapshots"], row["digest"] or 0)

    async def blocks(self) -> AsyncIterator[list[Row]]:
        """Snapshots by org and slot, at most `BLOCK` at a time: `org_id, org, slot, polled_at, outcome, error, errors`,
        then the count of each type asked for.
        """  # noqa: D205 - the columns in a row
        counts = ", ".join(f"s.{COLUMNS[kind]}" for kind in self._types)
        cursor = await self._connection.cursor(_WIDE.format(counts=counts), *self._where)
        while block := await cursor.fetch(BLOCK, timeout=_LONGEST_SECONDS):
            yield block


@asynccontextmanager
async def open_day(database: Database, selection: DaySelection, day: date) -> AsyncIterator[DayReader]:
    """A day (UTC), as it is now until it is closed."""
    async with (
        database.connection() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        await connection.execute("SET LOCAL jit = off")
        yield DayReader(connection, selection, day)


async def days_kept(database: Database, since: date | None, until: date) -> list[date]:
    """Every day (UTC) from `since`, or from the oldest month of snapshots there is, to `until`, both included."""
    months = await list_partitions(database)
    if not months:
        return []
    first = max(months[0].since.date(), since or date.min)
    return [first + timedelta(days=n) for n in range((until - first).days + 1)]


# Purpose: the rows of a day, of some orgs or of all.
_OF_THE_DAY: Final = "s.slot >= $1 AND s.slot < $2 AND ($3::integer[] IS NULL OR s.org_id = ANY ($3))"

# Purpose: DayReader.content.
_CONTENT: Final = f"""
SELECT count(*) AS snapshots, bit_xor(hash_record_extended(s, 0)) AS digest FROM org_snapshots s WHERE {_OF_THE_DAY}
"""  # noqa: S608 - it stands above

# Purpose: DayReader.blocks.
_WIDE: Final = f"""
SELECT s.org_id, o.name, s.slot, s.polled_at, s.outcome, s.error, s.errors, {{counts}}
FROM org_snapshots s LEFT JOIN orgs o ON o.id = s.org_id
WHERE {_OF_THE_DAY}
ORDER BY s.org_id, s.slot
"""  # noqa: S608 - it stands above
