from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from poller.core.model import Outcome, Snapshot
from poller.core.policy import PollPolicy
from poller.store.queue.schedule_health import count_unscheduled
from poller.store.queue.service_settings import save_service_settings
from poller.store.series.snapshots import write_snapshots
from tests.store.fleet import added, entry

if TYPE_CHECKING:
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

QUARTER = timedelta(minutes=15)


async def stand(database: Database, org_id: int, due_in: timedelta) -> None:
    """Makes the next slot of the org due in this time."""
    await database.execute(
        """
        INSERT INTO org_schedules (org_id, slot, interval_seconds, due_at) VALUES ($1, now() + $2, 900, now() + $2)
        ON CONFLICT (org_id) DO UPDATE SET slot = excluded.slot, due_at = excluded.due_at
        """,
        org_id,
        due_in,
    )


async def test_orgs_without_a_slot_for_two_intervals_are_counted_for_past_and_future_slots(
    database: Database, keyring: Keyring
) -> None:
    (org_id,) = await added(database, keyring, entry("one"))
    for due_in, unscheduled in (
        (QUARTER, 0),
        (-QUARTER / 2, 0),
        (-QUARTER - timedelta(minutes=2), 1),
        (2 * QUARTER + timedelta(minutes=3), 1),
        (timedelta(hours=2), 1),
    ):
        await stand(database, org_id, due_in)
        assert await count_unscheduled(database, await database.fetchval("SELECT now()")) == unscheduled, due_in


async def unscheduled_in(database: Database, later: timedelta) -> int:
    """The number of orgs that will be unscheduled at this later time if nothing happens until then."""
    return await count_unscheduled(database, await database.fetchval("SELECT now() + $1::interval", later))


async def test_an_org_is_counted_only_when_it_was_active_for_two_of_its_intervals_without_a_slot(
    database: Database, keyring: Keyring
) -> None:
    await added(database, keyring, entry("new", edition="enterprise"), entry("paused"))
    await database.execute("UPDATE orgs SET paused_at = now() WHERE name = 'paused'")
    for minutes, unscheduled in ((0, 0), (3, 0), (10, 0), (30, 0), (32, 1)):
        assert await unscheduled_in(database, timedelta(minutes=minutes)) == unscheduled, minutes


async def test_the_two_intervals_are_the_effective_intervals_of_the_org(database: Database, keyring: Keyring) -> None:
    await save_service_settings(database, PollPolicy(300, 0.1), await database.fetchval("SELECT now()"))
    await added(database, keyring, entry("fleet's", edition="enterprise"))
    assert [await unscheduled_in(database, timedelta(minutes=minutes)) for minutes in (10, 12)] == [0, 1]
    await database.execute("UPDATE orgs SET poll_interval_seconds = 3600")
    assert [await unscheduled_in(database, timedelta(minutes=minutes)) for minutes in (12, 120, 122)] == [0, 0, 1]
    # 500 credits a day pay for 50 polls: one in half an hour.
    await database.execute("UPDATE orgs SET poll_interval_seconds = NULL, edition = 'free'")
    assert [await unscheduled_in(database, timedelta(minutes=minutes)) for minutes in (12, 60, 62)] == [0, 0, 1]


async def test_the_two_intervals_of_a_resumed_org_start_when_it_was_resumed(
    database: Database, keyring: Keyring
) -> None:
    await added(database, keyring, entry("one", edition="enterprise"))
    await database.execute("UPDATE orgs SET created_at = now() - interval '1 year', resumed_at = now()")
    assert [await unscheduled_in(database, timedelta(minutes=minutes)) for minutes in (30, 32)] == [0, 1]


@pytest.mark.parametrize("due_in", [None, -timedelta(days=1)], ids=["never scheduled", "scheduled yesterday"])
async def test_an_org_polled_by_a_timer_of_the_operator_is_not_counted_as_without_slots(
    database: Database, keyring: Keyring, due_in: timedelta | None
) -> None:
    (org_id,) = await added(database, keyring, entry("one", edition="enterprise"))
    await database.execute("UPDATE orgs SET created_at = now() - interval '1 year'")
    if due_in is not None:
        await stand(database, org_id, due_in)
    assert await unscheduled_in(database, timedelta()) == 1
    now = await database.fetchval("SELECT now()")
    await write_snapshots(database, [Snapshot(org_id, now - QUARTER, now, Outcome.UNAVAILABLE, "timeout")])
    assert [await unscheduled_in(database, timedelta(minutes=minutes)) for minutes in (0, 30, 32)] == [0, 0, 1]
