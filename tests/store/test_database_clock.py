from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from poller.core.errors import ClockError
from poller.core.model import Outcome, Snapshot
from poller.core.schedule import advance
from poller.store.database_clock import DatabaseClock
from poller.store.queue.schedules import enqueue_due_slots
from poller.store.series.snapshots import write_snapshots
from tests.store.fleet import added, entry

if TYPE_CHECKING:
    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Machine:
    """A machine whose two clocks the test sets."""

    def __init__(self) -> None:
        self.steady = 50.0
        self.wall = NOON.timestamp()
        self.clock = DatabaseClock(monotonic=lambda: self.steady, wall=lambda: self.wall)

    def passes(self, seconds: float) -> None:
        self.steady += seconds
        self.wall += seconds

    async def reads(self, theirs: datetime) -> float:
        async def clock_timestamp() -> datetime:
            await asyncio.sleep(0)
            return theirs

        return await self.clock.read(clock_timestamp)


async def test_the_database_time_follows_the_monotonic_clock_and_ignores_jumps_of_the_wall_clock() -> None:
    machine = Machine()
    await machine.reads(NOON)
    machine.passes(3.0)
    machine.wall += 7_200.0
    assert machine.clock.now() == NOON + timedelta(seconds=3)
    assert machine.clock.machine_wrong_seconds == 7_200.0
    machine.wall -= 7_198.0
    assert machine.clock.machine_wrong_seconds == 0.0


async def test_after_a_suspend_the_next_reading_corrects_the_database_time() -> None:
    machine = Machine()
    await machine.reads(NOON)
    machine.wall += 3_600.0  # the monotonic clock does not advance
    assert machine.clock.machine_wrong_seconds == 3_600.0
    assert await machine.reads(NOON + timedelta(hours=1)) == 3_600.0
    assert machine.clock.machine_wrong_seconds == 0.0
    assert machine.clock.now() == NOON + timedelta(hours=1)


async def test_a_newly_opened_database_knows_the_time_of_postgresql(database: Database) -> None:
    before = await database.fetchval("SELECT clock_timestamp()")
    known = database.clock.now()
    after = await database.fetchval("SELECT clock_timestamp()")
    doubt = timedelta(seconds=database.clock.doubt_seconds)
    assert before - doubt <= known <= after + doubt
    assert database.clock.machine_wrong_seconds == 0.0


@pytest.mark.parametrize("new", [True, False])
async def test_a_batch_with_a_row_in_the_future_is_refused_completely(database: Database, *, new: bool) -> None:
    now = await database.fetchval("SELECT now()")
    past = Snapshot(1, now - MINUTE, now, Outcome.THROTTLED, "held")
    for future in (
        Snapshot(1, now + MINUTE, None, Outcome.MISSED, "not_running"),
        Snapshot(2, now - MINUTE, now + timedelta(hours=2), Outcome.THROTTLED, "held"),
    ):
        with pytest.raises(ClockError, match="lies in the future of PostgreSQL's clock"):
            await write_snapshots(database, [past, future], new=new)
    assert await database.fetchval("SELECT count(*) FROM org_snapshots") == 0
    await write_snapshots(database, [past], new=new)


async def test_no_slots_are_enqueued_by_a_clock_that_is_fast(database: Database, keyring: Keyring) -> None:
    await added(database, keyring, entry("one"))
    now = await database.fetchval("SELECT now()")
    with pytest.raises(ClockError, match="when PostgreSQL's clock said"):
        await enqueue_due_slots(
            database,
            lambda org, cursor, at: advance(org.id, 60, cursor, at, MINUTE),
            now + timedelta(hours=2),
            MINUTE,
            interval_seconds=60,
        )
    assert await database.fetchval("SELECT count(*) FROM pgqueuer") == 0
    assert await database.fetchval("SELECT count(*) FROM org_schedules") == 0


async def test_cursors_advanced_by_a_wrong_clock_are_reset_and_no_slot_between_is_lost(
    database: Database, keyring: Keyring
) -> None:
    (org_id,) = await added(database, keyring, entry("one"))
    now = await database.fetchval("SELECT now()")

    async def handed_out_at(moment: datetime) -> list[str]:
        await enqueue_due_slots(
            database,
            lambda org, cursor, at: advance(org.id, 60, cursor, at, MINUTE),
            moment,
            MINUTE,
            interval_seconds=60,
            changed_since=moment,
        )
        rows = await database.fetch("SELECT dedupe_key FROM pgqueuer WHERE entrypoint = 'poll' ORDER BY 1")
        return [row["dedupe_key"] for row in rows]

    before = await handed_out_at(now - 2 * MINUTE)
    await database.execute(
        """
        UPDATE org_schedules SET slot = slot + interval '2 hours', due_at = due_at + interval '2 hours',
            newest_slot = newest_slot + interval '2 hours', newest_at = newest_at + interval '2 hours'
        """
    )
    keys = await handed_out_at(now)
    slots = sorted({datetime.fromisoformat(key.partition(":")[2]) for key in keys})
    assert set(before) <= set(keys)
    assert slots == [slots[0] + number * MINUTE for number in range(len(slots))]
    cursor = await database.fetchval("SELECT due_at FROM org_schedules WHERE org_id = $1", org_id)
    assert now < cursor <= now + 2 * MINUTE
