"""Connections through a pooler such as PgBouncer, where every transaction may run in another session.

asyncpg prepares a statement in one round trip and runs it in the next. Outside a transaction a pooler may send the two
to different sessions, and a statement prepared by name stays in a session that others use. So each statement runs in a
transaction of its own here, and no prepared statement is kept. That works in every mode of a pooler, with or without
support for prepared statements.
"""

from __future__ import annotations

import contextlib
import uuid
from typing import Any, Final

import asyncpg


class PooledConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """An asyncpg connection that runs each single statement in a transaction. Connect it with `UNPREPARED`."""

    async def execute(self, query: str, *arguments: Any, **options: Any) -> str:
        """Runs the statement. Without arguments it is one message, and may be one that no transaction may contain."""
        async with self._transaction() if arguments else contextlib.nullcontext():
            status: str = await super().execute(query, *arguments, **options)
            return status

    async def fetch(self, query: str, *arguments: Any, **options: Any) -> list[Any]:
        """Returns every row."""
        async with self._transaction():
            rows: list[Any] = await super().fetch(query, *arguments, **options)
            return rows

    async def fetchrow(self, query: str, *arguments: Any, **options: Any) -> Any:
        """Returns the first row, or None."""
        async with self._transaction():
            return await super().fetchrow(query, *arguments, **options)

    async def fetchval(self, query: str, *arguments: Any, **options: Any) -> Any:
        """Returns the first value of the first row, or None."""
        async with self._transaction():
            return await super().fetchval(query, *arguments, **options)

    async def set_type_codec(self, typename: str, **options: Any) -> None:
        """Sets a codec, which queries the server for the type."""
        async with self._transaction():
            await super().set_type_codec(typename, **options)

    def _transaction(self) -> contextlib.AbstractAsyncContextManager[Any]:
        return contextlib.nullcontext() if self.is_in_transaction() else self.transaction()

    def _get_unique_id(self, prefix: str) -> str:
        """Names the statement of a cursor uniquely: asyncpg numbers them, and other processes use the same sessions."""
        return f"__poller_{prefix}_{uuid.uuid4().hex}__"


UNPREPARED: Final = {"connection_class": PooledConnection, "statement_cache_size": 0}
"""Arguments of `asyncpg.connect` and `create_pool` where there may be a pooler."""


async def is_pooled(connection: PooledConnection) -> bool:
    """Returns whether there is a pooler: it gives its clients process numbers that are not PostgreSQL's."""
    # pooler.pid
    return bool(connection.get_server_pid() != await connection.fetchval("SELECT pg_backend_pid()"))
