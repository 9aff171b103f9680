"""Finds orgs by the names that people type; suggests a similar name for an unknown one."""

from __future__ import annotations

import asyncio
import difflib
from typing import TYPE_CHECKING, Final

from poller.core.errors import UsageError
from poller.core.names import normal_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from poller.store.queries import Queries

_NAMED: Final = 5
_COMPARED: Final = 5_000
"""Names compared for a suggestion: all of a smaller fleet, else those with the same first letter and similar length."""


async def ids_by_name(
    database: Queries, names: Sequence[str], *, removed: bool = False, visible_tags: Sequence[str] | None = None
) -> dict[str, int]:
    """Returns the ids of the orgs with these names, in this order; raises `UsageError` if a name is unknown.

    With `removed`, a name that only removed orgs have means the last removed of them. An org with none of
    `visible_tags` (None: every org is visible) is unknown, and is never suggested.
    """
    visible = None if visible_tags is None else list(visible_tags)
    # An org that an earlier release added may still have a name that is not normalized.
    spellings = {name: (name, normal_name(name)) for name in dict.fromkeys(names)}
    rows = await database.fetch(_IDS, [one for pair in spellings.values() for one in pair], removed, visible)
    ids = {row["name"]: row["id"] for row in rows}
    found = {name: ids.get(name, ids.get(normal)) for name, (_, normal) in spellings.items()}
    await _refuse_unknown(database, [name for name, org_id in found.items() if org_id is None], found, visible)
    return {name: org_id for name, org_id in found.items() if org_id is not None}


async def _refuse_unknown(
    database: Queries, unknown: Sequence[str], found: Mapping[str, object], visible: list[str] | None
) -> None:
    if not unknown:
        return
    if len(unknown) > 1:
        named = ", ".join(map(repr, unknown[:_NAMED])) + (", …" if len(unknown) > _NAMED else "")
        raise UsageError(
            f"there are no orgs {named}: {len(unknown):,} of {len(found):,} names", "see `poller orgs list`"
        )
    rows = await database.fetch(_SIMILAR, unknown[0], _COMPARED, visible)
    # In a thread: thousands of long names take a second, and a service must not block its polls.
    close = await asyncio.to_thread(difflib.get_close_matches, unknown[0], [row["name"] for row in rows], n=1)
    remedy = f"did you mean {close[0]!r}?" if close else "see `poller orgs list`"
    raise UsageError(f"there is no org {unknown[0]!r}", remedy)


# names.ids: an org that is not removed comes first, then the last removed.
_IDS: Final = """
SELECT DISTINCT ON (name) name, id FROM orgs
WHERE name = ANY($1::text[]) AND ($2 OR removed_at IS NULL) AND ($3::text[] IS NULL OR tags && $3)
ORDER BY name, removed_at DESC NULLS FIRST, id DESC
"""

# names.similar: the names to compare with an unknown name.
_SIMILAR: Final = """
SELECT name FROM orgs
WHERE removed_at IS NULL AND ($3::text[] IS NULL OR tags && $3) AND (
    (SELECT count(*) FROM (SELECT FROM orgs LIMIT $2 + 1) AS first_ones) <= $2
    OR (lower(left(name, 1)) = lower(left($1::text, 1)) AND abs(length(name) - length($1::text)) <= 3))
LIMIT $2
"""
