"""Questions about stretches of time: how a count moved, bucket by bucket, with the gaps left visible.

Everything is streamed: an answer over many orgs and years takes no more memory than one over a day. Nothing is
interpolated or carried over a gap; a bucket that nothing is known of is a point without numbers.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import count, product
from typing import TYPE_CHECKING, Final

from poller.core.errors import UsageError
from poller.core.model import COLUMNS, USER_TYPES, UserType
from poller.core.series import TrendPoint

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from datetime import tzinfo

    from poller.store.database import Database

DAY_SECONDS: Final = 86_400
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
    """One point for every org (by name), type (in the order given) and bucket between two of `edges`.

    `org_ids` None: every org that was not removed. Where all edges are midnights of UTC, the answer is made of days,
    which are kept longer than snapshots; the numbers are the same. A connection is held until the end; to stop before
    it, use `contextlib.aclosing`.
    """
    if len(edges) < 2 or not user_types:
        return
    gaps: Iterator[TrendPoint] = iter(())
    org_id: int | None = None
    query = _FROM_DAYS if are_days(edges) else _FROM_SNAPSHOTS
    kinds = [kind.value for kind in user_types]
    async with database.connection() as connection, connection.transaction(readonly=True):
        # It takes the many orgs for a reason to compile: three seconds before the first row, measured on PostgreSQL 15.
        await connection.execute("SET LOCAL jit = off")
        async for row in connection.cursor(query, list(edges), org_ids, kinds, prefetch=_PREFETCH):
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
    """Whether all of `edges` are midnights of UTC."""
    return all((edge - _EPOCH) % timedelta(days=1) == timedelta() for edge in edges)


async def count_orgs_with_series(database: Database) -> int:
    """How many orgs `org_trend` tells of where none is named: those that were not removed."""
    # trends.count_orgs
    count: int = await database.fetchval("SELECT count(*) FROM orgs WHERE removed_at IS NULL")
    return count


def bucket_edges(
    since: datetime, until: datetime, every_seconds: int, zone: tzinfo = UTC, *, most: int = MOST_BUCKETS
) -> list[datetime]:
    """Where the buckets of `every_seconds` begin that hold `[since, until)`, and where the last of them ends (UTC).

    Whole days are days of the calendar in `zone`, so one of 23 or 25 hours is one bucket, and seven of them begin on a
    Monday. Shorter ones are pinned to absolute time, as slots are. A `UsageError` where there are more than `most`, or
    where one of them would end after the year 9999 or begin before the year 1.
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
        # A zone that crosses the date line skips a day: a bucket of no length is none.
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
    return (TrendPoint(org_id, org, kind, at) for kind, at in product(user_types, edges[:-1]))


# One row per org, type and bucket that something is known to have been tried in, and one row of NULLs for an org
# without any. Org by org, so that the server, too, works on one org's stretch at a time.
_ORG_BY_ORG: Final = """
SELECT o.id AS org_id, o.name AS org, ($3::text[])[b.place] AS user_type, ($1::timestamptz[])[b.bucket] AS at,
       b.first, b.last, b.min, b.max, b.avg, coalesce(b.samples, 0), coalesce(b.missing, 0)
FROM orgs o
LEFT JOIN LATERAL ({}) AS b ON true
WHERE CASE WHEN $2::integer[] IS NULL THEN o.removed_at IS NULL ELSE o.id = ANY ($2) END
ORDER BY o.name, o.id, b.place, b.bucket
"""

# Purpose: org_trend over buckets of any length.
_FROM_SNAPSHOTS: Final = _ORG_BY_ORG.format(
    f"""
    SELECT array_position($3::text[], t.user_type) AS place, width_bucket(s.slot, $1::timestamptz[]) AS bucket,
           (array_agg(t.count ORDER BY s.slot) FILTER (WHERE t.count IS NOT NULL))[1] AS first,
           (array_agg(t.count ORDER BY s.slot DESC) FILTER (WHERE t.count IS NOT NULL))[1] AS last,
           min(t.count), max(t.count), avg(t.count)::float8 AS avg,
           count(t.count) AS samples, count(*) - count(t.count) AS missing
    FROM org_snapshots s
    CROSS JOIN LATERAL (VALUES {", ".join(f"('{kind.value}', s.{column})" for kind, column in COLUMNS.items())})
         AS t (user_type, count)
    WHERE s.org_id = o.id AND s.slot >= ($1::timestamptz[])[1]
      AND s.slot < ($1::timestamptz[])[cardinality($1::timestamptz[])] AND t.user_type = ANY ($3::text[])
    GROUP BY 1, 2 ORDER BY 1, 2
    """  # noqa: S608 - names from the model
)

# Purpose: org_trend over buckets of whole days (UTC).
_FROM_DAYS: Final = _ORG_BY_ORG.format(
    """
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
)
