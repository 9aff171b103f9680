"""The schema's version: which revision the database is at, which one this code needs, and how to get there.

Alembic (and SQLAlchemy under it) is imported only to migrate; telling whether the schema is behind takes one query and
a look at file names. A database may be ahead of the code: revisions add before they take away, so that the workers of
the last version go on while the next one migrates.
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
from poller.store.errors import COMPLAINTS, explain, readable_errors
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
"""A revision that waits for readers waits two seconds at a time, and lets others read and write in between."""

_OWN_DATABASE: Final = "give the poller a database of its own"

# Purpose: the revision the database is at, and whether a table of the first revision is there.
_CURRENT: Final = "SELECT max(version_num), to_regclass('org_credentials') IS NOT NULL FROM alembic_version"

# Purpose: what to grant where nothing may be created: the schema that would be created in, or the role's own.
_PLACE: Final = "SELECT current_schema(), quote_ident(current_schema()), quote_ident(current_user)"

_LOCK: Final = (
    "CREATE TABLE IF NOT EXISTS poller_locks (name text PRIMARY KEY)",
    "INSERT INTO poller_locks (name) VALUES ('migrations') ON CONFLICT DO NOTHING",
)

# Purpose: the tables that a revision may change.
_RELATIONS: Final = r"""
SELECT oid::regclass::text FROM pg_class
WHERE relkind IN ('r', 'p', 'v')
  AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('poller_locks'))
"""

log = structlog.get_logger("poller.store")
_turns: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class SchemaState:
    """Where the database stands (`current`, None before the first migration) and where this code needs it (`head`)."""

    current: str | None
    head: str

    @property
    def behind(self) -> bool:
        """Whether there is anything to migrate."""
        return self.current is None or self.current < self.head

    def require(self, place: str) -> None:
        """Raise `DatabaseError` where the database at `place` is behind."""
        if self.behind:
            found = "empty" if self.current is None else f"at revision {self.current}"
            what = f"the database is {found}, this poller needs {self.head} ({place})"
            raise DatabaseError(what, "run `poller migrate`")


def migrations_folder() -> Path:
    """Where the revisions are: beside the package in a checkout, inside it in a wheel."""
    return _IN_WHEEL if _IN_WHEEL.is_dir() else _IN_CHECKOUT


def head_revision() -> str:
    """The revision this code needs: the highest number among the revisions' file names."""
    return max(name[1] for name in _revision_files())


def _revision_files() -> Iterator[re.Match[str]]:
    for path in (migrations_folder() / "versions").iterdir():
        if name := _REVISION_FILE.fullmatch(path.name):
            yield name


async def read_state(connection: Connection, place: str = "") -> SchemaState:
    """Compare the database behind an asyncpg connection with this code; `place` names it in an error."""
    here = f" ({place})" if place else ""
    current: str | None = None
    ours = True
    try:
        with readable_errors(), contextlib.suppress(asyncpg.UndefinedTableError):
            ((current, ours),) = await connection.fetch(_CURRENT)
    except DatabaseError as error:
        # Alembic's table has one column of one name, and the poller may read its own.
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
    """Where the database at `dsn` stands."""
    connection = await _connect(dsn)
    try:
        return await read_state(connection, target(dsn))
    finally:
        await connection.close()


async def upgrade(dsn: str, revision: str = "head", *, attempts: int = 20) -> SchemaState:
    """Bring the database up to `revision`; the state it was in before.

    Any number of processes may do this at once: `migrations/env.py` lets one in at a time. A revision that has to wait
    for readers is tried again (`attempts`, three seconds each), then given up: `LockedError` names one of them.
    """
    before = await check(dsn)
    if before.behind:
        # Alembic keeps its context in globals: within a process, one at a time too.
        async with _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock()):
            await _make_lock(dsn)
            await _run_alembic(dsn, _between(before.current or "", revision), attempts)
    return before


async def _make_lock(dsn: str) -> None:
    """The row that migrations lock: it has to be there before the first revision is."""
    connection = await _connect(dsn)
    try:
        _require_utf8(dsn, connection.get_settings().server_encoding)
        with readable_errors():
            for statement in _LOCK:
                # Two processes that make the table at the same moment: the first makes it, the other is refused.
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

    # The address is asyncpg's to read: SQLAlchemy knows another dialect of it.
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
    """The revisions after `current`, up to `until`, in their order."""
    revisions = sorted(name[1] for name in _revision_files())
    return [name for name in revisions if current < name and (until == "head" or name <= until)]


async def _locked(dsn: str, revision: str) -> DatabaseError:
    """The error of a revision that others kept from its locks."""
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
    """The asyncpg error under SQLAlchemy's, whose text quotes the statement."""
    root: BaseException | None = error
    while root is not None and not isinstance(root, COMPLAINTS):
        root = root.__cause__
    return root or error


async def _connect(dsn: str) -> Connection:
    with connecting(dsn):
        async with asyncio.timeout(_CONNECT_TIMEOUT_SECONDS):
            session = {"application_name": "poller migrate", "timezone": "UTC"}
            connection: Connection = await asyncpg.connect(dsn, server_settings=session, **UNPREPARED)
            return connection
