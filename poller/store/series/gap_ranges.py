"""Reads the gaps of one org as ranges: slots that follow each other and are unknown for the same reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from poller.core.series import GapSpan
from poller.store.series.gaps import GAPS_IN_ORDER

if TYPE_CHECKING:
    from datetime import datetime

    from poller.store.queries import Queries


async def gap_ranges(
    queries: Queries, org_id: int, since: datetime, until: datetime, *, interval_seconds: int, limit: int
) -> list[GapSpan]:
    """Returns the newest ranges of gaps in `[since, until)`, at most `limit`, the newest first."""
    rows = await queries.fetch(_RANGES, since, until, [org_id], interval_seconds, limit)
    return [GapSpan(*row) for row in rows]


# gap_ranges.newest
_RANGES: Final = f"""
SELECT min(slot), max(slot), count(*)::int, reason
FROM (
    SELECT slot, reason, count(*) FILTER (WHERE begins) OVER (ORDER BY slot) AS number
    FROM (
        SELECT slot, reason, NOT follows OR reason IS DISTINCT FROM lag(reason) OVER (ORDER BY slot) AS begins
        FROM ({GAPS_IN_ORDER}) AS gaps
    ) AS marked
) AS numbered
GROUP BY number, reason ORDER BY 1 DESC LIMIT $5
"""  # noqa: S608 - it stands in `gaps`
