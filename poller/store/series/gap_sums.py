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


@dataclass(frozen=True, slots=True)
class GapTotals:
    """Sums in one answer: of all gaps, by reason (the most slots first), and a part of those by org and reason."""

    whole: Row
    by_reason: list[Row]
    by_org: list[Row]


async def sum_gaps(
    queries: Queries, gaps: GapFilter, *, reason: str | None, limit: int | None, offset: int = 0
) -> GapTotals:
    """Reads the sums; those by org are the most slots first, from `offset` on. `reason`: those by org of it alone."""
    whole, *rows = await queries.fetch(_SUMS, *gaps.arguments(), reason, limit, offset)
    by_reason = [row for row in rows if row["part"] == _OF_REASON]
    return GapTotals(whole, by_reason, rows[len(by_reason) :])


async def count_unknown_orgs(queries: Queries, gaps: GapFilter) -> tuple[int, int]:
    """Counts orgs that were never polled, and orgs whose first slot is later than `since`: both have no gaps there."""
    (row,) = await queries.fetch(_UNKNOWN, *gaps.arguments())
    return row["never"], row["later"]


_ORGS: Final = f"{MATCHES} AND ($7::text IS NULL OR o.name ILIKE $7) AND ($8::integer IS NULL OR o.id = $8)"
_OF_REASON: Final = 1
# gap_sums.sums: one statement, because finding the gaps of many orgs takes longer than everything else.
_SUMS: Final = f"""
WITH found AS MATERIALIZED (
    SELECT o.id AS org_id, o.name AS org, o.data_center, g.reason, count(*)::int AS slots,
           min(g.slot) AS first, max(g.slot) AS last
    FROM orgs o JOIN poll_gaps g ON g.org_id = o.id
    WHERE {_ORGS} AND g.slot >= $5 AND g.slot < $6
    GROUP BY o.id, o.name, o.data_center, g.reason
)
SELECT CASE WHEN GROUPING(reason) = 1 THEN 0 ELSE {_OF_REASON} END AS part, NULL::int AS org_id, NULL::text AS org,
       NULL::text AS data_center, reason, count(DISTINCT org_id)::int AS orgs, count(*)::int AS parts,
       coalesce(sum(slots), 0)::int AS slots, min(first) AS first, max(last) AS last
FROM found GROUP BY GROUPING SETS ((), (reason))
UNION ALL
SELECT 2, page.* FROM (
    SELECT org_id, org, data_center, reason, 1 AS orgs, 1 AS parts, slots, first, last FROM found
    WHERE $9::text IS NULL OR reason = $9 ORDER BY slots DESC, org, org_id, reason LIMIT $10 OFFSET $11
) AS page
ORDER BY part, slots DESC, org, org_id, reason
"""  # noqa: S608 - it stands above

# gap_sums.unknown: the times of $6 are of no use here.
_UNKNOWN: Final = f"""
SELECT count(*) FILTER (WHERE p.polled_at IS NULL)::int AS never,
       count(*) FILTER (WHERE p.polled_at IS NOT NULL AND p.first_slot > $5)::int AS later
FROM orgs o LEFT JOIN latest_polls p ON p.org_id = o.id
WHERE {_ORGS} AND $6::timestamptz IS NOT NULL
"""  # noqa: S608 - it stands above
