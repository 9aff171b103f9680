"""The effects of maintenance tasks on the series of a fleet, and their reports."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.core.retention import Retention
from poller.store.series.partitions import list_partitions
from poller.store.series.rollups import roll_up
from poller.store.series.snapshots import write_snapshots
from poller.worker.maintenance import maintenance_tasks

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from poller.store.database import Database
    from tests.worker.conftest import Service

    OpenService = Callable[..., AbstractAsyncContextManager[Service]]

OCTOBER = datetime(2024, 10, 1, tzinfo=UTC)
NOVEMBER = datetime(2024, 11, 1, tzinfo=UTC)
THIRTEEN = Retention(months=13)
SECOND = timedelta(seconds=1)


def snapshot(slot: datetime) -> Snapshot:
    return Snapshot(1, slot, slot, Outcome.OK, counts=dict.fromkeys(USER_TYPES, 5))


async def history(database: Database) -> None:
    """Writes and rolls up the last slots of September, October and November 2024."""
    await database.execute("INSERT INTO orgs (name, data_center) VALUES ('acme', 'us')")
    await database.execute("UPDATE rollup_state SET rolled_until = '2024-09-30'")
    await write_snapshots(database, [snapshot(month - timedelta(minutes=15)) for month in (OCTOBER, NOVEMBER)])
    await write_snapshots(database, [snapshot(NOVEMBER)])
    await roll_up(database, datetime(2024, 12, 1, tzinfo=UTC).date())


async def retain(
    database: Database, now: datetime, snapshots: Retention | None = THIRTEEN, days: Retention | None = None
) -> str:
    """Runs retention as a service at `now` that has polled until then."""
    await database.execute("UPDATE latest_snapshots SET slot = $1", now)
    return await maintenance_tasks(snapshots=snapshots, days=days)["retention"].do(database, now)


async def months(database: Database) -> list[int]:
    return [month.since.month for month in await list_partitions(database)]


async def test_a_month_is_dropped_exactly_when_its_retention_has_passed(database: Database) -> None:
    await history(database)
    thirteen_months_after_october = datetime(2025, 12, 1, tzinfo=UTC)
    assert await retain(database, thirteen_months_after_october - SECOND) == "1 month dropped"
    assert await months(database) == [10, 11]
    assert await retain(database, thirteen_months_after_october) == "1 month dropped"
    assert await months(database) == [11]
    assert await retain(database, thirteen_months_after_october) == "0 months dropped"
    assert await database.fetchval("SELECT count(DISTINCT day) FROM daily_user_counts") == 3
    assert await database.fetchval("SELECT count(*) FROM latest_user_counts") == 10


async def test_with_the_retention_forever_no_month_is_dropped(database: Database) -> None:
    await history(database)
    assert await retain(database, datetime(2999, 1, 1, tzinfo=UTC), None) == "everything is kept"
    assert await months(database) == [9, 10, 11]


async def test_daily_counts_older_than_their_retention_are_deleted(database: Database) -> None:
    await history(database)
    now = datetime(2025, 12, 31, tzinfo=UTC)
    assert await retain(database, now, THIRTEEN) == "1 month dropped, 1 left for later"
    assert await retain(database, now, THIRTEEN, Retention(days=427)) == "1 month dropped, 1 day dropped"
    rows = await database.fetch("SELECT DISTINCT day FROM daily_user_counts ORDER BY day")
    assert [row[0].month for row in rows] == [10, 11]


async def test_a_month_kept_because_it_is_not_rolled_up_is_logged(database: Database) -> None:
    await history(database)
    await write_snapshots(database, [snapshot(OCTOBER)])
    now = datetime(2025, 12, 1, tzinfo=UTC)
    assert await retain(database, now) == "1 month dropped, 1 left for later"
    assert await retain(database, now) == "0 months dropped, 1 kept until they are rolled up"
    await roll_up(database, now.date())
    assert await retain(database, now) == "1 month dropped"


async def test_late_snapshots_dropped_with_their_month_are_logged(database: Database) -> None:
    await history(database)
    now = datetime(2025, 11, 2, tzinfo=UTC)
    await retain(database, now)
    await write_snapshots(database, [snapshot(OCTOBER - timedelta(minutes=30))])
    assert await retain(database, now) == "1 month dropped, with 1 day of orgs that had come too late to be counted"


async def test_retention_is_measured_from_the_newest_known_counts_and_not_from_the_clock(database: Database) -> None:
    await history(database)
    years_later = datetime(2027, 6, 1, tzinfo=UTC)
    do = maintenance_tasks(snapshots=THIRTEEN, days=Retention(days=30))["retention"].do
    assert await do(database, years_later) == "0 months dropped, 0 days dropped"
    assert await months(database) == [9, 10, 11]


async def test_a_row_dated_in_the_future_does_not_affect_retention(database: Database) -> None:
    await history(database)
    await database.execute("UPDATE latest_snapshots SET slot = now() + interval '2 years'")
    do = maintenance_tasks(snapshots=THIRTEEN, days=None)["retention"].do
    assert await do(database, datetime.now(UTC) + timedelta(days=730)) == "nothing dropped: no count is known yet"
    assert await months(database) == [9, 10, 11]


async def test_after_a_year_without_a_poller_retention_drops_one_month_per_run(database: Database) -> None:
    await database.execute("INSERT INTO orgs (name, data_center) VALUES ('acme', 'us')")
    await database.execute("UPDATE rollup_state SET rolled_until = '2023-01-01'")
    starts = [datetime(2023, month, 1, tzinfo=UTC) for month in range(1, 13)]
    await write_snapshots(database, [snapshot(month) for month in starts])
    await roll_up(database, datetime(2024, 2, 1, tzinfo=UTC).date())
    now = datetime(2025, 6, 1, tzinfo=UTC)
    for run in range(12):
        assert len(await months(database)) == 12 - run
        await retain(database, now)
    assert await months(database) == []


async def test_unpolled_slots_are_recorded_as_missed_as_far_back_as_snapshots_are_kept(
    service: OpenService,
) -> None:
    async with service(orgs=1, interval=3_600, snapshot_retention=Retention(days=2)) as mine:
        database = mine.app.database
        async with mine.worker():
            await mine.until("SELECT count(*) = 1 FROM org_schedules")
        # As if no worker had run for four days before.
        await database.execute(
            "UPDATE org_schedules SET slot = slot - interval '4 days', due_at = due_at - interval '4 days',"
            " newest_slot = slot - interval '4 days', newest_at = due_at - interval '4 days'"
        )
        async with mine.worker():
            await mine.until("SELECT count(*) > 0 FROM org_snapshots WHERE outcome = 'missed'")
            await mine.until("SELECT count(*) = 0 FROM pgqueuer WHERE entrypoint = 'explain'")
        missed = [row["slot"] for row in await mine.rows() if row["outcome"] == "missed"]
        assert timedelta(hours=47) < datetime.now(UTC) - min(missed) <= timedelta(days=2, minutes=1)


async def test_an_open_transaction_of_a_reader_delays_retention_and_is_named_as_the_cause(
    service: OpenService,
) -> None:
    async with service(orgs=1, interval=3_600, snapshot_retention=THIRTEEN) as mine:
        database = mine.app.database
        await history(database)
        await database.execute("UPDATE latest_snapshots SET slot = now()")
        with structlog.testing.capture_logs() as logs:
            async with database.transaction() as reader:
                pid = await reader.fetchval("SELECT pg_backend_pid() FROM org_snapshots")
                async with mine.worker() as worker:
                    await mine.until("SELECT error IS NOT NULL FROM chores WHERE name = 'retention'")
                    assert worker.not_ready_reason() is None
                    # Others are done beside it.
                    await mine.until("SELECT count(*) > 3 FROM chores WHERE done_at IS NOT NULL")
        error = await database.fetchval("SELECT error FROM chores WHERE name = 'retention'")
        assert f"org_snapshots_2024_09 cannot be dropped: process {pid} of role poller" in error
        events = [entry["event"] for entry in logs]
        assert "database.away" not in events
        assert events.count("maintenance.locked") == 1
        await retain(database, datetime.now(UTC))
        assert 9 not in await months(database)
