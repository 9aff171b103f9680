"""Locks between pollers that no other login can take: one private table, locked row by row or as a whole.

Advisory locks are open to every login of a database, and those of a session outlive their holder behind a pooler. All
locks here end with their transaction. Writers of snapshots share the days with each other and keep rollups out: they
lock the table itself, in two modes that conflict with one another and with no lock on a row.

The previous release uses advisory locks. As long as one of its workers lives, this one takes both.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from poller.store.queries import Connection


class Lock(StrEnum):
    """What one process does at a time. Each is a row of `poller_locks`."""

    MONTHS = "months"
    SLOTS = "slots"
    IMPORTS = "imports"
    MIGRATIONS = "migrations"


_SECONDS: Final = 10
"""A lock is held for milliseconds to seconds. A wait that is longer ends with an error, and is tried again later."""

_OLD_KEYS: Final = {
    Lock.MONTHS: str(int.from_bytes(b"months")),
    Lock.SLOTS: str(int.from_bytes(b"slots")),
    Lock.IMPORTS: "hashtext('poller.import_orgs')",
    Lock.MIGRATIONS: str(int.from_bytes(b"poller")),
}
_OLD_DAYS: Final = int.from_bytes(b"days")


async def lock(connection: Connection, name: Lock) -> None:
    """Take a lock until the end of the caller's transaction; raises `LockNotAvailableError` after ten seconds."""
    await connection.execute(
        f"{_PATIENCE}; SELECT FROM poller_locks WHERE name = '{name}' FOR UPDATE;"
        f" SELECT pg_advisory_xact_lock({_OLD_KEYS[name]}) {_BESIDE_OLD}; {_NO_PATIENCE}"
    )


async def try_lock(connection: Connection, name: Lock) -> bool:
    """Take a lock until the end of the caller's transaction, or return False at once where another holds it."""
    if await connection.fetchval(_TRY, name) is None:
        return False
    taken = await connection.fetchval(f"SELECT pg_try_advisory_xact_lock({_OLD_KEYS[name]}) {_BESIDE_OLD}")
    return taken is not False


async def lock_days_shared(connection: Connection) -> None:
    """Keep rollups out until the end of the caller's transaction; must come before what it reads or writes."""
    await connection.execute(_SHARE_DAYS)


async def lock_days_exclusive(connection: Connection) -> None:
    """Keep rollups and writers of snapshots out until the end of the caller's transaction."""
    await connection.execute(_LOCK_DAYS)


# Within a statement's own limits; what the caller does afterwards waits as long as it says itself.
_PATIENCE: Final = f"SET LOCAL lock_timeout = '{_SECONDS}s'"
_NO_PATIENCE: Final = "SET LOCAL lock_timeout TO DEFAULT"

# Purpose: one row where a worker of the previous release lives, none otherwise; see migrations/versions/0010.
_BESIDE_OLD: Final = (
    "FROM (SELECT FROM workers WHERE NOT private_locks AND seen_at > now() - interval '5 minutes' LIMIT 1) AS old"
)

_TRY: Final = "SELECT true FROM poller_locks WHERE name = $1 FOR UPDATE SKIP LOCKED"

# Purpose: the modes of SQL's own inserts and of CREATE TRIGGER: the first shares with itself, the second with nothing
# but reads and locks on rows. Both in one round trip.
_SHARE_DAYS: Final = (
    f"LOCK TABLE poller_locks IN ROW EXCLUSIVE MODE; SELECT pg_advisory_xact_lock_shared({_OLD_DAYS}) {_BESIDE_OLD}"
)
_LOCK_DAYS: Final = (
    f"{_PATIENCE}; LOCK TABLE poller_locks IN SHARE ROW EXCLUSIVE MODE;"
    f" SELECT pg_advisory_xact_lock({_OLD_DAYS}) {_BESIDE_OLD}; {_NO_PATIENCE}"
)
