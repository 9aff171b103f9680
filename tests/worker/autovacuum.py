"""Simulates autovacuum with PostgreSQL's own statistics and rule, because a test cannot wait for it.

The real autovacuum looks once a minute; here it looks when called. It does not vacuum a table below autovacuum's own
threshold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from poller.store.database import Database


async def look(database: Database) -> None:
    """Vacuums tables above the threshold. Uses a pool of one connection, so that its statistics are complete."""
    await database.execute("SELECT pg_stat_force_next_flush()")
    for row in await database.fetch(_DUE):
        await database.execute(f"VACUUM (ANALYZE) {row['name']}")


# As in "The Autovacuum Daemon" of PostgreSQL's documentation: dead rows, or new ones, above a threshold and a share.
_DUE: Final = """
WITH tables AS (
    SELECT c.oid::regclass::text AS name, greatest(c.reltuples, 0) AS rows, s.n_dead_tup, s.n_ins_since_vacuum,
           coalesce((SELECT jsonb_object_agg(option_name, option_value) FROM pg_options_to_table(c.reloptions)), '{}')
           AS options
    FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid
), rules AS (
    SELECT kind, tables.*,
           coalesce(options ->> (kind || '_threshold'), current_setting(kind || '_threshold'))::float8 AS threshold,
           coalesce(options ->> (kind || '_scale_factor'), current_setting(kind || '_scale_factor'))::float8 AS factor
    FROM tables, unnest(ARRAY['autovacuum_vacuum', 'autovacuum_vacuum_insert']) AS kind
)
SELECT DISTINCT name FROM rules
WHERE CASE kind WHEN 'autovacuum_vacuum' THEN n_dead_tup ELSE n_ins_since_vacuum END > threshold + factor * rows
"""
