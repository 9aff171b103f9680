"""How Alembic runs one of our revisions: over the connection `poller.store.schema` hands in, one process at a time.

Revisions are plain SQL, one statement per `op.execute` (asyncpg prepares every statement). Each runs in a transaction
of its own that holds the row `migrations` of `poller_locks`, so that nothing is left locked behind a pooler, whatever
ends the process. They only go forward: the way back is a backup. There is no offline mode and no `alembic.ini`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from alembic import context

if TYPE_CHECKING:
    from sqlalchemy import Connection

# Another process may be in the middle of a revision. A statement may have to wait for readers, and whoever reads
# next waits behind it. Where either takes longer, `poller.store.schema` tries again.
_OTHERS: Final = "SET LOCAL lock_timeout = '30s'"
_READERS: Final = "SET LOCAL lock_timeout = '2s'"
_LOCK: Final = "SELECT FROM poller_locks WHERE name = 'migrations' FOR UPDATE"


def run(connection: Connection) -> None:
    """Run the revision asked for; nothing, where another process has run it meanwhile."""
    with connection.begin():
        connection.exec_driver_sql(_OTHERS)
        connection.exec_driver_sql(_LOCK)
        connection.exec_driver_sql(_READERS)
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()


run(context.config.attributes["connection"])
