"""Orgs with daily histories, written as by the rollup."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from poller.core.model import USER_TYPES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from poller.store.database import Database

TODAY = datetime.now(UTC).date()
YESTERDAY = TODAY - timedelta(days=1)
_NUMBER = {user_type.value: place for place, user_type in enumerate(USER_TYPES, start=1)}


async def org_with(
    database: Database,
    name: str,
    counts: Mapping[str, Sequence[int | None]],
    *,
    licences: int | None = None,
    last: date = YESTERDAY,
) -> int:
    """Adds an org whose counts by user type end on `last`; None is an unknown day. Returns its id."""
    org_id: int = await database.fetchval(
        "INSERT INTO orgs (name, data_center, licences) VALUES ($1, 'us', $2) RETURNING id", name, licences
    )
    await set_counts(database, org_id, counts, last=last)
    return org_id


async def set_counts(
    database: Database, org_id: int, counts: Mapping[str, Sequence[int | None]], *, last: date = YESTERDAY
) -> None:
    """Replaces the daily counts of an org."""
    await database.execute("DELETE FROM daily_counts WHERE org_id = $1", org_id)
    for user_type, values in counts.items():
        days = [last - timedelta(days=len(values) - 1 - place) for place in range(len(values))]
        await database.execute(
            """
            INSERT INTO daily_counts (type, day, org_id, first, last, min, max, sum, samples, missing)
            SELECT $1, d.day, $2, d.count, d.count, d.count, d.count, coalesce(d.count, 0),
                   (d.count IS NOT NULL)::integer, (d.count IS NULL)::integer
            FROM unnest($3::date[], $4::integer[]) AS d (day, count)
            """,
            _NUMBER[user_type],
            org_id,
            days,
            list(values),
        )
