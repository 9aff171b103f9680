"""Reads the series of one org, or of the fleet, as columns: an array of numbers for each user type, a value per step.

Decoding arrays costs a hundredth of decoding rows, so a page with a year of counts takes milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from poller.core.series import TypeSeries
from poller.store.series.trends import BUCKETS_OF_DAYS, BUCKETS_OF_SNAPSHOTS, are_days

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from poller.core.model import UserType
    from poller.store.queries import Queries, Row


async def org_columns(
    queries: Queries, org_id: int, edges: Sequence[datetime], user_types: Sequence[UserType]
) -> list[TypeSeries]:
    """Returns each user type, in the order given, with a value for every bucket between two `edges`.

    If all edges are midnights of UTC, it reads daily counts, which are kept longer than snapshots; the numbers are the
    same.
    """
    query = _OF_DAYS if are_days(edges) else _OF_SNAPSHOTS
    return await _columns(queries, query, edges, org_id, user_types)


async def fleet_columns(
    queries: Queries, edges: Sequence[datetime], user_types: Sequence[UserType], *, tags: Sequence[str] | None
) -> list[TypeSeries]:
    """Returns the sums of the fleet; all `edges` must be midnights of UTC. `tags`: only orgs with one of these tags.

    The number of a day is the sum of the last known count of each org on that day. `samples` and `missing` are the orgs
    in the sums, and those without a known count.
    """
    if tags is None:
        return await _columns(queries, _OF_FLEET, edges, None, user_types)
    return await _columns(queries, _OF_TAGS, edges, list(tags), user_types)


async def usual_spacing_seconds(queries: Queries, org_id: int, since: datetime, until: datetime) -> int | None:
    """Returns the distance of neighbouring snapshots that 95 % do not exceed; None with fewer than two snapshots.

    That is longer than the interval of the org now if the interval was longer in most of that time.
    """
    spacing: timedelta | None = (await queries.fetch(_SPACING, org_id, since, until))[0][0]
    return None if spacing is None else round(spacing.total_seconds())


async def _columns(
    queries: Queries, query: str, edges: Sequence[datetime], which: Any, user_types: Sequence[UserType]
) -> list[TypeSeries]:
    names = [user_type.value for user_type in user_types]
    rows = await queries.fetch(query, list(edges), which, names)
    found = {row["place"]: row for row in rows}
    return [_series(user_type, found.get(place), len(edges) - 1) for place, user_type in enumerate(user_types, start=1)]


def _series(user_type: UserType, row: Row | None, steps: int) -> TypeSeries:
    if row is None:
        none = [None] * steps
        return TypeSeries(user_type, none, none, none, none, none, [0] * steps, [0] * steps)
    buckets = row["buckets"]
    spread = [_spread(buckets, row[name], steps, None) for name in ("first", "last", "min", "max", "avg")]
    counts = [_spread(buckets, row[name], steps, 0) for name in ("samples", "missing")]
    return TypeSeries(user_type, *spread, *counts)


def _spread(buckets: Sequence[int], values: Sequence[Any], steps: int, absent: Any) -> list[Any]:
    """Returns one value for each step; PostgreSQL leaves out the buckets without snapshots."""
    if len(buckets) == steps:
        return list(values)
    column = [absent] * steps
    for bucket, value in zip(buckets, values, strict=True):
        column[bucket - 1] = value
    return column


# columns.arrays: one row per user type, its buckets in order.
_ARRAYS: Final = """
SELECT b.place, array_agg(b.bucket ORDER BY b.bucket) AS buckets, array_agg(b.first ORDER BY b.bucket) AS first,
       array_agg(b.last ORDER BY b.bucket) AS last, array_agg(b.min ORDER BY b.bucket) AS min,
       array_agg(b.max ORDER BY b.bucket) AS max, array_agg(b.avg::float8 ORDER BY b.bucket) AS avg,
       array_agg(b.samples::int ORDER BY b.bucket) AS samples, array_agg(b.missing::int ORDER BY b.bucket) AS missing
FROM {} AS b
GROUP BY b.place
"""

_OF_ORG: Final = "(SELECT b.* FROM orgs o CROSS JOIN LATERAL ({}) AS b WHERE o.id = $2)"

# columns.of_snapshots: $1 edges, $2 org, $3 user types
_OF_SNAPSHOTS: Final = _ARRAYS.format(_OF_ORG.format(BUCKETS_OF_SNAPSHOTS))

# columns.of_days
_OF_DAYS: Final = _ARRAYS.format(_OF_ORG.format(BUCKETS_OF_DAYS))

_BUCKETS_OF_SUMS: Final = """(
    SELECT array_position($3::text[], d.user_type) AS place,
           width_bucket(d.day::timestamp AT TIME ZONE 'UTC', $1::timestamptz[]) AS bucket,
           (array_agg(d.total ORDER BY d.day) FILTER (WHERE d.total IS NOT NULL))[1] AS first,
           (array_agg(d.total ORDER BY d.day DESC) FILTER (WHERE d.total IS NOT NULL))[1] AS last,
           min(d.total), max(d.total), avg(d.total) AS avg, sum(d.orgs) AS samples, sum(d.unknown) AS missing
    FROM {} AS d
    WHERE d.day >= (($1::timestamptz[])[1] AT TIME ZONE 'UTC')::date
      AND d.day < (($1::timestamptz[])[cardinality($1::timestamptz[])] AT TIME ZONE 'UTC')::date
      AND d.user_type = ANY ($3::text[])
    GROUP BY 1, 2
)"""

# columns.of_fleet: $2 is not used, and always NULL.
_OF_FLEET: Final = _ARRAYS.format(
    _BUCKETS_OF_SUMS.format("(SELECT * FROM fleet_daily_user_counts WHERE $2::text[] IS NULL)")
)

# columns.of_tags: the fleet of those who see only some tags, $2. Removed orgs count while they had counts.
_OF_TAGS: Final = _ARRAYS.format(
    _BUCKETS_OF_SUMS.format(
        """(
        SELECT c.day, c.user_type, sum(c.last)::bigint AS total, count(c.last) AS orgs,
               count(*) - count(c.last) AS unknown
        FROM daily_user_counts c JOIN orgs o ON o.id = c.org_id
        WHERE o.tags && $2::text[]
          AND c.day >= (($1::timestamptz[])[1] AT TIME ZONE 'UTC')::date
          AND c.day < (($1::timestamptz[])[cardinality($1::timestamptz[])] AT TIME ZONE 'UTC')::date
          AND c.user_type = ANY ($3::text[])
        GROUP BY c.day, c.user_type
    )"""
    )
)

# columns.spacing
_SPACING: Final = """
SELECT percentile_disc(0.95) WITHIN GROUP (ORDER BY spacing) FROM (
    SELECT slot - lag(slot) OVER (ORDER BY slot) AS spacing FROM org_snapshots
    WHERE org_id = $1 AND slot >= $2 AND slot < $3
) AS neighbours
WHERE spacing IS NOT NULL
"""
