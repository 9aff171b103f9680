from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import asyncpg
import pytest

from poller.core.errors import DatabaseError, SettingsError
from poller.store.database import Database, connect
from poller.store.errors import readable_errors
from tests.postgres import address

if TYPE_CHECKING:
    from pathlib import Path

GOODBYE = "cannot switch to state 12; another operation (2) is in progress"
"""What asyncpg says where a statement follows the server's last word and comes before the end of the stream."""


@pytest.mark.parametrize(
    ("query", "arguments", "said"),
    [
        ("SELECT * FROM nothing", (), r'"nothing" does not exist; run `poller migrate`'),
        ("SELECT pg_sleep(0)::text::int", (), "a value does not fit its column"),
        ("SELECT $1::int", ("s3cret",), "a value does not fit its column"),
        ("INSERT INTO orgs (name, data_center) VALUES ('', 's3cret')", (), "violates check constraint"),
    ],
)
async def test_an_error_of_postgresql_is_one_sentence_without_any_value(
    database: Database, query: str, arguments: tuple[object, ...], said: str
) -> None:
    with pytest.raises(DatabaseError, match=said) as caught:
        await database.execute(query, *arguments)
    assert "\n" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


async def test_a_missing_database_is_distinguished_from_an_unreachable_server(server_dsn: str, tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match='"no_such" does not exist; create the database'):
        await connect(address(server_dsn, "no_such"))
    with pytest.raises(DatabaseError, match="start PostgreSQL, or correct POLLER_DATABASE_URL"):
        await connect(f"postgresql://poller@/poller?host={tmp_path}")


async def test_a_port_without_a_listener_is_an_unreachable_server() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(DatabaseError, match="start PostgreSQL"):
            await connect(f"postgresql://u:pa55word@127.0.0.1:{bound.getsockname()[1]}/d")


@pytest.mark.parametrize(
    "dsn",
    [
        "mysql://u:pa55word@h/d",
        "pa55word",
        "postgresql://u:x@h:pa55word/d",
        "postgresql://u@h/d?sslmode=pa55word",
    ],
)
async def test_an_unusable_address_is_never_quoted(dsn: str) -> None:
    with pytest.raises((DatabaseError, SettingsError)) as caught:
        await connect(dsn)
    assert "pa55word" not in f"{caught.value} {caught.value.__cause__}"
    assert "POLLER_DATABASE_URL" in str(caught.value)


async def test_a_connection_lost_during_a_query_is_a_database_error_and_the_pool_recovers(database: Database) -> None:
    with pytest.raises(DatabaseError, match="start PostgreSQL"):
        async with database.connection() as connection:
            await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
    assert await database.fetchval("SELECT 1") == 1


async def test_a_query_that_takes_too_long_is_cancelled(database_url: str) -> None:
    async with await connect(database_url, command_timeout=0.05) as database:
        with pytest.raises(DatabaseError, match="no answer in time"):
            await database.execute("SELECT pg_sleep(10)")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (asyncpg.DiskFullError("could not extend file"), "could not extend file; free space on PostgreSQL's disk"),
        (asyncpg.TooManyConnectionsError("sorry, too many clients"), "too many clients; raise max_connections"),
        (
            asyncpg.ReadOnlySQLTransactionError("cannot execute INSERT"),
            "cannot execute INSERT; point .* at the primary",
        ),
        (asyncpg.InsufficientPrivilegeError("permission denied"), "permission denied; use the role that owns"),
        (asyncpg.InvalidPasswordError("password authentication failed"), "failed; correct the user and password"),
        (asyncpg.CannotConnectNowError("the database system is starting up"), "starting up; start PostgreSQL"),
        (asyncpg.InterfaceError("pool is closing"), "pool is closing; see PostgreSQL's log"),
        (asyncpg.InterfaceError("connection is closed"), "the connection was lost; start PostgreSQL"),
        (asyncpg.InternalClientError(GOODBYE), "the connection was lost; start PostgreSQL"),
        (socket.gaierror(-2, "Name or service not known"), "not known; correct the host"),
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused; start PostgreSQL"),
        (OSError(), "no connection; start PostgreSQL"),
        (TimeoutError(), "no answer in time; see whether PostgreSQL is up"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_every_kind_of_database_error_has_its_own_remedy(error: Exception, said: str) -> None:
    with pytest.raises(DatabaseError, match=said), readable_errors():
        raise error


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (asyncpg.DiskFullError("could not extend file"), True),
        (asyncpg.TooManyConnectionsError("sorry, too many clients"), True),
        (asyncpg.ReadOnlySQLTransactionError("cannot execute INSERT"), True),
        (asyncpg.AdminShutdownError("terminating connection"), True),
        (asyncpg.CannotConnectNowError("the database system is starting up"), True),
        (asyncpg.QueryCanceledError("canceling statement due to statement timeout"), True),
        (asyncpg.LockNotAvailableError("canceling statement due to lock timeout"), True),
        (asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"), True),
        (asyncpg.InterfaceError("connection is closed"), True),
        (asyncpg.InternalClientError(GOODBYE), True),
        (ConnectionRefusedError(111, "Connection refused"), True),
        (TimeoutError(), True),
        (asyncpg.IdleInTransactionSessionTimeoutError("terminating connection"), True),
        (asyncpg.PostgresIOError("could not read block 0"), True),
        (asyncpg.InvalidCachedStatementError("cached statement plan is invalid"), True),
        (asyncpg.TargetServerAttributeNotMatched("None of the hosts match the target attribute"), True),
        (asyncpg.InterfaceError("the server expects 1 argument for this query"), False),
        (asyncpg.InsufficientPrivilegeError("permission denied"), False),
        (asyncpg.UndefinedTableError("does not exist"), False),
        (asyncpg.InvalidPasswordError("password authentication failed"), False),
        (asyncpg.CheckViolationError("violates check constraint"), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_transient_errors_are_distinguished_from_those_that_a_person_must_fix(error: Exception, passing: bool) -> None:
    with pytest.raises(DatabaseError) as caught, readable_errors():
        raise error
    assert caught.value.passing is passing


@pytest.mark.parametrize(
    ("setting", "refused"),
    [
        ("statement_timeout = '50ms'", "SELECT pg_sleep(0.2)"),
        ("default_transaction_read_only = on", "CREATE TABLE t ()"),
    ],
)
async def test_a_session_started_under_a_wrong_setting_is_closed_after_its_error(
    database_url: str, setting: str, refused: str
) -> None:
    async with await connect(database_url, max_size=2) as mended:
        name = await mended.fetchval("SELECT current_database()")
        await mended.execute(f'ALTER DATABASE "{name}" SET {setting}')
        async with await connect(database_url, max_size=2) as database:
            with pytest.raises(DatabaseError) as caught:
                await database.execute(refused)
            assert caught.value.passing
            await mended.execute(f'ALTER DATABASE "{name}" RESET ALL')
            await database.execute(refused)


async def test_errors_of_the_caller_are_raised_unchanged(database: Database) -> None:
    with pytest.raises(ValueError, match="mine"):
        async with database.transaction():
            raise ValueError("mine")


async def test_json_is_read_back_unchanged_and_times_are_utc(database: Database) -> None:
    value = {"ActiveUsers": "INTERNAL_ERROR", "ü": [1, 2.5, None]}
    assert await database.fetchval("SELECT $1::jsonb", value) == value
    assert await database.fetchval("SHOW timezone") == "UTC"
    assert await database.fetchval("SELECT current_setting('application_name')") == "poller"
