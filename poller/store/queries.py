"""The types of everything that runs SQL: rows, connections, transactions, cursors and the pool.

asyncpg has no type annotations, so these protocols name the part of asyncpg that the poller uses. Only the values
inside a row are `Any`: their types are those of the columns in the statement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, overload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Iterator


class Row(Protocol):
    """One row of a result: values by column name or by position, iterated in the order of the columns."""

    @overload
    def __getitem__(self, key: str | int, /) -> Any: ...
    @overload
    def __getitem__(self, key: slice, /) -> tuple[Any, ...]: ...
    def __iter__(self) -> Iterator[Any]: ...
    def __len__(self) -> int: ...
    def keys(self) -> Iterable[str]:
        """The names of the columns."""


class Queries(Protocol):
    """Runs single statements: a `Database`, or a connection inside the caller's transaction."""

    async def fetch(self, query: str, *arguments: Any) -> list[Row]:
        """Returns every row."""

    async def execute(self, query: str, *arguments: Any) -> str:
        """Runs the statement and returns PostgreSQL's command tag, `UPDATE 1`."""


class RowCursor(Protocol):
    """A cursor that was opened with `await`."""

    async def fetch(self, rows: int, *, timeout: float | None = None) -> list[Row]:  # noqa: ASYNC109 - asyncpg's name
        """Returns the next rows, at most that many."""


class CursorFactory(Protocol):
    """A cursor that is not opened yet: iterate over its rows, or open it with `await`."""

    def __aiter__(self) -> AsyncIterator[Row]: ...
    def __await__(self) -> Generator[Any, None, RowCursor]: ...


class Transaction(Protocol):
    """A transaction that has not started: `async with` starts it, then commits it, or rolls it back after an error."""

    async def __aenter__(self) -> object: ...
    async def __aexit__(self, *error: object) -> None: ...
    async def start(self) -> None:
        """Starts it."""

    async def rollback(self) -> None:
        """Undoes it."""


class Connection(Protocol):
    """One connection to PostgreSQL; `timeout` is in seconds, None: that of the pool."""

    async def fetch(self, query: str, *arguments: Any, timeout: float | None = None) -> list[Row]:  # noqa: ASYNC109
        """Returns every row."""

    async def fetchrow(
        self,
        query: str,
        *arguments: Any,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> Row | None:
        """Returns the first row, or None."""

    async def fetchval(self, query: str, *arguments: Any, timeout: float | None = None) -> Any:  # noqa: ASYNC109
        """Returns the first value of the first row, or None."""

    async def execute(self, query: str, *arguments: Any, timeout: float | None = None) -> str:  # noqa: ASYNC109
        """Runs the statement and returns PostgreSQL's command tag, `UPDATE 1`."""

    def cursor(self, query: str, *arguments: Any, prefetch: int | None = None) -> CursorFactory:
        """Returns a cursor over the rows; it needs a transaction."""

    def transaction(self, *, isolation: str | None = None, readonly: bool = False) -> Transaction:
        """Returns a transaction, or a savepoint inside one."""

    async def set_type_codec(
        self,
        typename: str,
        *,
        schema: str,
        encoder: Callable[[Any], Any],
        decoder: Callable[[Any], Any],
        format: str,  # noqa: A002 - asyncpg's name
    ) -> None:
        """Sets how values of a type are sent and read."""

    def get_settings(self) -> Any:
        """Returns the server's settings, as attributes: `server_encoding`."""

    async def close(self) -> None:
        """Closes the connection."""


class Acquired(Protocol):
    """A connection that the pool is about to give: use it in `async with`, or `await` it and release it later."""

    async def __aenter__(self) -> Connection: ...
    async def __aexit__(self, *error: object) -> object: ...
    def __await__(self) -> Generator[Any, None, Connection]: ...


class Pool(Protocol):
    """A pool of connections. Its single statements run on any of them."""

    async def fetch(self, query: str, *arguments: Any) -> list[Row]:
        """Returns every row."""

    async def fetchrow(self, query: str, *arguments: Any) -> Row | None:
        """Returns the first row, or None."""

    async def fetchval(self, query: str, *arguments: Any) -> Any:
        """Returns the first value of the first row, or None."""

    async def execute(self, query: str, *arguments: Any) -> str:
        """Runs the statement and returns PostgreSQL's command tag, `UPDATE 1`."""

    def acquire(self, *, timeout: float | None = None) -> Acquired:
        """Takes a connection out of the pool."""

    def release(self, connection: Connection) -> Awaitable[None]:
        """Gives a connection back."""

    async def expire_connections(self) -> None:
        """Replaces every connection before its next use."""

    async def close(self) -> None:
        """Waits for connections in use, then closes all of them."""

    def terminate(self) -> None:
        """Breaks all connections without waiting."""
