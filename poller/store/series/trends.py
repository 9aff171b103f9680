"""Reads trends: how a count changed over time, bucket by bucket, with visible gaps.

Rows are streamed: a trend of many orgs over years takes no more memory than one of a day. Gaps are never interpolated;
a bucket without a known count is a point without numbers.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import count, product
from typing import TYPE_CHECKING, Final

from poller.core.durations import DAY_SECONDS
from poller.core.errors import UsageError
from poller.core.model import USER_TYPES, UserType
from poller.core.series import TrendPoint
from poller.store.series.templates import per_count

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from datetime import tzinfo

    from poller.store.database import Database

MOST_BUCKETS: Final = 100_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_A_MONDAY: Final = date(1970, 1, 5).toordinal()
_PREFETCH: Final = 500
"""Rows fetched at a time."""


async def org_trend(
    database: Database,
    edges: Sequence[datetime],
    *,
    org_ids: Sequence[int] | None = None,
    user_types: Sequence[UserType] = USER_TYPES,
) -> AsyncIterator[TrendPoint]:
    """Yields a point for every org (by name), user type (in the order given) and bucket between two `edges`.

    `org_ids` None: every org that is not removed. If all edges are midnights of UTC, it reads daily counts, which are
    kept longer than snapshots; the numbers are the same. Keeps a connection until the last row; to stop earlier, use
    `contextlib.aclosing`.
    """
    if len(edges) < 2 or not user_types:
        return
    gaps: Iterator[TrendPoint] = iter(())
    org_id: int | None = None
    query = _FROM_DAYS if are_days(edges) else _FROM_SNAPSHOTS
    names = [user_type.value for user_type in user_types]
    async with database.connection() as connection, connection.transaction(readonly=True):
        # With many orgs the planner would compile the query: three seconds before the first row on PostgreSQL 15.
        await connection.execute("SET LOCAL jit = off")
        async for row in connection.cursor(query, list(edges), org_ids, names, prefetch=_PREFETCH):
            if row["org_id"] != org_id:
                for gap in gaps:
                    yield gap
                org_id = row["org_id"]
                gaps = _all_gaps(row["org_id"], row["org"], user_types, edges)
            for gap in gaps:
                if (gap.user_type, gap.at) == (row["user_type"], row["at"]):
                    yield TrendPoint(gap.org_id, gap.org, gap.user_type, gap.at, *row[4:])
                    break
                yield gap
        for gap in gaps:
            yield gap


def are_days(edges: Sequence[datetime]) -> bool:
    """Returns whether all `edges` are midnights of UTC."""
    return all((edge - _EPOCH) % timedelta(days=1) == timedelta() for edge in edges)


async def count_orgs_with_series(database: Database) -> int:
    """Returns the number of orgs that `org_trend` reads by default: those that are not removed."""
    # trends.count_orgs
    count: int = await database.fetchval("SELECT count(*) FROM orgs WHERE removed_at IS NULL")
    return count


def bucket_edges(
    since: datetime, until: datetime, every_seconds: int, zone: tzinfo = UTC, *, most: int = MOST_BUCKETS
) -> list[datetime]:
    """Returns the starts of the buckets of `every_seconds` that cover `[since, until)`, and the end of the last (UTC).

    Buckets of whole days follow the calendar in `zone`: a day of 23 or 25 hours is one bucket, and a week begins on a
    Monday. Shorter buckets start at multiples of their length in absolute time, like slots. Raises a `UsageError` if
    there are more than `most` buckets, or if one would end after the year 9999 or begin before the year 1.
    """
    if (until - since).total_seconds() / every_seconds > most:
        raise UsageError(f"that is more than {most:,} buckets", "ask for a shorter stretch or longer buckets")
    try:
        return _edges(since, until, every_seconds, zone)
    except (OverflowError, ValueError):
        raise UsageError(
            "a bucket would begin or end beyond the years 1 to 9999", "ask for a shorter stretch or shorter buckets"
        ) from None


def _edges(since: datetime, until: datetime, every_seconds: int, zone: tzinfo) -> list[datetime]:
    days, rest = divmod(every_seconds, DAY_SECONDS)
    edges: list[datetime] = []
    for edge in _seconds_from(since, every_seconds) if rest else _days_from(since, days, zone):
        # A zone that moves across the date line skips a day; its bucket would be empty.
        if not edges or edge > edges[-1]:
            edges.append(edge)
        if edge >= until:
            break
    return edges


def _seconds_from(since: datetime, every_seconds: int) -> Iterator[datetime]:
    first = int((since - _EPOCH).total_seconds() // every_seconds)
    return (_EPOCH + timedelta(seconds=number * every_seconds) for number in count(first))


def _days_from(since: datetime, days: int, zone: tzinfo) -> Iterator[datetime]:
    local = since.astimezone(zone).date()
    first = (local.toordinal() - _A_MONDAY) // days * days + _A_MONDAY
    for ordinal in count(first, days):
        day = date.fromordinal(ordinal)
        yield datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _all_gaps(org_id: int, org: str, user_types: Sequence[UserType], edges: Sequence[datetime]) -> Iterator[TrendPoint]:
    return (TrendPoint(org_id, org, user_type, at) for user_type, at in product(user_types, edges[:-1]))


# trends.org_by_org: one row per org, type and bucket with at least one snapshot, and one row of NULLs for an org
# without any. LATERAL, so that the server works on one org at a time.
_ORG_BY_ORG: Final = """
SELECT o.id AS org_id, o.name AS org, ($3::text[])[b.place] AS user_type, ($1::timestamptz[])[b.bucket] AS at,
       b.first, b.last, b.min, b.max, b.avg, coalesce(b.samples, 0), coalesce(b.missing, 0)
