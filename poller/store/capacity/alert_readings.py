"""Reads what alert rules watch, for every org at once: one statement per metric, for all rules on that metric.

A reading holds, does not hold, or is unknown (`holds` NULL). A count is known until its org is late: for two of its
intervals and a minute after the poll. Rows dated in the future come from a wrong clock, and are unknown. Only readings
that hold, and readings about open alerts, are returned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from poller.core.alerts import ANOMALY_KINDS, METRICS
from poller.core.model import COLUMNS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from datetime import datetime

    from poller.store.queries import Connection

WORKER_CLOCK: Final = "worker_clock"
"""The only metric that is not about orgs."""
ANOMALY_DAYS: Final = 7
"""An anomaly is an alert for this many days from its day on."""
PREFETCH: Final = 250
"""Rows that are read before other tasks of the event loop have a turn: a few milliseconds."""
AlertSubject = tuple[int, int | None, str, str]
"""What at most one open alert is about: rule, org, user type, and the worker or the day of an anomaly."""


class AlertReading(NamedTuple):
    """The value of a rule's metric for one subject. `holds` None: unknown; `note`: what messages say beside it."""

    rule_id: int
    org_id: int | None
    user_type: str
    subject: str
    org: str | None
    holds: bool | None
    value: float | None
    note: str
    remedy: str | None

    @property
    def about(self) -> AlertSubject:
        """The key of its alert."""
        return self[:4]


async def read_metric(connection: Connection, metric: str, now: datetime) -> list[AlertReading]:
    """Returns the readings of the enabled rules on this metric."""
    return [AlertReading(*row) for row in await connection.fetch(STATEMENTS[metric], metric, now)]


async def stream_metric(connection: Connection, metric: str, now: datetime) -> AsyncIterator[AlertReading]:
    """Yields the readings of the enabled rules on this metric; the caller has a transaction open."""
    async for row in connection.cursor(STATEMENTS[metric], metric, now, prefetch=PREFETCH):
        yield AlertReading(*row)


_COUNT: Final = "'FM999,999,999,990'"
_TOLERANCE: Final = "interval '5 seconds'"
_LATE: Final = "make_interval(secs => 2 * i.effective_interval_seconds + 60)"
_ORGS: Final = """
FROM rules u JOIN orgs o ON o.removed_at IS NULL AND o.paused_at IS NULL
    AND (u.org_ids = '{}' OR o.id = ANY (u.org_ids)) AND (u.tags = '{}' OR o.tags && u.tags)
    AND (u.data_centers = '{}' OR o.data_center = ANY (u.data_centers))
"""
_INTERVAL: Final = "JOIN org_states i ON i.org_id = o.id"
# alert_readings.of_org
_OF_ORG: Final = "SELECT u.id AS rule_id, o.id AS org_id, '' AS user_type, '' AS subject, o.name AS org,"
_NOTHING: Final = "NULL::float8 AS value"


def _is_current(polled_at: str) -> str:
    return f"{polled_at} > $2::timestamptz - {_LATE} AND {polled_at} <= $2::timestamptz + {_TOLERANCE}"


def _count(user_type: str, column: str) -> str:
    polled_at = f"coalesce(l.{column}_polled_at, l.polled_at)"
    return f"""
SELECT u.id AS rule_id, o.id AS org_id, '{user_type}' AS user_type, '' AS subject, o.name AS org,
       CASE WHEN {_is_current(polled_at)} THEN l.{column} END::float8 AS value,
       NULL::boolean AS truth, '' AS note, NULL AS remedy
{_ORGS} {_INTERVAL} LEFT JOIN latest_snapshots l ON l.org_id = o.id
"""


