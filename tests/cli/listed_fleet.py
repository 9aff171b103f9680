"""A small fleet with long names, about which every listing has something to say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.core.slots import slot_of
from poller.store.database import connect
from poller.store.series.snapshots import write_snapshots
from tests.alert_rows import add_alert

if TYPE_CHECKING:
    from poller.store.database import Database

NOW: Final = datetime.now(UTC)
LONG: Final = "Acme International Holdings of Somewhere Ltd"
NAMES: Final = (LONG, "Beta", "中文公司 有限责任公司")
_TAG: Final = "customer:north-of-the-river-and-beyond"


async def write_fleet(dsn: str) -> None:
    """Writes three orgs: polls, seats, contracts, anomalies, alerts, exclusions, access keys and what was noted."""
    async with await connect(dsn) as database:
        await database.execute(
            "INSERT INTO orgs (name, data_center, tags, edition, licences)"
            " SELECT unnest($1::text[]), 'us', ARRAY[$2, 'gold'], 'zohooneenterprise', 1234567",
            list(NAMES),
            _TAG,
        )
        ids = [row["id"] for row in await database.fetch("SELECT id FROM orgs ORDER BY id")]
        await _write_polls(database, ids)
        await _write_capacity(database, ids)
        await _write_alerts(database, ids)
        await _write_access(database, ids)


async def _write_polls(database: Database, ids: list[int]) -> None:
    """Two months of daily polls, a few of which failed; the last org fails now."""
    rows = []
    for day in range(60):
        slot = slot_of(NOW - timedelta(days=day, hours=2), 900)
        for org in ids:
            counts = dict.fromkeys(USER_TYPES, 1_000_000 - day * 1_000 + org)
            failed = day % 13 == 5 or (day == 0 and org == ids[-1])
            rows.append(
                Snapshot(org, slot, slot, Outcome.UNAVAILABLE, "http_503")
                if failed
                else Snapshot(org, slot, slot, Outcome.OK, counts=counts)
            )
    await write_snapshots(database, rows)


async def _write_capacity(database: Database, ids: list[int]) -> None:
    seats = "INSERT INTO seat_readings VALUES ($1, $2, 1200000, 1000000, 'zohooneenterprise', $3, 'features')"
    contract = "INSERT INTO seat_contracts VALUES ($1, 1234567, 19.9, 'EUR', $2, $3)"
    anomaly = "INSERT INTO found_anomalies VALUES ($1, 'ActiveConfirmedAdmins', $2, $3, 1, 2, 0, 1, $4, $5, $6)"
    why = "1,000,002 instead of 999,001 to 1,000,001: more than on any day of the last three months"
    await database.execute(seats, ids[0], NOW, NOW.date() + timedelta(days=40))
    await database.execute(contract, ids[0], NOW.date() + timedelta(days=40), NOW)
    remedy = "consent again with the scope ZohoCRM.org.READ in the API console"
    await database.execute("INSERT INTO seat_refusals VALUES ($1, 'OAUTH_SCOPE_MISMATCH', $2, $3)", ids[1], remedy, NOW)
    for org, severity in zip(ids, ("critical", "warning", "info"), strict=True):
        await database.execute(anomaly, org, NOW.date(), "deactivated_surge", severity, why, NOW)


async def _write_alerts(database: Database, ids: list[int]) -> None:
    message = "97 % of the seats are used: 1,164,000 of 1,200,000, and the forecast says that all are used in 12 days"
    states = ("firing", "pending", "acknowledged", "snoozed", "resolved")
    for place, state in enumerate(states):
        rule, org = ("seats_used", "org_parked", "step", "admins_up", "users_zero")[place], ids[place % len(ids)]
        severity = "critical" if place == 0 else "warning"
        await add_alert(database, rule, org, state, severity=severity, message=message, remedy="buy seats " * 12)
    excluded = "INSERT INTO alert_exclusions (org_id, user_type, reason, created_by) VALUES ($1, 'AdminUsers', $2, $3)"
    await database.execute(excluded, ids[0], "they reorganize until the summer, and know about it", "command line")


async def _write_access(database: Database, ids: list[int]) -> None:
    key = "INSERT INTO access_keys (name, hash, pepper_id, may, tags) VALUES ($1, $2, $3, 'operate', $4)"
    await database.execute(key, "the night shift of the customer in the north", bytes(32), "k1", [_TAG, "gold"])
    await database.execute(key, "grafana", b"1" * 32, "k2", [])
    noted = "INSERT INTO audit (caller, source, action, org_id, detail) VALUES ($1, '2001:db8::7', 'seen', $2, $3)"
    detail = {"route": "/api/v1/orgs/1/series", "type": "ActiveUsers"}
    await database.execute(noted, "the night shift of the customer in the north", ids[0], detail)
