"""Connects to PostgreSQL: one pool of connections with the same set-up.

It adds three things to asyncpg: JSON through orjson, the time zone UTC, and errors with a remedy. It knows no table. It
keeps no session state between two uses of a connection, so nothing has to be reset. It never shows the password of an
address.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

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

    from poller.store.queries import Connection, Pool, Row

# A pool that cannot replace a lost connection logs a traceback every few seconds. The callers get an error anyway.
logging.getLogger("asyncpg.pool").setLevel(logging.ERROR)

D = TypeVar("D", bound="Database")

CONNECT_TIMEOUT_SECONDS: Final = 10.0
COMMAND_TIMEOUT_SECONDS: Final = 60.0


class ReservedConnection:
    """One connection that is kept out of the pool; after an error, the next statement takes another one."""

    def __init__(self, pool: Pool, readable: Callable[[], AbstractAsyncContextManager[None]]) -> None:
        self._pool = pool
        self._readable = readable
        self._connection: Connection | None = None

    async def execute(self, query: str, *arguments: Any) -> str:
        """Runs the statement and returns PostgreSQL's command tag."""
        async with self._readable():
            if self._connection is None:
                self._connection = await self._pool.acquire()
            try:
                return await self._connection.execute(query, *arguments)
            except BaseException:
                await self.release()
                raise

    async def release(self) -> None:
        """Returns the connection to the pool."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._pool.release(connection)


class Database:
    """A pool of connections to one database.

    Every method raises `DatabaseError` for errors of PostgreSQL and of the network. Inside `connection()` and
    `transaction()` asyncpg raises its own errors; they become `DatabaseError` at the end of the block.
    """

    def __init__(self, pool: Pool, *, pooled: bool = False) -> None:
        self._pool = pool
        self.pooled = pooled
        """Whether there is a pooler between this process and PostgreSQL."""
        self.clock = DatabaseClock()
        """PostgreSQL's time, which all decisions that depend on time use. `read_clock` updates it."""

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Takes one connection for several statements."""
        async with self._readable_errors(), self._pool.acquire() as connection:
            yield connection

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Takes one connection with an open transaction, which commits after the block, or rolls back on an error."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    async def fetch(self, query: str, *arguments: Any) -> list[Row]:
        """Returns every row."""
        async with self._readable_errors():
            return await self._pool.fetch(query, *arguments)

    async def fetchrow(self, query: str, *arguments: Any) -> Row | None:
        """Returns the first row, or None."""
        async with self._readable_errors():
            return await self._pool.fetchrow(query, *arguments)

    async def fetchval(self, query: str, *arguments: Any) -> Any:
        """Returns the first value of the first row, or None."""
        async with self._readable_errors():
            return await self._pool.fetchval(query, *arguments)

    async def execute(self, query: str, *arguments: Any) -> str:
        """Runs the statement and returns PostgreSQL's command tag, `UPDATE 1`."""
        async with self._readable_errors():
            return await self._pool.execute(query, *arguments)

    @contextlib.asynccontextmanager
    async def reserved(self) -> AsyncIterator[ReservedConnection]:
        """Reserves one connection, so that its user never waits for other users of the pool."""
        reserved = ReservedConnection(self._pool, self._readable_errors)
        try:
            yield reserved
        finally:
            await reserved.release()

    async def read_clock(self) -> float:
        """Reads PostgreSQL's clock and returns by how many seconds that moved `clock`."""
        async with self.connection() as connection:
            # database.clock: the current time, not the start of the transaction. The connection is taken first, so
            # that waiting for one is not counted in the round trip.
            return await self.clock.read(lambda: connection.fetchval("SELECT clock_timestamp()"))

    def same_pool(self, kind: type[D]) -> D:
        """Another kind of database over the connections and the clock of this one, which stays their owner."""
        other = kind(self._pool, pooled=self.pooled)
        other.clock = self.clock
        return other

    async def close(self) -> None:
        """Waits for connections in use, then closes all of them."""
        with readable_errors():
            await self._pool.close()

    def terminate(self) -> None:
        """Breaks every connection and opens no more; statements that wait for a result raise `DatabaseError`."""
        self._pool.terminate()

    @contextlib.asynccontextmanager
    async def _readable_errors(self) -> AsyncIterator[None]:
        """Translates errors; after one that a session may have caused, replaces all connections before the next use."""
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
    """Opens a pool for `dsn` (`postgresql://…`) as a `kind`; `schema_check` refuses a database that is not migrated."""
    session = {"application_name": application_name, "timezone": "UTC"}
    with connecting(dsn):
        pooled = await _is_pooled(dsn, session)
        pool = await asyncpg.create_pool(
            dsn,
            min_size=min_size,
            max_size=max_size,
            init=_set_up,
            reset=_skip_reset,
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
    """Checks for a pooler once, over a connection that works with and without one."""
    connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_SECONDS, server_settings=session, **UNPREPARED)
    try:
        return await is_pooled(connection)
    finally:
        await connection.close()


async def _set_up(connection: Connection) -> None:
    """Converts jsonb columns to and from Python values; the first byte is the version of jsonb's binary format."""
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda value: b"\x01" + orjson.dumps(value),
        decoder=lambda raw: orjson.loads(raw[1:]),
    )


async def _skip_reset(_connection: Connection) -> None:
    """Skips asyncpg's reset: no session state is ever set, and asyncpg itself ends an open transaction."""
