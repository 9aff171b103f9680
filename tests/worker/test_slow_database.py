"""Workers with a database that needs a quarter of the heartbeat timeout per statement: 8 of 30 s, scaled down."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from poller.store.database import connect
from tests.worker.cable import Cable
from tests.worker.conftest import QUICK

if TYPE_CHECKING:
    from collections.abc import Callable

    OpenService = Callable[..., Any]

ORGS, INTERVAL = 8, 20
DELAY_SECONDS = QUICK.heartbeat_timeout_seconds * 8 / 30


async def test_with_a_very_slow_database_no_slot_is_polled_twice(service: OpenService, database_url: str) -> None:
    async with service(orgs=ORGS, interval=INTERVAL) as mine:
        async with AsyncExitStack() as stack:
            cables = [await stack.enter_async_context(Cable(database_url)) for _ in range(3)]
            for cable in cables:
                database = await stack.enter_async_context(await connect(cable.dsn))
                cable.delay_seconds = DELAY_SECONDS
                await stack.enter_async_context(mine.worker(database=database))
            await mine.until("SELECT count(*) >= 16 FROM org_snapshots WHERE outcome = 'ok'", seconds=150)
            for cable in cables:
                cable.delay_seconds = 0.0
        rows = await mine.rows()
        assert {row["requests"] for row in rows if row["outcome"] == "ok"} == {10}
        assert mine.sim.audit()["requests"]["count"] == sum(row["requests"] for row in rows)
