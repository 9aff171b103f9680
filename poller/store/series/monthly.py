"""Reads what a monthly report says about counts, for many orgs at once: a few statements for all of the orgs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from poller.store.queries import Queries


class DailyColumns(NamedTuple):
    """The days of one user type of one org, in order, as ordinals; counts None: unknown on that day.

    `samples` and `missing`: polls of the day whose count is known, and whose count is not.
    """

    org_id: int
    days: list[int]
    last: list[int | None]
    low: list[int | None]
    high: list[int | None]
    samples: list[int]
    missing: list[int]


class TypeMonth(NamedTuple):
    """One user type of one org in a stretch of days: the first and last known count with their days, and the range.

    All are None where no count is known. `samples`: polls whose count is known.
    """

    org_id: int
    user_type: str
    first_day: date | None
    first: int | None
    last_day: date | None
    last: int | None
    low: int | None
    high: int | None
    samples: int


class UnknownPolls(NamedTuple):
    """How many polls of one org and day have unknown counts for one reason, as the view `poll_gaps` has it."""

    org_id: int
    day: date
    reason: str
    polls: int


async def daily_columns(
    queries: Queries, org_ids: Sequence[int], user_type: str, begin: date, end: date
) -> list[DailyColumns]:
    """Returns the days in `[begin, end)` of the orgs that have polls on one of them."""
    return [DailyColumns(*row) for row in await queries.fetch(_COLUMNS, list(org_ids), user_type, begin, end)]


async def type_months(queries: Queries, org_ids: Sequence[int], begin: date, end: date) -> list[TypeMonth]:
    """Returns each user type of each org on the days in `[begin, end)`, where it has polls."""
    return [TypeMonth(*row) for row in await queries.fetch(_TYPES, list(org_ids), begin, end)]


async def unknown_polls(queries: Queries, org_ids: Sequence[int], begin: datetime, end: datetime) -> list[UnknownPolls]:
    """Returns the polls of slots in `[begin, end)` with unknown counts, by org, day (UTC) and reason."""
    return [UnknownPolls(*row) for row in await queries.fetch(_UNKNOWN, list(org_ids), begin, end)]


# monthly_series.columns: ordinals as in Python, where day 1 is 0001-01-01.
_COLUMNS: Final = """
SELECT org_id, array_agg(day - DATE '0001-01-01' + 1 ORDER BY day), array_agg(last ORDER BY day),
       array_agg(min ORDER BY day), array_agg(max ORDER BY day),
       array_agg(samples ORDER BY day), array_agg(missing ORDER BY day)
FROM daily_user_counts
WHERE org_id = ANY($1::int[]) AND user_type = $2 AND day >= $3 AND day < $4
GROUP BY org_id
"""

# monthly_series.types
_TYPES: Final = """
SELECT org_id, user_type,
       min(day) FILTER (WHERE samples > 0), (array_agg(first ORDER BY day) FILTER (WHERE samples > 0))[1],
       max(day) FILTER (WHERE samples > 0), (array_agg(last ORDER BY day DESC) FILTER (WHERE samples > 0))[1],
       min(min), max(max), sum(samples)::int
FROM daily_user_counts
WHERE org_id = ANY($1::int[]) AND day >= $2 AND day < $3
GROUP BY org_id, user_type
"""

# monthly_series.unknown
_UNKNOWN: Final = """
SELECT org_id, (slot AT TIME ZONE 'UTC')::date, reason, count(*)::int FROM poll_gaps
WHERE org_id = ANY($1::int[]) AND slot >= $2 AND slot < $3
GROUP BY 1, 2, 3
"""
