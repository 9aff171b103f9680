"""Locks between poller processes that no other login can take: rows of one private table, or the whole table.

Advisory locks would not do: every login of a database can take them, and behind a pooler a session's lock outlives the
process that took it. All locks here end with their transaction.

The lock on the days is a lock on the whole table. Writers of snapshots take it in shared mode, so that they do not wait
for each other; rollups and retention take it in exclusive mode. Neither mode conflicts with a lock on a row.

The previous release uses advisory locks. As long as one of its workers lives, this release takes both.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from poller.store.queries import Connection


class Lock(StrEnum):
    """Tasks that one process at a time does. Each is a row of `poller_locks`."""

    MONTHS = "months"
    SLOTS = "slots"
    IMPORTS = "imports"
    ALERTS = "alerts"
    MIGRATIONS = "migrations"


_SECONDS: Final = 10
"""How long to wait for a lock, which others hold for milliseconds to seconds. Then the caller gets an error."""

_OLD_KEYS: Final = {
    Lock.MONTHS: str(int.from_bytes(b"months")),
    Lock.SLOTS: str(int.from_bytes(b"slots")),
    Lock.ALERTS: str(int.from_bytes(b"alerts")),
    Lock.IMPORTS: "hashtext('poller.import_orgs')",
    Lock.MIGRATIONS: str(int.from_bytes(b"poller")),
}
_OLD_DAYS: Final = int.from_bytes(b"days")


async def lock(connection: Connection, name: Lock) -> None:
    """Takes a lock until the end of the caller's transaction; raises `LockNotAvailableError` after ten seconds."""
    # locks.lock
    await connection.execute(
        f"{_LOCK_TIMEOUT}; SELECT FROM poller_locks WHERE name = '{name}' FOR UPDATE;"
        f" SELECT pg_advisory_xact_lock({_OLD_KEYS[name]}) {_IF_OLD_WORKER}; {_DEFAULT_TIMEOUT}"
    )


async def try_lock(connection: Connection, name: Lock) -> bool:
    """Takes a lock until the end of the caller's transaction, or returns False at once if another process holds it."""
    if await connection.fetchval(_TRY, name) is None:
        return False
    # locks.try_old_lock
    taken = await connection.fetchval(f"SELECT pg_try_advisory_xact_lock({_OLD_KEYS[name]}) {_IF_OLD_WORKER}")
    return taken is not False


async def lock_days_shared(connection: Connection) -> None:
    """Takes a shared lock on the days until the caller's transaction ends: rollups wait, other writers do not.

    Call it before the transaction reads or writes snapshots.
    """
    await connection.execute(_SHARE_DAYS)


async def lock_days_exclusive(connection: Connection) -> None:
    """Takes an exclusive lock on the days until the caller's transaction ends: rollups and writers wait."""
    await connection.execute(_LOCK_DAYS)


# These apply to taking the lock only; the caller's later statements have their own timeout.
_LOCK_TIMEOUT: Final = f"SET LOCAL lock_timeout = '{_SECONDS}s'"
_DEFAULT_TIMEOUT: Final = "SET LOCAL lock_timeout TO DEFAULT"

# One row if a worker of the previous release lives, otherwise none; see migrations/versions/0010.
_IF_OLD_WORKER: Final = (
    "FROM (SELECT FROM workers WHERE NOT private_locks AND seen_at > now() - interval '5 minutes' LIMIT 1) AS old"
)

# locks.try_lock
_TRY: Final = "SELECT true FROM poller_locks WHERE name = $1 FOR UPDATE SKIP LOCKED"

# locks.days_shared: ROW EXCLUSIVE, the mode of an INSERT, does not conflict with itself.
_SHARE_DAYS: Final = (
    f"LOCK TABLE poller_locks IN ROW EXCLUSIVE MODE; SELECT pg_advisory_xact_lock_shared({_OLD_DAYS}) {_IF_OLD_WORKER}"
)
# locks.days_exclusive: SHARE ROW EXCLUSIVE, the mode of CREATE TRIGGER, conflicts with itself and with ROW EXCLUSIVE,
# but with no read of the table and no lock on a row.
_LOCK_DAYS: Final = (
    f"{_LOCK_TIMEOUT}; LOCK TABLE poller_locks IN SHARE ROW EXCLUSIVE MODE;"
    f" SELECT pg_advisory_xact_lock({_OLD_DAYS}) {_IF_OLD_WORKER}; {_DEFAULT_TIMEOUT}"
)
