"""Keeps a process's idea of PostgreSQL's time right for as long as the process runs.

A machine that was suspended, or a PostgreSQL whose clock was set, would otherwise show wrong ages until a restart.
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
    """Inside, PostgreSQL's clock is read every few seconds; while it does not answer, the time is counted on."""
    reading = asyncio.create_task(_read(database, every_seconds))
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
