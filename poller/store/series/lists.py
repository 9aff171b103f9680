"""Reads lists of the latest counts and of gaps, a page of orgs by name at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from poller.core.model import COLUMNS
from poller.store.listing import BY_NAME, MATCHES, RowPage, matching, read_rows
from poller.store.series.templates import per_count

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from poller.core.org_filter import OrgFilter
    from poller.store.queries import Queries


async def latest_page(
    database: Queries, which: OrgFilter, *, limit: int, after: Sequence[Any] | None = None
) -> RowPage:
    """Returns the last known counts of orgs; an org without known counts has NULLs."""
    return await read_rows(database, _LATEST, matching(which), limit=limit, after=after)


async def gaps_page(
    database: Queries,
    which: OrgFilter,
    since: datetime,
    until: datetime,
    *,
    limit: int,
    after: Sequence[Any] | None = None,
) -> RowPage:
    """Returns the slots in `[since, until)` whose counts are not all known, by org and then by slot."""
    key = {**BY_NAME, "slot": "g.slot"}
    return await read_rows(database, _GAPS, [*matching(which), since, until], limit=limit, after=after, key=key)


# lists.latest
_LATEST: Final = f"""
SELECT o.id AS org_id, o.name AS org, l.slot, l.polled_at, {per_count("l.<column>", ", ")},
       array_remove(ARRAY[{
    ", ".join(f"CASE WHEN l.{column}_slot < l.slot THEN '{kind.value}' END" for kind, column in COLUMNS.items())
}], NULL) AS earlier
FROM orgs o LEFT JOIN latest_snapshots l ON l.org_id = o.id
WHERE {MATCHES}
"""  # noqa: S608 - names of the model

# lists.gaps: org by org, so that a page reads the gaps of its orgs only.
_GAPS: Final = f"""
SELECT o.id AS org_id, o.name AS org, g.slot, g.reason
FROM orgs o JOIN poll_gaps g ON g.org_id = o.id
WHERE {MATCHES} AND g.slot >= $5 AND g.slot < $6
"""  # noqa: S608 - it stands above
