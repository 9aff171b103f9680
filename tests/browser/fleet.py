"""A fleet with history for browser tests: orgs of a simulated Zoho, and the snapshots that polls would have written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from poller.core.model import COLUMNS, Outcome, Snapshot
from poller.core.slots import slot_of
from poller.store.series.rollups import roll_up
from poller.store.series.snapshots import write_snapshots
from poller.worker.analyses import forecast_fleet
from tests.simulated_fleet import import_fleet

if TYPE_CHECKING:
    from poller.app import App
    from poller.simulator import Simulator

DAYS: Final = 50
_HOURS: Final = 26
_SERVICE: Final = ("gold", "silver", "bronze")

_SET_UP: Final = (
    """
    UPDATE orgs SET tags = ARRAY[($1::text[])[1 + id % 3], 'customer:' || id % 7],
                    edition = coalesce(edition, 'enterprise'), licences = greatest(coalesce(licences, 0), 20)
    """,
)
_TROUBLE: Final = (
    """
    UPDATE orgs SET parked_at = now() - interval '5 hours', parked_code = 'invalid_code',
                    parked_outcome = 'unauthorized', probe_at = now() + interval '1 hour',
                    parked_remedy = 'make a new grant code, and import the org again with it'
    WHERE id % 29 = 4
    """,
    "UPDATE orgs SET paused_at = now() - interval '3 days' WHERE id % 41 = 5",
    """
    INSERT INTO seat_readings (org_id, taken_at, purchased, used, edition, renews_on, source)
    SELECT o.id, now() - interval '3 hours', l.active_users + 1 + o.id % 40, l.active_users, o.edition,
           current_date + o.id, 'features'
    FROM orgs o JOIN latest_snapshots l ON l.org_id = o.id
    """,
    """
    INSERT INTO seat_contracts (org_id, purchased, price, currency, renews_on, updated_at)
    SELECT o.id, l.active_users + 3, 20 + o.id % 30, 'EUR', current_date + o.id, now()
    FROM orgs o JOIN latest_snapshots l ON l.org_id = o.id WHERE o.id % 3 = 1
    """,
    """
    INSERT INTO found_anomalies (org_id, user_type, day, kind, before, after, expected_low, expected_high, severity,
                                 why, found_at)
    SELECT id, 'ActiveUsers', current_date - 1 - id % 20, 'step', 10, 20, 9, 11, 'high', 'rose from 10 to 20', now()
    FROM orgs WHERE id % 50 = 1
    """,
    "VACUUM (ANALYZE)",
)


async def fill(app: App, sim: Simulator) -> dict[str, int]:
    """Imports the orgs and writes their history; returns their ids by name."""
    database = app.database
    names = await import_fleet(database, app.keyring, sim, app.settings.data_centers)
    rows = await database.fetch("SELECT id, name FROM orgs")
    ids = {row["name"]: row["id"] for row in rows}
    for statement in _SET_UP:
        await database.execute(statement, list(_SERVICE))
    now = database.clock.now()
    for slot in _slots(now):
        await write_snapshots(database, [_snapshot(sim, place, ids[name], slot) for place, name in enumerate(names)])
    await roll_up(database, now.date())
    for statement in _TROUBLE:
        await database.execute(statement)
    await forecast_fleet(database, now)
    return ids


def _slots(now: datetime) -> list[datetime]:
    """One slot a day, and one every second hour of the last day."""
    hour = slot_of(now, 3_600)
    days = [hour - timedelta(days=back) for back in range(DAYS, 1, -1)]
    return days + [hour - timedelta(hours=back) for back in range(_HOURS, -1, -2)]


def _snapshot(sim: Simulator, place: int, org_id: int, slot: datetime) -> Snapshot:
    if (place + slot.toordinal()) % 23 == 0 or (place % 31 == 7 and slot > _now(sim) - timedelta(hours=9)):
        return Snapshot(org_id, slot, slot, Outcome.UNAVAILABLE, "http_503", requests=30, duration_ms=2_000)
    expected = sim.expected_counts(place, slot)
    counts = {user_type: expected[user_type] for user_type in COLUMNS}
    return Snapshot(org_id, slot, slot, Outcome.OK, requests=10, duration_ms=120, counts=counts)


def _now(sim: Simulator) -> datetime:
    return datetime.fromtimestamp(sim.zoho.now(), UTC)
