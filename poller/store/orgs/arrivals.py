"""Reads which orgs were added and which were removed since a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from poller.store.queries import Queries


class NamedOrg(NamedTuple):
    """An org by number and name."""

    org_id: int
    org: str


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The first orgs by name that were added and removed, and how many there are of each."""

    added: Sequence[NamedOrg]
    added_count: int
    removed: Sequence[NamedOrg]
    removed_count: int


async def read_arrivals(database: Queries, since: datetime, limit: int) -> Arrivals:
    """Reads them; an org that was added and removed since then is in neither list."""
    added = await database.fetch(_ADDED, since, limit)
    removed = await database.fetch(_REMOVED, since, limit)
    return Arrivals(
        [NamedOrg(*row[:2]) for row in added],
        added[0]["total"] if added else 0,
        [NamedOrg(*row[:2]) for row in removed],
        removed[0]["total"] if removed else 0,
    )


# arrivals.added
_ADDED: Final = """
SELECT id, name, count(*) OVER () AS total FROM orgs
WHERE created_at >= $1 AND removed_at IS NULL ORDER BY name_key, id LIMIT $2
"""

# arrivals.removed
_REMOVED: Final = """
SELECT id, name, count(*) OVER () AS total FROM orgs
WHERE removed_at >= $1 AND created_at < $1 ORDER BY name_key, id LIMIT $2
"""
