"""Sums gaps by org and reason, and by reason: how many slots, of how many orgs, the first and the last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poller.store.listing import MATCHES, containing, matching

if TYPE_CHECKING:
    from datetime import datetime

    from poller.core.org_filter import OrgFilter
    from poller.store.queries import Queries, Row


@dataclass(frozen=True, slots=True)
class GapFilter:
    """Which gaps: those of slots in `[since, until)` of these orgs. `search`: a part of the org's name."""

    which: OrgFilter
    since: datetime
    until: datetime
    search: str = ""
    org_id: int | None = None

    def arguments(self) -> list[object]:
        """The arguments `$1` to `$8` of the statements."""
        search = containing(self.search) if self.search else None
        return [*matching(self.which), self.since, self.until, search, self.org_id]


async def gap_sums_by_org(
    queries: Queries, gaps: GapFilter, *, reason: str | None, limit: int | None, offset: int = 0
) -> list[Row]:
    """Returns the sums by org and reason, the most slots first. `reason` None: of every reason."""
    return await queries.fetch(_BY_ORG, *gaps.arguments(), reason, limit, offset)


async def gap_sums_by_reason(queries: Queries, gaps: GapFilter) -> list[Row]:
    """Returns the sums by reason, the most slots first; before them the sum of all, without a reason."""
    return await queries.fetch(_BY_REASON, *gaps.arguments())


async def count_unknown_orgs(queries: Queries, gaps: GapFilter) -> tuple[int, int]:
    """Counts orgs that were never polled, and orgs whose first slot is later than `since`: both have no gaps there."""
    (row,) = await queries.fetch(_UNKNOWN, *gaps.arguments())
    return row["never"], row["later"]


_ORGS: Final = f"{MATCHES} AND ($7::text IS NULL OR o.name ILIKE $7) AND ($8::integer IS NULL OR o.id = $8)"
_FOUND: Final = f"""
WITH found AS (
    SELECT o.id AS org_id, o.name AS org, o.data_center, g.reason, count(*)::int AS slots,
           min(g.slot) AS first, max(g.slot) AS last
    FROM orgs o JOIN poll_gaps g ON g.org_id = o.id
    WHERE {_ORGS} AND g.slot >= $5 AND g.slot < $6
    GROUP BY o.id, o.name, o.data_center, g.reason
)
"""  # noqa: S608 - it stands above

# gap_sums.by_org
_BY_ORG: Final = f"""{_FOUND}
SELECT org_id, org, data_center, reason, slots, first, last FROM found
WHERE $9::text IS NULL OR reason = $9
ORDER BY slots DESC, org, org_id, reason LIMIT $10 OFFSET $11
"""  # noqa: S608 - it stands above

# gap_sums.by_reason
_BY_REASON: Final = f"""{_FOUND}
SELECT reason, count(DISTINCT org_id)::int AS orgs, count(*)::int AS parts, coalesce(sum(slots), 0)::int AS slots,
       min(first) AS first, max(last) AS last
FROM found GROUP BY GROUPING SETS ((), (reason)) ORDER BY GROUPING(reason) DESC, slots DESC, reason
"""  # noqa: S608 - it stands above

# gap_sums.unknown: the times of $6 are of no use here.
_UNKNOWN: Final = f"""
SELECT count(*) FILTER (WHERE p.polled_at IS NULL)::int AS never,
       count(*) FILTER (WHERE p.polled_at IS NOT NULL AND p.first_slot > $5)::int AS later
FROM orgs o LEFT JOIN latest_polls p ON p.org_id = o.id
WHERE {_ORGS} AND $6::timestamptz IS NOT NULL
"""  # noqa: S608 - it stands above
