"""One connection for several reads, in one transaction that writes nothing."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from poller.store.database import Database
    from poller.store.queries import Connection


@asynccontextmanager
async def reading(database: Database) -> AsyncIterator[Connection]:
    """Takes a connection with an open read-only transaction.

    The planner compiles no plan: with wide queries that takes longer than running them.
    """
    async with database.connection() as connection, connection.transaction(readonly=True):
        await connection.execute("SET LOCAL jit = off")
        yield connection
