"""Stores the anomalies of each org: one that is found again keeps its first date; one no longer found is deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import date, datetime

    from poller.store.database import Database
    from poller.store.queries import Row


class AnomalyRecord(NamedTuple):
    """One stored anomaly of an org. Numbers are users; None: there is none."""

    # pylint: disable=duplicate-code  # analysis, store and query each name the columns

    org_id: int
    user_type: str
    day: date
    kind: str
    before: float | None
    after: float | None
    expected_low: float | None
    expected_high: float | None
    severity: str
    why: str


async def replace_anomalies(
    database: Database, org_ids: Sequence[int], since: date, found: Sequence[AnomalyRecord], now: datetime
) -> int:
    """Replaces the anomalies of these orgs since that day by `found`; returns how many are new."""
    async with database.transaction() as connection:
        columns = [list(column) for column in zip(*found, strict=True)] if found else [[] for _ in _COLUMNS]
        await connection.execute(_DELETE, list(org_ids), since, *columns[:4])
        new: int = await connection.fetchval(_INSERT, now, *columns)
    return new


async def stream_anomalies(database: Database, org_ids: Sequence[int] | None, since: date) -> AsyncIterator[Row]:
    """Yields rows of the view `anomalies` since that day, the newest first; `org_ids` None: every org."""
    async with database.connection() as connection, connection.transaction(readonly=True):
        async for row in connection.cursor(_READ, since, None if org_ids is None else list(org_ids)):
            yield row


_COLUMNS: Final = AnomalyRecord._fields

# anomalies.delete: anomalies that are no longer found, because late rows changed the counts.
_DELETE: Final = """
DELETE FROM found_anomalies a
WHERE a.org_id = ANY($1::int[]) AND a.day >= $2 AND NOT EXISTS (
    SELECT FROM unnest($3::int[], $4::text[], $5::date[], $6::text[]) AS f (org_id, user_type, day, kind)
    WHERE (f.org_id, f.user_type, f.day, f.kind) = (a.org_id, a.user_type, a.day, a.kind))
"""

# anomalies.insert: returns the number of new anomalies. Known ones get the new numbers and keep `found_at`.
_INSERT: Final = """
WITH written AS (
    INSERT INTO found_anomalies AS existing (org_id, user_type, day, kind, before, after, expected_low, expected_high,
                                         severity, why, found_at)
    SELECT f.*, $1 FROM unnest($2::int[], $3::text[], $4::date[], $5::text[], $6::float8[], $7::float8[], $8::float8[],
                               $9::float8[], $10::text[], $11::text[])
         AS f (org_id, user_type, day, kind, before, after, expected_low, expected_high, severity, why)
    JOIN (SELECT id FROM orgs WHERE id = ANY($2::int[]) FOR KEY SHARE) o ON o.id = f.org_id
    ON CONFLICT (org_id, day, kind, user_type) DO UPDATE SET
        before = excluded.before, after = excluded.after, expected_low = excluded.expected_low,
        expected_high = excluded.expected_high, severity = excluded.severity, why = excluded.why
    RETURNING existing.found_at = $1 AS new
)
SELECT count(*) FILTER (WHERE new)::integer FROM written
"""

# anomalies.read
_READ: Final = """
SELECT org, user_type, day, kind, before, after, expected_low, expected_high, severity, why FROM anomalies
WHERE day >= $1 AND ($2::int[] IS NULL OR org_id = ANY($2)) ORDER BY day DESC, org, kind, user_type
"""
