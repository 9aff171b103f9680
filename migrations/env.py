"""How Alembic runs our revisions: over the connection `poller.store.schema` hands in, one process at a time.

Revisions are plain SQL, one statement per `op.execute` (asyncpg prepares every statement), each revision in a
transaction of its own. They only go forward: the way back is a backup. There is no offline mode and no `alembic.ini`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from alembic import context
from sqlalchemy.util import await_only

if TYPE_CHECKING:
    from sqlalchemy import Connection

LOCK_KEY: Final = int.from_bytes(b"poller")
"""Of the advisory lock that lets one process migrate a database at a time."""


def run(connection: Connection) -> None:
    """Bring the database to the revision asked for, alone: a second process waits here and finds nothing left to do."""
    # Tried again and again, not waited for: a statement that waits holds a snapshot, and a revision that builds an
    # index concurrently would wait for that snapshot in turn.
    while not connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({LOCK_KEY})").scalar():
        connection.rollback()
        await_only(asyncio.sleep(0.1))
    connection.commit()
    try:
        context.configure(connection=connection, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()
    finally:
        connection.rollback()
        connection.exec_driver_sql(f"SELECT pg_advisory_unlock({LOCK_KEY})")
        connection.commit()


run(context.config.attributes["connection"])
