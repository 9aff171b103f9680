"""In a year of operation the bookkeeping tables stay small.

Orgs are polled once a day, and maintenance tasks, which usually run every few minutes or hours, run every four days:
the tables have the same time to grow. Autovacuum is simulated by its own rule, and looks as rarely.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import pytest

from poller.store.database import connect
from poller.store.queue.maintenance import list_tasks
from tests.postgres import let_now_be
from tests.worker import autovacuum
from tests.worker.year import BEGINS, INTERVAL, MONTH, ORGS, PAUSED, PAUSED_FOR, TASKS, Year

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from datetime import datetime

    from poller.store.database import Database
    from poller.store.orgs.encryption import Keyring

STEPS: Final = 365
SETTLED: Final = 92
"""After a quarter everything has found its size."""
STILL_EVERY: Final = 60
STILL: Final = 5
"""The number of steps without a poller at the end of each period."""
DEATH_EVERY: Final = 20
TASKS_EVERY: Final = 4
KEPT_FOR_YEARS: Final = ("org_snapshots", "daily_counts", "fleet_days", "seat_readings", "found_anomalies")
OF_THE_SCHEMA: Final = ("shared_relations", "web_relations")
"""Tables with rows of migrations alone."""

MOST_ROWS: Final[Mapping[str, int]] = {
    "pgqueuer": 3 * ORGS + len(TASKS),  # the slot that is due, one of a dead worker, a stretch to explain
    # Three rows a job: polls of this step and of those since the maintenance task ran, explanations, second claims.
    "pgqueuer_log": 3 * ((TASKS_EVERY + 3) * ORGS + 2 * len(TASKS)),
    "credit_spend": (TASKS_EVERY + 3) * ORGS,  # every step of the last 24 hours and a quarter
    "dirty_days": (STILL + 1) * ORGS,  # days that were over before they were explained
    "workers": 4,
    "chores": len(TASKS),
}
"""At any time; a table that is not named may have a row for every org there ever was."""
A_FEW_PAGES: Final = 8 * 8_192
"""The maps of what is free and of what is visible take five, once a table is vacuumed for the first time."""


@pytest.fixture
async def year(database_url: str, keyring: Keyring) -> AsyncIterator[Year]:
    async with await connect(database_url) as database:
        await database.execute("CREATE TABLE clock (moment timestamptz NOT NULL)")
        await database.execute("INSERT INTO clock VALUES ($1)", BEGINS)
    await let_now_be(database_url, "moment FROM public.clock")
    async with await connect(database_url, max_size=1) as database:
        one = Year(database, keyring)
        await one.begin()
        yield one


async def test_in_a_year_the_bookkeeping_tables_stay_small_and_every_slot_gets_one_row(year: Year) -> None:
    sizes: dict[str, list[tuple[int, int]]] = defaultdict(list)
    async with year.side_jobs():
        for step in range(STEPS):
            if step % STILL_EVERY >= STILL_EVERY - STILL:
                continue
            await year.turn_to(BEGINS + step * INTERVAL)
            await year.operators(step)
            if step % DEATH_EVERY == DEATH_EVERY // 2:
                await year.dying_worker()
            else:
                await year.worker()
            for name, size in (await sizes_now(year.database)).items():
                sizes[name].append(size)
            if step % TASKS_EVERY == 0:
                await year.let_side_jobs_be_done()
                await autovacuum.look(year.database)
        await year.let_side_jobs_be_done()
    await every_slot_has_its_row(year)
    assert {task.name: task.error for task in await list_tasks(year.database)} == dict.fromkeys(TASKS)
    everybody = await year.database.fetchval("SELECT count(*) FROM orgs")
    for table, of_table in sizes.items():
        rows = max(rows for rows, _ in of_table)
        assert rows <= MOST_ROWS.get(table, everybody), (table, rows)
        settled, later = (max(size for _, size in part) for part in (of_table[:SETTLED], of_table[SETTLED:]))
        assert later <= 1.25 * settled + A_FEW_PAGES, (table, settled, later)


async def sizes_now(database: Database) -> dict[str, tuple[int, int]]:
    """Rows and bytes with indexes of every table that is not kept for years."""
    names = [row["relname"] for row in await database.fetch(TABLES)]
    counted = " UNION ALL ".join(
        f"SELECT '{name}' AS name, count(*) AS rows, pg_total_relation_size('{name}') AS bytes FROM {name}"
        for name in names
        if not name.startswith((*KEPT_FOR_YEARS, *OF_THE_SCHEMA))
    )
    return {row["name"]: (row["rows"], row["bytes"]) for row in await database.fetch(counted)}


async def every_slot_has_its_row(year: Year) -> None:
    rows = await year.database.fetch(
        "SELECT o.name, s.slot, s.outcome FROM org_snapshots s JOIN orgs o ON o.id = s.org_id ORDER BY o.id, s.slot"
    )
    slots: dict[str, list[datetime]] = defaultdict(list)
    for row in rows:
        slots[row["name"]].append(row["slot"])
    for name in year.names:
        gaps = [(other - one) // INTERVAL - 1 for one, other in pairwise(slots[name]) if other - one != INTERVAL]
        assert slots[name][-1] > year.now - 2 * INTERVAL
        if name == PAUSED:
            assert len(gaps) == len(range(MONTH // 3, STEPS, MONTH))
            # It goes on with the slot that is due next, once it is resumed.
            assert all(PAUSED_FOR <= gap <= PAUSED_FOR + 2 for gap in gaps), gaps
        else:
            assert gaps == []
    outcomes = Counter(row["outcome"] for row in rows)
    assert set(outcomes) == {"ok", "missed"}
    assert outcomes["ok"] > 0.8 * len(rows)


TABLES: Final = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
