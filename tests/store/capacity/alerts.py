"""Orgs, counts, rules and readings for tests of alerts, written by plain statements."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from poller.core.alerts import AlertRule, Severity
from poller.store.capacity.alert_rules import save_rule

if TYPE_CHECKING:
    from poller.store.queries import Connection

NOW: Final = datetime.now(UTC).replace(microsecond=0)
MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)


def alert_rule(metric: str, comparison: str | None = None, threshold: float | None = None, **fields: Any) -> AlertRule:
    values: dict[str, Any] = {
        "id": 0,
        "name": f"rule_{metric.lower()}",
        "for_seconds": 0,
        "clear_seconds": 0,
        "severity": Severity.WARNING,
    }
    return AlertRule(metric=metric, comparison=comparison, threshold=threshold, **values | fields)


async def add_rule(connection: Connection, rule: AlertRule) -> int:
    """Adds a rule, and disables those of a new installation."""
    await connection.execute("UPDATE alert_rules SET enabled = false WHERE id <= 8")
    return await save_rule(connection, rule, NOW)


async def add_org(connection: Connection, name: str = "acme", /, **columns: Any) -> int:
    """An org that is polled every 15 minutes and was connected a year ago."""
    values = {"data_center": "eu", "created_at": NOW - 365 * DAY, "edition": "enterprise", "licences": None} | columns
    names, places = ", ".join(values), ", ".join(f"${n}" for n in range(2, len(values) + 2))
    query = f"INSERT INTO orgs (name, {names}) VALUES ($1, {places}) RETURNING id"
    org_id: int = await connection.fetchval(query, name, *values.values())
    return org_id


async def add_counts(connection: Connection, org_id: int, polled_at: datetime, **counts: int | datetime) -> None:
    """The newest known counts, by column."""
    names = ", ".join(counts)
    places = ", ".join(f"${n}" for n in range(3, len(counts) + 3))
    sets = ", ".join(f"{name} = excluded.{name}" for name in ("slot", "polled_at", *counts))
    await connection.execute(
        f"INSERT INTO latest_snapshots (org_id, slot, polled_at, {names}) VALUES ($1, $2, $2, {places})"
        f" ON CONFLICT (org_id) DO UPDATE SET {sets}",
        org_id,
        polled_at,
        *counts.values(),
    )


async def add_seats(
    connection: Connection, org_id: int, taken_at: datetime, purchased: int | None, used: int | None
) -> None:
    await connection.execute(
        "INSERT INTO seat_readings (org_id, taken_at, purchased, used, source) VALUES ($1, $2, $3, $4, 'features')",
        *(org_id, taken_at, purchased, used),
    )


async def add_anomaly(
    connection: Connection, org_id: int, kind: str, day: datetime, *, user_type: str = "AdminUsers", after: float = 2
) -> None:
    await connection.execute(
        "INSERT INTO found_anomalies (org_id, user_type, day, kind, after, severity, why, found_at)"
        " VALUES ($1, $2, $3, $4, $5, 'warning', 'one more', $6)",
        *(org_id, user_type, day.date(), kind, after, NOW),
    )
