"""A process that evaluates alert rules without a pause until it is killed, and writes what it hands on to a table."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from poller.store import database as databases
from poller.worker.alerting import evaluate_alerts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poller.core.alerts import AlertTransition
    from poller.store.queries import Connection


async def enqueue(connection: Connection, transitions: Sequence[AlertTransition]) -> None:
    for one in transitions:
        await connection.execute(
            "INSERT INTO sent (org_id, state) VALUES ($1, $2)", one.alert.org_id, one.to_state.value
        )


async def evaluate_forever(dsn: str) -> None:
    async with await databases.connect(dsn, max_size=1) as database:
        while True:
            await evaluate_alerts(database, await database.fetchval("SELECT now()"), enqueue)
            await asyncio.sleep(0.002)


if __name__ == "__main__":
    asyncio.run(evaluate_forever(sys.argv[1]))
