"""Creates locks that only the poller's role can take: the rows of a table that readers and guests may not see.

`poller migrate` creates the table before the first revision, because migrations lock a row too. Workers of the previous
release use advisory locks. `private_locks` marks the new workers, which take both kinds while an old worker lives.
"""

from __future__ import annotations

from typing import Final

from alembic import op

revision = "0010"
down_revision = "0009"

LOCKS: Final = "CREATE TABLE IF NOT EXISTS poller_locks (name text PRIMARY KEY)"
ROWS: Final = """
INSERT INTO poller_locks (name) VALUES ('imports'), ('migrations'), ('months'), ('slots') ON CONFLICT DO NOTHING
"""
WORKERS: Final = "ALTER TABLE workers ADD COLUMN private_locks boolean NOT NULL DEFAULT false"


def upgrade() -> None:
    for statement in (LOCKS, ROWS, WORKERS):
        op.execute(statement)
