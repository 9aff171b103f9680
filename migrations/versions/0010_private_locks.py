"""Locks that only the poller's role can take: a row for each, in a table that readers and guests may not see.

`poller migrate` makes the table before the first revision, since migrations lock a row of it too. Workers of the
previous release lock by advisory locks; `private_locks` tells them apart, so that new ones take both while an old one
lives.
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
