"""Reads what a capacity plan starts from: the orgs to poll, and what polls, credits and rows really took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poller.core.planning import CreditsTaken, OrgToPlan, PollsTaken, StoredRows

if TYPE_CHECKING:
    from datetime import datetime

    from poller.store.database import Database


@dataclass(frozen=True, slots=True)
class Stored:
    """Tables by what they hold, and the size of the whole database in bytes."""

    snapshots: StoredRows
    daily_counts: StoredRows
    seat_readings: StoredRows
    database_bytes: int


async def orgs_to_plan(database: Database) -> list[OrgToPlan]:
    """Orgs that are polled, by name; parked orgs too, because they return. Paused and removed orgs are left out."""
    # planning.orgs
    rows = await database.fetch(
        "SELECT name, edition, licences, poll_interval_seconds FROM orgs"
        " WHERE removed_at IS NULL AND paused_at IS NULL ORDER BY name, id"
    )
    return [OrgToPlan(*row) for row in rows]


async def polls_taken(database: Database, since: datetime, until: datetime, longest_seconds: int) -> list[PollsTaken]:
    """What the polls from `since` until `until` took, by edition. `longest_seconds`: the longest interval in use."""
    return [PollsTaken(*row) for row in await database.fetch(_POLLS, since, until, 2 * longest_seconds)]


async def credits_taken(database: Database, since: datetime, until: datetime, longest_seconds: int) -> CreditsTaken:
    """What orgs that were there a day before `since` already spent until `until`, and the requests of their polls."""
    (row,) = await database.fetch(_CREDITS, since, until, 2 * longest_seconds)
    return CreditsTaken(row["orgs"], row["credits"], row["requests"])


async def stored_rows(database: Database) -> Stored:
    """Rows and bytes of the tables that grow for years, by PostgreSQL's own statistics."""
    found = {row["name"]: StoredRows(row["rows"], row["bytes"]) for row in await database.fetch(_SIZES)}
    # planning.database_size
    size: int = await database.fetchval("SELECT pg_database_size(current_database())")
    nothing = StoredRows(0.0, 0)
    snapshots, daily, seats = (found.get(name, nothing) for name in ("org_snapshots", "daily_counts", "seat_readings"))
    return Stored(snapshots, daily, seats, size)


# planning.polls: polls that sent a request, in [$1, $2); a slot begins up to two intervals ($3) before its poll.
_POLLS: Final = """
SELECT o.edition, count(*)::bigint AS polls, sum(s.requests)::bigint AS requests, sum(s.duration_ms)::bigint AS ms
FROM org_snapshots s JOIN orgs o ON o.id = s.org_id
WHERE s.slot >= $1::timestamptz - make_interval(secs => $3) AND s.slot < $2 AND s.polled_at >= $1 AND s.polled_at < $2
  AND s.requests > 0
GROUP BY o.edition
"""

# planning.credits: of orgs with any poll in [$1, $2). Credits are kept by the quarter of an hour of their reservation.
_CREDITS: Final = """
SELECT count(*)::int AS orgs, coalesce(sum(c.credits), 0)::bigint AS credits,
       coalesce(sum(p.requests), 0)::bigint AS requests
FROM orgs o
JOIN (SELECT org_id, sum(requests) AS requests FROM org_snapshots
      WHERE slot >= $1::timestamptz - make_interval(secs => $3) AND slot < $2 AND polled_at >= $1 AND polled_at < $2
        AND requests > 0 GROUP BY org_id) AS p ON p.org_id = o.id
JOIN (SELECT org_id, sum(credits) AS credits FROM credit_spend
      WHERE bucket >= $1 AND bucket < $2 GROUP BY org_id) AS c ON c.org_id = o.id
WHERE o.created_at <= $1::timestamptz - interval '1 day'
"""

# planning.sizes: the rows of each table as of its last analysis, in proportion to the pages that it has now. Each
# partition by itself, because the statistics of the parent are older.
_SIZES: Final = """
SELECT t.name, sum(c.reltuples / c.relpages
                   * (pg_relation_size(c.oid) / current_setting('block_size')::float8))::float8 AS rows,
       sum(pg_total_relation_size(c.oid))::bigint AS bytes
FROM (SELECT 'org_snapshots' AS name, inhrelid AS oid FROM pg_inherits WHERE inhparent = 'org_snapshots'::regclass
      UNION ALL SELECT v.name, v.name::regclass
      FROM (VALUES ('daily_counts'), ('seat_readings')) AS v (name)) AS t
JOIN pg_class c ON c.oid = t.oid
WHERE c.reltuples > 0 AND c.relpages > 0
GROUP BY t.name
"""
