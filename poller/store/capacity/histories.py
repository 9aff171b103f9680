"""Reads daily histories of orgs: the last known count of each day, a page of orgs at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import date

    from poller.store.database import Database


class DailyHistory(NamedTuple):
    """One user type of one org: the days with a known count as ordinals, in order, and the last count of each."""

    org_id: int
    user_type: str
    days: list[int]
    counts: list[int]


class OrgToForecast(NamedTuple):
    """An org and its seats: from the contract, else the latest reading, else the licences; None: not known."""

    org_id: int
    name: str
    seats: int | None


async def daily_histories(
    database: Database, org_ids: Sequence[int], user_types: Sequence[str], since: date
) -> list[DailyHistory]:
    """Returns the histories of these orgs and types since that day, without those that have no known count."""
    async with database.transaction() as connection:
        await connection.execute("SET LOCAL jit = off")
        rows = await connection.fetch(_HISTORIES, list(org_ids), list(user_types), since)
    return [DailyHistory(*row) for row in rows]


async def pages_of_orgs(
    database: Database, *, page: int, org_ids: Sequence[int] | None = None
) -> AsyncIterator[list[OrgToForecast]]:
    """Yields pages of orgs by id: those that are neither paused nor removed, or those of `org_ids`."""
    after = 0
    while True:
        rows = await database.fetch(_ORGS, after, page, None if org_ids is None else list(org_ids))
        if rows:
            yield [OrgToForecast(*row) for row in rows]
        if len(rows) < page:
            return
        after = rows[-1][0]


# histories.daily: ordinals as in Python, where day 1 is 0001-01-01.
_HISTORIES: Final = """
SELECT org_id, user_type, array_agg(day - DATE '0001-01-01' + 1 ORDER BY day), array_agg(last ORDER BY day)
FROM daily_user_counts
WHERE org_id = ANY($1::int[]) AND user_type = ANY($2::text[]) AND day >= $3 AND last IS NOT NULL
GROUP BY org_id, user_type
"""

# histories.orgs: seats from the contract, else from the latest reading, else the licences.
_ORGS: Final = """
SELECT o.id, o.name, coalesce(c.purchased, r.purchased, o.licences)
FROM orgs o
LEFT JOIN seat_contracts c ON c.org_id = o.id
LEFT JOIN LATERAL (
    SELECT purchased FROM seat_readings WHERE org_id = o.id ORDER BY taken_at DESC LIMIT 1
) AS r ON true
WHERE o.id > $1
  AND CASE WHEN $3::int[] IS NULL THEN o.removed_at IS NULL AND o.paused_at IS NULL ELSE o.id = ANY($3) END
ORDER BY o.id LIMIT $2
"""