# Seats as in `store.capacity.seats`, but a number of used seats that is not known for now is unknown.
_SEATS: Final = f"""
{_ORGS} {_INTERVAL}
LEFT JOIN latest_snapshots l ON l.org_id = o.id
LEFT JOIN seat_contracts c ON c.org_id = o.id
LEFT JOIN LATERAL (
    SELECT * FROM seat_readings WHERE org_id = o.id AND taken_at <= $2::timestamptz + {_TOLERANCE}
    ORDER BY taken_at DESC LIMIT 1
) AS r ON true
CROSS JOIN LATERAL (
    SELECT coalesce(c.purchased, r.purchased, o.licences) AS purchased,
           coalesce(CASE WHEN r.taken_at > $2::timestamptz - interval '2 days' THEN r.used END,
                    CASE WHEN {_is_current("coalesce(l.active_users_polled_at, l.polled_at)")}
                         THEN l.active_users END) AS used
) AS s
"""  # noqa: S608 - parts that stand above

_SOURCES: Final[Mapping[str, str]] = {
    **{user_type.value: _count(user_type.value, column) for user_type, column in COLUMNS.items()},
    "seats_used_percent": f"""
{_OF_ORG} round(100.0 * s.used / nullif(s.purchased, 0), 6)::float8 AS value, NULL::boolean AS truth,
       concat(to_char(s.used, {_COUNT}), ' of ', to_char(s.purchased, {_COUNT})) AS note, NULL AS remedy
{_SEATS}
""",
    "idle_cost": f"""
{_OF_ORG} (CASE WHEN s.used > s.purchased THEN 0 ELSE s.purchased - s.used END * c.price)::float8 AS value,
       NULL::boolean AS truth,
       coalesce(c.currency, '') AS note, NULL AS remedy
{_SEATS}
""",
    # Without a day the seats do not run out within a year: that is known, and further than any threshold.
    "days_to_exhaustion": f"""
{_OF_ORG} CASE WHEN f.seats IS NULL THEN NULL WHEN f.exhausted_on IS NULL THEN 'Infinity'::float8
               ELSE greatest(f.exhausted_on - ($2::timestamptz AT TIME ZONE 'UTC')::date, 0) END AS value,
       NULL::boolean AS truth, '' AS note, NULL AS remedy
{_ORGS}
LEFT JOIN forecast_results f ON f.org_id = o.id AND f.user_type = 'ActiveUsers'
    AND f.made_at > $2::timestamptz - interval '2 days' AND f.made_at <= $2::timestamptz + {_TOLERANCE}
""",
    # 0 while the org is not late. An org whose counts were never known is unknown since it was connected or resumed.
    "gap_hours": f"""
{_OF_ORG} CASE WHEN since.at > $2::timestamptz + {_TOLERANCE} THEN NULL
               WHEN since.at > $2::timestamptz - {_LATE} THEN 0
               ELSE extract(epoch FROM $2::timestamptz - since.at) / 3600 END::float8 AS value,
       NULL::boolean AS truth, '' AS note, NULL AS remedy
{_ORGS} {_INTERVAL}
LEFT JOIN latest_snapshots l ON l.org_id = o.id
CROSS JOIN LATERAL (SELECT greatest(coalesce(l.polled_at, o.created_at), o.resumed_at) AS at) AS since
""",
    "credits_percent": f"""
{_OF_ORG} round(100.0 * coalesce(s.credits, 0) / nullif(i.credits_share, 0), 6)::float8 AS value,
       NULL::boolean AS truth, '' AS note, NULL AS remedy
{_ORGS} {_INTERVAL}
LEFT JOIN (
    SELECT org_id, sum(credits) AS credits FROM credit_spend
    WHERE bucket > $2::timestamptz - interval '24 hours 15 minutes' AND bucket <= $2::timestamptz + {_TOLERANCE}
    GROUP BY org_id
) AS s ON s.org_id = o.id
""",  # noqa: S608 - parts that stand above
    "parked": f"""
{_OF_ORG} {_NOTHING}, o.parked_at IS NOT NULL AS truth, coalesce(o.parked_code, '') AS note,
       o.parked_remedy AS remedy
{_ORGS}
""",
    # alert_readings.worker_clock: of processes with the same name, the one seen last. Nothing is known of a worker that
    # was not seen for a minute.
    WORKER_CLOCK: """
SELECT u.id AS rule_id, NULL::int AS org_id, '' AS user_type, w.name AS subject, NULL::text AS org,
       abs(w.wrong) AS value,
       CASE WHEN w.seen_at > $2::timestamptz - interval '1 minute' THEN w.wrong <> 0 END AS truth,
       CASE WHEN w.wrong > 0 THEN 'ahead of' ELSE 'behind' END AS note, NULL AS remedy
FROM rules u CROSS JOIN (
    SELECT DISTINCT ON (name) name, seen_at, coalesce((facts ->> 'clock_wrong_seconds')::float8, 0) AS wrong
    FROM workers WHERE seen_at > $2::timestamptz - interval '5 minutes' ORDER BY name, seen_at DESC
) AS w
""",
    **dict.fromkeys(
        ANOMALY_KINDS,
        f"""
SELECT u.id AS rule_id, o.id AS org_id, n.user_type, n.day::text AS subject, o.name AS org, n.after AS value,
       true AS truth, n.why AS note, NULL AS remedy
{_ORGS} JOIN found_anomalies n ON n.org_id = o.id AND n.kind = $1
    AND n.day > ($2::timestamptz AT TIME ZONE 'UTC')::date - {ANOMALY_DAYS}
    AND n.day <= ($2::timestamptz AT TIME ZONE 'UTC')::date
""",
    ),
}
_HOLDS: Final = """
CASE u.comparison WHEN '>' THEN m.value > u.threshold WHEN '>=' THEN m.value >= u.threshold
                  WHEN '<' THEN m.value < u.threshold WHEN '<=' THEN m.value <= u.threshold END
"""
_KEYS: Final = {WORKER_CLOCK: "rule_id, subject", **dict.fromkeys(ANOMALY_KINDS, "rule_id, org_id, user_type, subject")}
"""What tells the subjects of one rule apart; for other metrics the org does."""
EXCLUDED: Final = """
EXISTS (SELECT FROM alert_exclusions e
        WHERE (e.rule_id IS NULL OR e.rule_id = m.rule_id) AND (e.org_id IS NULL OR e.org_id = m.org_id)
          AND (e.user_type IS NULL OR e.user_type = m.user_type)
          AND (e.until IS NULL OR e.until > $2::timestamptz))
"""
"""Whether an exclusion matches the subject `m`."""


