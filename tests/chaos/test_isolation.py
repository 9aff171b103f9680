"""Half of the fleet is on a data centre that stops answering; three real workers poll the other half on time."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from poller.core.schedule import Due
from poller.simulator import Fault
from tests.chaos.test_chaos import INTERVAL, World, world
from tests.worker.lag import measured_lag

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

ORGS = 90
"""Each of the half that hangs holds a place for three timeouts of two seconds: more places than three workers have."""
CALM_SECONDS = 16
SILENT_SECONDS = 24
SILENT, HEALTHY = "sim-us", "sim-eu"
MOST_SECONDS = 1.0

_ROWS = """
SELECT s.org_id, s.slot, s.polled_at, s.outcome FROM org_snapshots s JOIN orgs o ON o.id = s.org_id
WHERE o.data_center = $1 AND s.slot >= $2 AND s.slot < $3 ORDER BY s.org_id, s.slot
"""


async def test_a_data_centre_that_does_not_answer_does_not_delay_orgs_of_another(tmp_path: Path) -> None:
    async with world(tmp_path, orgs=ORGS, faults=()) as there:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(there.crew.keep())
                began = await _slot_after(there, INTERVAL)
                await asyncio.sleep(CALM_SECONDS)
                there.sim.add_faults(
                    Fault(name="hang", data_center=SILENT), Fault(name="token_hang", data_center=SILENT)
                )
                silent_at: datetime = await there.database.fetchval("SELECT now()")
                # Half of the silent ones need a token, too.
                await there.database.execute(
                    "UPDATE access_tokens SET expires_at = now() FROM orgs o"
                    " WHERE o.id = org_id AND o.data_center = $1 AND o.id % 2 = 0",
                    SILENT,
                )
                async with measured_lag(there.server.dsn()) as lag:
                    await asyncio.sleep(SILENT_SECONDS)
                over = await _slot_after(there, -INTERVAL)
                there.crew.stop()
        finally:
            there.crew.kill_all()
        late = await _lateness(there, began, over)
        events = there.crew.hear()
    before = sorted(seconds for due_at, seconds in late if due_at < silent_at - timedelta(seconds=1))
    after = sorted(seconds for due_at, seconds in late if due_at >= silent_at)
    print(f"\np99 of the healthy half: {_p99(before):.2f} s, and {_p99(after):.2f} s beside the silent one")  # noqa: T201
    assert events.get("data_center.away", 0) > 0
    assert len(after) > ORGS / 2 * (SILENT_SECONDS / INTERVAL - 3)
    assert _p99(after) <= _p99(before) + MOST_SECONDS + lag.of_a_poll


async def _slot_after(there: World, seconds: int) -> datetime:
    slot: datetime = await there.database.fetchval(
        "SELECT to_timestamp(floor(extract(epoch FROM now()) / $1 + 1) * $1 + $2)", float(INTERVAL), float(seconds)
    )
    return slot


async def _lateness(there: World, since: datetime, until: datetime) -> list[tuple[datetime, float]]:
    """The due time and lateness of each slot of the healthy half; two intervals for a slot that was not polled."""
    found: list[tuple[datetime, float]] = []
    for row in await there.database.fetch(_ROWS, HEALTHY, since, until):
        due_at = Due(row["org_id"], row["slot"], INTERVAL).at
        asked = row["polled_at"]
        found.append((due_at, INTERVAL * 2.0 if asked is None else (asked - due_at) / timedelta(seconds=1)))
    return found


def _p99(late: list[float]) -> float:
    return late[min(int(0.99 * len(late)), len(late) - 1)]
