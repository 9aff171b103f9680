"""The comments that an analyst's tool shows beside names."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from poller.store.database import Database

# Partitions are the months of a table that has comments.
RELATIONS = """
    SELECT c.oid, c.relname AS name, obj_description(c.oid, 'pg_class') AS comment,
           has_any_column_privilege('poller_reader', c.oid, 'SELECT') AS is_read
    FROM pg_class c
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'v', 'm', 'p') AND NOT c.relispartition
"""


async def test_every_relation_and_column_that_a_reader_can_read_has_a_comment(database: Database) -> None:
    relations = await database.fetch(RELATIONS)
    bare = await database.fetch(f"""
        SELECT r.name || '.' || a.attname
        FROM ({RELATIONS}) r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE has_column_privilege('poller_reader', r.oid, a.attnum, 'SELECT')
          AND coalesce(col_description(r.oid, a.attnum), '') = ''
        ORDER BY 1
    """)
    assert [row["name"] for row in relations if not row["comment"]] == []
    assert [row[0] for row in bare] == []
    assert sum(row["is_read"] for row in relations) >= 16


async def test_relations_that_readers_cannot_read_are_marked_as_internal(database: Database) -> None:
    relations = await database.fetch(RELATIONS)
    marked = {row["name"] for row in relations if row["comment"].startswith("Internal, not for queries: ")}
    assert marked == {row["name"] for row in relations if not row["is_read"]}