def _statement(metric: str, source: str) -> str:
    """Compares the values of a source; exclusions come last, because few readings are left by then.

    The open alerts are looked up with IN, which PostgreSQL hashes: a join was quadratic where it expected few of them.
    """
    holds = "m.truth" if METRICS[metric].unit is None else _HOLDS
    key = _KEYS.get(metric, "rule_id, org_id")
    return f"""
WITH rules AS (
    SELECT id, comparison, threshold, org_ids, tags, data_centers FROM alert_rules
    WHERE metric = $1 AND enabled AND removed_at IS NULL
), m AS MATERIALIZED (
    SELECT m.*, {holds} AS holds
    FROM ({source}) AS m JOIN rules u ON u.id = m.rule_id
    WHERE {holds} OR (m.{key.replace(", ", ", m.")}) IN (
        SELECT {key} FROM alert_states WHERE state <> 'resolved' AND rule_id = ANY (ARRAY(SELECT id FROM rules)))
)
SELECT rule_id, org_id, user_type, subject, org, holds, nullif(value, 'Infinity') AS value, note, remedy
FROM m WHERE NOT {EXCLUDED}
"""  # noqa: S608 - parts that stand above


STATEMENTS: Final[Mapping[str, str]] = {metric: _statement(metric, source) for metric, source in _SOURCES.items()}
