"""Reads PostgreSQL's clock every few seconds, so that a long-running process shows correct ages.

Without it, ages would be wrong after the machine was suspended or after PostgreSQL's clock was set.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from poller.core.errors import DatabaseError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from poller.store.database import Database

READ_EVERY_SECONDS: Final = 5.0


@asynccontextmanager
async def clock_kept_right(database: Database, *, every_seconds: float = READ_EVERY_SECONDS) -> AsyncIterator[None]:
    """Reads PostgreSQL's clock every few seconds inside the block; after a failed read the local clock continues."""
    # Not in a group: a group would wrap the errors of the context in an exception group.
    reading = asyncio.create_task(_read(database, every_seconds))  # noqa: TID251
    try:
        yield
    finally:
        reading.cancel()
        await asyncio.wait([reading])


async def _read(database: Database, every_seconds: float) -> None:
    while True:
        await asyncio.sleep(every_seconds)
        with suppress(DatabaseError, TimeoutError):
            await database.read_clock()
