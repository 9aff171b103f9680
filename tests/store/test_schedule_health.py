from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from poller.store.schedule_health import count_unscheduled
from tests.store.fleet import added, entry

if TYPE_CHECKING:
    from poller.store.database import Database
    from poller.store.secrets import Keyring

QUARTER = timedelta(minutes=15)


async def stand(database: Database, org_id: int, due_in: timedelta) -> None:
    """Let the org's next slot be due so much later than now."""
    await database.execute(
        """
        INSERT INTO org_schedules (org_id, slot, interval_seconds, due_at) VALUES ($1, now() + $2, 900, now() + $2)
        ON CONFLICT (org_id) DO UPDATE SET slot = excluded.slot, due_at = excluded.due_at
        """,
        org_id,
        due_in,
    )


async def test_orgs_without_a_slot_for_two_intervals_are_counted_whether_none_came_or_none_will(
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


async def test_an_org_that_was_added_a_moment_ago_or_is_paused_is_not_counted(
    database: Database, keyring: Keyring
) -> None:
    await added(database, keyring, entry("new"), entry("paused"))
    await database.execute("UPDATE orgs SET paused_at = now() WHERE name = 'paused'")
    assert await count_unscheduled(database, await database.fetchval("SELECT now()")) == 0
    assert await count_unscheduled(database, await database.fetchval("SELECT now() + interval '3 minutes'")) == 1
