"""A PostgreSQL for tests: one server per session in a temporary folder, fast because it does not need durability."""

from __future__ import annotations

import asyncio
import os
import tempfile
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from poller.embedded import start

if TYPE_CHECKING:
    from collections.abc import Iterator

BINARIES_VARIABLE: Final = "POLLER_TEST_POSTGRES_BIN"
"""A folder with PostgreSQL's programs, such as /usr/lib/postgresql/15/bin; unset: the wheel's."""

FAST: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}
_NO_LOG: Final = FAST | {"wal_level": "minimal", "max_wal_senders": "0"}
"""For the server of the tests' own databases: a copy of one is files, of which nothing is written to the log."""
KILLED: Final = FAST | {"synchronous_commit": "on"}
"""For a server that a test kills: what it said is committed is there afterwards, or two workers would get one job."""

LOCKS_LEFT: Final = """
SELECT count(*) FROM pg_locks WHERE (locktype = 'advisory' OR relation = to_regclass('poller_locks'))
    AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend')
"""
"""The number of the poller's locks that a session holds. PostgreSQL itself locks a table while it cleans it."""


def chosen_binaries() -> Path | None:
    """The programs selected by the environment; None for those of the wheel."""
    folder = os.environ.get(BINARIES_VARIABLE)
    return Path(folder) if folder else None


@contextmanager
def running_postgres() -> Iterator[str]:
    """A server for the length of a `with` block; yields the DSN of its superuser, on the database `poller`.

    @pytest.fixture(scope="session")
    def postgres() -> Iterator[str]:
        with running_postgres() as dsn:
            yield dsn
    """
    with (
        tempfile.TemporaryDirectory(prefix="poller-tests-") as folder,
        start(Path(folder) / "data", binaries=chosen_binaries(), settings=_NO_LOG) as server,
    ):
        yield server.dsn()


def address(server_dsn: str, name: str) -> str:
    """The address of another database of the same server."""
    return urlunsplit(urlsplit(server_dsn)._replace(path=f"/{name}"))


def name_of(dsn: str) -> str:
    """The name of the database at an address."""
    return urlsplit(dsn).path.removeprefix("/")


def copy_of(template: str) -> str:
    """The options of CREATE DATABASE for the fastest copy of another database."""
    return f'TEMPLATE "{template}" STRATEGY file_copy'


@contextmanager
def cloned(server_dsn: str, template: str) -> Iterator[str]:
    """The address of a copy of the database `template`, for the tests of a file that share one."""
    name = f"test_{uuid.uuid4().hex}"
    asyncio.run(run_on(server_dsn, f'CREATE DATABASE "{name}" {copy_of(template)}'))
    try:
        yield address(server_dsn, name)
    finally:
        asyncio.run(run_on(server_dsn, f'DROP DATABASE "{name}" WITH (FORCE)'))


async def run_on(dsn: str, statement: str) -> None:
    """Runs one statement on a separate connection."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def let_now_be(dsn: str, expression: str) -> None:
    """Replaces `now()` in this database for connections opened afterwards.

    The statements of PgQueuer, of the poller and of migrations call `now()` without a schema, so the first schema in
    the search path is used. Defaults of existing columns keep the previous function until they are set again.
    """
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            f"CREATE OR REPLACE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT {expression}'"
        )
        name = await connection.fetchval("SELECT quote_ident(current_database())")
        await connection.execute(f"ALTER DATABASE {name} SET search_path = public, pg_catalog")
        await connection.execute("SET search_path = public, pg_catalog")
        for default in await connection.fetch(_DEFAULTS):
            await connection.execute(f"ALTER TABLE {default['table']} ALTER {default['column']} SET DEFAULT now()")
    finally:
        await connection.close()


_DEFAULTS: Final = """
SELECT d.adrelid::regclass::text AS table, quote_ident(a.attname) AS column
FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
WHERE pg_get_expr(d.adbin, d.adrelid) IN ('now()', 'pg_catalog.now()')
"""
