"""What a migration locks while the workers of the previous version go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import asyncpg
import pytest

from poller.store import schema

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

RELEASED: Final = "0009"
"""The revision of 0.1.0. Nobody migrates an older database while its workers run."""

# What the revision under way has locked when each of its first and later statements ends, of what was there before it.
NOTE_LOCKS: Final = (
    "CREATE TABLE held (step bigint GENERATED ALWAYS AS IDENTITY, relations text[])",
    "CREATE TABLE there_before (oid oid, name text)",
    """
CREATE FUNCTION note_locks() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO held (relations)
    SELECT coalesce(array_agg(DISTINCT t.name), '{}')
    FROM pg_locks l JOIN there_before t ON t.oid = l.relation
    WHERE l.pid = pg_backend_pid()
      AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock');
END $$
""",
    "CREATE EVENT TRIGGER note_locks ON ddl_command_end EXECUTE FUNCTION note_locks()",
)
NEXT_REVISION: Final = """
WITH gone AS (DELETE FROM held), old AS (DELETE FROM there_before)
INSERT INTO there_before
SELECT oid, relname FROM pg_class WHERE relkind IN ('r', 'p', 'v') AND relnamespace = 'public'::regnamespace
    AND relname NOT IN ('held', 'there_before', 'alembic_version')
"""


@pytest.fixture
async def connection(blank_database_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(blank_database_url, statement_cache_size=0)
    try:
        yield connection
    finally:
        await connection.close()


async def test_a_revision_locks_all_it_changes_at_once_so_that_it_cannot_deadlock_with_a_worker(
    connection: asyncpg.Connection[asyncpg.Record], blank_database_url: str
) -> None:
    await schema.upgrade(blank_database_url, RELEASED)
    for statement in NOTE_LOCKS:
        await connection.execute(statement)
    several = set()
    revisions = [path.name[:4] for path in sorted((schema.migrations_folder() / "versions").glob("0*.py"))]
    for revision in revisions[revisions.index(RELEASED) + 1 :]:
        await connection.execute(NEXT_REVISION)
        await schema.upgrade(blank_database_url, revision)
        noted = await connection.fetch("SELECT * FROM held WHERE relations <> '{}' ORDER BY step")
        steps = [set(row["relations"]) for row in noted]
        if steps and len(steps[-1]) > 1:
            several.add(revision)
            # A relation that is locked later waits while the others are held.
            assert steps[0] == steps[-1], (revision, steps[-1] - steps[0])
    assert several == {"0013", "0024", "0026", "0027", "0031"}
