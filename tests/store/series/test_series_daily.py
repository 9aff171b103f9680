"""Daily counts agree with their snapshots at any time, rolled up or not, after writes in any order."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from hypothesis import given, settings, strategies as st

from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.store.series import rollups
from poller.store.series.partitions import drop_partitions
from poller.store.series.retention import drop_daily_counts, late_days
from poller.store.series.rollups import roll_up
from tests.store.series.history import (
    MANY,
    daily_of,
    fleet_of,
    forget_everything,
    rows_of,
    shown_daily,
    shown_fleet,
    snapshots,
    write_snapshots,
)
from tests.store.series.read_back import RollupState, rollup_state

if TYPE_CHECKING:
    from poller.store.database import Database

# Finished days, today, tomorrow, and later: on any date the tests have every kind of day.
TODAY = datetime.now(UTC).date()
FIRST_DAY = TODAY - timedelta(days=2)
SLOTS = [
    datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC) + timedelta(days=day, hours=hour)
    for day in range(-2, 4)
    for hour in (0, 12, 23)
]
# Days of a test about whole months, which must not change with the date.
NOVEMBER = [datetime(2098, 11, 29, 12, tzinfo=UTC) + timedelta(hours=12 * n) for n in range(8)]
BATCHES = st.lists(snapshots(SLOTS), max_size=10)
STEPS = st.one_of(
    BATCHES,
    st.integers(0, 7).map(lambda days: ("roll up", FIRST_DAY + timedelta(days=days))),
    st.integers(0, 7).map(lambda days: ("die after moving the line", FIRST_DAY + timedelta(days=days))),
    st.just(("die after a part", None)),
)


@pytest.fixture
async def early(database: Database) -> Database:
    """A database whose rollups start before the days of these tests."""
    await draw_line(database)
    return database


async def draw_line(database: Database, day: date = FIRST_DAY, orgs: int = 3) -> None:
    """Creates the orgs; rollups begin at `day`."""
    await database.execute("UPDATE rollup_state SET rolled_until = $1, raw_since = '-infinity'", day)
    await database.execute(
        "INSERT INTO orgs (id, name, data_center) OVERRIDING SYSTEM VALUE"
        " SELECT id, 'org ' || id, 'us' FROM generate_series(1, $1::integer) AS id ON CONFLICT DO NOTHING",
        orgs,
    )


async def agree(database: Any) -> None:
    daily = daily_of(await rows_of(database))
    assert await shown_daily(database) == daily
    assert await shown_fleet(database) == fleet_of(daily)


@MANY
@given(st.lists(STEPS, max_size=10))
async def test_daily_counts_agree_with_the_snapshots_after_every_step(database: Database, steps: list[Any]) -> None:
    await forget_everything(database)
    await draw_line(database)
    for step in steps:
        match step:
            case list():
                await write_snapshots(database, step, new=len(step) % 2 == 1)
            case ("roll up", until):
                await roll_up(database, until)
            case ("die after moving the line", until):
                await rollups._advance_watermark(database, until)
            case _:
                await rollups._roll_up_dirty(database, 2)
        await agree(database)
    await roll_up(database, FIRST_DAY + timedelta(days=7))
    assert (await rollup_state(database)).dirty == 0
    stored = await database.fetchval("SELECT count(*) FROM daily_counts")
    assert stored == len(await shown_daily(database)) == len(daily_of(await rows_of(database)))


@settings(MANY, max_examples=20)
@given(st.lists(st.lists(snapshots(SLOTS), min_size=1, max_size=8), min_size=2, max_size=8))
async def test_readers_see_daily_counts_agree_with_snapshots_during_writes_and_rollups(
    database: Database, batches: list[list[Snapshot]]
) -> None:
    await forget_everything(database)
    await draw_line(database)
    async with asyncio.TaskGroup() as group:
        work: list[asyncio.Task[Any]] = [
            group.create_task(write_snapshots(database, batch, new=len(batch) % 2 == 1)) for batch in batches
        ]
        work += [group.create_task(roll_up(database, FIRST_DAY + timedelta(days=days))) for days in (1, 3, 6)]
        while not all(task.done() for task in work):
            async with database.connection() as reader, reader.transaction(isolation="repeatable_read", readonly=True):
                await agree(reader)
    await agree(database)


def ok(slot: datetime, count: int = 5, org_id: int = 1) -> Snapshot:
    return Snapshot(org_id, slot, slot, Outcome.OK, counts=dict.fromkeys(USER_TYPES, count))


async def test_a_poll_of_the_current_day_marks_no_day_dirty(early: Database) -> None:
    await write_snapshots(early, [ok(slot) for slot in SLOTS if slot.date() <= TODAY])
    assert await early.fetchval("SELECT count(*) FROM dirty_days") == 0


async def test_a_late_row_marks_only_its_own_day_dirty(early: Database) -> None:
    await write_snapshots(early, [ok(slot, org_id=org_id) for slot in SLOTS[:9] for org_id in (1, 2)])
    assert await roll_up(early, TODAY) == 4
    await write_snapshots(early, [ok(SLOTS[2] + timedelta(minutes=15), count=9)])
    assert await rollup_state(early) == RollupState(TODAY, 1)
    assert await early.fetchval("SELECT count(*) FROM daily_counts") == 30
    assert await roll_up(early, FIRST_DAY) == 1
    found = await early.fetchrow("SELECT last, samples FROM daily_user_counts WHERE org_id = 1 AND day = $1", FIRST_DAY)
    assert found is not None
    assert tuple(found) == (9, 4)


async def test_the_watermark_never_goes_back(early: Database) -> None:
    await roll_up(early, TODAY)
    await roll_up(early, FIRST_DAY)
    assert (await rollup_state(early)).rolled_until == TODAY


async def test_daily_counts_have_the_types_and_names_of_their_snapshots(early: Database) -> None:
    counts = {kind: place for place, kind in enumerate(USER_TYPES)}
    await write_snapshots(early, [Snapshot(1, slot, slot, Outcome.OK, counts=counts) for slot in (SLOTS[0], SLOTS[6])])
    await roll_up(early, TODAY)
    for day in (FIRST_DAY, TODAY):
        rows = await early.fetch("SELECT org, user_type, last FROM daily_user_counts WHERE day = $1 ORDER BY last", day)
        assert [tuple(row) for row in rows] == [("org 1", kind.value, place) for kind, place in counts.items()]


@pytest.fixture
async def november(database: Database) -> Database:
    """A database with one month rolled up and dropped, and the next month rolled up."""
    await draw_line(database, NOVEMBER[0].date())
    await write_snapshots(database, [ok(slot, count) for count, slot in enumerate(NOVEMBER)])
    await roll_up(database, date(2098, 12, 9))
    before = await shown_daily(database)
    assert await drop_partitions(database, datetime(2098, 12, 1, tzinfo=UTC)) == ["org_snapshots_2098_11"]
    assert await shown_daily(database) == before
    return database


async def test_daily_counts_remain_after_their_snapshots_are_dropped(november: Database) -> None:
    rows = await november.fetch(
        "SELECT day, first, last FROM daily_user_counts WHERE user_type = 'AllUsers' ORDER BY 1"
    )
    assert [tuple(row) for row in rows] == [
        (date(2098, 11, 29), 0, 0),
        (date(2098, 11, 30), 1, 2),
        (date(2098, 12, 1), 3, 4),
        (date(2098, 12, 2), 5, 6),
        (date(2098, 12, 3), 7, 7),
    ]


async def test_a_row_written_after_its_month_was_dropped_changes_no_closed_daily_count(november: Database) -> None:
    before = await shown_daily(november)
    await write_snapshots(november, [ok(NOVEMBER[0], 99)])
    await roll_up(november, date(2098, 12, 9))
    assert await shown_daily(november) == before


async def test_a_row_of_a_closed_day_is_stored_and_reported(november: Database) -> None:
    with structlog.testing.capture_logs() as logged:
        await write_snapshots(
            november, [ok(NOVEMBER[0], 99), ok(NOVEMBER[0] + timedelta(hours=1), 98), ok(NOVEMBER[5])]
        )
    assert logged == [{"event": "snapshots.late", "log_level": "warning", "days": 1, "org_id": 1, "day": "2098-11-29"}]
    assert await november.fetchval("SELECT count(*) FROM org_snapshots WHERE slot < '2098-12-01'") == 2
    assert await late_days(november) == 1
    await drop_partitions(november, datetime(2098, 12, 1, tzinfo=UTC))
    assert await late_days(november) == 0


async def test_a_new_org_can_be_back_filled_into_months_already_dropped(november: Database) -> None:
    await write_snapshots(november, [ok(slot, 7, org_id=2) for slot in NOVEMBER[1:3]])
    await roll_up(november, date(2098, 12, 9))
    rows = await november.fetch("SELECT DISTINCT day, last, samples FROM daily_user_counts WHERE org_id = 2")
    assert [tuple(row) for row in rows] == [(date(2098, 11, 30), 7, 2)]


async def test_a_back_fill_into_dropped_months_can_be_written_in_parts(november: Database) -> None:
    """And be rolled up between them, and corrected; once the month is dropped again it is over."""
    slots = NOVEMBER[1:3]
    for counts in ((7, None), (7, 8), (7, 9)):
        await write_snapshots(
            november, [ok(slot, n, 2) for slot, n in zip(slots, counts, strict=True) if n is not None]
        )
        assert await last_of(november, 2) == (counts[1] or counts[0])
        await roll_up(november, date(2098, 12, 9))
        assert await last_of(november, 2) == (counts[1] or counts[0])
    assert await drop_partitions(november, datetime(2098, 12, 1, tzinfo=UTC)) == ["org_snapshots_2098_11"]
    await write_snapshots(november, [ok(slots[1], 10, 2)])
    await roll_up(november, date(2098, 12, 9))
    assert await last_of(november, 2) == 9


async def last_of(database: Database, org_id: int) -> int:
    query = "SELECT last FROM daily_user_counts WHERE org_id = $1 AND day = '2098-11-30' AND user_type = 'AllUsers'"
    last: int = await database.fetchval(query, org_id)
    return last


async def test_daily_counts_are_deleted_after_their_retention_but_not_before_their_snapshots(
    november: Database,
) -> None:
    await write_snapshots(november, [ok(NOVEMBER[2], 7, org_id=2)])
    await roll_up(november, date(2098, 12, 9))
    assert await drop_daily_counts(november, date(2098, 12, 3)) == 2
    left = await november.fetch("SELECT DISTINCT org_id, day FROM daily_counts ORDER BY 1, 2")
    december = [(1, date(2098, 12, day)) for day in (1, 2, 3)]
    assert [tuple(row) for row in left] == [*december, (2, date(2098, 11, 30))]
    await drop_partitions(november, datetime(2098, 12, 1, tzinfo=UTC))
    assert await drop_daily_counts(november, date(2098, 11, 30)) == 0
    assert await drop_daily_counts(november, date(2098, 12, 3)) == 1


async def plan_of(connection: Any, where: str) -> str:
    rows = await connection.fetch(
        f"EXPLAIN (ANALYZE, COSTS OFF) SELECT day, last FROM daily_user_counts WHERE user_type = 'AllUsers' AND {where}"
    )
    return "\n".join(row[0] for row in rows)


async def test_a_query_about_one_org_reads_no_other_org(early: Database) -> None:
    await draw_line(early, orgs=199)
    await write_snapshots(early, [ok(slot, org_id=org_id) for slot in SLOTS for org_id in range(1, 200)])
    await roll_up(early, TODAY)
    await early.execute("ANALYZE")
    plan = await plan_of(early, "org_id = 1")
    assert "(org_id = 1) AND (type = " in plan
    assert "(org_id = 1) AND (slot >= " in plan
    assert "Rows Removed by Index Recheck" not in plan
    read = [line for line in plan.splitlines() if " on org_snapshots_" in line and "never executed" not in line]
    assert all("Index Scan" in line for line in read)


async def test_a_query_about_finished_days_reads_no_snapshots(early: Database) -> None:
    await write_snapshots(early, [ok(slot) for slot in SLOTS])
    await roll_up(early, TODAY)
    plan = await plan_of(early, f"day < '{TODAY}'")
    assert " on org_snapshots_" in plan
    assert all("never executed" in line for line in plan.splitlines() if " on org_snapshots_" in line)


async def test_the_open_days_of_a_fleet_are_read_per_day_and_not_per_org(early: Database) -> None:
    await write_snapshots(early, [ok(slot, org_id=org_id) for slot in SLOTS for org_id in range(1, 200)])
    plan = await plan_of(early, "true")
    read = [line for line in plan.splitlines() if " on org_snapshots_" in line and "never executed" not in line]
    assert read
    days = (datetime.now(UTC).date() - FIRST_DAY).days + 2
    assert all(int(line.partition("loops=")[2].rstrip(")")) <= days for line in read)


async def test_a_query_plan_made_before_the_watermark_advanced_is_still_right(early: Database) -> None:
    async with early.connection() as connection:
        for day in (FIRST_DAY, TODAY):
            await write_snapshots(early, [ok(slot, slot.hour) for slot in SLOTS if slot.date() <= day])
            await roll_up(early, day)
            assert await shown_daily(connection) == daily_of(await rows_of(connection))


async def test_a_reader_can_read_daily_counts(early: Database) -> None:
    await write_snapshots(early, [ok(SLOTS[0]), ok(SLOTS[6])])
    await roll_up(early, TODAY)
    async with early.transaction() as connection:
        await connection.execute("SET LOCAL ROLE poller_reader")
        assert len(await connection.fetch("SELECT * FROM daily_user_counts")) == 20
