"""The group `isolation`: how late half of a fleet is asked while the data centre of the other half is silent.

Two `poller run` over one database, 300 orgs on two data centres, a slot a minute each, and requests that time out after
the default 15 seconds. Half-way every API and token request of one data centre hangs. What counts is the other half.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from benchmarks import machine
from benchmarks.aims import Figure, show
from benchmarks.parts import poller_over
from benchmarks.service import service_environment
from poller.core.schedule import Due
from poller.simulator import Fault, Simulator, SimulatorOptions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from poller.app import App

ORGS: Final = 300
WORKERS: Final = 2
INTERVAL_SECONDS: Final = 60
WARM_SECONDS: Final = 70
CALM_SECONDS: Final = 120
SILENT_SECONDS: Final = 180
SILENT, HEALTHY = "sim-us", "sim-eu"
MOST_SECONDS_MORE: Final = 1.0


async def main(orgs: int | None) -> None:
    """Print the table."""
    orgs = orgs or ORGS
    print(f"\n## isolation\n\n{machine.described()}.")
    async with (
        Simulator(SimulatorOptions(orgs=orgs)) as sim,
        poller_over(
            sim.data_centers_setting(),
            orgs,
            edition="ultimate",
            credit_share=1.0,
            poll_interval_seconds=INTERVAL_SECONDS,
        ) as app,
    ):
        async with _workers(app, sim.data_centers_setting()):
            await asyncio.sleep(WARM_SECONDS)
            warm_at = await _now(app)
            await asyncio.sleep(CALM_SECONDS)
            silent_at = await _now(app)
            sim.add_faults(*(Fault(name=name, data_center=SILENT) for name in ("hang", "token_hang")))
            await app.database.execute(_TOKENS_END, SILENT)
            await asyncio.sleep(SILENT_SECONDS)
            over = await _now(app)
        calm = await _lateness(app, warm_at, silent_at)
        beside = await _lateness(app, silent_at, over - timedelta(seconds=INTERVAL_SECONDS))
    more = _share(beside, 0.99) - _share(calm, 0.99)
    show(
        f"{orgs} orgs on two data centres every {INTERVAL_SECONDS} s, {WORKERS} workers, one data centre silent",
        [
            Figure("the other half, slots", len(calm), "{:,.0f}"),
            Figure("p99, seconds late", _share(calm, 0.99), "{:.3f}"),
            Figure("the latest", calm[-1], "{:.3f}"),
            Figure("beside the silent half, slots", len(beside), "{:,.0f}"),
            Figure("p99, seconds late", _share(beside, 0.99), "{:.3f}"),
            Figure("the latest", beside[-1], "{:.3f}"),
            Figure("p99, seconds more", more, "{:.3f}", at_most=MOST_SECONDS_MORE),
        ],
        [
            "From the first second of the silence; half of the silent orgs need a token, too.",
            "A slot that was not asked counts as two intervals late.",
        ],
    )


@asynccontextmanager
async def _workers(app: App, data_centers: object) -> AsyncIterator[None]:
    environment = service_environment(app, data_centers, INTERVAL_SECONDS)
    processes = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "poller", "run"),
            env=environment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        for _ in range(WORKERS)
    ]
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            assert await process.wait() == 0


async def _now(app: App) -> datetime:
    now: datetime = await app.database.fetchval("SELECT now()")
    return now


async def _lateness(app: App, since: datetime, until: datetime) -> list[float]:
    """Seconds from due to asked, in order, of the healthy half's slots that were due in that stretch."""
    late: list[float] = []
    for row in await app.database.fetch(_ROWS, HEALTHY):
        due_at = Due(row["org_id"], row["slot"], INTERVAL_SECONDS).at
        if since <= due_at < until:
            asked = row["polled_at"]
            late.append(2.0 * INTERVAL_SECONDS if asked is None else (asked - due_at) / timedelta(seconds=1))
    return sorted(late)


def _share(ordered: list[float], share: float) -> float:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


_ROWS: Final = """
SELECT s.org_id, s.slot, s.polled_at FROM org_snapshots s JOIN orgs o ON o.id = s.org_id WHERE o.data_center = $1
"""
_TOKENS_END: Final = """
UPDATE access_tokens SET expires_at = now() FROM orgs o WHERE o.id = org_id AND o.data_center = $1 AND o.id % 2 = 0
"""
