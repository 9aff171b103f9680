"""Rows later than PostgreSQL's clock, and everything computed from these rows, are gone after one rollup run."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from hypothesis import event, given, settings, strategies as st

from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.store.database import connect
from poller.store.series.future_rows import FutureRows, find_future_rows, repair_future_rows
from poller.store.series.partitions import drop_partitions
from poller.store.series.retention import raw_since
from poller.store.series.rollups import roll_up
from poller.worker.maintenance import maintenance_tasks
from tests.postgres import let_now_be
from tests.store.series.history import (
    MANY,
    daily_of,
    fleet_of,
    forget_everything,
    latest_of,
    rows_of,
    shown_daily,
    shown_fleet,
    shown_latest,
    snapshots,
    write_snapshots,
)
from tests.store.series.read_back import rollup_state

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from poller.store.database import Database

NOW = datetime(2027, 3, 15, 12, 7, tzinfo=UTC)
TODAY = NOW.date()
MONTH = date(2027, 3, 1)
WRONG = timedelta(days=730)
"""How far a clock without its battery is ahead."""
PAST = [datetime(2027, 3, day, hour, tzinfo=UTC) for day in (12, 13, 14) for hour in (0, 12, 23)] + [
    datetime(2027, 3, 15, hour, tzinfo=UTC) for hour in (0, 6, 12)
]
FUTURE = [
    datetime(2027, 3, 15, 13, tzinfo=UTC),
    datetime(2027, 3, 16, tzinfo=UTC),
    datetime(2027, 3, 17, tzinfo=UTC),
    datetime(2027, 4, 2, tzinfo=UTC),
    datetime(2029, 3, 14, tzinfo=UTC),
]
LINE = date(2027, 3, 11)


@pytest.fixture
async def later(database_url: str) -> AsyncIterator[Database]:
    """A database on noon of 15 March 2027, with three orgs."""
    await let_now_be(database_url, f"to_timestamp({NOW.timestamp()})")
    async with await connect(database_url) as database:
        await begin(database)
        yield database


async def begin(database: Database) -> None:
    await forget_everything(database)
    await database.execute("DELETE FROM latest_polls")
    await database.execute("UPDATE rollup_state SET rolled_until = $1, raw_since = '-infinity'", LINE)
    await database.execute(
        "INSERT INTO orgs (id, name, data_center) OVERRIDING SYSTEM VALUE"
        " SELECT id, 'org ' || id, 'us' FROM generate_series(1, 3) AS id ON CONFLICT DO NOTHING"
    )


def ok(slot: datetime, count: int = 5, org_id: int = 1) -> Snapshot:
    return Snapshot(org_id, slot, slot, Outcome.OK, counts=dict.fromkeys(USER_TYPES, count))


def missed(slot: datetime, org_id: int = 1) -> Snapshot:
    return Snapshot(org_id, slot, None, Outcome.MISSED, "not_running")


async def agree(database: Database) -> None:
    rows = await rows_of(database)
    assert await shown_daily(database) == daily_of(rows)
    assert await shown_fleet(database) == fleet_of(daily_of(rows))
    assert await shown_latest(database) == latest_of(rows)


async def newest_polls(database: Database) -> dict[int, tuple[Any, ...]]:
    rows = await database.fetch("SELECT org_id, slot, outcome, error FROM latest_polls")
    return {row["org_id"]: tuple(row)[1:] for row in rows}


def newest_of(rows: Sequence[Any]) -> dict[int, tuple[Any, ...]]:
    in_order = sorted(rows, key=lambda row: row["slot"])
    return {row["org_id"]: (row["slot"], row["outcome"], row["error"]) for row in in_order}


STEPS = st.one_of(
    st.lists(snapshots(PAST), max_size=6),
    st.lists(snapshots(FUTURE), max_size=4),
    st.sampled_from([("roll up", 1), ("roll up", 30), ("roll up", 800), ("give up", 300), ("give up", 1)]),
    st.just(("repair", 0)),
)


@settings(MANY, max_examples=60)
@given(st.lists(STEPS, max_size=12))
async def test_after_the_repair_of_future_rows_every_relation_agrees_with_the_rows(
    later: Database, steps: list[Any]
) -> None:
    await begin(later)
    for step in steps:
        match step:
            case list():
                await write_snapshots(later, step)
            case ("roll up", days):
                await roll_up(later, TODAY + timedelta(days=days))
            case ("give up", days):
                # What retention did by a wrong clock, where it had no month to drop.
                await roll_up(later, TODAY + timedelta(days=days))
                await later.execute("UPDATE rollup_state SET raw_since = $1", TODAY + timedelta(days=days))
            case _:
                await repair_future_rows(later, NOW)
    found = await repair_future_rows(later, NOW)
    event(f"found {'something' if found else 'nothing'}")
    assert all(row["slot"] <= NOW for row in await rows_of(later))
    await agree(later)
    assert await newest_polls(later) == newest_of(await rows_of(later))
    assert (await find_future_rows(later, NOW)) == FutureRows()
    assert (await rollup_state(later)).rolled_until <= TODAY
    assert await raw_since(later) <= TODAY
    await roll_up(later, TODAY)
    await agree(later)
    assert await later.fetchval("SELECT count(*) FROM dirty_days") == 0


async def test_rows_of_a_clock_two_years_ahead_are_removed_by_the_rollups_and_logged_once(
    later: Database,
) -> None:
    await write_snapshots(later, [ok(slot) for slot in PAST])
    await write_snapshots(later, [missed(slot, org_id) for slot in FUTURE for org_id in (1, 2)])
    await write_snapshots(later, [ok(FUTURE[0], 9), ok(FUTURE[-1], 9)])
    await roll_up(later, (NOW + WRONG).date())
    await later.execute("UPDATE rollup_state SET raw_since = '2028-02-01'")
    expected = FutureRows(8, 2, 2, (NOW + WRONG).date(), date(2028, 2, 1))
    assert await find_future_rows(later, NOW) == expected
    rollups = maintenance_tasks(snapshots=None, days=None)["rollups"]
    with structlog.testing.capture_logs() as logs:
        assert await rollups.do(later, NOW) == (
            "0 days of orgs; removed from the future: 10 rows of slots that have not begun (2 polled), "
            "latest polls of 2 orgs, rollups until 2029-03-14, snapshots given up until 2028-02-01"
        )
        assert await rollups.do(later, NOW) == "0 days of orgs"
    assert [(one["event"], one["missed"], one["polled"]) for one in logs] == [("history.future_removed", 8, 2)]
    await agree(later)
    assert await newest_polls(later) == {1: (PAST[-1], "ok", None)}
    assert await later.fetchval("SELECT first_slot FROM latest_polls") == PAST[0]


async def test_a_day_closed_too_early_includes_rows_written_later(later: Database) -> None:
    await write_snapshots(later, [ok(PAST[0])])
    await roll_up(later, TODAY)
    await later.execute("UPDATE rollup_state SET raw_since = '2028-02-01'")
    await write_snapshots(later, [ok(PAST[1], 7)])
    counted = "SELECT DISTINCT last, samples FROM daily_user_counts WHERE day = $1"
    assert [tuple(row) for row in await later.fetch(counted, PAST[0].date())] == [(5, 1)]
    await repair_future_rows(later, NOW)
    assert [tuple(row) for row in await later.fetch(counted, PAST[0].date())] == [(7, 2)]
    assert await raw_since(later) == MONTH


async def test_days_whose_snapshots_were_dropped_keep_their_counts(later: Database) -> None:
    february = datetime(2027, 2, 10, 12, tzinfo=UTC)
    await later.execute("UPDATE rollup_state SET rolled_until = $1", february.date())
    await write_snapshots(later, [ok(february), ok(february + timedelta(hours=1), 6), ok(PAST[0])])
    await roll_up(later, TODAY)
    assert len(await drop_partitions(later, datetime(2027, 3, 1, tzinfo=UTC))) == 1
    await later.execute("UPDATE rollup_state SET raw_since = '2028-02-01'")
    # It brings the month back, but not the rows that went with it.
    await write_snapshots(later, [ok(february, 8)])
    before = {key: counts for key, counts in (await shown_daily(later)).items() if key[2] == february.date()}
    assert {counts[-2] for counts in before.values()} == {2}
    await repair_future_rows(later, NOW)
    after = await shown_daily(later)
    assert {key: counts for key, counts in after.items() if key[2] == february.date()} == before
    assert await raw_since(later) == date(2027, 2, 11)


async def test_a_query_plan_made_with_the_wrong_watermark_is_discarded(later: Database) -> None:
    await write_snapshots(later, [ok(PAST[-1]), ok(FUTURE[0], 9)])
    await roll_up(later, (NOW + WRONG).date())
    async with later.connection() as reader:
        await reader.execute("SET plan_cache_mode = force_generic_plan")
        await reader.execute("PREPARE today AS SELECT DISTINCT last FROM daily_user_counts WHERE day = '2027-03-15'")
        assert await reader.fetchval("EXECUTE today") == 9
        await repair_future_rows(later, NOW)
        assert await reader.fetchval("EXECUTE today") == 5


async def test_a_clock_that_is_slow_removes_no_rows(later: Database) -> None:
    await write_snapshots(later, [ok(slot) for slot in PAST])
    await roll_up(later, TODAY)
    assert not await repair_future_rows(later, NOW - WRONG)
    assert len(await rows_of(later)) == len(PAST)
    assert (await rollup_state(later)).rolled_until == TODAY
