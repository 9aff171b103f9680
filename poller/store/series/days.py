"""Reads snapshots day by day, for export files: a fingerprint of each day, and its rows by org and slot.

Rows are streamed, and each day is read in one transaction, so that a file is consistent. This module only reads.
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
"""Snapshots in one block: a hundred thousand rows of the long form (`user_counts`)."""
_LONGEST_SECONDS: Final = 86_400.0
"""Limit of one statement: a day of a large fleet takes long to read."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """Identifies the content of a day: the number of snapshots, and a hash that changes with any of them."""

    snapshots: int
    digest: int


class DayReader:
    """Reads one day as of one moment; created by `open_day`."""

    def __init__(self, connection: Connection, selection: DaySelection, day: date) -> None:
        self._connection = connection
        self._types = selection.user_types
        begin = datetime(day.year, day.month, day.day, tzinfo=UTC)
        self._where = (begin, begin + timedelta(days=1), selection.org_ids)

    async def fingerprint(self) -> Fingerprint:
        """Returns the fingerprint of the selected rows."""
        (row,) = await self._connection.fetch(_FINGERPRINT, *self._where, timeout=_LONGEST_SECONDS)
        return Fingerprint(row["snapshots"], row["digest"] or 0)

    async def blocks(self) -> AsyncIterator[list[Row]]:
        """Yields snapshots by org and slot, at most `BLOCK` at a time.

        Columns: `org_id, org, slot, polled_at, outcome, error, errors`, then the count of each selected type.
        """
        counts = ", ".join(f"s.{COLUMNS[user_type]}" for user_type in self._types)
        cursor = await self._connection.cursor(_WIDE.format(counts=counts), *self._where)
        while block := await cursor.fetch(BLOCK, timeout=_LONGEST_SECONDS):
            yield block


@asynccontextmanager
async def open_day(database: Database, selection: DaySelection, day: date) -> AsyncIterator[DayReader]:
    """Opens a day (UTC) for reading, as it is now."""
    async with (
        database.connection() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        await connection.execute("SET LOCAL jit = off")
        yield DayReader(connection, selection, day)


async def days_kept(database: Database, since: date | None, until: date) -> list[date]:
    """Returns the days (UTC) from `since`, or from the oldest month of snapshots, to `until`, both included."""
    months = await list_partitions(database)
    if not months:
        return []
    first = max(months[0].since.date(), since or date.min)
    return [first + timedelta(days=n) for n in range((until - first).days + 1)]


# The rows of a day: of some orgs, or of all.
_OF_THE_DAY: Final = "s.slot >= $1 AND s.slot < $2 AND ($3::integer[] IS NULL OR s.org_id = ANY ($3))"

# days.fingerprint
_FINGERPRINT: Final = f"""
SELECT count(*) AS snapshots, bit_xor(hash_record_extended(s, 0)) AS digest FROM org_snapshots s WHERE {_OF_THE_DAY}
"""  # noqa: S608 - it stands above

# days.blocks
_WIDE: Final = f"""
SELECT s.org_id, o.name, s.slot, s.polled_at, s.outcome, s.error, s.errors, {{counts}}
FROM org_snapshots s LEFT JOIN orgs o ON o.id = s.org_id
WHERE {_OF_THE_DAY}
ORDER BY s.org_id, s.slot
"""  # noqa: S608 - it stands above
