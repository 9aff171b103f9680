"""Measures how late `poller run` polls: the time from when a slot is due to the start of its poll, from its row.

Runs the command itself, with a queue, a database and a server with a latency of 100 ms. Every org has an interval of a
minute, a fifteenth of the default.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from benchmarks.aims import Figure, show
from benchmarks.machine import CLIENT_CPU, pinned
from benchmarks.parts import poller_over
from benchmarks.poll.lab import responding
from benchmarks.service import service_environment
from poller.core.schedule import Due

if TYPE_CHECKING:
    from benchmarks.poll.lab import Responder
    from poller.app import App

ORGS: Final = 1_000
INTERVAL_SECONDS: Final = 60
MINUTES: Final = 2
LATENCY_SECONDS: Final = 0.1
MOST_SECONDS: Final = 1.0


async def measure(rounds: int, orgs: int | None) -> None:
    """Print the table; no more than two `rounds`, each a minute, after the one in which every token is obtained."""
    orgs, minutes = orgs or ORGS, min(rounds, MINUTES)
    with pinned(CLIENT_CPU):
        async with (
            responding(LATENCY_SECONDS) as responder,
            poller_over(
                responder.data_centers,
                orgs,
                edition="ultimate",
                credit_share=1.0,
                poll_interval_seconds=INTERVAL_SECONDS,
            ) as app,
        ):
            await _serve(app, responder, (minutes + 1) * INTERVAL_SECONDS + 5)
            late, first = await _lateness(app)
    assert len(late) >= orgs * (minutes - 1)
    show(
        f"Schedule: {orgs:,} orgs every {INTERVAL_SECONDS} s, `poller run`",
        [
            Figure("polls", len(late), "{:,.0f}"),
            Figure("p50, seconds late", _share(late, 0.50), "{:.3f}"),
            Figure("p99", _share(late, 0.99), "{:.3f}", at_most=MOST_SECONDS),
            Figure("the latest", late[-1], "{:.3f}"),
            Figure("p99 of each org's first poll, which obtains its token", _share(first, 0.99), "{:.3f}"),
        ],
        [f"{1_000 * LATENCY_SECONDS:.0f} ms per request; the first minute, with each org's first poll, is separate."],
    )


async def _serve(app: App, responder: Responder, seconds: float) -> None:
    """Run the service for `seconds`, as an operator does."""
    environment = service_environment(app, responder.data_centers, INTERVAL_SECONDS)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "poller", "run"),
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await asyncio.sleep(seconds)
    finally:
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


async def _lateness(app: App) -> tuple[list[float], list[float]]:
    """Sorted seconds from when a slot is due to the start of its poll; those of each org's first poll separately."""
    rows = await app.database.fetch("SELECT org_id, slot, polled_at, outcome FROM org_snapshots ORDER BY org_id, slot")
    late: list[float] = []
    first: list[float] = []
    seen: set[int] = set()
    for row in rows:
        assert row["outcome"] == "ok", dict(row)
        seconds = (row["polled_at"] - Due(row["org_id"], row["slot"], INTERVAL_SECONDS).at) / timedelta(seconds=1)
        (late if row["org_id"] in seen else first).append(seconds)
        seen.add(row["org_id"])
    return sorted(late), sorted(first)


def _share(ordered: list[float], share: float) -> float:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
