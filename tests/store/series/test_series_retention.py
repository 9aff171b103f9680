"""Every relation agrees with a naive recomputation after any writes, rollups, drops, late rows and aborted runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import event, given, settings, strategies as st

from poller.core.errors import DatabaseError
from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.core.retention import Retention
from poller.store.database import Database
from poller.store.series.partitions import drop_partitions, month_after, month_of, partition_name
from poller.store.series.rollups import roll_up
from poller.worker.maintenance import maintenance_tasks
from tests.store.series.history import MANY, forget_everything, snapshots, write_snapshots
from tests.store.series.mortal import Mortal
from tests.store.series.naive import NaiveSeries, agree

# Days on both sides of two ends of months, and of a third that never goes.
DAYS = [date(2098, 11, 30), date(2098, 12, 1), date(2098, 12, 31), date(2099, 1, 1)]
SLOTS = [datetime(day.year, day.month, day.day, hour, tzinfo=UTC) for day in DAYS for hour in (0, 12, 23)]
LINE = date(2098, 12, 30)
"""Where rollups begin: rows before it are late from the start."""
END = date(2099, 1, 2)
MONTHS = [datetime(2098, 11, 1, tzinfo=UTC), datetime(2098, 12, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)]
BATCHES = st.lists(snapshots(SLOTS), min_size=1, max_size=6)
# One org: later rows of the others are a back-fill into months that may already be dropped.
HISTORIES = st.lists(snapshots(SLOTS).map(lambda one: replace(one, org_id=1)), min_size=6, max_size=12)
ENDS = st.sampled_from([LINE, DAYS[2], END, END])
# Months that ended by the first may go, and daily counts before the second: never more than that, say the settings.
CUTOFFS = [(MONTHS[1], None), (MONTHS[2], None), (MONTHS[1], DAYS[1]), (MONTHS[2], DAYS[1]), (MONTHS[2], DAYS[2])]
FEW, MANY_MORE = st.none() | st.integers(1, 9), st.none() | st.integers(1, 30)
"""After how many statements the process dies: before the end of most, after the end of some."""
STEPS = (
    st.tuples(st.just("write"), BATCHES, FEW),
    st.tuples(st.just("write"), BATCHES, st.none()),
    st.tuples(st.just("roll up"), ENDS, FEW),
    st.tuples(st.just("retain"), st.sampled_from(CUTOFFS), MANY_MORE),
    # What a service does in a day: everything is rolled up, and then what is old enough goes.
    st.tuples(st.just("roll up and retain"), st.sampled_from(CUTOFFS), MANY_MORE),
)


@settings(MANY, max_examples=100)
@given(HISTORIES, st.sampled_from([None, *CUTOFFS]), st.lists(st.one_of(STEPS), min_size=6, max_size=12))
async def test_every_relation_agrees_with_a_naive_recomputation_after_every_step(
    database: Database, history: list[Snapshot], gone: tuple[Any, Any] | None, steps: list[Any]
) -> None:
    await begin(database)
    naive = await write(database, NaiveSeries(), history)
    if gone is not None:
        await roll_up(database, END)
        naive = await retain(database, naive, *gone)
    closed = 0
    for what, argument, statements in steps:
        mortal = database if statements is None else Mortal(database, statements)
        match what:
            case "write":
                naive = await write(mortal, naive, argument)
            case "roll up":
                await attempt(roll_up(mortal, argument))
            case _:
                if what != "retain":
                    await roll_up(database, END)
                naive = await retain(mortal, naive, *argument)
        await agree(database, naive)
        closed = max(closed, len(naive.closed))
    event(f"{'many' if closed > 3 else closed} closed days of orgs")
    # The next run finishes what a dead process left.
    await roll_up(database, END)
    # One run drops one month at the most.
    for _ in MONTHS:
        naive = await retain(database, naive, MONTHS[2], None)
    await agree(database, naive)
    # Retention counts back from the newest known counts: without any it drops nothing.
    known = [slot for (_, slot), one in naive.rows.items() if one.counts]
    cutoff = Retention(months=2).cutoff(max(known, default=MONTHS[0]))
    assert all(month_after(month_of(slot)) > cutoff for _, slot in naive.rows)
    assert await database.fetchval("SELECT count(*) FROM dirty_days") == 0


async def begin(database: Database) -> None:
    """Removes all snapshots and months; rollups start at the first day."""
    await forget_everything(database)
    for month in MONTHS:
        await database.execute(f"DROP TABLE IF EXISTS {partition_name(month)}")
    await database.execute("UPDATE rollup_state SET rolled_until = $1, raw_since = '-infinity'", LINE)
    await database.execute(
        "INSERT INTO orgs (id, name, data_center) OVERRIDING SYSTEM VALUE"
        " SELECT id, 'org ' || id, 'us' FROM generate_series(1, 3) AS id ON CONFLICT DO NOTHING"
    )


async def write(mortal: Database, naive: NaiveSeries, batch: list[Any]) -> NaiveSeries:
    """Afterwards the whole batch is stored, or, if the process died, no row of the batch (but a month may be back)."""
    # Whether the writer takes the slots for new ones makes no difference.
    if await attempt(write_snapshots(mortal, batch, new=len(batch) % 2 == 1)):
        return naive.written(batch)
    event("died writing")
    return await naive.retained(alive(mortal), set(), date.min, done=False)


async def retain(mortal: Database, naive: NaiveSeries, cutoff: datetime, days: date | None) -> NaiveSeries:
    """Runs retention for months that ended by `cutoff`, and for daily counts before `days`."""
    now = month_after(month_of(month_after(cutoff)))
    kept = None if days is None else Retention(days=(now.date() - days).days)
    task = maintenance_tasks(snapshots=Retention(months=2), days=kept)["retention"]
    done = await attempt(task.do(mortal, now))
    event(f"retention {'done' if done else 'died'}")
    going = {partition_name(month) for month in MONTHS if month_after(month) <= cutoff}
    database = alive(mortal)
    raw_since = await database.fetchval("SELECT raw_since FROM rollup_state")
    before = min(days, raw_since) if days is not None else date.min
    return await naive.retained(database, going, before, done=done)


async def attempt(doing: Any) -> bool:
    """Runs the operation; returns whether it ended without the client dying."""
    try:
        await doing
    except DatabaseError:
        return False
    return True


def alive(database: Database) -> Database:
    """The same database with a client that does not die."""
    return Database(database._pool)


async def test_a_second_poll_of_the_latest_slot_updates_the_time_only_of_counts_it_received(database: Database) -> None:
    """A count of an org that had no rows for long, so that its last row was dropped with its month."""
    await begin(database)
    slot = SLOTS[0]
    await write_snapshots(database, [Snapshot(1, slot, slot, Outcome.OK, counts=dict.fromkeys(USER_TYPES, 5))])
    await roll_up(database, END)
    await drop_partitions(database, MONTHS[1])
    later = slot + timedelta(minutes=2)
    errors = dict.fromkeys(USER_TYPES[1:], "timeout")
    counts = {USER_TYPES[0]: 7}
    await write_snapshots(database, [Snapshot(1, slot, later, Outcome.PARTIAL, "timeout", errors, counts=counts)])
    rows = await database.fetch("SELECT user_type, count, polled_at FROM latest_user_counts WHERE org_id = 1")
    found = {row["user_type"]: (row["count"], row["polled_at"]) for row in rows}
    assert found == {kind: (7, later) if kind is USER_TYPES[0] else (5, slot) for kind in USER_TYPES}
