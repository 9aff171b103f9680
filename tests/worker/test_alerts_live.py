"""Alerts of a running worker and a simulated Zoho, and of processes that are killed while they evaluate."""

from __future__ import annotations

import asyncio
import random
import sys
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from poller.core.model import USER_TYPES
from poller.simulator import control
from poller.worker.analyses import search_anomalies
from tests.store.capacity.alerts import add_rule, alert_rule
from tests.store.capacity.histories import set_counts
from tests.worker.conftest import QUICK
from tests.worker.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from poller.store.database import Database
    from tests.worker.conftest import Service

    OpenService = Callable[..., AbstractAsyncContextManager[Service]]

WATCHFUL = replace(QUICK, alert_interval_seconds=0.2, alert_idle_seconds=0.1)
STATE = "SELECT state FROM alerts WHERE rule = $1 ORDER BY id DESC LIMIT 1"


async def becomes(service: Service, rule: str, state: str) -> None:
    await service.until(f"SELECT ({STATE}) = $2", rule, state)


async def test_an_org_whose_consent_is_withdrawn_fires_until_it_is_given_again(service: OpenService) -> None:
    async with service(orgs=2) as mine, mine.worker(WATCHFUL):
        await mine.until("SELECT count(*) >= 2 FROM org_snapshots WHERE outcome = 'ok'")
        control.revoke(mine.sim.zoho, 0)
        await becomes(mine, "org_parked", "firing")
        alert = await mine.app.database.fetchrow("SELECT org, message, remedy FROM alerts WHERE rule = 'org_parked'")
        assert alert is not None
        assert alert["org"] == mine.sim.org(0).name
        assert "invalid_code" in alert["message"]
        assert alert["remedy"]
        control.restore(mine.sim.zoho, 0)
        await mine.app.database.execute("UPDATE orgs SET probe_at = now()")
        await becomes(mine, "org_parked", "resolved")
        others = "SELECT count(*) FROM alerts WHERE rule <> 'org_parked' AND state <> 'resolved'"
        assert await mine.app.database.fetchval(others) == 0


async def test_seats_that_fill_up_fire_until_seats_are_bought(service: OpenService) -> None:
    async with service(orgs=1) as mine, mine.worker(WATCHFUL):
        active = await mine.until("SELECT active_users FROM latest_snapshots")
        async with mine.app.database.connection() as connection:
            await add_rule(connection, alert_rule("seats_used_percent", ">=", 95, name="full"))
            # Zoho's answer of today, as the daily reading writes it.
            for seats, state in ((active, "firing"), (2 * active, "resolved")):
                await connection.execute(
                    "INSERT INTO seat_readings (org_id, taken_at, purchased, used, source)"
                    " SELECT id, clock_timestamp(), $1, $2, 'features' FROM orgs",
                    *(seats, active),
                )
                await becomes(mine, "full", state)


async def test_an_administrator_who_appears_fires_until_later_counts_correct_it(service: OpenService) -> None:
    async with service(orgs=1) as mine, mine.worker(WATCHFUL):
        database = mine.app.database
        await mine.until("SELECT count(*) >= 1 FROM org_snapshots WHERE outcome = 'ok'")
        org_id = await database.fetchval("SELECT id FROM orgs")
        polled = mine.sim.expected_counts(0)
        before: dict[str, list[int | None]] = {one.value: [polled[one.value]] * 200 for one in USER_TYPES}
        await set_counts(database, org_id, before | {"AdminUsers": [polled["AdminUsers"] - 1] * 200})
        await search_anomalies(database, datetime.now(UTC))
        await becomes(mine, "admins_up", "firing")
        await set_counts(database, org_id, before)
        await search_anomalies(database, datetime.now(UTC))
        await becomes(mine, "admins_up", "resolved")
        reason = await database.fetchval("SELECT resolved_reason FROM alerts WHERE rule = 'admins_up'")
        assert reason == "later counts corrected it"


async def test_alerts_are_evaluated_while_another_maintenance_task_takes_long(service: OpenService) -> None:
    """A forecast that waits for a lock stands for one that takes minutes."""
    async with service(orgs=1, interval=60) as mine:
        database = mine.app.database
        async with database.transaction() as long_one:
            await long_one.execute("LOCK TABLE forecast_quantiles IN ACCESS EXCLUSIVE MODE")
            async with mine.worker(WATCHFUL):
                await mine.until("SELECT true FROM chores WHERE name = 'forecasts' AND done_at IS NULL")
                await database.execute("UPDATE orgs SET parked_at = now(), parked_code = 'x', probe_at = 'infinity'")
                await becomes(mine, "org_parked", "firing")
                assert await database.fetchval("SELECT done_at IS NULL FROM chores WHERE name = 'forecasts'")


@asynccontextmanager
async def evaluating(dsn: str) -> AsyncIterator[Any]:
    """A process that evaluates without a pause, killed at the end."""
    root = Path(__file__).parents[2]
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.worker.evaluating", dsn, cwd=root)
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


async def test_no_alert_is_lost_or_doubled_while_processes_that_evaluate_are_killed(
    database: Database, database_url: str
) -> None:
    chance = random.Random(5)
    await database.execute("CREATE TABLE sent (id bigserial, org_id integer, state text)")
    async with database.transaction() as connection:
        await add_rule(connection, alert_rule("parked"))
    await database.execute(
        "INSERT INTO orgs (name, data_center) SELECT 'org ' || n, 'eu' FROM generate_series(1, 300) n"
    )
    changes = 0
    async with evaluating(database_url):
        for _ in range(4):
            async with evaluating(database_url):
                for _ in range(12):
                    changed = await database.fetch(
                        "UPDATE orgs SET parked_at = CASE WHEN parked_at IS NULL THEN now() END, parked_code = 'x'"
                        " WHERE id % 7 = $1 RETURNING id",
                        chance.randrange(7),
                    )
                    changes += len(changed)
                    await eventually(lambda: database.fetchval(_CAUGHT_UP))
                # Changes on their way when the process is killed.
                await database.execute("UPDATE orgs SET parked_at = now(), parked_code = 'x' WHERE parked_at IS NULL")
                await asyncio.sleep(chance.random() / 50)
            await eventually(lambda: database.fetchval(_CAUGHT_UP))
            await database.execute("UPDATE orgs SET parked_at = NULL")
            await eventually(lambda: database.fetchval(_CAUGHT_UP))
    assert changes > 0
    assert await database.fetchval(_HISTORY_DIFFERS) == 0
    states: dict[int, list[str]] = {}
    for row in await database.fetch("SELECT org_id, state FROM sent ORDER BY id"):
        states.setdefault(row["org_id"], []).append(row["state"])
    assert len(states) == 300
    for sequence in states.values():
        assert sequence == ["firing", "resolved"] * (len(sequence) // 2)


_CAUGHT_UP = """
SELECT (SELECT count(*) FROM orgs WHERE parked_at IS NOT NULL) = count(*) FILTER (WHERE state = 'firing')
FROM alert_states
"""
# What was handed to the fan-out and what the history says, one by one.
_HISTORY_DIFFERS = """
SELECT count(*) FROM (
    SELECT org_id, to_state AS state, row_number() OVER (PARTITION BY org_id ORDER BY c.id)
    FROM alert_changes c JOIN alert_states a ON a.id = c.alert_id
) AS h FULL JOIN (
    SELECT org_id, state, row_number() OVER (PARTITION BY org_id ORDER BY id) FROM sent
) AS s USING (org_id, row_number, state)
WHERE h.org_id IS NULL OR s.org_id IS NULL
"""
