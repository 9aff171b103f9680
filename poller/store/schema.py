"""The version of the schema: compares the database's revision with the one this code needs, and migrates.

Alembic (with SQLAlchemy) is imported only to migrate; to check whether the schema is behind takes one query and the
names of the migration files. A database may be ahead of the code: revisions add before they remove, so that the workers
of the previous version keep running while the next one migrates.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

import asyncpg
import structlog

from poller.core.errors import DatabaseError
from poller.store.address import connecting, target
from poller.store.blockers import locked_by_others
from poller.store.errors import TRANSLATED, explain, readable_errors
from poller.store.pooler import UNPREPARED

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy

    from poller.store.queries import Connection

_IN_WHEEL: Final = Path(__file__).parents[1] / "migrations"
_IN_CHECKOUT: Final = Path(__file__).parents[2] / "migrations"
_REVISION_FILE: Final = re.compile(r"([0-9]{4})_[a-z0-9_]+\.py")
_REVISION: Final = re.compile(r"[0-9]{4}")
_CONNECT_TIMEOUT_SECONDS: Final = 10.0
_PAUSE_SECONDS: Final = 1.0
"""Pause between attempts of a revision: each waits for readers for two seconds, and others work in the pause."""

_OWN_DATABASE: Final = "give the poller a database of its own"

# schema.current: the revision of the database, and whether a table of the first revision exists.
_CURRENT: Final = "SELECT max(version_num), to_regclass('org_credentials') IS NOT NULL FROM alembic_version"

# schema.place: the schema in which tables would be created (NULL: there is none), and the role.
_PLACE: Final = "SELECT current_schema(), quote_ident(current_schema()), quote_ident(current_user)"

# schema.lock: the row that migrations lock.
_LOCK: Final = (
    "CREATE TABLE IF NOT EXISTS poller_locks (name text PRIMARY KEY)",
    "INSERT INTO poller_locks (name) VALUES ('migrations') ON CONFLICT DO NOTHING",
)

# schema.relations: the tables and views that a revision may change.
_RELATIONS: Final = r"""
SELECT oid::regclass::text FROM pg_class
WHERE relkind IN ('r', 'p', 'v')
  AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('poller_locks'))
"""

log = structlog.get_logger("poller.store")
_turns: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class SchemaState:
    """The database's revision (`current`, None before the first migration) and the one this code needs (`head`)."""

    current: str | None
    head: str

    @property
    def behind(self) -> bool:
        """Whether the database needs a migration."""
        return self.current is None or self.current < self.head

    def require(self, place: str) -> None:
        """Raises `DatabaseError` if the database at `place` is behind."""
        if self.behind:
            found = "empty" if self.current is None else f"at revision {self.current}"
            what = f"the database is {found}, this poller needs {self.head} ({place})"
            raise DatabaseError(what, "run `poller migrate`")


def migrations_folder() -> Path:
    """Returns the folder of the revisions: beside the package in a checkout, inside it in a wheel."""
    return _IN_WHEEL if _IN_WHEEL.is_dir() else _IN_CHECKOUT


def head_revision() -> str:
    """Returns the revision this code needs: the highest number among the file names of revisions."""
    return max(name[1] for name in _revision_files())


def _revision_files() -> Iterator[re.Match[str]]:
    for path in (migrations_folder() / "versions").iterdir():
        if name := _REVISION_FILE.fullmatch(path.name):
            yield name


async def read_state(connection: Connection, place: str = "") -> SchemaState:
    """Compares the database of a connection with this code; `place` names the database in an error."""
    here = f" ({place})" if place else ""
    current: str | None = None
    ours = True
    try:
        with readable_errors(), contextlib.suppress(asyncpg.UndefinedTableError):
            ((current, ours),) = await connection.fetch(_CURRENT)
    except DatabaseError as error:
        # The poller's own table has this column and is readable, so another program made this one.
        if not isinstance(error.__cause__, (asyncpg.UndefinedColumnError, asyncpg.InsufficientPrivilegeError)):
            raise
        raise DatabaseError(f"alembic_version{here} is not the poller's: {error.what}", _OWN_DATABASE) from error
    if current is not None and not (ours and _REVISION.fullmatch(current)):
        what = (
            f"the database{here} is at revision {current!r}, which is none of the poller's: another program lives there"
        )
        raise DatabaseError(what, _OWN_DATABASE)
    return SchemaState(current, head_revision())


