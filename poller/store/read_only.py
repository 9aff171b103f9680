"""The pool of the web pages: few connections, read-only transactions, short statements.

Polls never wait for a connection of this pool, and no statement through it changes data.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

from poller.store.database import Database, connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from poller.store.queries import Connection, Row

CONNECTIONS: Final = 3
STATEMENT_SECONDS: Final = 5.0
"""Limit of one statement, and of waiting for a free connection."""
_LIMIT: Final = f"SET LOCAL statement_timeout = {1_000 * STATEMENT_SECONDS:.0f}; SET LOCAL jit = off"
"""With many orgs the planner would compile a query, which takes longer than the query itself."""


class ReadOnlyDatabase(Database):
    """A `Database` that refuses to write.

    Limits are set for each transaction, not for the session: a pooler may give the session to another client.
    """

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Takes one connection with an open read-only transaction."""
        async with (
            self._readable_errors(),
            self._pool.acquire(timeout=STATEMENT_SECONDS) as connection,
            connection.transaction(readonly=True),
        ):
            await self._begin(connection)
            yield connection

    async def _begin(self, connection: Connection) -> None:
        """Sets what applies to this transaction."""
        await connection.execute(_LIMIT)

    async def fetch(self, query: str, *arguments: Any) -> list[Row]:
        """Returns every row."""
        async with self.connection() as connection:
            return await connection.fetch(query, *arguments)

    async def fetchrow(self, query: str, *arguments: Any) -> Row | None:
        """Returns the first row, or None."""
        async with self.connection() as connection:
            return await connection.fetchrow(query, *arguments)

    async def fetchval(self, query: str, *arguments: Any) -> Any:
        """Returns the first value of the first row, or None."""
        async with self.connection() as connection:
            return await connection.fetchval(query, *arguments)

    async def execute(self, query: str, *arguments: Any) -> str:
        """Runs a statement; PostgreSQL refuses those that write."""
        async with self.connection() as connection:
            return await connection.execute(query, *arguments)


async def connect_read_only(dsn: str, *, application_name: str = "poller web") -> Database:
    """Opens a pool that connects when a connection is needed: an unreachable database raises no error here."""
    return await connect(
        dsn,
        schema_check=False,
        min_size=0,
        max_size=CONNECTIONS,
        application_name=application_name,
        command_timeout=STATEMENT_SECONDS,
        kind=ReadOnlyDatabase,
    )
