"""Finds orgs by tag, state and data centre, in one query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.store.queries import Queries


async def find_selected(
    database: Queries,
    *,
    org_ids: Sequence[int] | None,
    tags: Sequence[str],
    states: Sequence[str],
    data_centers: Sequence[str],
    removed: bool,
) -> dict[int, str]:
    """Returns ids and names of the orgs that match every condition, by name; None and empty lists match every org.

    An org matches `tags` if it has every tag. Removed orgs are left out unless `removed`.
    """
    # Without a state only `orgs` is read, and the index on tags is used.
    query = _BY_STATE if states else _BY_ORG
    arguments = [org_ids, list(tags) or None, list(data_centers) or None, removed]
    rows = await database.fetch(query, *arguments, *([list(states)] if states else []))
    return {row["org_id"]: row["org"] for row in rows}


async def unused_tags(queries: Queries, tags: Sequence[str]) -> list[str]:
    """Returns those of `tags` that no org has; removed orgs do not count."""
    return [row[0] for row in await queries.fetch(_UNUSED, list(tags))]


# selection.unused_tags
_UNUSED: Final = """
SELECT tag FROM unnest($1::text[]) AS tag
WHERE NOT EXISTS (SELECT FROM orgs WHERE tags @> ARRAY[tag] AND removed_at IS NULL)
"""

# selection.by_org
_BY_ORG: Final = """
SELECT id AS org_id, name AS org FROM orgs
WHERE ($1::int[] IS NULL OR id = ANY($1)) AND ($2::text[] IS NULL OR tags @> $2)
  AND ($3::text[] IS NULL OR data_center = ANY($3)) AND ($4 OR removed_at IS NULL)
ORDER BY name, id
"""

# selection.by_state
_BY_STATE: Final = """
SELECT org_id, org FROM org_states
WHERE ($1::int[] IS NULL OR org_id = ANY($1)) AND ($2::text[] IS NULL OR tags @> $2)
  AND ($3::text[] IS NULL OR data_center = ANY($3)) AND ($4 OR state <> 'removed') AND state = ANY($5::text[])
ORDER BY org, org_id
"""
