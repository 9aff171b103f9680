"""After an upgrade every relation shows all rows written by earlier versions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import asyncpg
import pytest

from poller.core.model import COLUMNS, USER_TYPES
from poller.store import database as databases, schema
from poller.store.series.rollups import roll_up
from tests.postgres import cloned
from tests.store.everything import make_months
from tests.store.series.history import daily_of, fleet_of, latest_of, rows_of, shown_daily, shown_fleet, shown_latest
from tests.store.series.read_back import rollup_state
from tests.store.stages import earlier_revisions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.store.stages import Stages

NOW = datetime.now(UTC)
SLOTS = [NOW.replace(minute=0, second=0, microsecond=0) + timedelta(hours=11 * n) for n in range(-12, 12)]


async def fill(dsn: str) -> None:
    """Writes snapshots of three orgs, every seventh failed, with the statements of the first version."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "INSERT INTO orgs (name, data_center) SELECT 'org ' || n, 'us' FROM generate_series(1, 3) n"
        )
        await make_months(connection, SLOTS)
        columns = ", ".join(COLUMNS.values())
        for place, slot in enumerate(SLOTS):
            for org_id in (1, 2, 3):
                known = (place + org_id) % 7 > 0
                counts = [100 * org_id + place + n if known else None for n in range(10)]
                await connection.execute(
                    f"INSERT INTO org_snapshots (slot, polled_at, org_id, duration_ms, late_seconds, requests, outcome,"
                    f" {columns}) VALUES ($1, $1, $2, 5, 0, 10, $3, {', '.join(f'${n}' for n in range(4, 14))})",
                    slot,
                    org_id,
                    "ok" if known else "unavailable",
                    *counts,
                )
        await connection.execute(
            f"INSERT INTO latest_snapshots (org_id, slot, polled_at, {columns})"
            f" SELECT DISTINCT ON (org_id) org_id, slot, polled_at, {columns} FROM org_snapshots"
            " WHERE outcome = 'ok' ORDER BY org_id, slot DESC"
        )
    finally:
        await connection.close()


@pytest.fixture(params=earlier_revisions("0002"))
def earlier(request: pytest.FixtureRequest, server_dsn: str, stages: Stages) -> Iterator[str]:
    """The address of an empty database at an earlier revision with snapshots."""
    with cloned(server_dsn, stages.at(request.param)) as dsn:
        yield dsn


async def test_snapshots_of_an_earlier_version_are_in_every_relation(earlier: str) -> None:
    await fill(earlier)
    await schema.upgrade(earlier)
    async with await databases.connect(earlier) as database:
        rows = await rows_of(database)
        assert len(rows) == 3 * len(SLOTS)
        assert await shown_latest(database) == latest_of(rows)
        assert await database.fetchval("SELECT count(*) FROM user_counts") == len(USER_TYPES) * len(rows)
        unknown = [(row["org_id"], row["slot"]) for row in rows if row["outcome"] != "ok"]
        gaps = await database.fetch("SELECT org_id, slot FROM poll_gaps")
        assert sorted(tuple(gap) for gap in gaps) == sorted(unknown)


async def test_daily_counts_of_snapshots_older_than_the_feature_are_right_before_and_after_a_rollup(
    blank_database_url: str,
) -> None:
    await schema.upgrade(blank_database_url, "0002")
    await fill(blank_database_url)
    await schema.upgrade(blank_database_url)
    async with await databases.connect(blank_database_url) as database:
        expected = daily_of(await rows_of(database))
        assert await shown_daily(database) == expected
        assert await shown_fleet(database) == fleet_of(expected)
        assert (await rollup_state(database)).dirty > 0
        await roll_up(database, SLOTS[-1].date() + timedelta(days=1))
        assert (await rollup_state(database)).dirty == 0
        assert await shown_daily(database) == expected
        assert await shown_fleet(database) == fleet_of(expected)
