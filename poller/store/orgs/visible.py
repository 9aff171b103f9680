"""Finds an org that a caller may see. An org of other tags is the same as an org that does not exist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.store.series.templates import per_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.store.queries import Queries, Row


async def find_visible(database: Queries, org_id: int, visible_tags: Sequence[str] | None) -> Row | None:
    """Returns state, limits and last counts of an org, removed or not, without anything secret.

    None if it does not exist or has none of `visible_tags` (None: every org is visible).
    """
    rows = await database.fetch(_FIND, org_id, None if visible_tags is None else list(visible_tags))
    return rows[0] if rows else None


async def visible_ids(database: Queries, visible_tags: Sequence[str], name: str | None = None) -> list[int]:
    """Returns the ids of the orgs with one of these tags: those that are not removed, or the ones of this name."""
    rows = await database.fetch(_IDS, list(visible_tags), name)
    return [row["id"] for row in rows]


# visible.ids: of a name, the org that is not removed, else the last removed.
_IDS: Final = """
SELECT id FROM orgs
WHERE tags && $1::text[] AND CASE WHEN $2::text IS NULL THEN removed_at IS NULL ELSE name = $2 END
ORDER BY removed_at DESC NULLS FIRST, id DESC LIMIT CASE WHEN $2 IS NOT NULL THEN 1 END
"""

# visible.find
_FIND: Final = f"""
SELECT s.*, o.zgid, o.api_version, o.created_at, o.parked_remedy, o.probe_at,
       l.hold_until, l.credits_remaining, l.credits_remaining_at, {per_count("c.<column>", ", ")}
FROM orgs o
JOIN org_states s ON s.org_id = o.id
LEFT JOIN org_limits l ON l.org_id = o.id
LEFT JOIN latest_snapshots c ON c.org_id = o.id
WHERE o.id = $1 AND ($2::text[] IS NULL OR o.tags && $2)
"""  # noqa: S608 - names of the model