async def check(dsn: str) -> SchemaState:
    """Returns the schema's state of the database at `dsn`."""
    connection = await _connect(dsn)
    try:
        return await read_state(connection, target(dsn))
    finally:
        await connection.close()


async def upgrade(dsn: str, revision: str = "head", *, attempts: int = 20) -> SchemaState:
    """Migrates the database to `revision`; returns the state before.

    Any number of processes may do this at once: `migrations/env.py` lets one in at a time. A revision that has to wait
    for readers is tried again (`attempts`, three seconds each), then given up: `LockedError` names one of them.
    """
    before = await check(dsn)
    if before.behind:
        # Alembic keeps its context in globals, so a process runs one migration at a time.
        async with _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
            await _make_lock(dsn)
            await _run_alembic(dsn, _between(before.current or "", revision), attempts)
    return before


async def _make_lock(dsn: str) -> None:
    """Creates the row that migrations lock, which must exist before the first revision runs."""
    connection = await _connect(dsn)
    try:
        _require_utf8(dsn, connection.get_settings().server_encoding)
        with readable_errors():
            for statement in _LOCK:
                # Of two processes that create the table at the same moment, one gets an error.
                with contextlib.suppress(
                    asyncpg.UniqueViolationError, asyncpg.DuplicateTableError, asyncpg.DuplicateObjectError
                ):
                    await connection.execute(statement)
    except DatabaseError as error:
        if not isinstance(error.__cause__, (asyncpg.InsufficientPrivilegeError, asyncpg.InvalidSchemaNameError)):
            raise
        ((schema, quoted, role),) = await connection.fetch(_PLACE)
        grant = f"GRANT USAGE, CREATE ON SCHEMA {quoted} TO {role}"
        remedy = grant if schema else f"CREATE SCHEMA {role} AUTHORIZATION {role}"
        raise DatabaseError(f"{error.what} ({target(dsn)})", f"have an administrator run `{remedy};` there") from error
    finally:
        await connection.close()


def _require_utf8(dsn: str, encoding: str) -> None:
    if encoding != "UTF8":
        what = f"the database is encoded in {encoding}, which lacks characters of names ({target(dsn)})"
        raise DatabaseError(what, "create one for the poller: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0")


async def _run_alembic(dsn: str, revisions: list[str], attempts: int) -> None:
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415  (heavy, and needed only here)
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    # asyncpg reads the address: SQLAlchemy understands a different format.
    how = {"async_creator_fn": lambda **_: _connect(dsn), "prepared_statement_cache_size": 0}
    engine = create_async_engine("postgresql+asyncpg://", connect_args=how, poolclass=NullPool)
    try:
        for revision in revisions:
            for attempt in range(1, attempts + 1):
                try:
                    async with engine.connect() as connection:
                        await connection.run_sync(_upgrade, revision)
                    break
                except DBAPIError as error:
                    root = _root_of(error)
                    if not isinstance(root, asyncpg.LockNotAvailableError):
                        raise explain(root) from error
                    locked = await _locked(dsn, revision)
                    if attempt == attempts:
                        raise locked from error
                    if attempt == 1:
                        log.warning("migration.waiting", revision=revision, why=locked.what)
                await asyncio.sleep(_PAUSE_SECONDS)
    finally:
        await engine.dispose()


def _between(current: str, until: str) -> list[str]:
    """Returns the revisions after `current`, up to `until`, in order."""
    revisions = sorted(name[1] for name in _revision_files())
    return [name for name in revisions if current < name and (until == "head" or name <= until)]


async def _locked(dsn: str, revision: str) -> DatabaseError:
    """Returns the error of a revision that could not get its locks."""
    connection = await _connect(dsn)
    try:
        relations = [row[0] for row in await connection.fetch(_RELATIONS)]
        return await locked_by_others(connection, f"migration {revision} has to wait", *relations)
    finally:
        await connection.close()


def _upgrade(connection: sqlalchemy.Connection, revision: str) -> None:
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    command.upgrade(config, revision)


def _root_of(error: BaseException) -> BaseException:
    """Returns the asyncpg error that caused SQLAlchemy's, whose own text quotes the statement."""
    root: BaseException | None = error
    while root is not None and not isinstance(root, TRANSLATED):
        root = root.__cause__
    return root or error


async def _connect(dsn: str) -> Connection:
    with connecting(dsn):
        async with asyncio.timeout(_CONNECT_TIMEOUT_SECONDS):
            session = {"application_name": "poller migrate", "timezone": "UTC"}
            connection: Connection = await asyncpg.connect(dsn, server_settings=session, **UNPREPARED)
            return connection
