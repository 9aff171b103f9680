"""Runs one revision with Alembic, over the connection that `poller.store.schema` passes in, one process at a time.

Revisions are plain SQL, one statement per `op.execute`, because asyncpg prepares every statement. Each revision runs in
its own transaction and locks the row `migrations` of `poller_locks`. The lock ends with the transaction, so a process
that dies leaves no lock, even behind a pooler. There is no downgrade: restore a backup instead. There is no offline
mode and no `alembic.ini`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from alembic import context

if TYPE_CHECKING:
    from sqlalchemy import Connection

# Waits for another process that is running a revision. A statement of a revision may have to wait for readers, and new
# readers then wait for the statement. If a wait exceeds its limit, `poller.store.schema` tries the revision again.
_OTHERS: Final = "SET LOCAL lock_timeout = '30s'"
_READERS: Final = "SET LOCAL lock_timeout = '2s'"
_LOCK: Final = "SELECT FROM poller_locks WHERE name = 'migrations' FOR UPDATE"


def run(connection: Connection) -> None:
    """Runs the requested revision, unless another process has run it already."""
    with connection.begin():
        connection.exec_driver_sql(_OTHERS)
        connection.exec_driver_sql(_LOCK)
        connection.exec_driver_sql(_READERS)
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()


run(context.config.attributes["connection"])
