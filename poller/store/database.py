"""The way into PostgreSQL: one pool of connections, all set up alike.

It adds three things to asyncpg: JSON by orjson, UTC, and errors a person can act on. It knows no table, keeps no
session state between two uses of a connection (so none has to be reset), and never shows the password of an address.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any, Final, Self

import asyncpg
import orjson

from poller.core.errors import DatabaseError
from poller.store import schema
from poller.store.address import connecting, target
from poller.store.database_clock import DatabaseClock
from poller.store.errors import SESSION, readable_errors
from poller.store.pooler import UNPREPARED, is_pooled

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from poller.store.queries import Connection, Pool, Record

# A pool that cannot make up for a lost connection says so every few seconds, with a traceback; whoever asks it for one
# is told, and that is enough.
logging.getLogger("asyncpg.pool").setLevel(logging.ERROR)

CONNECT_TIMEOUT_SECONDS: Final = 10.0
COMMAND_TIMEOUT_SECONDS: Final = 60.0


class ReservedConnection:
    """One connection out of the pool; another one takes its place after an error."""

    def __init__(self, pool: Pool, readable: Callable[[], AbstractAsyncContextManager[None]]) -> None:
        self._pool = pool
        self._readable = readable
        self._connection: Connection | None = None

    async def execute(self, query: str, *arguments: Any) -> str:
        """Run it; PostgreSQL's word for what was done."""
        async with self._readable():
            if self._connection is None:
                self._connection = await self._pool.acquire()
            try:
                return await self._connection.execute(query, *arguments)
            except BaseException:
                await self.release()
                raise

    async def release(self) -> None:
        """Give the connection back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._pool.release(connection)


class Database:
    """A pool of connections to one database.

    Every method raises `DatabaseError` for what PostgreSQL or the way to it does wrong; asyncpg's own errors are seen
    inside `connection()` and `transaction()` only, and leave them translated.
    """

    def __init__(self, pool: Pool, *, pooled: bool = False) -> None:
        self._pool = pool
        self.pooled = pooled
        """Whether a pooler is between us and PostgreSQL."""
        self.clock = DatabaseClock()
        """PostgreSQL's time: what everything that depends on the time goes by. `read_clock` keeps it right."""

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """One connection, for several statements."""
        async with self._readable_errors(), self._pool.acquire() as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """One connection inside a transaction: everything or nothing."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def fetch(self, query: str, *arguments: Any) -> list[Record]:
        """Every row."""
        async with self._readable_errors():
            return await self._pool.fetch(query, *arguments)

    async def fetchrow(self, query: str, *arguments: Any) -> Record | None:
        """The first row, or None."""
        async with self._readable_errors():
            return await self._pool.fetchrow(query, *arguments)

    async def fetchval(self, query: str, *arguments: Any) -> Any:
        """The first value of the first row, or None."""
        async with self._readable_errors():
            return await self._pool.fetchval(query, *arguments)

    async def execute(self, query: str, *arguments: Any) -> str:
        """Run it; PostgreSQL's word for what was done, `UPDATE 1`."""
        async with self._readable_errors():
            return await self._pool.execute(query, *arguments)

    @contextlib.asynccontextmanager
    async def reserved(self) -> AsyncIterator[ReservedConnection]:
        """One connection kept for one purpose, so that nothing else makes that wait."""
        reserved = ReservedConnection(self._pool, self._readable_errors)
        try:
            yield reserved
        finally:
            await reserved.release()

    async def read_clock(self) -> float:
        """Read PostgreSQL's clock once more; by how many seconds that moved `clock`."""
        async with self.connection() as connection:
            # database.clock: the time of this moment, not of the transaction. On a connection that is ready, so that
            # the time to get one is no part of the round trip.
            return await self.clock.read(lambda: connection.fetchval("SELECT clock_timestamp()"))

    async def close(self) -> None:
        """Wait for connections in use, then close them all."""
        with readable_errors():
            await self._pool.close()

    def terminate(self) -> None:
        """Break every connection, and make no more: who waits for an answer gets a `DatabaseError` instead."""
        self._pool.terminate()

    @contextlib.asynccontextmanager
    async def _readable_errors(self) -> AsyncIterator[None]:
        """Errors translated; where a session may be what is wrong, every one is begun anew before its next use."""
        try:
            with readable_errors():
                yield
        except DatabaseError as error:
            if isinstance(error.__cause__, SESSION):
                await self._pool.expire_connections()
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def connect(
    dsn: str,
    *,
    schema_check: bool = True,
    min_size: int = 1,
    max_size: int = 10,
    application_name: str = "poller",
    command_timeout: float = COMMAND_TIMEOUT_SECONDS,
    kind: type[Database] = Database,
) -> Database:
    """A pool over `dsn` (`postgresql://…`), as a `kind`; with `schema_check`, a database that is behind is refused."""
    session = {"application_name": application_name, "timezone": "UTC"}
    with connecting(dsn):
        pooled = await _is_pooled(dsn, session)
        pool = await asyncpg.create_pool(
            dsn,
            min_size=min_size,
            max_size=max_size,
            init=_set_up,
            reset=_keep,
            timeout=CONNECT_TIMEOUT_SECONDS,
            command_timeout=command_timeout,
            server_settings=session,
            **(UNPREPARED if pooled else {}),
        )
    database = kind(pool, pooled=pooled)
    try:
        await database.read_clock()
        if schema_check:
            async with database.connection() as connection:
                (await schema.read_state(connection, target(dsn))).require(target(dsn))
    except BaseException:
        await database.close()
        raise
    return database


async def _is_pooled(dsn: str, session: dict[str, str]) -> bool:
    """Ask once, over a connection that works either way: those of the pool are made for the one or for the other."""
    connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_SECONDS, server_settings=session, **UNPREPARED)
    try:
        return await is_pooled(connection)
    finally:
        await connection.close()


async def _set_up(connection: Connection) -> None:
    """JSON columns are values in and out; the byte is jsonb's version in the binary format."""
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda value: b"\x01" + orjson.dumps(value),
        decoder=lambda raw: orjson.loads(raw[1:]),
    )


async def _keep(_connection: Connection) -> None:
    """Spare a round trip per use: no session state is ever set, and asyncpg itself ends an open transaction."""
