"""Runs one revision with Alembic, over the connection that `poller.store.schema` passes in, one process at a time.

Revisions are plain SQL, one statement per `op.execute`, because asyncpg prepares every statement. Each revision runs in
its own transaction and locks the row `migrations` of `poller_locks`. The lock ends with the transaction, so a process
that dies leaves no lock, even behind a pooler. There is no downgrade: restore a backup instead. There is no offline
mode and no `alembic.ini`.

A revision that locks several tables, or a view and a table, names them in `LOCKED`: `{mode: (relation, …)}`. All of
them are locked before its first statement, or none: a worker locks some of them in its own order, so a wait for one
lock while holding another could deadlock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from alembic import context

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

# Waits for another process that is running a revision. A statement of a revision may have to wait for readers, and new
# readers then wait for the statement. If a wait exceeds its limit, `poller.store.schema` tries the revision again.
_OTHERS: Final = "SET LOCAL lock_timeout = '30s'"
_READERS: Final = "SET LOCAL lock_timeout = '2s'"
# About as long as the limit above; `poller.store.schema` then tries the revision again, too.
_ALL_OR_NONE: Final = """
DO $$ BEGIN
    FOR attempt IN 1..400 LOOP
        BEGIN
            {locks}
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            IF attempt = 400 THEN RAISE; END IF;
            PERFORM pg_sleep(0.005);
        END;
    END LOOP;
END $$
"""
_LOCK: Final = "SELECT FROM poller_locks WHERE name = 'migrations' FOR UPDATE"


def run(connection: Connection) -> None:
    """Runs the requested revision, unless another process has run it already."""
    with connection.begin():
        connection.exec_driver_sql(_OTHERS)
        connection.exec_driver_sql(_LOCK)
        connection.exec_driver_sql(_READERS)
        context.configure(connection=connection)
        with context.begin_transaction():
            lock = _lock_of(context.get_revision_argument(), context.get_context().get_current_revision())
            if lock is not None:
                connection.exec_driver_sql(lock)
            context.run_migrations()


def _lock_of(revision: str, current: str | None) -> str | None:
    """The statement that locks what the revision names in `LOCKED`; None if it names nothing or has been run."""
    locked: Mapping[str, Sequence[str]] = getattr(context.script.get_revision(revision).module, "LOCKED", {})
    if not locked or (current is not None and current >= revision):
        return None
    locks = (f"LOCK TABLE {', '.join(names)} IN {mode} MODE NOWAIT;" for mode, names in locked.items())
    return _ALL_OR_NONE.format(locks=" ".join(locks))


run(context.config.attributes["connection"])
