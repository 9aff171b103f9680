"""Connections through a pooler (PgBouncer and its kin), where every transaction may run in another session.

asyncpg prepares a statement in one round trip and runs it in the next. Outside a transaction a pooler may send the two
to different sessions, and a statement prepared by name stays behind in a session that others use. So each statement
runs in a transaction of its own here, and none is kept prepared. That works in every mode of a pooler, whatever it
knows of prepared statements.
"""

from __future__ import annotations

import contextlib
import uuid
from typing import Any, Final

import asyncpg


class PooledConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg has no types
    """An asyncpg connection whose single statements are transactions. Connect it as `UNPREPARED` says."""

    async def execute(self, query: str, *arguments: Any, **options: Any) -> str:
        """Run it; without arguments it is one message anyway, and may be one that no transaction takes."""
        async with self._transaction() if arguments else contextlib.nullcontext():
            status: str = await super().execute(query, *arguments, **options)
            return status

    async def fetch(self, query: str, *arguments: Any, **options: Any) -> list[Any]:
        """Every row."""
        async with self._transaction():
            rows: list[Any] = await super().fetch(query, *arguments, **options)
            return rows

    async def fetchrow(self, query: str, *arguments: Any, **options: Any) -> Any:
        """The first row, or None."""
        async with self._transaction():
            return await super().fetchrow(query, *arguments, **options)

    async def fetchval(self, query: str, *arguments: Any, **options: Any) -> Any:
        """The first value of the first row, or None."""
        async with self._transaction():
            return await super().fetchval(query, *arguments, **options)

    async def set_type_codec(self, typename: str, **options: Any) -> None:
        """Make a codec, which asks the server for its type."""
        async with self._transaction():
            await super().set_type_codec(typename, **options)

    def _transaction(self) -> contextlib.AbstractAsyncContextManager[Any]:
        return contextlib.nullcontext() if self.is_in_transaction() else self.transaction()

    def _get_unique_id(self, prefix: str) -> str:
        """For statements of cursors: other processes leave theirs in the same sessions, and count from one too."""
        return f"__poller_{prefix}_{uuid.uuid4().hex}__"


UNPREPARED: Final = {"connection_class": PooledConnection, "statement_cache_size": 0}
"""What `asyncpg.connect` and `create_pool` are given where there may be a pooler."""


async def is_pooled(connection: PooledConnection) -> bool:
    """Whether a pooler is in between: it gives its clients process numbers of its own making."""
    return bool(connection.get_server_pid() != await connection.fetchval("SELECT pg_backend_pid()"))
