"""Reads daily values of what a rule watches, for a preview of what the rule would have done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from poller.core.alerts import ANOMALY_KINDS
from poller.core.model import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from poller.core.alerts import AlertRule
    from poller.store.database import Database


class DailyReadings(NamedTuple):
    """The known days of one org and user type on which a rule's condition held or not, in order, as ordinals."""

    org_id: int
    org: str
    user_type: str
    days: list[int]
    values: list[float | None]
    holds: list[bool]


async def daily_readings(
    database: Database,
    rule: AlertRule,
    since: date,
    until: date,
    *,
    now: datetime,
    visible_tags: Sequence[str] | None = None,
) -> list[DailyReadings]:
    """Returns the readings of the orgs for which the condition held on any day from `since` to `until`."""
    arguments = (
        [list(rule.org_ids), list(rule.tags), list(rule.data_centers), rule.id],
        [None if visible_tags is None else list(visible_tags), rule.metric, rule.comparison, rule.threshold],
        [since, until, now],
    )
    async with database.transaction() as connection:
        # alert_days.jit: compiling the statement takes longer than running it.
        await connection.execute("SET LOCAL jit = off")
        rows = await connection.fetch(_STATEMENTS[rule.metric], *(value for part in arguments for value in part))
    return [DailyReadings(*row) for row in rows]


# alert_days.chosen: orgs that the rule covers today, and that no exclusion takes out.
_CHOSEN: Final = """
WITH chosen AS (
    SELECT o.id, o.name, o.licences, (o.created_at AT TIME ZONE 'UTC')::date AS first_day
    FROM orgs o
    WHERE o.removed_at IS NULL AND o.paused_at IS NULL
      AND ($1::int[] = '{}' OR o.id = ANY ($1)) AND ($2::text[] = '{}' OR o.tags && $2)
      AND ($3::text[] = '{}' OR o.data_center = ANY ($3)) AND ($5::text[] IS NULL OR o.tags && $5)
), found AS (
"""
_RESULT: Final = """
), m AS (
    SELECT f.org_id, f.user_type, f.org, f.day, f.value, $4::int AS rule_id,
           CASE $7::text WHEN '>' THEN f.value > $8 WHEN '>=' THEN f.value >= $8
                         WHEN '<' THEN f.value < $8::float8 WHEN '<=' THEN f.value <= $8 ELSE f.value > 0 END AS holds
    FROM found f WHERE f.value IS NOT NULL
)
SELECT org_id, org, user_type, array_agg(day - DATE '0001-01-01' + 1 ORDER BY day), array_agg(value ORDER BY day),
       array_agg(holds ORDER BY day)
FROM m
WHERE NOT EXISTS (SELECT FROM alert_exclusions e
                  WHERE (e.rule_id IS NULL OR e.rule_id = m.rule_id) AND (e.org_id IS NULL OR e.org_id = m.org_id)
                    AND (e.user_type IS NULL OR e.user_type = m.user_type)
                    AND (e.until IS NULL OR e.until > $11::timestamptz))
GROUP BY org_id, org, user_type HAVING bool_or(holds) ORDER BY org, org_id, user_type
"""
# alert_days.counts
_COUNTS: Final = """
SELECT c.id AS org_id, d.user_type, c.name AS org, d.day,
       CASE WHEN $7 IN ('>', '>=') THEN d.max ELSE d.min END::float8 AS value
FROM chosen c JOIN daily_user_counts d ON d.org_id = c.id
WHERE d.user_type = $6 AND d.day BETWEEN $9::date AND $10::date AND d.samples > 0
"""
# alert_days.seats: of a day from the reading of the day; where there was none, from the contract, licences and counts.
_SEATS: Final = """
SELECT c.id AS org_id, '' AS user_type, c.name AS org, g.day::date AS day, {value}::float8 AS value
FROM chosen c CROSS JOIN generate_series($9::date, $10::date, interval '1 day') AS g (day)
LEFT JOIN seat_contracts k ON k.org_id = c.id
LEFT JOIN (
    SELECT DISTINCT ON (org_id, (taken_at AT TIME ZONE 'UTC')::date)
           org_id, (taken_at AT TIME ZONE 'UTC')::date AS day, purchased, used
    FROM seat_readings WHERE taken_at >= $9::date AND taken_at <= $11::timestamptz
    ORDER BY org_id, (taken_at AT TIME ZONE 'UTC')::date, taken_at DESC
) AS r ON r.org_id = c.id AND r.day = g.day::date
LEFT JOIN daily_user_counts d ON d.org_id = c.id AND d.user_type = 'ActiveUsers' AND d.day = g.day::date
CROSS JOIN LATERAL (
    SELECT coalesce(k.purchased, r.purchased, c.licences) AS purchased, coalesce(r.used, d.max) AS used
) AS s
WHERE $6::text IS NOT NULL
"""
# alert_days.gaps: of a day of which nothing is known the value is large. Today is not over.
_GAPS: Final = """
SELECT c.id AS org_id, '' AS user_type, c.name AS org, g.day::date AS day,
       CASE WHEN coalesce(d.samples, 0) > 0 THEN 0 ELSE 1e9 END::float8 AS value
FROM chosen c CROSS JOIN generate_series($9::date, $10::date - 1, interval '1 day') AS g (day)
LEFT JOIN daily_user_counts d ON d.org_id = c.id AND d.user_type = 'AllUsers' AND d.day = g.day::date
WHERE g.day::date > c.first_day AND $6::text IS NOT NULL
"""
# alert_days.anomalies
_ANOMALIES: Final = """
SELECT c.id AS org_id, n.user_type, c.name AS org, n.day, coalesce(n.after, 0) + 1 AS value
FROM chosen c JOIN found_anomalies n ON n.org_id = c.id
WHERE n.kind = $6 AND n.day BETWEEN $9::date AND $10::date
"""
_SOURCES: Final = {
    **dict.fromkeys((user_type.value for user_type in COLUMNS), _COUNTS),
    "seats_used_percent": _SEATS.format(value="(100.0 * s.used / nullif(s.purchased, 0))"),
    "idle_cost": _SEATS.format(value="(CASE WHEN s.used > s.purchased THEN 0 ELSE s.purchased - s.used END * k.price)"),
    "gap_hours": _GAPS,
    **dict.fromkeys(ANOMALY_KINDS, _ANOMALIES),
}
_STATEMENTS: Final = {metric: f"{_CHOSEN}{source}{_RESULT}" for metric, source in _SOURCES.items()}
METRICS_WITH_DAYS: Final = frozenset(_SOURCES)
"""Metrics whose past is known."""
