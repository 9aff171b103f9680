from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from poller.core.errors import LockedError
from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.store.series.partitions import (
    MOST_AT_ONCE,
    drop_partitions,
    ensure_partitions,
    list_partitions,
    month_after,
    month_of,
    partition_name,
)
from poller.store.series.rollups import roll_up
from tests.store.series.history import write_snapshots
from tests.worker.waiting import eventually

if TYPE_CHECKING:
    from poller.store.database import Database

NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
FEBRUARY = datetime(2027, 2, 1, tzinfo=UTC)
NAMES = ["org_snapshots_2026_11", "org_snapshots_2026_12", "org_snapshots_2027_01", "org_snapshots_2027_02"]


def snapshot(slot: datetime) -> Snapshot:
    return Snapshot(1, slot, slot, Outcome.OK, counts=dict.fromkeys(USER_TYPES, 5))


async def names(database: Database) -> list[str]:
    return [partition.name for partition in await list_partitions(database)]


@given(st.datetimes(datetime(2000, 1, 1), datetime(2999, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_every_time_belongs_to_exactly_one_month(at: datetime) -> None:
    month = month_of(at)
    assert month <= at < month_after(month)
    assert month_of(month) == month
    assert partition_name(month) == f"org_snapshots_{at:%Y_%m}"


def test_months_are_those_of_utc() -> None:
    assert month_of(datetime(2026, 12, 1, 1, tzinfo=timezone(timedelta(hours=2)))) == NOVEMBER


async def test_coming_months_are_created_once(database: Database) -> None:
    assert await ensure_partitions(database, NOVEMBER + timedelta(days=22), FEBRUARY) == NAMES
    assert await ensure_partitions(database, NOVEMBER, FEBRUARY) == []
    assert [partition.since for partition in await list_partitions(database)][::3] == [NOVEMBER, FEBRUARY]


async def test_many_missing_months_are_created_in_bounded_steps(database: Database) -> None:
    until = NOVEMBER + timedelta(days=30.5 * (MOST_AT_ONCE + 5))
    assert len(await ensure_partitions(database, NOVEMBER, until)) == MOST_AT_ONCE
    assert 4 <= len(await ensure_partitions(database, NOVEMBER, until)) <= 6
    assert await ensure_partitions(database, NOVEMBER, until) == []


async def test_processes_that_create_the_same_months_do_not_block_each_other(database: Database) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(ensure_partitions(database, NOVEMBER, FEBRUARY)) for _ in range(6)]
    assert sorted(name for task in tasks for name in task.result()) == NAMES


async def test_a_new_month_has_the_keys_and_constraints_of_the_table(database: Database) -> None:
    await ensure_partitions(database, NOVEMBER, FEBRUARY)
    kinds = await database.fetch(
        "SELECT conrelid::regclass::text AS month, string_agg(contype::text, '' ORDER BY contype) AS kinds"
        " FROM pg_constraint WHERE contype IN ('c', 'p') AND conrelid::regclass::text = ANY ($1) GROUP BY 1 ORDER BY 1",
        NAMES,
    )
    assert [tuple(row) for row in kinds] == [(name, "ccp") for name in NAMES]


async def test_a_month_is_created_during_concurrent_reads_and_writes(database: Database) -> None:
    await write_snapshots(database, [snapshot(NOVEMBER)])
    async with database.transaction() as busy:
        await busy.fetch("SELECT * FROM org_snapshots")
        await busy.execute("UPDATE org_snapshots SET requests = 1")
        async with asyncio.timeout(60):
            assert await ensure_partitions(database, FEBRUARY, FEBRUARY) == NAMES[3:]


async def test_only_months_past_their_retention_are_dropped(database: Database) -> None:
    await write_snapshots(database, [snapshot(NOVEMBER + timedelta(days=31 * month)) for month in range(4)])
    await roll_up(database, FEBRUARY.date())
    assert await drop_partitions(database, datetime(2027, 1, 31, 23, tzinfo=UTC)) == NAMES[:2]
    assert await names(database) == NAMES[2:]
    assert await database.fetchval("SELECT count(*) FROM org_snapshots") == 2
    assert await drop_partitions(database, datetime(2027, 1, 31, 23, tzinfo=UTC)) == []


async def test_a_month_that_is_not_rolled_up_yet_is_kept(database: Database) -> None:
    await database.execute("UPDATE rollup_state SET rolled_until = $1", NOVEMBER.date())
    await write_snapshots(database, [snapshot(NOVEMBER)])
    await roll_up(database, NOVEMBER.date() + timedelta(days=29))
    assert await drop_partitions(database, FEBRUARY) == []
    await roll_up(database, FEBRUARY.date())
    await write_snapshots(database, [snapshot(NOVEMBER + timedelta(days=1))])
    assert await drop_partitions(database, FEBRUARY) == []
    await roll_up(database, FEBRUARY.date())
    assert await drop_partitions(database, FEBRUARY) == NAMES[:1]


async def test_no_month_is_dropped_before_an_older_one(database: Database) -> None:
    await write_snapshots(database, [snapshot(NOVEMBER), snapshot(NOVEMBER + timedelta(days=31))])
    await roll_up(database, FEBRUARY.date())
    await write_snapshots(database, [snapshot(NOVEMBER + timedelta(days=1))])
    assert await drop_partitions(database, FEBRUARY) == []
    await roll_up(database, FEBRUARY.date())
    assert await drop_partitions(database, FEBRUARY) == NAMES[:2]


async def test_a_row_for_a_dropped_month_creates_the_month_again(database: Database) -> None:
    await write_snapshots(database, [snapshot(NOVEMBER)])
    await roll_up(database, FEBRUARY.date())
    assert await drop_partitions(database, FEBRUARY) == NAMES[:1]
    await write_snapshots(database, [snapshot(NOVEMBER)])
    assert await names(database) == NAMES[:1]


async def test_an_unfinished_drop_is_finished_by_the_next_one(database: Database) -> None:
    await write_snapshots(database, [snapshot(NOVEMBER)])
    await roll_up(database, FEBRUARY.date())
    await database.execute("ALTER TABLE org_snapshots DETACH PARTITION org_snapshots_2026_11")
    assert await drop_partitions(database, FEBRUARY) == NAMES[:1]
    assert await database.fetchval("SELECT to_regclass('org_snapshots_2026_11')") is None


async def half_dropped(database: Database) -> None:
    """November is rolled up; its drop was cancelled while waiting for a reader."""
    await write_snapshots(database, [snapshot(NOVEMBER)])
    await roll_up(database, FEBRUARY.date())
    async with database.transaction() as reader:
        await reader.fetch("SELECT * FROM org_snapshots")
        dropping = asyncio.ensure_future(drop_partitions(database, FEBRUARY))
        await eventually(lambda: database.fetchval("SELECT bool_or(inhdetachpending) FROM pg_inherits"))
        dropping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dropping


async def test_a_month_half_dropped_by_a_dead_process_is_dropped_by_the_next(database: Database) -> None:
    await half_dropped(database)
    assert await drop_partitions(database, FEBRUARY) == NAMES[:1]
    assert await database.fetchval("SELECT to_regclass('org_snapshots_2026_11')") is None


async def test_a_row_for_a_half_dropped_month_restores_the_month(database: Database) -> None:
    await half_dropped(database)
    await write_snapshots(database, [snapshot(NOVEMBER + timedelta(hours=1))])
    assert await names(database) == NAMES[:1]
    assert await database.fetchval("SELECT count(*) FROM org_snapshots") == 2


async def test_a_detached_month_is_attached_again_with_its_rows_when_a_row_for_it_arrives(
    database: Database,
) -> None:
    await write_snapshots(database, [snapshot(NOVEMBER)])
    await database.execute("ALTER TABLE org_snapshots DETACH PARTITION org_snapshots_2026_11")
    await write_snapshots(database, [snapshot(NOVEMBER + timedelta(hours=1))])
    assert await database.fetchval("SELECT count(*) FROM org_snapshots") == 2


async def test_a_table_with_another_name_is_not_treated_as_a_month(database: Database) -> None:
    await database.execute("CREATE TABLE org_snapshots_2026_copy (slot timestamptz)")
    assert await drop_partitions(database, FEBRUARY) == []
    assert await database.fetchval("SELECT to_regclass('org_snapshots_2026_copy')::text") is not None


async def test_a_month_in_use_by_a_reader_is_dropped_later_and_the_reader_is_named(database: Database) -> None:
    await write_snapshots(database, [snapshot(NOVEMBER)])
    await roll_up(database, FEBRUARY.date())
    async with database.transaction() as reader:
        pid = await reader.fetchval("SELECT pg_backend_pid() FROM org_snapshots")
        with pytest.raises(LockedError, match=rf"{NAMES[0]} cannot be dropped: process {pid} of role poller.* holds"):
            await drop_partitions(database, FEBRUARY)
        # By then it is half detached, and the next call finds it so.
        with pytest.raises(LockedError, match=f"{NAMES[0]} cannot be dropped: process {pid} of role poller"):
            await drop_partitions(database, FEBRUARY)
    assert await drop_partitions(database, FEBRUARY) == NAMES[:1]


async def test_a_new_month_is_created_at_once_while_the_drop_of_an_old_one_waits_for_a_reader(
    database: Database,
) -> None:
    await write_snapshots(database, [snapshot(NOVEMBER)])
    await roll_up(database, FEBRUARY.date())
    async with database.transaction() as reader:
        await reader.fetch("SELECT * FROM org_snapshots")
        dropping = asyncio.ensure_future(drop_partitions(database, FEBRUARY))
        await eventually(lambda: database.fetchval("SELECT bool_or(inhdetachpending) FROM pg_inherits"))
        async with asyncio.timeout(60):
            await write_snapshots(database, [snapshot(FEBRUARY)])
        assert not dropping.done()
    assert await dropping == NAMES[:1]


async def test_two_processes_drop_each_month_once(database: Database) -> None:
    await write_snapshots(database, [snapshot(NOVEMBER + timedelta(days=31 * month)) for month in range(3)])
    await roll_up(database, FEBRUARY.date())
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(drop_partitions(database, FEBRUARY)) for _ in range(2)]
    assert {name for task in tasks for name in task.result()} == set(NAMES[:3])
    assert await names(database) == []