FROM orgs o
LEFT JOIN LATERAL ({}) AS b ON true
WHERE CASE WHEN $2::integer[] IS NULL THEN o.removed_at IS NULL ELSE o.id = ANY ($2) END
ORDER BY o.name, o.id, b.place, b.bucket
"""

# trends.buckets_of_snapshots: buckets of any length of the org `o`.
BUCKETS_OF_SNAPSHOTS: Final = f"""
    SELECT array_position($3::text[], t.user_type) AS place, width_bucket(s.slot, $1::timestamptz[]) AS bucket,
           (array_agg(t.count ORDER BY s.slot) FILTER (WHERE t.count IS NOT NULL))[1] AS first,
           (array_agg(t.count ORDER BY s.slot DESC) FILTER (WHERE t.count IS NOT NULL))[1] AS last,
           min(t.count), max(t.count), avg(t.count)::float8 AS avg,
           count(t.count) AS samples, count(*) - count(t.count) AS missing
    FROM org_snapshots s
    CROSS JOIN LATERAL (VALUES {per_count("('<user_type>', s.<column>)", ", ")})
         AS t (user_type, count)
    WHERE s.org_id = o.id AND s.slot >= ($1::timestamptz[])[1]
      AND s.slot < ($1::timestamptz[])[cardinality($1::timestamptz[])] AND t.user_type = ANY ($3::text[])
    GROUP BY 1, 2 ORDER BY 1, 2
"""  # noqa: S608 - names from the model

# trends.buckets_of_days: buckets of whole days (UTC) of the org `o`.
BUCKETS_OF_DAYS: Final = """
    SELECT array_position($3::text[], d.user_type) AS place,
           width_bucket(d.day::timestamp AT TIME ZONE 'UTC', $1::timestamptz[]) AS bucket,
           (array_agg(d.first ORDER BY d.day) FILTER (WHERE d.samples > 0))[1] AS first,
           (array_agg(d.last ORDER BY d.day DESC) FILTER (WHERE d.samples > 0))[1] AS last,
           min(d.min), max(d.max), sum(d.avg * d.samples) / nullif(sum(d.samples), 0) AS avg,
           sum(d.samples) AS samples, sum(d.missing) AS missing
    FROM daily_user_counts d
    WHERE d.org_id = o.id AND d.day >= (($1::timestamptz[])[1] AT TIME ZONE 'UTC')::date
      AND d.day < (($1::timestamptz[])[cardinality($1::timestamptz[])] AT TIME ZONE 'UTC')::date
      AND d.user_type = ANY ($3::text[])
    GROUP BY 1, 2 ORDER BY 1, 2
"""

_FROM_SNAPSHOTS: Final = _ORG_BY_ORG.format(BUCKETS_OF_SNAPSHOTS)
_FROM_DAYS: Final = _ORG_BY_ORG.format(BUCKETS_OF_DAYS)
