"""Unknown counts and their reasons, also for slots without any row because no poller was running."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from poller.core.model import USER_TYPES, Outcome, Snapshot
from poller.core.slots import slot_of
from poller.store.series.snapshots import write_snapshots

if TYPE_CHECKING:
    from poller.store.database import Database

QUARTER = timedelta(minutes=15)
PHASE = timedelta(minutes=5)
# The newest slot that is surely over, half a phase before the next one may be: no test stands on an edge of time.
LAST = slot_of(datetime.now(UTC) - PHASE - QUARTER, 900)
CURSOR = LAST - 7 * QUARTER


@pytest.fixture
async def stopped(database: Database) -> Database:
    """One org with slots enqueued up to `CURSOR`, two hours ago; no poller has run since."""
    await database.execute("INSERT INTO orgs (name, data_center) VALUES ('acme', 'us')")
    await database.execute(
        "INSERT INTO org_schedules (org_id, slot, interval_seconds, due_at) VALUES (1, $1, 900, $2)",
        CURSOR,
        CURSOR + PHASE,
    )
    return database


async def gaps(database: Database) -> list[tuple[str, datetime, str]]:
    rows = await database.fetch("SELECT org, slot, reason FROM poll_gaps WHERE slot <= $1 ORDER BY slot", LAST)
    return [(row["org"], row["slot"], row["reason"]) for row in rows]


async def test_slots_without_a_running_poller_are_gaps(stopped: Database) -> None:
    assert await gaps(stopped) == [("acme", CURSOR + n * QUARTER, "never polled") for n in range(8)]


async def test_a_slot_is_not_a_gap_before_the_next_one_is_due(stopped: Database) -> None:
    newest = await stopped.fetchval("SELECT max(slot) FROM poll_gaps")
    assert newest + PHASE + QUARTER <= datetime.now(UTC)
    assert newest + PHASE + 3 * QUARTER > datetime.now(UTC)


async def test_a_slot_polled_by_hand_is_not_a_gap(stopped: Database) -> None:
    slot = CURSOR + QUARTER
    await write_snapshots(stopped, [Snapshot(1, slot, slot, Outcome.OK, counts=dict.fromkeys(USER_TYPES, 5))])
    assert [found for _, found, _ in await gaps(stopped)] == [CURSOR + n * QUARTER for n in range(8) if n != 1]


async def test_a_slot_recorded_as_missed_is_one_gap_with_its_reason(stopped: Database) -> None:
    await write_snapshots(stopped, [Snapshot(1, CURSOR, None, Outcome.MISSED, "no_worker")])
    assert (await gaps(stopped))[:2] == [
        ("acme", CURSOR, "missed: no_worker"),
        ("acme", CURSOR + QUARTER, "never polled"),
    ]


@pytest.mark.parametrize("column", ["paused_at", "removed_at"])
async def test_an_org_has_no_gaps_after_its_pause_or_removal(stopped: Database, column: str) -> None:
    await stopped.execute(f"UPDATE orgs SET {column} = $1", CURSOR + PHASE + 3 * QUARTER)
    assert [slot for _, slot, _ in await gaps(stopped)] == [CURSOR, CURSOR + QUARTER, CURSOR + 2 * QUARTER]


async def test_an_org_that_was_never_scheduled_has_no_gaps(database: Database) -> None:
    await database.execute("INSERT INTO orgs (name, data_center) VALUES ('acme', 'us')")
    assert await gaps(database) == []


async def test_a_reader_can_read_gaps(stopped: Database) -> None:
    async with stopped.transaction() as connection:
        await connection.execute("SET LOCAL ROLE poller_reader")
        assert len(await connection.fetch("SELECT * FROM poll_gaps")) >= 8
