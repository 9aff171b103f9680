"""A database whose client dies between two statements, like a killed process: its connection is really cut."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from poller.core.errors import DatabaseError
from poller.store.database import Database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Mortal(Database):
    """Uses `database` until `statements` have been run; the transaction of the last one is not committed."""

    def __init__(self, database: Database, statements: int) -> None:
        super().__init__(database._pool)
        self.left = statements

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        async with super().connection() as connection:
            yield _Counted(connection, self)

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        async with self.connection() as connection:
            return list(await connection.fetch(query, *arguments))

    async def fetchval(self, query: str, *arguments: Any) -> Any:
        async with self.connection() as connection:
            return await connection.fetchval(query, *arguments)


class _Counted:
    def __init__(self, connection: Any, owner: Mortal) -> None:
        self._connection = connection
        self._owner = owner

    def transaction(self) -> Any:
        return self._connection.transaction()

    async def execute(self, query: str, *arguments: Any) -> Any:
        return await self._run(self._connection.execute, query, *arguments)

    async def fetch(self, query: str, *arguments: Any) -> Any:
        return await self._run(self._connection.fetch, query, *arguments)

    async def fetchval(self, query: str, *arguments: Any) -> Any:
        return await self._run(self._connection.fetchval, query, *arguments)

    async def _run(self, method: Any, query: str, *arguments: Any) -> Any:
        if self._owner.left <= 0:
            raise DatabaseError("it is dead", "none")
        answer = await method(query, *arguments)
        self._owner.left -= 1
        if not self._owner.left:
            self._connection.terminate()
        return answer
