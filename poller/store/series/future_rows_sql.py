"""The SQL statements of `future_rows`."""

# ruff: noqa: S608 - every name put into a statement stands in this file

from __future__ import annotations

from typing import Final

from poller.store.series.templates import per_count

# future_rows.find
FIND: Final = """
SELECT r.rolled_until, r.raw_since, s.missed, s.polled, l.latest
FROM rollup_state r
CROSS JOIN (
    SELECT count(*) FILTER (WHERE outcome = 'missed') AS missed, count(*) FILTER (WHERE outcome <> 'missed') AS polled
    FROM org_snapshots WHERE slot > $1::timestamptz
) AS s
CROSS JOIN (
    SELECT count(DISTINCT org_id) AS latest FROM (
        SELECT org_id FROM latest_polls WHERE slot > $1 UNION ALL SELECT org_id FROM latest_snapshots WHERE slot > $1
    ) AS future
) AS l
"""

# future_rows.lower: returns one row if the watermark was too late.
LOWER: Final = "UPDATE rollup_state SET rolled_until = $1::date WHERE rolled_until > $1::date RETURNING true"

_TYPES: Final = per_count("<number>", ", ")
# future_rows.clear: in this order, because deleting from the first two tables adds rows to unsummed_days.
CLEAR: Final = (
    "DELETE FROM dirty_days WHERE day >= $1::date",
    f"DELETE FROM daily_counts WHERE type = ANY (ARRAY[{_TYPES}]) AND day >= $1::date",
    "DELETE FROM late_days WHERE day >= $1::date",
    f"DELETE FROM fleet_days WHERE type = ANY (ARRAY[{_TYPES}]) AND day >= $1::date",
    "DELETE FROM unsummed_days WHERE day >= $1::date",
)

# future_rows.orgs_of_rows
ORGS_OF_ROWS: Final = "SELECT DISTINCT org_id FROM org_snapshots WHERE slot > $1::timestamptz ORDER BY 1"

# future_rows.delete: by the key.
DELETE_ROWS: Final = "DELETE FROM org_snapshots WHERE org_id = ANY($1::integer[]) AND slot > $2::timestamptz"
# future_rows.unmark
UNMARK: Final = "DELETE FROM dirty_days WHERE org_id = ANY($1::integer[]) AND day > $2::date"

# future_rows.orgs_of_latest
ORGS_OF_LATEST: Final = """
SELECT org_id FROM latest_polls WHERE slot > $1::timestamptz
UNION SELECT org_id FROM latest_snapshots WHERE slot > $1
ORDER BY 1 LIMIT $2
"""

# future_rows.delete_latest
DELETE_LATEST: Final = "DELETE FROM latest_snapshots WHERE org_id = ANY($1::integer[]) AND slot > $2::timestamptz"
# future_rows.latest_keys: the rows since the newest one with all ten counts, or all rows if there is none. Every
# search, here and below, ends at $2: beyond it an index may be full of rows that were just deleted.
LATEST_KEYS: Final = """
SELECT s.org_id, s.slot
FROM unnest($1::integer[]) AS key (org_id)
LEFT JOIN LATERAL (
    SELECT slot FROM org_snapshots
    WHERE org_id = key.org_id AND slot <= $2::timestamptz AND outcome = 'ok' ORDER BY slot DESC LIMIT 1
) AS newest ON true
JOIN org_snapshots s ON s.org_id = key.org_id AND s.outcome IN ('ok', 'partial')
    AND s.slot >= coalesce(newest.slot, '-infinity') AND s.slot <= $2
"""

# future_rows.delete_polls: `first_slot` stays although its row may be dropped, unless it is in the future.
DELETE_POLLS: Final = """
DELETE FROM latest_polls WHERE org_id = ANY($1::integer[]) AND slot > $2::timestamptz
RETURNING org_id, CASE WHEN first_slot <= $2 THEN first_slot END AS first_slot
"""
# future_rows.latest_polls: searches only the last month for the start of the current run of good polls, or of others.
LATEST_POLLS: Final = """
INSERT INTO latest_polls (org_id, first_slot, slot, since, polled_at, late_seconds, outcome, error)
SELECT key.org_id, coalesce(key.first_slot, oldest.slot), newest.slot, coalesce(run.slot, newest.slot),
       polled.polled_at, newest.late_seconds, newest.outcome, newest.error
FROM unnest($1::integer[], $2::timestamptz[]) AS key (org_id, first_slot)
CROSS JOIN LATERAL (
    SELECT slot, outcome, error, late_seconds FROM org_snapshots
    WHERE org_id = key.org_id AND slot <= $3::timestamptz ORDER BY slot DESC LIMIT 1
) AS newest
CROSS JOIN LATERAL (
    SELECT slot FROM org_snapshots WHERE org_id = key.org_id AND slot <= $3 ORDER BY slot LIMIT 1
) AS oldest
LEFT JOIN LATERAL (
    SELECT polled_at FROM org_snapshots
    WHERE org_id = key.org_id AND slot <= $3 AND polled_at IS NOT NULL ORDER BY slot DESC LIMIT 1
) AS polled ON true
LEFT JOIN LATERAL (
    SELECT slot FROM org_snapshots
    WHERE org_id = key.org_id AND slot <= $3 AND slot > newest.slot - interval '31 days'
      AND (outcome = 'ok') <> (newest.outcome = 'ok')
    ORDER BY slot DESC LIMIT 1
) AS other ON true
LEFT JOIN LATERAL (
    SELECT slot FROM org_snapshots
    WHERE org_id = key.org_id AND slot <= $3 AND slot > coalesce(other.slot, newest.slot - interval '31 days')
    ORDER BY slot LIMIT 1
) AS run ON true
"""

# future_rows.incomplete: the newest day of a month on which an org has fewer snapshots than were counted.
INCOMPLETE: Final = """
SELECT max(c.day)
FROM daily_counts c
LEFT JOIN (
    SELECT org_id, (slot AT TIME ZONE 'UTC')::date AS day, count(*) AS snapshots
    FROM org_snapshots
    WHERE slot >= $1::date::timestamp AT TIME ZONE 'UTC' AND slot < $2::date::timestamp AT TIME ZONE 'UTC'
    GROUP BY 1, 2
) AS s ON s.org_id = c.org_id AND s.day = c.day
WHERE c.type = 1 AND c.day >= $1 AND c.day < $2 AND coalesce(s.snapshots, 0) < c.samples + c.missing
"""

# future_rows.open: moves `raw_since` back.
OPEN: Final = "UPDATE rollup_state SET raw_since = $1::date WHERE raw_since > $1::date"
# future_rows.take_late: days with late snapshots that are not counted.
TAKE_LATE: Final = "DELETE FROM late_days WHERE day >= $1::date RETURNING org_id, day"
