"""The days agree with the slots they are made of at every moment, rolled up or not, whatever was written when."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings, strategies as st

from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.store import rollups
from poller.store.partitions import drop_partitions
from poller.store.rollups import RollupState, roll_up, rollup_state
from poller.store.snapshots import write_snapshots
from tests.store.series import MANY, daily_of, forget_everything, rows_of, shown_daily, snapshots

if TYPE_CHECKING:
    from poller.store.database import Database

FIRST_DAY = date(2026, 11, 29)
# The ends of four days, one of them also of a month.
SLOTS = [
    datetime(2026, 11, 29, 12, tzinfo=UTC) + timedelta(days=day, hours=hours)
    for day in range(4)
    for hours in (0, 11, 12)
]
BATCHES = st.lists(snapshots(SLOTS), max_size=10)
STEPS = st.one_of(
    BATCHES,
    st.integers(0, 5).map(lambda days: ("roll up", FIRST_DAY + timedelta(days=days))),
    st.integers(0, 5).map(lambda days: ("die after moving the line", FIRST_DAY + timedelta(days=days))),
    st.just(("die after a part", None)),
)


@pytest.fixture
async def early(database: Database) -> Database:
    """A database whose rollups begin before the days of these tests."""
    await draw_line(database)
    return database


async def draw_line(database: Database) -> None:
    await database.execute("UPDATE rollup_state SET rolled_until = $1, raw_since = '-infinity'", FIRST_DAY)


@MANY
@given(st.lists(STEPS, max_size=10))
async def test_the_days_agree_with_the_rows_after_every_step(database: Database, steps: list[Any]) -> None:
    await forget_everything(database)
    await draw_line(database)
    for step in steps:
        match step:
            case list():
                await write_snapshots(database, step)
            case ("roll up", until):
                await roll_up(database, until)
            case ("die after moving the line", until):
                await rollups._move_line(database, until)
            case _:
                await rollups._clean(database, 2)
        assert await shown_daily(database) == daily_of(await rows_of(database))
    await roll_up(database, FIRST_DAY + timedelta(days=5))
    assert (await rollup_state(database)).dirty == 0
    stored = await database.fetchval("SELECT count(*) FROM daily_counts")
    assert stored == len(await shown_daily(database)) == len(daily_of(await rows_of(database)))


@settings(MANY, max_examples=20)
@given(st.lists(st.lists(snapshots(SLOTS), min_size=1, max_size=8), min_size=2, max_size=8))
async def test_whoever_reads_while_others_write_and_roll_up_sees_the_days_agree_with_the_rows(
    database: Database, batches: list[list[Snapshot]]
) -> None:
    await forget_everything(database)
    await draw_line(database)
    async with asyncio.TaskGroup() as group:
        work: list[asyncio.Task[Any]] = [group.create_task(write_snapshots(database, batch)) for batch in batches]
        work += [group.create_task(roll_up(database, FIRST_DAY + timedelta(days=days))) for days in (2, 5)]
        while not all(task.done() for task in work):
            async with database.connection() as reader, reader.transaction(isolation="repeatable_read", readonly=True):
                assert await shown_daily(reader) == daily_of(await rows_of(reader))
    assert await shown_daily(database) == daily_of(await rows_of(database))


def ok(slot: datetime, count: int = 5, org_id: int = 1) -> Snapshot:
    return Snapshot(org_id, slot, slot, Outcome.OK, counts=dict.fromkeys(USER_TYPES, count))


async def test_a_poll_of_a_day_not_over_yet_leaves_no_work_behind(early: Database) -> None:
    await write_snapshots(early, [ok(slot) for slot in SLOTS])
    assert await rollup_state(early) == RollupState(FIRST_DAY, 0)


async def test_a_late_row_opens_its_day_alone(early: Database) -> None:
    await write_snapshots(early, [ok(slot, org_id=org_id) for slot in SLOTS for org_id in (1, 2)])
    assert await roll_up(early, FIRST_DAY + timedelta(days=3)) == 6
    await write_snapshots(early, [ok(SLOTS[1] + timedelta(minutes=15), count=9)])
    assert await rollup_state(early) == RollupState(FIRST_DAY + timedelta(days=3), 1)
    assert await early.fetchval("SELECT count(*) FROM daily_counts") == 50
    assert await roll_up(early, FIRST_DAY) == 1
    found = await early.fetchrow("SELECT last, samples FROM daily_user_counts WHERE org_id = 1 AND day = $1", FIRST_DAY)
    assert found is not None
    assert tuple(found) == (9, 3)


async def test_the_line_never_goes_back(early: Database) -> None:
    await roll_up(early, FIRST_DAY + timedelta(days=3))
    await roll_up(early, FIRST_DAY)
    assert (await rollup_state(early)).rolled_until == FIRST_DAY + timedelta(days=3)


async def test_days_outlive_the_snapshots_they_were_made_of(early: Database) -> None:
    await write_snapshots(early, [ok(slot, count) for count, slot in enumerate(SLOTS)])
    await roll_up(early, FIRST_DAY + timedelta(days=5))
    before = await shown_daily(early)
    assert await drop_partitions(early, datetime(2026, 12, 1, tzinfo=UTC)) == ["org_snapshots_2026_11"]
    assert await shown_daily(early) == before


async def test_a_row_that_comes_after_its_month_was_dropped_takes_nothing_from_what_is_kept(early: Database) -> None:
    await write_snapshots(early, [ok(slot, count) for count, slot in enumerate(SLOTS)])
    await roll_up(early, FIRST_DAY + timedelta(days=5))
    before = await shown_daily(early)
    await drop_partitions(early, datetime(2026, 12, 1, tzinfo=UTC))
    await write_snapshots(early, [ok(SLOTS[0])])
    assert await shown_daily(early) == before


async def test_an_org_is_back_filled_into_months_that_were_dropped_for_others(early: Database) -> None:
    await write_snapshots(early, [ok(slot) for slot in SLOTS])
    await roll_up(early, FIRST_DAY + timedelta(days=5))
    await drop_partitions(early, datetime(2026, 12, 1, tzinfo=UTC))
    await write_snapshots(early, [ok(slot, 7, org_id=2) for slot in SLOTS[:2]])
    await roll_up(early, FIRST_DAY + timedelta(days=5))
    found = await early.fetch("SELECT DISTINCT last, samples FROM daily_user_counts WHERE org_id = 2")
    assert [tuple(row) for row in found] == [(7, 2)]


async def test_the_reader_reads_the_days(early: Database) -> None:
    await write_snapshots(early, [ok(SLOTS[0])])
    async with early.transaction() as connection:
        await connection.execute("SET LOCAL ROLE poller_reader")
        assert len(await connection.fetch("SELECT * FROM daily_user_counts")) == 10
